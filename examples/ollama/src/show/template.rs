//! Which of a model's templates is used: the Go template of its layers or the one in its weights.

use llamakit::ErrorKind;
use llamakit::chat::{AnswerFormat, CallFormat, ChatTemplate, GoTemplate, TemplateLanguage};

use super::Weights;
use crate::store::Model;

/// What Ollama takes for a model without a template.
const PLAIN: &str = "{{ .Prompt }}";

/// The template of a model.
#[derive(Debug, Clone)]
pub struct Selected {
    /// The template, or why none of those that are there can be used.
    pub template: Result<ChatTemplate, String>,
    /// What it can do.
    pub traits: Traits,
    /// Templates that are there but can't be used, and why.
    pub warnings: Vec<String>,
}

/// What a template can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traits {
    /// It prints the tools that may be called.
    pub tools: bool,
    /// It prints calls and their results.
    pub tool_calls: bool,
    /// It can switch thinking, or knows where thoughts are.
    pub thinking: bool,
    /// It can have code filled in.
    pub insert: bool,
}

impl Selected {
    /// The source of the template; empty when there is none.
    #[must_use]
    pub fn source(&self) -> &str {
        self.template.as_ref().map_or("", ChatTemplate::source)
    }

    /// Whether the template is in Go's language.
    #[must_use]
    pub fn is_go(&self) -> bool {
        let template = self.template.as_ref();
        template.is_ok_and(|template| template.language() == TemplateLanguage::Go)
    }
}

/// Chooses a template: the only one, the one that `go_template` asks for, or the one that can do
/// more; of two that can do the same, the one of the layers.
#[must_use]
pub fn select(model: &Model, weights: &Weights, go_template: Option<bool>) -> Selected {
    let mut warnings = Vec::new();
    let mut faults = Vec::new();
    let go = model.template.as_deref().and_then(|source| {
        let cannot = |error: llamakit::Error| {
            warnings.push(format!("its template can't be used: {}", error.message()));
            faults.push(error.message().to_owned());
        };
        ChatTemplate::go(source).map_err(cannot).ok()
    });
    let own = ChatTemplate::from_gguf(weights.main())
        .map_err(|error| {
            // That a model has no template is nothing wrong.
            if error.kind() != ErrorKind::Unsupported {
                let why = error.message();
                warnings.push(format!("the template in its weights can't be used: {why}"));
                faults.push(why.to_owned());
            }
        })
        .ok();
    let (template, traits) = match (go, own, go_template) {
        (Some(go), _, Some(true)) => found(go),
        (_, Some(own), Some(false)) => found(own),
        (Some(go), None, _) => found(go),
        (None, Some(own), _) => found(own),
        (Some(go), Some(own), None) => {
            let (go_traits, own_traits) = (traits(&go), traits(&own));
            if own_is_better(own_traits, go_traits) {
                (Ok(own), own_traits)
            } else {
                (Ok(go), go_traits)
            }
        }
        (None, None, _) if faults.is_empty() => {
            let plain = ChatTemplate::go(PLAIN).map_err(|error| error.message().to_owned());
            (plain, Traits::default())
        }
        (None, None, _) => (Err(faults.join("; ")), Traits::default()),
    };
    Selected {
        template,
        traits,
        warnings,
    }
}

fn found(template: ChatTemplate) -> (Result<ChatTemplate, String>, Traits) {
    let traits = traits(&template);
    (Ok(template), traits)
}

/// A template that lists tools but can't print what came of their calls is worth less than one that can.
fn own_is_better(own: Traits, go: Traits) -> bool {
    let count = |traits: Traits| u8::from(traits.tools) + u8::from(traits.thinking);
    if count(own) > count(go) {
        !go.tool_calls || own.tool_calls
    } else {
        own.tools && go.tools && own.thinking == go.thinking && own.tool_calls && !go.tool_calls
    }
}

fn traits(template: &ChatTemplate) -> Traits {
    let format = AnswerFormat::detect(template.source());
    let marked = !format.thinking_tags().is_empty() || *format.calls() == CallFormat::Harmony;
    let uses = template.capabilities().unwrap_or_default();
    Traits {
        tools: uses.tools,
        tool_calls: uses.tool_calls,
        thinking: marked
            || uses.thinking_switch
            || uses.thinking_levels
            || names(template, "thinking"),
        insert: fills(template),
    }
}

/// Whether a template knows where the text behind a gap goes.
pub(crate) fn fills(template: &ChatTemplate) -> bool {
    names(template, "suffix")
}

/// Whether a Go template speaks of something.
fn names(template: &ChatTemplate, name: &str) -> bool {
    template.language() == TemplateLanguage::Go
        && GoTemplate::parse(template.source())
            .is_ok_and(|template| template.vars().iter().any(|var| var == name))
}
