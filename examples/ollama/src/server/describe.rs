//! What `POST /api/show` replies.

use serde_json::{Map, Value, json};

use super::clock;
use super::error::ApiError;
use super::model::Models;
use crate::api::ShowRequest;
use crate::name::Name;

pub(crate) fn describe(models: &Models, name: &Name, request: &ShowRequest) -> Result<Value, ApiError> {
    let model = models.find(&name.full())?;
    let mut capabilities = Vec::new();
    for (name, can) in [
        ("completion", model.can.complete),
        ("embedding", model.can.embed),
        ("tools", model.can.call),
        ("thinking", model.can.think),
        ("insert", model.fill.is_some()),
    ] {
        if can {
            capabilities.push(name);
        }
    }
    let system = match request.system.as_str() {
        "" => &model.system,
        system => system,
    };
    Ok(json!({
        "template": model.source(),
        "system": system,
        "details": model.card.details,
        "messages": model.messages,
        "model_info": Map::new(),
        "capabilities": capabilities,
        "modified_at": clock::rfc3339(models.store().modified(name)?),
    }))
}
