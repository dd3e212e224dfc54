//! Grammars of the calls that a model may make, in llguidance's dialect of Lark.

mod arguments;
mod form;
mod lark;

use serde_json::{Value, json};

use self::form::Form;
use self::lark::Lark;
use super::format::{AnswerFormat, CallFormat};
use super::program::Program;
use crate::chat::message::Tool;
#[cfg(feature = "constrain")]
use crate::constrain::Constraint;
use crate::error::{Error, ErrorKind, Result};

/// Whether and what a model may call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ToolChoice {
    /// What it wants, or nothing.
    #[default]
    Auto,
    /// Nothing.
    None,
    /// Something.
    Required,
    /// The tool of this name.
    Function(String),
}

impl AnswerFormat {
    /// A grammar of answers that call only these tools, with arguments that fit their schemas; in
    /// the dialect of Lark that [llguidance](https://github.com/guidance-ai/llguidance) reads.
    ///
    /// With [`ToolChoice::Required`] and [`ToolChoice::Function`] the answer is thoughts, if the
    /// format has any, and calls: one, or several where they may be `parallel` (harmony has one
    /// always). What the grammar admits, [`AnswerParser`](super::AnswerParser) reads as calls. With
    /// [`ToolChoice::Auto`] anything may be said, and from the marker of a call on the grammar
    /// holds; in formats without marker an answer that begins with a call's bracket is one. With
    /// [`ToolChoice::None`], and where nothing can be called anyway, there is no grammar.
    ///
    /// Markers are written as text, those named by [`special_tokens`](Self::special_tokens) as these
    /// tokens. JSON is written with `", "` and `": "` as templates show it to models.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if a call is required and there is no such tool, or if a tool's
    /// parameters are no schema of an object. [`ErrorKind::Unsupported`] if a call is required in a
    /// format that has none, or if the format cannot say what a schema demands of an argument that is
    /// written without quotes; the message names the tool and the keyword.
    pub fn call_grammar(
        &self,
        tools: &[Tool],
        choice: &ToolChoice,
        parallel: bool,
    ) -> Result<Option<String>> {
        let allowed: Vec<&Tool> = match choice {
            ToolChoice::None => return Ok(None),
            ToolChoice::Auto | ToolChoice::Required => tools.iter().collect(),
            ToolChoice::Function(name) => tools.iter().filter(|tool| tool.name() == name).collect(),
        };
        let auto = *choice == ToolChoice::Auto;
        if auto && (allowed.is_empty() || self.calls == CallFormat::None) {
            return Ok(None);
        }
        if self.calls == CallFormat::None {
            return Err(unsupported("this model's template has no tool calls"));
        }
        if allowed.is_empty() {
            return Err(Error::argument(match choice {
                ToolChoice::Function(name) => format!("there is no tool `{name}` to be called"),
                _ => "a tool call is required but there are no tools".to_owned(),
            }));
        }
        let mut lark = Lark::new(&self.special);
        let start = if self.calls == CallFormat::Harmony {
            self.harmony(&mut lark, &allowed, auto)?
        } else {
            self.start(&mut lark, &allowed, auto, parallel)?
        };
        Ok(Some(lark.finish(&start)))
    }

    /// What an answer must be that calls only these tools: [`call_grammar`](Self::call_grammar), to
    /// be obeyed.
    ///
    /// # Errors
    /// As [`call_grammar`](Self::call_grammar), and as [`Constraint::lark`] for arguments that can't
    /// be constrained to their schema.
    #[cfg(feature = "constrain")]
    pub fn call_constraint(
        &self,
        tools: &[Tool],
        choice: &ToolChoice,
        parallel: bool,
    ) -> Result<Option<Constraint>> {
        let grammar = self.call_grammar(tools, choice, parallel)?;
        grammar
            .map(|grammar| Constraint::lark(&grammar))
            .transpose()
    }

    fn start(
        &self,
        lark: &mut Lark,
        tools: &[&Tool],
        auto: bool,
        parallel: bool,
    ) -> Result<String> {
        let form = Form::of(&self.calls, parallel);
        let mut bodies = Vec::new();
        for tool in tools {
            let body = form::body(&self.calls, lark, tool)?;
            bodies.push(lark.rule("call", &body));
        }
        let call = lark.rule("any_call", &bodies.join(" | "));
        let (first, close) = (lark.text(&form.first), lark.text(&form.close));
        let between = lark.text(&form.between);
        let more = match &form.between {
            between if !parallel || between.is_empty() => String::new(),
            _ => format!("({between} {call})*"),
        };
        let calls = lark.rule("calls", &format!("{first} {call} {more} {close}"));
        let mut openers: Vec<String> = Program::of(&self.calls)
            .entries
            .iter()
            .filter(|entry| !entry.bare)
            .map(|entry| entry.text.to_string())
            .collect();
        let trigger = lark.text(&form.trigger);
        if !auto {
            let thoughts = self.thoughts(lark, &openers);
            return Ok(format!("{thoughts} SPACE? {trigger} {calls}"));
        }
        let tokens = self.thought_tokens(lark, &openers);
        if form.trigger.is_empty() {
            let free = lark.free(&openers, "[^\\s{\\[`]");
            return Ok(format!("{tokens} (SPACE? {calls} | {free} | SPACE)?"));
        }
        openers.push(form.trigger.clone());
        let said = lark.until(&openers, &form.trigger);
        let free = lark.free(&openers, "");
        Ok(format!("{tokens} ({said} {calls} | {free})?"))
    }

    /// Thoughts before a call that must be made.
    fn thoughts(&self, lark: &mut Lark, openers: &[String]) -> String {
        let Some(tags) = self.thinking.first() else {
            return String::new();
        };
        let mut never = openers.to_vec();
        never.push(tags.close.clone());
        let rest = lark.until(&never, &tags.close);
        if self.in_thinking {
            rest
        } else {
            format!("({} {rest})?", lark.text(&tags.open))
        }
    }

    /// The tokens around thoughts where anything may be said; as texts they are part of it.
    fn thought_tokens(&self, lark: &mut Lark, openers: &[String]) -> String {
        let Some(tags) = self.thinking.first() else {
            return String::new();
        };
        let mut never = openers.to_vec();
        never.push(tags.close.clone());
        let close = if lark.special(&tags.close) {
            lark.until(&never, &tags.close)
        } else {
            String::new()
        };
        let open = match lark.special(&tags.open) {
            true if !self.in_thinking => lark.text(&tags.open),
            _ => String::new(),
        };
        if open.is_empty() && close.is_empty() {
            return String::new();
        }
        format!("({open} {close})?")
    }

    fn harmony(&self, lark: &mut Lark, tools: &[&Tool], auto: bool) -> Result<String> {
        let markers: Vec<String> = super::harmony::MARKERS.map(str::to_owned).to_vec();
        let thoughts = lark.until(&markers, "<|end|>");
        let next = lark.text("<|start|>assistant");
        let mut bodies = Vec::new();
        for tool in tools {
            let name = tool.name();
            if name.contains(|c: char| c.is_whitespace() || c == '<') {
                return Err(unsupported(format!(
                    "harmony cannot name the tool `{name}`"
                )));
            }
            let header =
                format!("<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>");
            let arguments = lark.json(&parameters(tool)?);
            let body = format!(
                "{} {arguments} {}",
                lark.text(&header),
                lark.text("<|call|>")
            );
            bodies.push(lark.rule("call", &body));
        }
        let mut answer = bodies.join(" | ");
        if auto {
            let free = lark.free(&markers, "");
            answer += &format!(" | {} {free}?", lark.text("<|channel|>final<|message|>"));
        }
        let analysis = lark.text("<|channel|>analysis<|message|>");
        match self.begun.as_str() {
            "" | "<|start|>assistant" => Ok(format!("({analysis} {thoughts} {next})? ({answer})")),
            begun if begun.ends_with("<|channel|>analysis<|message|>") => {
                Ok(format!("{thoughts} {next} ({answer})"))
            }
            _ => Err(unsupported("the prompt has begun the answer's message")),
        }
    }
}

/// The schema of a tool's arguments.
fn parameters(tool: &Tool) -> Result<Value> {
    let mut schema = match tool.parameters() {
        Value::Null => json!({}),
        schema => schema.clone(),
    };
    let wrong = || {
        let name = tool.name();
        Error::argument(format!(
            "the parameters of the tool `{name}` are no schema of an object"
        ))
    };
    let object = schema.as_object_mut().ok_or_else(wrong)?;
    match object.get("type") {
        None if object.contains_key("$ref") => {}
        None => {
            object.insert("type".to_owned(), "object".into());
        }
        Some(Value::String(kind)) if kind == "object" => {}
        Some(_) => return Err(wrong()),
    }
    Ok(schema)
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}
