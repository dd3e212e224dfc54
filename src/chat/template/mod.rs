//! A model's chat template, of either language.

mod fit;
pub(super) mod gguf;
mod known;
pub(in crate::chat) mod units;

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::segments::Segment;

use super::conversation::Conversation;
use super::go::GoTemplate;
use super::jinja::{self, Manner};

pub use super::jinja::SpecialTexts;
pub use fit::Fitted;

/// How long one rendering may take by default. Published templates take a millisecond.
const TIME: Duration = Duration::from_secs(10);

/// The language of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TemplateLanguage {
    /// Jinja, as in model files.
    Jinja,
    /// Go's `text/template`, as in Ollama's Modelfiles.
    Go,
}

/// What a template makes use of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// It prints system messages. Where it does not, they are put before the first message of the user.
    pub system: bool,
    /// It prints the tools that may be called.
    pub tools: bool,
    /// It prints calls of tools.
    pub tool_calls: bool,
    /// It prints documents.
    pub documents: bool,
    /// Thinking can be switched on or off.
    pub thinking_switch: bool,
    /// It knows how much to think.
    pub thinking_levels: bool,
}

/// Turns conversations into prompts, as one model has learned them.
///
/// Cheap to clone. The segments of a prompt say which text the template wrote and which came from
/// messages, so that nothing a message says is ever taken for a control token.
///
/// ```
/// use llamakit::chat::{ChatTemplate, Conversation, Message, SpecialTexts};
/// use llamakit::Origin;
///
/// # fn main() -> llamakit::Result<()> {
/// let source = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}";
/// let template = ChatTemplate::jinja(source, &SpecialTexts::default())?;
/// let prompt = template.render(&Conversation::new([Message::user("What is <|end|>?")]))?;
/// let from_user = prompt.iter().find(|part| part.origin == Origin::Message);
/// assert_eq!(from_user.map(|part| part.text.as_str()), Some("What is <|end|>?"));
/// # Ok(())
/// # }
/// ```
///
/// # Jinja
///
/// Templates see what transformers' `apply_chat_template` gives them: `messages`, `tools`, `documents`,
/// `add_generation_prompt`, `bos_token` and its kin, `strftime_now`, and what [`Conversation::extra`]
/// adds. [`Message::thinking`](super::Message::thinking) is `reasoning_content` and `thinking`, arguments
/// of calls are objects. [`Thinking`](super::Thinking) becomes the variables that the template reads:
/// `enable_thinking`, `thinking`, `reasoning_effort`, `thinking_budget` and some more. Content as a list
/// of parts, arguments as a text, or a system message within the user's are given to templates that want
/// them so, which [`exact`](Self::exact) switches off. What a template does is limited in work, depth,
/// output and time.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    engine: Engine,
    /// For conversations with tools.
    tool_use: Option<Arc<Result<jinja::Template, String>>>,
    manner: Manner,
}

#[derive(Debug, Clone)]
enum Engine {
    Jinja(Arc<jinja::Template>),
    Go(Arc<GoTemplate>),
}

impl ChatTemplate {
    /// Parses a Jinja template.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) with line and cause if it is no template, too long or
    /// nested too deep.
    pub fn jinja(source: &str, texts: &SpecialTexts) -> Result<Self> {
        let template = jinja::Template::parse(source, texts)?;
        Ok(Self::new(Engine::Jinja(Arc::new(template))))
    }

    /// Parses a Go template, as in Ollama's Modelfiles.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) with line and cause.
    pub fn go(source: &str) -> Result<Self> {
        Ok(Self::new(Engine::Go(Arc::new(GoTemplate::parse(source)?))))
    }

    fn new(engine: Engine) -> Self {
        Self {
            engine,
            tool_use: None,
            manner: Manner {
                exact: false,
                raw: false,
                groups: false,
                time: TIME,
            },
        }
    }

    /// The template of a model file, with the special tokens of its vocabulary.
    ///
    /// A file can have several: `tokenizer.chat_template.tool_use` is taken for conversations with tools,
    /// `tokenizer.chat_template` or else `tokenizer.chat_template.default` for all others. For a file with
    /// none, the control tokens of its vocabulary tell the format, if they are those of a known one.
    ///
    /// # Errors
    /// As [`ChatTemplate::jinja`]; [`ErrorKind::Unsupported`](crate::ErrorKind) if there is no template and no
    /// known format.
    pub fn from_gguf(file: &crate::gguf::File) -> Result<Self> {
        let texts = gguf::special_texts(file);
        let tool_use = gguf::source(file, Some("tool_use"))?;
        let source = match gguf::source(file, None)? {
            Some(source) => source,
            None => match gguf::source(file, Some("default"))?.or(tool_use) {
                Some(source) => source,
                None => known::source(file, &texts)?,
            },
        };
        let mut template =
            Self::jinja(source, &texts).map_err(|error| gguf::locate(error, file))?;
        template.tool_use = tool_use.map(|source| {
            // Nobody needs it before there are tools.
            Arc::new(jinja::Template::parse(source, &texts).map_err(|error| error.to_string()))
        });
        Ok(template)
    }

    /// The template of this name in a model file, `rag` for instance: `tokenizer.chat_template.NAME`.
    ///
    /// # Errors
    /// As [`ChatTemplate::jinja`]; [`ErrorKind::InvalidArgument`](crate::ErrorKind) if the file has none of
    /// that name.
    pub fn named_from_gguf(file: &crate::gguf::File, name: &str) -> Result<Self> {
        let source = gguf::source(file, Some(name))?.ok_or_else(|| {
            let names = gguf::names(file).join(", ");
            let error = Error::argument(format!(
                "the file has no chat template called {name:?}; it has: {names}"
            ));
            gguf::locate(error, file)
        })?;
        Self::jinja(source, &gguf::special_texts(file)).map_err(|error| gguf::locate(error, file))
    }

    /// Whether messages reach the template as they are, as transformers gives them to it, and nothing is
    /// arranged for templates that want them otherwise. Default: false.
    #[must_use]
    pub fn exact(mut self, exact: bool) -> Self {
        self.manner.exact = exact;
        self
    }

    /// Whether the whole prompt counts as the template's text, so that messages can write control tokens.
    /// Default: false.
    #[must_use]
    pub fn raw(mut self, raw: bool) -> Self {
        self.manner.raw = raw;
        self
    }

    /// How long one rendering of a Jinja template may take. Default: 10 seconds.
    #[must_use]
    pub fn time_limit(mut self, time: Duration) -> Self {
        self.manner.time = time;
        self
    }

    /// Renders a conversation. No segment is in a group.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) with line and cause if the template refuses the
    /// conversation or a limit is reached, and if the last message is to be continued and can't be. Also, and
    /// hardly ever, if a template treats a text so that it can't be told whether it or the message writes
    /// a control token.
    pub fn render(&self, conversation: &Conversation) -> Result<Vec<Segment>> {
        self.render_as(conversation, self.manner)
    }

    /// Renders a conversation so that each message which may be dropped is a group of segments: the group
    /// is the message's place, and that of a tool's result the place of the call. What the system said and
    /// the last message are in no group.
    ///
    /// Where it is not certain which text goes with a message, no segment is in a group.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn render_in_groups(&self, conversation: &Conversation) -> Result<Vec<Segment>> {
        let manner = Manner {
            groups: true,
            ..self.manner
        };
        self.render_as(conversation, manner)
    }

    /// Renders a conversation so that `count` of the prompt is `limit` at most: if it is too long, whole
    /// messages are dropped, oldest first. What the system said and the last message stay, and results of
    /// tools stay with their calls. This is what Ollama does with conversations longer than the context.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`]; an error of `count`; [`ErrorKind::InvalidArgument`](crate::ErrorKind) with
    /// both counts if what must stay is too long.
    pub fn render_within(
        &self,
        conversation: &Conversation,
        limit: usize,
        count: &mut dyn FnMut(&[Segment]) -> Result<usize>,
    ) -> Result<Fitted> {
        fit::render_within(self, conversation, limit, count)
    }

    fn render_as(&self, conversation: &Conversation, manner: Manner) -> Result<Vec<Segment>> {
        match &self.engine {
            Engine::Jinja(template) => {
                match self
                    .tool_use
                    .as_deref()
                    .filter(|_| !conversation.tools.is_empty())
                {
                    Some(Ok(template)) => template.render(conversation, manner),
                    Some(Err(error)) => Err(Error::argument(format!(
                        "the template for tools, tool_use: {error}"
                    ))),
                    None => template.render(conversation, manner),
                }
            }
            Engine::Go(template) => {
                let mut segments = template.render(conversation)?;
                if manner.raw {
                    let text: String = segments.into_iter().map(|segment| segment.text).collect();
                    return Ok(vec![Segment::template(text)]);
                }
                if !manner.groups {
                    segments.iter_mut().for_each(|segment| segment.group = None);
                }
                Ok(segments)
            }
        }
    }

    /// The source, as it was given or found in the file.
    #[must_use]
    pub fn source(&self) -> &str {
        match &self.engine {
            Engine::Jinja(template) => template.source(),
            Engine::Go(template) => template.source(),
        }
    }

    /// The language.
    #[must_use]
    pub fn language(&self) -> TemplateLanguage {
        match &self.engine {
            Engine::Jinja(_) => TemplateLanguage::Jinja,
            Engine::Go(_) => TemplateLanguage::Go,
        }
    }

    /// What the template makes use of, found out by rendering small conversations.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind) if the system gives no thread.
    pub fn capabilities(&self) -> Result<Capabilities> {
        match &self.engine {
            Engine::Jinja(template) => {
                let tool_use = self
                    .tool_use
                    .as_deref()
                    .and_then(|template| template.as_ref().ok());
                let traits = template.traits()?;
                let tools = tool_use.map_or(Ok(traits), jinja::Template::traits)?;
                Ok(Capabilities {
                    system: traits.system,
                    tools: tools.tools,
                    tool_calls: tools.tool_calls,
                    documents: traits.documents,
                    thinking_switch: traits.thinking_switch,
                    thinking_levels: traits.thinking_levels,
                })
            }
            Engine::Go(template) => {
                let uses = |name: &str| template.vars().iter().any(|var| var == name);
                Ok(Capabilities {
                    system: uses("system") || uses("messages"),
                    tools: uses("tools"),
                    tool_calls: uses("toolcalls"),
                    documents: uses("documents"),
                    thinking_switch: uses("think") || uses("isthinkset"),
                    thinking_levels: uses("thinklevel"),
                })
            }
        }
    }
}
