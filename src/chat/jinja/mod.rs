//! The Jinja templates of model files, rendered by `minijinja`.
//!
//! The template's source is rewritten for the engine (`rewrite`), the conversation becomes what templates
//! of transformers are given (`context`), functions and printing are Python's (`functions`,
//! `text_methods`, `python`). Rendered twice, the text says which parts of it messages wrote
//! (`alphabet`, `origin`).

mod alphabet;
mod case;
mod context;
mod data;
mod engine;
mod failure;
mod filters;
mod functions;
mod groups;
mod literal;
mod origin;
mod prefill;
mod python;
mod rewrite;
mod scan;
mod special;
mod spelling;
mod strftime;
mod text_methods;
mod thinking;
mod traits;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::OnceLock;
use std::time::Duration;

use crate::error::Result;
use crate::segments::Segment;

use super::conversation::Conversation;
use context::{Builder, Places, Survey};
use engine::Engine;
use traits::Shape;

pub use special::SpecialTexts;
pub(crate) use traits::Traits;

/// How a template is rendered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Messages reach the template as they are, whether or not it knows what to do with them.
    pub(crate) exact: bool,
    /// All text is the template's.
    pub(crate) raw: bool,
    /// Whether messages are put into groups.
    pub(crate) groups: bool,
    /// How long one rendering may take.
    pub(crate) time: Duration,
}

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template {
    source: String,
    engine: Engine,
    texts: SpecialTexts,
    /// All texts in the template's tags.
    literals: HashSet<String>,
    names: HashSet<String>,
    traits: OnceLock<Traits>,
}

impl Template {
    pub(crate) fn parse(source: &str, texts: &SpecialTexts) -> Result<Self> {
        engine::check_length(source)?;
        let rewritten = rewrite::rewrite(source)?;
        Ok(Self {
            source: source.to_owned(),
            engine: engine::on_own_stack(|| Engine::new(rewritten.source))?,
            texts: texts.clone(),
            literals: rewritten.literals.into_iter().collect(),
            names: rewritten.names.into_iter().collect(),
            traits: OnceLock::new(),
        })
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Whether the template may read a variable of this name.
    fn reads(&self, variable: &str) -> bool {
        self.names.contains(variable)
    }

    /// What the template can do, found out by rendering small conversations, once.
    pub(crate) fn traits(&self) -> Result<&Traits> {
        if let Some(traits) = self.traits.get() {
            return Ok(traits);
        }
        let traits = engine::on_own_stack(|| Ok(traits::find(self)))?;
        Ok(self.traits.get_or_init(|| traits))
    }

    pub(crate) fn render(
        &self,
        conversation: &Conversation,
        manner: Manner,
    ) -> Result<Vec<Segment>> {
        prefill::check(conversation, self)?;
        let shape = if manner.exact {
            Shape::default()
        } else {
            self.traits()?.shape
        };
        let survey = Survey::new(conversation)?;
        let conversation = shape.adapt(conversation);
        // Merged messages can't be dropped one by one.
        let groups = manner.groups && matches!(conversation, Cow::Borrowed(_));
        let rendering = Rendering {
            template: self,
            conversation: &conversation,
            shape,
            survey,
            time: manner.time,
        };
        engine::on_own_stack(|| {
            let text = rendering.text()?;
            if manner.raw {
                return Ok(vec![Segment::template(text)]);
            }
            let origins = origin::find(&rendering, &text)?;
            Ok(if groups {
                groups::find(&rendering, &text, origins)
            } else {
                origins.into_segments()
            })
        })
    }
}

/// One conversation, about to be rendered.
struct Rendering<'r> {
    template: &'r Template,
    conversation: &'r Conversation,
    shape: Shape,
    survey: Survey,
    time: Duration,
}

impl<'r> Rendering<'r> {
    fn render(&self, context: minijinja::Value) -> Result<String> {
        let limits = self.survey.limits(self.time);
        self.template.engine.render(context, limits)
    }

    /// The text, with every message as it is.
    fn text(&self) -> Result<String> {
        let tail = prefill::tail(self)?;
        let context = Builder::new(self.template, None, &mut Places::default()).build(
            self.conversation,
            self.shape,
            &tail,
        );
        let text = prefill::cut(self, self.render(context)?, &tail)?;
        prefill::check_rendered(self.conversation, &text)?;
        Ok(text)
    }

    /// The same of another conversation, which has no text that this one lacks.
    fn with<'s>(&'s self, conversation: &'s Conversation) -> Rendering<'s> {
        Rendering {
            template: self.template,
            conversation,
            shape: self.shape,
            survey: self.survey,
            time: self.time,
        }
    }
}

/// What a template can't be given as it is, is given otherwise.
impl Shape {
    fn adapt<'c>(&self, conversation: &'c Conversation) -> Cow<'c, Conversation> {
        if !self.merge_system {
            return Cow::Borrowed(conversation);
        }
        let is_system = |role: &str| role == "system" || role == "developer";
        let systems = conversation
            .messages
            .iter()
            .take_while(|message| is_system(&message.role));
        let count = systems.count();
        if count == 0 {
            return Cow::Borrowed(conversation);
        }
        let mut adapted = conversation.clone();
        let systems: Vec<String> = adapted
            .messages
            .drain(..count)
            .map(|message| message.content)
            .collect();
        let said = systems.join("\n\n");
        match adapted
            .messages
            .first_mut()
            .filter(|message| message.role == "user")
        {
            Some(user) => user.content = format!("{said}\n\n{}", user.content),
            None => adapted.messages.insert(0, super::Message::user(said)),
        }
        Cow::Owned(adapted)
    }
}
