//! Go templates as in Ollama's Modelfiles: the language of Go's `text/template`, with the functions and
//! fields that Ollama adds to it.

mod ast;
mod clock;
mod collate;
mod compare;
mod cut;
mod escape;
mod eval;
mod exec;
mod failure;
mod functions;
mod json;
mod lexer;
mod limits;
mod literal;
mod number;
mod parser;
mod print;
mod printf;
mod quote;
mod render;
mod text;
mod tools;
mod value;

use crate::chat::Conversation;
use crate::error::Result;
use crate::segments::Segment;

/// A chat template in the language of Ollama's Modelfiles, ready to be rendered.
///
/// The language is that of Go's [`text/template`](https://pkg.go.dev/text/template). Templates that range
/// over `.Messages` get the whole conversation at once; the older ones with `.System`, `.Prompt` and
/// `.Response` are rendered once for each turn. Fields and functions are those of Ollama's
/// [documentation](https://github.com/ollama/ollama/blob/main/docs/template.mdx), `.Thinking`, `.Think`,
/// `.ThinkLevel`, `.IsThinkSet`, `.ToolName` and `.ToolCallID`, and the functions `json`, `currentDate`,
/// `yesterdayDate` and `toTypeScriptType`.
///
/// A template from a stranger can do no harm: source, nesting, steps and output are limited, and it sees
/// nothing but the conversation.
///
/// ```
/// use llamakit::chat::{Conversation, GoTemplate, Message};
///
/// let template = GoTemplate::parse(
///     "{{ range .Messages }}<|{{ .Role }}|>{{ .Content }}<|end|>\n{{ end }}<|assistant|>",
/// )?;
/// let prompt = template.render(&Conversation::new([Message::user("Hello!")]))?;
/// let text: String = prompt.iter().map(|segment| segment.text.as_str()).collect();
/// assert_eq!(text, "<|user|>Hello!<|end|>\n<|assistant|>");
/// # Ok::<(), llamakit::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct GoTemplate {
    source: String,
    tree: ast::Tree,
    vars: Vec<String>,
    takes_messages: bool,
}

impl GoTemplate {
    /// Parses a template.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) with line, column and cause if it is no template, is
    /// longer than 256 KiB or nests more than 32 levels of blocks and parentheses.
    pub fn parse(source: &str) -> Result<Self> {
        let mut tree = parser::parse(source).map_err(|failure| failure.into_error(source))?;
        let named = |vars: &[String], name: &str| vars.iter().any(|var| var == name);
        let mut vars = cut::names(&tree);
        if !named(&vars, "messages") && !named(&vars, "response") {
            tree.root.push(cut::response());
            vars = cut::names(&tree);
        }
        Ok(Self {
            source: source.to_owned(),
            takes_messages: named(&vars, "messages"),
            tree,
            vars,
        })
    }

    /// Renders a conversation.
    ///
    /// Neighbours of the same role are joined by an empty line, tools' messages excepted. The prompt ends
    /// where the template ends or, in templates that render turns, at `.Response` in the last turn; whether
    /// the assistant's turn is opened is the template's decision
    /// ([`Conversation::add_generation_prompt`] changes nothing). Where the last message is to be continued,
    /// what the template writes after it is left out. Segments of a message that may be dropped, that is
    /// neither the system's nor the last, have the message's index as their group.
    ///
    /// `extra` adds variables. With a text as `Suffix`, code is to be filled in: the template gets this,
    /// and as `.Prompt` the variable `Prompt` or else the last user's message, instead of the messages.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) if the template fails, with line, column and cause;
    /// if it takes more than 10 million steps, or writes more than 64 MiB; if a tool is defined in a way
    /// that has no place in Ollama's types; if the last message is to be continued and the template does
    /// not write it.
    pub fn render(&self, conversation: &Conversation) -> Result<Vec<Segment>> {
        render::render(&self.tree, self.takes_messages, conversation)
            .map_err(|failure| failure.into_error(&self.source))
    }

    /// The source it was parsed from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names of all fields and variables that it uses, in lower case and sorted; `response` is always
    /// among them where `messages` is not. Ollama tells from
    /// them what a model can do: call `tools`, think (`thinking`), fill in code (`suffix`).
    #[must_use]
    pub fn vars(&self) -> &[String] {
        &self.vars
    }
}
