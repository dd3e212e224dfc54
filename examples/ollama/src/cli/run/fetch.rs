//! Gets the model there: what it is, and pulls it where it is missing.

use axum::http::Method;
use serde_json::json;

use super::setup::Setup;
use crate::api::TransferRequest;
use crate::cli::client::Client;
use crate::cli::shown::Shown;
use crate::cli::transfer::shown;
use crate::cli::{output, remote};
use crate::error::{Kind, Result};

/// What a model is.
pub(super) fn show(client: &Client, model: &str) -> Result<Shown> {
    client.ask(Method::POST, "/api/show", &json!({ "model": model }))
}

/// What the model is, which is pulled where it is missing.
pub(super) fn show_or_pull(client: &Client, setup: &Setup) -> Result<Shown> {
    match show(client, &setup.model) {
        Err(error) if error.kind() == Kind::NotFound => {
            pull(client, setup)?;
            show(client, &setup.model)
        }
        shown => shown,
    }
}

/// Lets the server pull the model, and shows how far it is.
pub(super) fn pull(client: &Client, setup: &Setup) -> Result<()> {
    if !client.ours() {
        output::note(format_args!(
            "Note: the server at {} is another program than this one; it pulls the model",
            client.at()
        ));
    }
    let request = TransferRequest {
        model: setup.source.clone(),
        insecure: setup.insecure,
        ..TransferRequest::default()
    };
    shown(|report| remote::work(client, "/api/pull", &request, report))
}
