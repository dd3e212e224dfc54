//! Templates and special tokens of model files.

use crate::error::Error;
use crate::gguf::{ArrayRef, File, ValueRef};

use super::{Result, SpecialTexts};

const TEMPLATE: &str = "tokenizer.chat_template";

/// Token types of the format's specification.
const CONTROL: i32 = 3;

/// The source of the template of this name, or of the one without.
pub(super) fn source<'f>(file: &'f File, name: Option<&str>) -> Result<Option<&'f str>> {
    let source = match name {
        Some(name) => file.find(&format!("{TEMPLATE}.{name}"))?,
        None => file.find(TEMPLATE)?,
    };
    Ok(source.filter(|source: &&str| !source.trim().is_empty()))
}

/// The names of all templates that have one.
pub(super) fn names(file: &File) -> Vec<String> {
    let prefix = format!("{TEMPLATE}.");
    let named = file
        .metadata()
        .filter_map(|(key, _)| key.strip_prefix(&prefix));
    named.map(str::to_owned).collect()
}

/// The texts of the vocabulary's special tokens. What is not in the file, or is no text, is left out.
pub(super) fn special_texts(file: &File) -> SpecialTexts {
    let tokens = tokens(file);
    let named = |name: &str| {
        let id = file
            .get(&format!("tokenizer.ggml.{name}_token_id"))?
            .as_u64()?;
        text(tokens.get(usize::try_from(id).ok()?)?)
    };
    SpecialTexts {
        bos: named("bos"),
        eos: named("eos"),
        unk: named("unknown"),
        sep: named("seperator"),
        pad: named("padding"),
        cls: named("cls"),
        mask: named("mask"),
        control: control_tokens(file).map(|(text, _)| text).collect(),
    }
}

/// The vocabulary's control tokens that have a text, and their numbers.
pub(in crate::chat) fn control_tokens(file: &File) -> impl Iterator<Item = (String, u32)> {
    let types = array(file, "tokenizer.ggml.token_type");
    let types = types.and_then(|array| array.numbers::<i32>());
    let tokens = tokens(file).into_iter().zip(types.into_iter().flatten());
    tokens
        .zip(0..)
        .filter(|((_, kind), _)| *kind == CONTROL)
        .filter_map(|((token, _), id)| Some((text(token)?, id)))
}

fn tokens(file: &File) -> Vec<&[u8]> {
    let strings = array(file, "tokenizer.ggml.tokens").and_then(|array| array.strings());
    strings.map(Iterator::collect).unwrap_or_default()
}

fn array<'f>(file: &'f File, key: &str) -> Option<ArrayRef<'f>> {
    match file.get(key) {
        Some(ValueRef::Array(array)) => Some(array),
        _ => None,
    }
}

fn text(token: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(token).ok()?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// Says in which file the template is.
pub(super) fn locate(error: Error, file: &File) -> Error {
    if file.path().as_os_str().is_empty() {
        error
    } else {
        error.with_path(file.path())
    }
}
