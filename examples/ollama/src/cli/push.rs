//! `ollama push`: brings a model of the store to a registry.

use super::args::TransferArgs;
use super::place::Place;
use super::transfer::{shown, wait};
use super::{output, remote};
use crate::api::TransferRequest;
use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::progress::Report;
use crate::registry::{Config, Options, Registry};
use crate::settings::Settings;
use crate::store::Store;

pub(super) fn run(args: &TransferArgs, settings: &Settings) -> Result<()> {
    let name = Name::parse(&args.model)?;
    match shown(|report| push(args, settings, &name, report)) {
        Err(e) if e.kind() == Kind::Unauthorized => Err(Error::new(
            Kind::Unauthorized,
            format!(
                "you are not authorized to push to this namespace, create the model under a namespace you own ({e})"
            ),
        )),
        Err(e) => Err(e),
        Ok(()) => output::print(&format!(
            "\nYou can find your model at:\n\n\t{}\n",
            place(&name)
        )),
    }
}

fn push(args: &TransferArgs, settings: &Settings, name: &Name, report: Report<'_>) -> Result<()> {
    if let Place::Server(client) = Place::find(settings)? {
        let request = TransferRequest {
            model: args.model.clone(),
            insecure: args.insecure,
            ..TransferRequest::default()
        };
        return remote::work(&client, "/api/push", &request, report);
    }
    let store = Store::open(&settings.models)?;
    let registry = Registry::new(Config::new(settings)?);
    let options = Options {
        insecure: args.insecure,
        ..Options::default()
    };
    wait(registry.push(&store, name, &options, report))
}

fn place(name: &Name) -> String {
    let host = name.host().to_ascii_lowercase();
    if host.ends_with(".ollama.ai") || host.ends_with(".ollama.com") {
        let shown = name.to_string();
        return format!("https://ollama.com/{}", shown.trim_end_matches(":latest"));
    }
    name.full()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_model_can_be_found() {
        for (name, at) in [
            ("me/m", "https://ollama.com/me/m"),
            ("me/m:7b", "https://ollama.com/me/m:7b"),
            ("h:5000/me/m", "h:5000/me/m:latest"),
        ] {
            assert_eq!(place(&Name::parse(name).unwrap()), at);
        }
    }
}
