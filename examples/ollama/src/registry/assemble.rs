//! Makes a model of GGUF files that came without a manifest.

use llamakit::gguf;

use super::pull::finish;
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::human;
use crate::name::Name;
use crate::progress::Report;
use crate::store::manifest::{Layer, Manifest, media};
use crate::store::{Config, Store};

/// The member of the settings blob that says what the model was made of.
const ORIGIN: &str = "origin";

/// One weights file in the store; of a split model, one of its parts in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// Stores the model of these files. `origin` says which version of what they are, to know it again.
///
/// # Errors
/// [`Kind::Damaged`] when a file is not a GGUF file or not the part that it should be; the files are gone then.
pub(super) fn assemble(
    store: &Store,
    name: &Name,
    parts: &[Part],
    origin: &str,
    report: Report<'_>,
) -> Result<()> {
    let config = match describe(store, parts, origin) {
        Ok(config) => config,
        Err(e) => {
            let digests: Vec<Digest> = parts.iter().map(|part| part.digest).collect();
            store.remove_unused(&digests)?;
            return Err(e);
        }
    };
    let (digest, size) = store.put_bytes(&config.to_bytes()?)?;
    let layers = parts
        .iter()
        .map(|part| Layer::new(media::MODEL, part.digest, part.size));
    let manifest = Manifest::new(Layer::new(media::CONFIG, digest, size), layers.collect());
    finish(store, name, &manifest.to_bytes()?, report)
}

/// Whether the store has the model of this origin, whole.
pub(super) fn is_here(store: &Store, name: &Name, origin: &str) -> bool {
    let Ok((manifest, _)) = store.manifest(name) else {
        return false;
    };
    let same = store.config(&manifest).is_ok_and(|config| {
        config.other.get(ORIGIN).and_then(|value| value.as_str()) == Some(origin)
    });
    same && manifest.blobs().all(|layer| store.layer(layer).is_ok())
}

fn describe(store: &Store, parts: &[Part], origin: &str) -> Result<Config> {
    let mut parameters: u64 = 0;
    let mut config = Config::default();
    for (number, part) in parts.iter().enumerate() {
        let short = part.digest.short();
        let damaged = |why: String| Error::new(Kind::Damaged, format!("{short}: {why}"));
        let path = store.blob(&part.digest)?;
        let file = std::fs::File::open(path).map_err(|e| {
            Error::new(
                Kind::Storage,
                format!("blob {short} can't be read: {}", e.kind()),
            )
        })?;
        // Its errors name the file as they were told.
        let file = gguf::File::from_file(file, &short)
            .map_err(|e| damaged(format!("not a GGUF file that can be used: {e}")))?;
        let number_of = |key: &str| file.get(key).and_then(|value| value.as_u64());
        let count = number_of("split.count").unwrap_or(1).max(1);
        if count != parts.len() as u64 {
            return Err(damaged(format!(
                "part of a model of {count} files, not of {}",
                parts.len()
            )));
        }
        if count > 1 && number_of("split.no") != Some(number as u64) {
            return Err(damaged(format!("not part {} of the model", number + 1)));
        }
        let elements = file.tensors().iter().map(gguf::TensorInfo::elements);
        parameters = elements.fold(parameters, u64::saturating_add);
        if number == 0 {
            let family = file
                .get("general.architecture")
                .and_then(|value| value.as_str());
            let family = family.ok_or_else(|| damaged("it names no architecture".to_owned()))?;
            config.model_family = family.to_owned();
            config.model_families = Some(vec![family.to_owned()]);
            let kind = number_of("general.file_type").and_then(crate::show::file_type_name);
            config.file_type = kind.unwrap_or("unknown").to_owned();
        }
    }
    config.model_format = "gguf".to_owned();
    config.model_type = human::number(parameters);
    config.architecture = "amd64".to_owned();
    config.os = "linux".to_owned();
    let ids: Vec<String> = parts.iter().map(|part| part.digest.to_string()).collect();
    config.rootfs = Some(serde_json::json!({ "type": "layers", "diff_ids": ids }));
    config.other.insert(ORIGIN.to_owned(), origin.into());
    Ok(config)
}
