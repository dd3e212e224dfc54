//! `/set`: how the conversation goes on.

use serde_json::json;

use super::command::Set;
use super::compose::{Purpose, QUOTES};
use super::{Lines, Session, help};
use crate::api::{Message, Think};
use crate::cli::run::{options, setup};
use crate::error::Result;

impl Session<'_> {
    pub(super) fn set(&mut self, set: Set, lines: &mut dyn Lines) -> Result<()> {
        let said = match set {
            Set::History(keep) => {
                lines.keep(keep);
                return Ok(());
            }
            Set::WordWrap(wrap) => {
                self.manner.wrap = wrap;
                if wrap {
                    "Set 'wordwrap' mode."
                } else {
                    "Set 'nowordwrap' mode."
                }
            }
            Set::Verbose(verbose) => {
                self.verbose = verbose;
                if verbose {
                    "Set 'verbose' mode."
                } else {
                    "Set 'quiet' mode."
                }
            }
            Set::Think(None) => {
                self.think(Think::Switch(true));
                "Set 'think' mode."
            }
            Set::Think(Some(level)) => return self.think_so_much(&level),
            Set::NoThink => {
                self.think(Think::Switch(false));
                "Set 'nothink' mode."
            }
            Set::Format(format) if format.as_deref() == Some("json") => {
                self.format = Some(json!("json"));
                "Set format to 'json' mode."
            }
            Set::Format(_) => "Invalid or missing format. For 'json' mode use '/set format json'",
            Set::NoFormat => {
                self.format = None;
                "Disabled format."
            }
            Set::Parameter(name, values) => return self.parameter(&name, &values),
            Set::System(text) => {
                let text = match text.strip_prefix(QUOTES) {
                    None => Some(text),
                    Some(rest) => self.composer.begin(Purpose::System, rest),
                };
                return text.map_or(Ok(()), |text| self.set_system(text));
            }
            Set::Unsaid("parameter") => {
                self.screen.note(help::PARAMETERS);
                return Ok(());
            }
            Set::Unsaid(_) => {
                self.screen.note(help::SET);
                return Ok(());
            }
        };
        self.screen.line(said)
    }

    /// What the model is told from here on.
    pub(super) fn set_system(&mut self, text: String) -> Result<()> {
        let message = Message::new("system", &text);
        self.system = text;
        // Of two in a row only the second one counts.
        if self
            .messages
            .last()
            .is_some_and(|last| last.role == "system")
        {
            self.messages.pop();
        }
        self.messages.push(message);
        self.screen.line("Set system message.")
    }

    fn think(&mut self, think: Think) {
        self.think = Some(think);
        if !self.shown.can("thinking") {
            let model = &self.model;
            self.screen.note(&format!(
                "warning: model {model:?} does not support thinking output\n"
            ));
        }
    }

    fn think_so_much(&mut self, level: &str) -> Result<()> {
        let Some(think @ Think::Level(_)) = setup::level(level) else {
            let message =
                format!("error: invalid think value {level:?} (must be high, medium, low, or max)");
            return self.screen.line(&message);
        };
        self.think(think);
        self.screen.line(&format!("Set 'think' mode to '{level}'."))
    }

    fn parameter(&mut self, name: &str, values: &[String]) -> Result<()> {
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        match options::typed(name, &texts) {
            Err(why) => self.screen.line(&format!("Couldn't set parameter: {why}")),
            Ok(value) => {
                self.options.insert(name.to_owned(), value);
                self.screen.line(&format!(
                    "Set parameter '{name}' to '{}'",
                    values.join(", ")
                ))
            }
        }
    }
}
