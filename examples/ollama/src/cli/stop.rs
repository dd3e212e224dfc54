//! `ollama stop`: unloads a model, whatever it is doing.

use axum::http::Method;
use serde_json::{Value, json};

use super::client::Client;
use crate::error::{Error, Kind, Result};
use crate::settings::Settings;

pub(super) fn run(model: &str, settings: &Settings) -> Result<()> {
    let request = json!({ "model": model, "keep_alive": 0 });
    let stopped = Client::new(settings)?.ask::<Value>(Method::POST, "/api/generate", &request);
    match stopped {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == Kind::NotFound => Err(Error::new(
            Kind::NotFound,
            format!("couldn't find model \"{model}\" to stop"),
        )),
        Err(error) => Err(error),
    }
}
