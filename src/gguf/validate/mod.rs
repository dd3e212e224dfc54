//! The rules beyond the format: what keeps upstream from asserting on a hostile or damaged file.
//!
//! Each rule stands for an assertion, a division, an index or an allocation in upstream's loading
//! or computing that a value in the file reaches.

mod adapter;
mod hparams;
mod meta;
mod tensors;
mod together;
mod vocab;

use super::cursor::{invalid, quote};
use super::{File, Overrides, split};
use crate::error::{Error, ErrorKind, Result};

pub use adapter::validate_adapter;
use meta::Meta;

/// Checks that a file can be loaded and run as a model without tripping upstream.
///
/// Checks architecture, hyper-parameters, vocabulary, and the types of tensors, with `overrides` on
/// top of the file's metadata. Whether all tensors of the architecture are there with their right
/// shapes is upstream's own check while loading, which fails cleanly. Reads the metadata once and
/// no weights; of a split model, only this file's tensors are checked ([`validate_shards`] checks
/// all).
///
/// # Errors
/// [`ErrorKind::InvalidGguf`] naming the key or tensor; [`ErrorKind::Unsupported`] for files that
/// are no language models (projectors, adapters); [`ErrorKind::InvalidArgument`] for an override
/// of the wrong type.
pub fn validate_model(file: &File, overrides: &Overrides) -> Result<()> {
    let meta = Meta { file, overrides };
    validate(meta).map_err(|error| file.locate(error))
}

/// As [`validate_model`], for all files of a model in their order.
///
/// Several files must belong together: numbers, counts, and no tensor in two of them.
///
/// # Errors
/// As [`validate_model`].
pub fn validate_shards(files: &[File], overrides: &Overrides) -> Result<()> {
    let Some((first, others)) = files.split_first() else {
        return Err(Error::argument("a model has at least one file"));
    };
    if !others.is_empty() {
        split::check_shards(files)?;
    }
    let meta = Meta {
        file: first,
        overrides,
    };
    let locate = |error| first.locate(error);
    validate_file(meta).map_err(locate)?;
    let architecture = architecture(meta).map_err(locate)?;
    let experts = meta
        .u32(&format!("{architecture}.expert_count"))
        .map_err(locate)?;
    for file in others {
        tensors::check(file, experts.unwrap_or(0)).map_err(|error| file.locate(error))?;
    }
    together::check(files, meta, architecture).map_err(locate)
}

/// As [`validate_model`], for a file of which only the vocabulary is loaded.
///
/// # Errors
/// As [`validate_model`].
pub fn validate_vocab(file: &File, overrides: &Overrides) -> Result<()> {
    let meta = Meta { file, overrides };
    architecture(meta)
        .and_then(|architecture| vocab::check(meta, architecture))
        .map(|_| ())
        .map_err(|error| file.locate(error))
}

/// A model of one file, or the first one of several.
fn validate(meta: Meta<'_>) -> Result<()> {
    validate_file(meta)?;
    let files = meta.file.find::<u16>("split.count")?.unwrap_or(1);
    if files > 1 {
        return Ok(());
    }
    let architecture = architecture(meta)?;
    together::check(std::slice::from_ref(meta.file), meta, architecture)
}

/// What can be said of the first file alone.
fn validate_file(meta: Meta<'_>) -> Result<()> {
    let architecture = architecture(meta)?;
    check_split_keys(meta)?;
    let n_tokens = vocab::check(meta, architecture)?;
    let hparams = hparams::check(meta, architecture, n_tokens)?;
    tensors::check(meta.file, hparams.n_expert)
}

/// The architecture, once it is clear that the file is a language model.
fn architecture<'a>(meta: Meta<'a>) -> Result<&'a str> {
    let unsupported = |message: String| Err(Error::new(ErrorKind::Unsupported, message));
    if let Some(kind) = meta.str("general.type")?
        && matches!(kind, b"adapter" | b"mmproj" | b"imatrix" | b"controlvector")
    {
        return unsupported(format!("this file is of type {}, not a model", quote(kind)));
    }
    let text = meta
        .str("general.architecture")?
        .ok_or_else(|| invalid("key general.architecture is missing"))?;
    match std::str::from_utf8(text) {
        Ok("clip") => unsupported(
            "this file is a multimodal projector (architecture clip), not a language model".into(),
        ),
        Ok(name) if !name.is_empty() && name.len() <= 64 => Ok(name),
        _ => Err(invalid(format!("general.architecture is {}", quote(text)))),
    }
}

/// Upstream asserts the type of these keys; what they say is checked when all files are opened.
fn check_split_keys(meta: Meta<'_>) -> Result<()> {
    for key in ["split.no", "split.count", "split.tensors.count"] {
        if meta.overrides.get(key).is_some() {
            return Err(Error::argument(format!("{key} cannot be overridden")));
        }
    }
    meta.file.find::<u16>("split.no")?;
    meta.file.find::<u16>("split.count")?;
    meta.file.find::<i32>("split.tensors.count")?;
    Ok(())
}
