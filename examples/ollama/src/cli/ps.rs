//! `ollama ps`: what is loaded.

use std::time::SystemTime;

use axum::http::Method;

use super::args::PsArgs;
use super::client::Client;
use super::{output, table};
use crate::api::{PsResponse, RunningModel};
use crate::error::Result;
use crate::human;
use crate::settings::Settings;

pub(super) fn run(args: &PsArgs, settings: &Settings) -> Result<()> {
    let loaded: PsResponse = Client::new(settings)?.ask(Method::GET, "/api/ps", &())?;
    if args.json {
        return output::json(&loaded);
    }
    let now = SystemTime::now();
    let mut rows = vec![
        ["NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(loaded.models.iter().map(|model| {
        vec![
            model.name.clone(),
            model.digest.chars().take(12).collect(),
            human::bytes(model.size),
            crate::server::processor(model.size, model.size_vram),
            model.context_length.to_string(),
            until(model, now),
        ]
    }));
    output::print(&table::render(&rows))
}

fn until(model: &RunningModel, now: SystemTime) -> String {
    if model.state == "stopping" {
        return "Stopping...".to_owned();
    }
    if model.state == "loading" {
        let share = model.progress.unwrap_or(0.0) * 100.0;
        return format!("Loading... {share:.0}%");
    }
    match humantime::parse_rfc3339_weak(&model.expires_at) {
        Ok(time) if time < now => "Stopping...".to_owned(),
        Ok(time) => human::time(time, now),
        Err(_) => model.expires_at.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn until_as_ollama_prints_it() {
        let now = SystemTime::now();
        let model = |seconds: i64, state: &str| {
            let time = match u64::try_from(seconds) {
                Ok(seconds) => now + Duration::from_secs(seconds),
                Err(_) => now - Duration::from_secs(seconds.unsigned_abs()),
            };
            RunningModel {
                expires_at: humantime::format_rfc3339_nanos(time).to_string(),
                state: state.to_owned(),
                progress: Some(0.4),
                ..RunningModel::default()
            }
        };
        assert_eq!(until(&model(245, "ready"), now), "4 minutes from now");
        assert_eq!(until(&model(290 * 365 * 86_400, "ready"), now), "Forever");
        assert_eq!(until(&model(-1, "ready"), now), "Stopping...");
        assert_eq!(until(&model(9, "stopping"), now), "Stopping...");
        assert_eq!(until(&model(9, "loading"), now), "Loading... 40%");
    }
}
