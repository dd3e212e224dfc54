//! Makes models: from another model, from GGUF files, with adapters, texts and parameters, quantised or not.
//!
//! What a request names is in the store before: files as blobs, a model by its manifest. The result is layers
//! and settings as Ollama writes them, to the byte.

mod detect;
mod gather;
mod go_json;
mod layers;
mod quantize;
mod request;
mod scratch;
mod source;
mod texts;

use std::sync::atomic::{AtomicBool, Ordering};

use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::progress::{Progress, Report};
use crate::store::manifest::media;
use crate::store::{Config, Layer, Manifest, Store};

use layers::Layers;
use quantize::Level;

pub use request::{Message, Request};

/// What the caller decides besides the request.
#[derive(Debug, Clone, Copy)]
pub struct Control<'a> {
    /// Ends the work soon once it is true, and no model is made.
    pub stop: &'a AtomicBool,
    /// Whether blobs go that only the model of the same name used that was there before.
    pub prune: bool,
}

/// How a model is made: where it goes, who is told of it, and whether it should still be.
#[derive(Clone, Copy)]
struct Work<'a> {
    store: &'a Store,
    report: Report<'a>,
    stop: &'a AtomicBool,
}

impl Work<'_> {
    fn say(&self, status: impl Into<String>) {
        (self.report)(Progress::status(status));
    }

    fn go_on(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::new(
                Kind::Cancelled,
                "creating the model was cancelled",
            ));
        }
        Ok(())
    }
}

/// Makes the model that `request` asks for, and gives it its name when it is complete.
///
/// The model that it is made from must be in the store ([`Request::base`] says which it is), and so must the
/// blobs of its files. `report` is told of every step as Ollama's stream tells it, ending with `success`.
///
/// # Errors
/// [`Kind::Invalid`] for what the request says, naming the field; [`Kind::NotFound`] for a model or blob that
/// is not there; [`Kind::Damaged`] for files that are no models; [`Kind::Unsupported`] for Safetensors and what
/// runs elsewhere; [`Kind::Cancelled`]; [`Kind::Storage`].
pub fn create(
    store: &Store,
    request: &Request,
    report: Report<'_>,
    control: Control<'_>,
) -> Result<()> {
    let work = Work {
        store,
        report,
        stop: control.stop,
    };
    let name = request.check(report)?;
    let level = Level::parse("quantize", request.quantize())?;
    let draft_level = Level::parse("draft_quantize", &request.draft_quantize)?;
    let before = store.manifest(&name).ok();

    let (mut layers, mut config) = match request.base()? {
        Some(base) => from_model(work, &base)?,
        None => from_files(work, request)?,
    };
    if let Some(adapter) = source::adapter(work, &request.adapters)? {
        layers.add(adapter);
    }
    if let Some(draft) = source::draft(work, &request.draft_files)? {
        layers.replace(draft);
    }
    quantize::layers(work, &mut layers, media::MODEL, level)?;
    quantize::layers(work, &mut layers, media::DRAFT, draft_level)?;
    describe(store, &layers, &mut config)?;
    request.settings(&mut config)?;
    texts::add(work, request, &mut layers)?;
    work.go_on()?;

    let config = {
        let mut bytes = config.to_bytes()?;
        bytes.push(b'\n');
        let (digest, size) = store.put_bytes(&bytes)?;
        Layer::new(media::CONFIG, digest, size)
    };
    let manifest = layers.finish(config, report);
    work.say("writing manifest");
    store.put_manifest(&name, &manifest)?;
    if let Some((before, _)) = before
        && control.prune
    {
        forget(store, &before);
    }
    work.say("success");
    Ok(())
}

/// Removes what only the model of before used. The new one is made whether or not that succeeds.
fn forget(store: &Store, before: &Manifest) {
    let digests: Vec<Digest> = before.blobs().map(|layer| layer.digest).collect();
    if let Err(error) = store.remove_unused(&digests) {
        tracing::warn!("blobs of the model that was replaced remain: {error}");
    }
}

/// Layers and settings of a model of the store.
fn from_model(work: Work<'_>, base: &Name) -> Result<(Layers, Config)> {
    let (manifest, _) = work.store.manifest(base)?;
    let mut config = work.store.config(&manifest)?;
    if !config.remote_host.is_empty() {
        return Err(Error::new(
            Kind::Unsupported,
            format!("model '{base}' runs on another host; models cannot be made from it"),
        ));
    }
    // It lists the layers of the model that this one is made from.
    config.rootfs = None;
    let mut layers = Layers::default();
    for layer in &manifest.layers {
        work.store.layer(layer)?;
        let layer = Layer {
            from: Some(base.to_string()),
            ..layer.clone()
        };
        layers.add(layers::Made::existing(layer));
    }
    Ok((layers, config))
}

/// Layers and first settings of files.
fn from_files(work: Work<'_>, request: &Request) -> Result<(Layers, Config)> {
    let found = source::weights(work, &request.files)?;
    let mut layers = Layers::default();
    let template = match request.template.as_str() {
        "" => detect::template(work, &found.model)?,
        _ => None,
    };
    layers.add(found.model);
    found.projectors.into_iter().for_each(|one| layers.add(one));
    if let Some(template) = template {
        texts::detected(work, template, &mut layers)?;
    }
    let config = Config {
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        ..Config::default()
    };
    Ok((layers, config))
}

/// What the settings say of the weights, from their files.
fn describe(store: &Store, layers: &Layers, config: &mut Config) -> Result<()> {
    if let Some(layer) = layers.new_weights(media::MODEL) {
        let about = source::About::read(store, layer)?;
        config.model_format = "gguf".to_owned();
        config.model_family.clone_from(&about.architecture);
        config.model_families = Some(vec![about.architecture]);
        config.model_type = about.parameters;
        config.file_type = about.file_type;
    }
    if let Some(layer) = layers.new_weights(media::DRAFT) {
        let about = source::About::read(store, layer)?;
        let draft = serde_json::json!({"model_format": "gguf", "architecture": about.architecture});
        config.other.insert("draft".to_owned(), draft);
    }
    Ok(())
}
