//! Other models: what there is, going on with another one, keeping the conversation as one.

use std::time::SystemTime;

use axum::http::Method;
use serde_json::{Value, json};

use super::Session;
use crate::api::{GenerateRequest, ListResponse};
use crate::cli::client::End;
use crate::cli::run::fetch;
use crate::cli::table;
use crate::error::{Error, Kind, Result};
use crate::human;
use crate::name::Name;

impl Session<'_> {
    /// Has the model loaded before it is needed.
    pub(super) fn load_model(&self, model: &str) -> Result<()> {
        let request = GenerateRequest {
            model: model.to_owned(),
            options: Some(self.options.clone()).filter(|options| !options.is_empty()),
            keep_alive: self.keep_alive,
            think: self.think,
            stream: Some(false),
            ..GenerateRequest::default()
        };
        let _spinner = self.screen.spin();
        self.client
            .ask::<Value>(Method::POST, "/api/generate", &request)
            .map(|_| ())
    }

    /// `/load`: what was said before is not said to the other model.
    pub(super) fn load(&mut self, model: &str) -> Result<()> {
        self.screen.line(&format!("Loading model '{model}'"))?;
        let shown = match fetch::show(self.client, model) {
            Err(error) if error.kind() == Kind::NotFound => {
                return self.screen.line(&format!("Couldn't find model '{model}'"));
            }
            shown => shown?,
        };
        if shown.can("embedding") {
            let message = format!("'{model}' makes embeddings and does not converse");
            return Err(Error::new(Kind::Invalid, message));
        }
        self.load_model(model)?;
        model.clone_into(&mut self.model);
        self.shown = shown;
        self.system.clear();
        self.forget();
        Ok(())
    }

    /// `/save`: the conversation as a model that goes on from here.
    pub(super) fn save(&mut self, name: &str) -> Result<()> {
        if Name::parse(name).is_err() {
            return self
                .screen
                .line(&format!("error: The model name '{name}' is invalid"));
        }
        let mut request = json!({ "model": name, "from": self.model });
        if !self.system.is_empty() {
            request["system"] = json!(self.system);
        }
        if !self.options.is_empty() {
            request["parameters"] = json!(self.options);
        }
        // What stands first is what `system` says.
        let said = self.messages.iter().enumerate();
        let said = said.filter(|(at, message)| {
            *at > 0 || message.role != "system" || message.content != self.system
        });
        let said = said.map(|(_, message)| message);
        let messages: Vec<_> = self.shown.messages.iter().chain(said).collect();
        if !messages.is_empty() {
            request["messages"] = json!(messages);
        }
        let spinner = self.screen.spin();
        let mut done = false;
        let ended = self.client.stream("/api/create", &request, |line: Value| {
            done |= line["status"] == "success";
            Ok(())
        });
        drop(spinner);
        match ended? {
            End::Stopped => Err(Error::new(Kind::Cancelled, "stopped")),
            End::Whole if !done => Err(Error::new(Kind::Network, "the reply broke off")),
            End::Whole => self.screen.line(&format!("Created new model '{name}'")),
        }
    }

    /// `/list`: the models of the server, wherever it is.
    pub(super) fn list(&mut self) -> Result<()> {
        let all: ListResponse = self.client.ask(Method::GET, "/api/tags", &Value::Null)?;
        let now = SystemTime::now();
        let mut rows = vec![
            ["NAME", "ID", "SIZE", "MODIFIED"]
                .map(str::to_owned)
                .to_vec(),
        ];
        rows.extend(all.models.iter().map(|model| {
            let modified = humantime::parse_rfc3339_weak(&model.modified_at);
            vec![
                model.name.clone(),
                model.digest.chars().take(12).collect(),
                human::bytes(model.size),
                modified.map_or_else(|_| model.modified_at.clone(), |time| human::time(time, now)),
            ]
        }));
        for broken in &all.broken {
            self.screen
                .note(&format!("Warning: {}: {}\n", broken.name, broken.error));
        }
        self.screen.print(&table::render(&rows))
    }
}
