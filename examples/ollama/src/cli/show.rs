//! `ollama show`: what a model is.

use axum::http::Method;
use serde_json::Value;

use super::args::ShowArgs;
use super::client::Client;
use super::place::Place;
use super::shown::Shown;
use super::{existing, output, table};
use crate::api::ShowRequest;
use crate::error::{Error, Kind, Result};
use crate::human;
use crate::settings::Settings;
use crate::show::{Info, View};
use crate::store::Store;

/// Where text in a cell is wrapped.
const WIDTH: usize = 30;
/// Where system messages and licences are.
const WIDE: usize = 100;

pub(super) fn run(args: &ShowArgs, settings: &Settings) -> Result<()> {
    let parts = [
        args.license,
        args.modelfile,
        args.parameters,
        args.system,
        args.template,
    ];
    if parts.into_iter().filter(|&part| part).count() > 1 {
        return Err(Error::new(
            Kind::Invalid,
            "only one of '--license', '--modelfile', '--parameters', '--system', or '--template' can be specified",
        ));
    }
    match Place::find(settings)? {
        Place::Here => of_store(args, settings),
        Place::Server(client) => of_server(args, &client),
    }
}

fn of_store(args: &ShowArgs, settings: &Settings) -> Result<()> {
    let store = Store::open(&settings.models)?;
    let name = existing(&store, &args.model)?;
    let view = View {
        verbose: args.json && args.verbose,
        go_template: settings.go_template,
        ..View::default()
    };
    let info = Info::read_with(&store, &name, &view)?;
    for warning in &info.warnings {
        output::note(format_args!("Warning: {}: {warning}", args.model));
    }
    if args.json {
        return output::json(&info);
    }
    let metadata = args
        .verbose
        .then(|| Info::metadata_lines(&store, &name))
        .transpose()?;
    output::print(&text(args, Shown::of(&info)?, metadata))
}

fn of_server(args: &ShowArgs, client: &Client) -> Result<()> {
    let request = ShowRequest {
        model: args.model.clone(),
        verbose: args.verbose,
        ..ShowRequest::default()
    };
    let info: Value = client.ask(Method::POST, "/api/show", &request)?;
    if args.json {
        return output::json(&info);
    }
    let info: Shown = serde_json::from_value(info)
        .map_err(|error| Error::new(Kind::Network, format!("the reply can't be read: {error}")))?;
    let metadata = args
        .verbose
        .then(|| Info::metadata_lines_of(&info.model_info));
    output::print(&text(args, info, metadata))
}

/// What was asked for.
fn text(args: &ShowArgs, info: Shown, metadata: Option<Vec<(String, String)>>) -> String {
    match () {
        () if args.license => info.license + "\n",
        () if args.modelfile => info.modelfile + "\n",
        () if args.parameters => info.parameters + "\n",
        () if args.system => info.system,
        () if args.template => info.template,
        () => tables(&info, metadata.as_deref()),
    }
}

/// Everything in sections; metadata and tensors only when the metadata is given.
pub(super) fn tables(info: &Shown, metadata: Option<&[(String, String)]>) -> String {
    let mut text = section("Model", &model_rows(info), WIDTH);
    let capabilities = info.capabilities.iter();
    let capabilities: Vec<_> = capabilities.map(|one| vec![one.clone()]).collect();
    text += &section("Capabilities", &capabilities, WIDTH);
    text += &section("Projector", &projector_rows(info), WIDTH);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    let parameters: Vec<Vec<String>> = info.parameters.lines().map(words).collect();
    text += &section("Parameters", &parameters, WIDTH);
    if let Some(metadata) = metadata {
        let pairs = metadata.iter();
        let rows: Vec<_> = pairs
            .map(|(key, value)| vec![key.clone(), value.clone()])
            .collect();
        text += &section("Metadata", &rows, WIDTH);
        let tensors = info.tensors.iter().map(|tensor| {
            let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
            vec![
                tensor.name.clone(),
                tensor.kind.clone(),
                format!("[{}]", shape.join(" ")),
            ]
        });
        text += &section("Tensors", &tensors.collect::<Vec<_>>(), WIDTH);
    }
    text += &section("System", &head(&info.system), WIDE);
    text + &section("License", &head(&info.license), WIDE)
}

fn model_rows(info: &Shown) -> Vec<Vec<String>> {
    let key = |key: &str| info.model_info.get(key).filter(|value| !value.is_null());
    let architecture = key("general.architecture").and_then(|value| value.as_str());
    let architecture = architecture.unwrap_or_default();
    let number = |name: &str| Some(key(&format!("{architecture}.{name}"))?.to_string());
    let parameters = match info.details.parameter_size.as_str() {
        "" => key("general.parameter_count")
            .and_then(|n| n.as_u64())
            .map(human::number),
        size => Some(size.to_owned()),
    };
    let requires = (!info.requires.is_empty()).then(|| info.requires.clone());
    known([
        (
            "architecture",
            (!architecture.is_empty()).then(|| architecture.to_owned()),
        ),
        ("parameters", parameters),
        ("context length", number("context_length")),
        ("embedding length", number("embedding_length")),
        (
            "quantization",
            Some(info.details.quantization_level.clone()),
        ),
        ("requires", requires),
    ])
}

/// The rows that have a value.
fn known<const N: usize>(rows: [(&str, Option<String>); N]) -> Vec<Vec<String>> {
    let rows = rows.into_iter();
    rows.filter_map(|(name, value)| Some(vec![name.to_owned(), value?]))
        .collect()
}

fn projector_rows(info: &Shown) -> Vec<Vec<String>> {
    let Some(projector) = &info.projector_info else {
        return Vec::new();
    };
    let architecture = projector
        .get("general.architecture")
        .and_then(|value| value.as_str());
    let architecture = architecture.unwrap_or_default();
    let number = |name: &str| {
        let keys = ["vision", "audio"].map(|kind| format!("{architecture}.{kind}.{name}"));
        keys.iter()
            .find_map(|key| Some(projector.get(key)?.as_u64()?.to_string()))
    };
    let count = projector
        .get("general.parameter_count")
        .and_then(|n| n.as_u64());
    known([
        (
            "architecture",
            (!architecture.is_empty()).then(|| architecture.to_owned()),
        ),
        ("parameters", count.map(human::number)),
        ("embedding length", number("embedding_length")),
        ("dimensions", number("projection_dim")),
    ])
}

/// The first two lines that are not empty, and whether there are more.
fn head(text: &str) -> Vec<Vec<String>> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut rows: Vec<_> = lines
        .by_ref()
        .take(2)
        .map(|line| vec![line.to_owned()])
        .collect();
    if lines.next().is_some() {
        rows.push(vec!["...".to_owned()]);
    }
    rows
}

fn section(title: &str, rows: &[Vec<String>], width: usize) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let indented: Vec<Vec<String>> = rows
        .iter()
        .flat_map(|row| table::wrap(row, width))
        .map(|row| [vec![String::new()], row].concat())
        .collect();
    format!("  {title}\n{}\n", table::render(&indented))
}
