//! Template, system message, licences, parameters and messages: layers that the request writes itself.

use llamakit::chat::GoTemplate;
use serde_json::{Map, Value};

use crate::error::{Error, Kind, Result};
use crate::store::Layer;
use crate::store::manifest::media;

use super::Work;
use super::detect::Template;
use super::go_json;
use super::layers::{Layers, Made};
use super::request::{Message, Request};

/// The longest parameters of a model that another one is made from, in bytes.
const MAX_PARAMETERS: u64 = 1 << 20;

/// Adds what the request says, in the order in which Ollama does.
pub(super) fn add(work: Work<'_>, request: &Request, layers: &mut Layers) -> Result<()> {
    if !request.template.is_empty() {
        GoTemplate::parse(&request.template).map_err(|error| {
            Error::new(
                Kind::Invalid,
                format!("template error: {}", error.message()),
            )
        })?;
        layers.replace(text(work, media::TEMPLATE, &request.template)?);
    }
    if !request.system.is_empty() {
        layers.replace(text(work, media::SYSTEM, &request.system)?);
    }
    for license in request.license.iter().filter(|license| !license.is_empty()) {
        layers.add(text(work, media::LICENSE, license)?);
    }
    parameters(work, &request.parameters, layers)?;
    if !request.messages.is_empty() {
        let messages = request.messages.iter().map(message).collect();
        let bytes = go_json::line(&Value::Array(messages), false);
        layers.replace(blob(work, media::MESSAGES, &bytes)?);
    }
    Ok(())
}

/// Adds a template that was found out, and the texts that end its answers.
pub(super) fn detected(work: Work<'_>, template: Template, layers: &mut Layers) -> Result<()> {
    let made = text(work, media::TEMPLATE, template.source)?;
    layers.replace(made.saying(format!("using autodetected template {}", template.name)));
    let stop = template
        .stop
        .iter()
        .map(|stop| Value::from(*stop))
        .collect();
    let parameters = Map::from_iter([("stop".to_owned(), Value::Array(stop))]);
    self::parameters(work, &parameters, layers)
}

/// Parameters that are there already stay, unless they are set anew.
fn parameters(work: Work<'_>, new: &Map<String, Value>, layers: &mut Layers) -> Result<()> {
    let mut all = Map::new();
    let existing: Vec<Layer> = layers.of(media::PARAMS).cloned().collect();
    for layer in existing {
        let bytes = work.store.read_layer(&layer, MAX_PARAMETERS)?;
        let known: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|error| {
            Error::new(
                Kind::Damaged,
                format!(
                    "the parameters of the model, blob {}: {error}",
                    layer.digest
                ),
            )
        })?;
        all.extend(known);
    }
    let before = all.clone();
    for (name, value) in new {
        if crate::modelfile::is_deprecated(name) {
            continue;
        }
        // Ollama reads no other form of it.
        let value = match value {
            Value::String(stop) if name == "stop" => Value::from(vec![stop.clone()]),
            value => value.clone(),
        };
        all.insert(name.clone(), value);
    }
    if all.is_empty() || all == before {
        return Ok(());
    }
    let bytes = go_json::line(&Value::Object(all), true);
    layers.replace(blob(work, media::PARAMS, &bytes)?);
    Ok(())
}

fn message(message: &Message) -> Value {
    let mut members = Map::new();
    members.insert("role".to_owned(), message.role.to_ascii_lowercase().into());
    members.insert("content".to_owned(), message.content.clone().into());
    members.extend(message.other.clone());
    Value::Object(members)
}

fn text(work: Work<'_>, media_type: &str, text: &str) -> Result<Made> {
    blob(work, media_type, text.as_bytes())
}

fn blob(work: Work<'_>, media_type: &str, bytes: &[u8]) -> Result<Made> {
    work.go_on()?;
    let known = work.store.blob(&crate::Digest::of_bytes(bytes)).is_ok();
    let (digest, size) = work.store.put_bytes(bytes)?;
    let layer = Layer::new(media_type, digest, size);
    Ok(if known {
        Made::of_file(layer)
    } else {
        Made::created(layer)
    })
}
