//! Asks the server one thing.

use axum::http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::client::Client;
use crate::error::Result;
use crate::settings::Settings;

/// Asks for JSON. An empty reply is `null`.
pub(super) fn ask<T: DeserializeOwned>(
    settings: &Settings,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<T> {
    Client::new(settings)?.ask(method, path, body)
}
