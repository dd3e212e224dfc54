//! `/show`: what the model is, with what was set.

use axum::http::Method;

use super::{Session, help};
use crate::api::ShowRequest;
use crate::cli::show::tables;
use crate::cli::shown::Shown;
use crate::error::Result;

impl Session<'_> {
    pub(super) fn show(&mut self, what: Option<&str>) -> Result<()> {
        let Some(what) = what else {
            self.screen.note(help::SHOW);
            return Ok(());
        };
        let parts = [
            "info",
            "license",
            "modelfile",
            "parameters",
            "system",
            "template",
        ];
        if !parts.contains(&what) {
            let message = format!("Unknown command '/show {what}'. Type /? for help");
            return self.screen.line(&message);
        }
        let request = ShowRequest {
            model: self.model.clone(),
            system: self.system.clone(),
            options: Some(self.options.clone()).filter(|options| !options.is_empty()),
            ..ShowRequest::default()
        };
        let shown: Shown = self.client.ask(Method::POST, "/api/show", &request)?;
        let or = |text: String, none: &str| match text.is_empty() {
            true => none.to_owned(),
            false => text,
        };
        let text = match what {
            "info" => {
                self.screen.note(&tables(&shown, None));
                return Ok(());
            }
            "license" => or(shown.license, "No license was specified for this model."),
            "modelfile" => shown.modelfile,
            "parameters" => self.parameters(&shown.parameters),
            "system" => match or(self.system.clone(), &shown.system) {
                none if none.is_empty() => {
                    "No system message was specified for this model.".to_owned()
                }
                text => format!("{text}\n"),
            },
            _ => or(
                shown.template,
                "No prompt template was specified for this model.",
            ),
        };
        self.screen.line(&text)
    }

    fn parameters(&self, of_model: &str) -> String {
        let mut text = "Model defined parameters:\n".to_owned();
        if of_model.trim().is_empty() {
            text += "  No additional parameters were specified for this model.\n";
        }
        for line in of_model.lines() {
            text += &format!("  {line}\n");
        }
        if !self.options.is_empty() {
            text += "\nUser defined parameters:\n";
        }
        for (name, value) in &self.options {
            text += &format!("  {name:<30} {value}\n");
        }
        text
    }
}
