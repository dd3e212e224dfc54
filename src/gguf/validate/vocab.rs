//! Rules for the vocabulary: array types and lengths, unique texts, byte tokens, special ids.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::BuildHasher;

use super::meta::{Meta, c_text};
use crate::error::Result;
use crate::gguf::cursor::{invalid, quote};
use crate::gguf::hash::SeededState;
use crate::gguf::{ArrayRef, ValueType};

/// Longest token text: some tokenizers recurse once per byte while building their tables, or hold
/// every suffix.
const MAX_TOKEN: usize = 1024;
/// Longest token text of the other tokenizers.
const MAX_TOKEN_FLAT: usize = 1 << 16;
/// Most tokens of a model that has no tokenizer and states a number only.
const MAX_DUMMY_TOKENS: u32 = 1 << 21;
/// `LLAMA_TOKEN_TYPE_BYTE`.
const BYTE: i32 = 6;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    None,
    Spm,
    Wpm,
    Bpe,
    Ugm,
    Rwkv,
    Test,
    Plamo2,
}

/// Checks the vocabulary and gives the number of its tokens.
pub(super) fn check(meta: Meta<'_>, architecture: &str) -> Result<u32> {
    let key = "tokenizer.ggml.model";
    let model = meta
        .str(key)?
        .ok_or_else(|| invalid(format!("key {key} is missing")))?;
    let kind = match model {
        b"no_vocab" | b"none" => Kind::None,
        b"llama" => Kind::Spm,
        b"bert" => Kind::Wpm,
        b"gpt2" | b"hybriddna" | b"whitespace" | b"gemma4" => Kind::Bpe,
        b"t5" => Kind::Ugm,
        b"rwkv" => Kind::Rwkv,
        b"test" => Kind::Test,
        b"plamo2" => Kind::Plamo2,
        _ => {
            return Err(invalid(format!(
                "{key} is {}, which is unknown",
                quote(model)
            )));
        }
    };
    let pre = meta.str("tokenizer.ggml.pre")?;
    meta.u32("tokenizer.ggml.token_type_count")?;
    if kind == Kind::None {
        let size = meta
            .u32(&format!("{architecture}.vocab_size"))?
            .unwrap_or(0);
        if size > MAX_DUMMY_TOKENS {
            return Err(invalid(format!("{architecture}.vocab_size is {size}")));
        }
        return Ok(size);
    }
    let n_tokens = check_tokens(meta, kind)?;
    match kind {
        Kind::Bpe => check_merges(meta, model != b"gemma4" && pre == Some(b"kimi-k2"))?,
        Kind::Ugm => check_charsmap(meta)?,
        _ => {}
    }
    check_special_ids(meta, kind, n_tokens)?;
    Ok(n_tokens)
}

fn check_tokens(meta: Meta<'_>, kind: Kind) -> Result<u32> {
    let key = "tokenizer.ggml.tokens";
    let tokens = required_array(meta, key, &[ValueType::String])?;
    let n_tokens = match i32::try_from(tokens.len()) {
        Ok(n) if n > 0 => n.cast_unsigned(),
        _ => return Err(invalid(format!("key {key} has {} tokens", tokens.len()))),
    };
    let scores = parallel(
        meta,
        "tokenizer.ggml.scores",
        &[ValueType::F32, ValueType::I32],
        n_tokens,
    )?;
    if let Some(scores) = scores.and_then(|scores| scores.numbers::<f32>())
        && scores.into_iter().any(f32::is_nan)
    {
        return Err(invalid(
            "key tokenizer.ggml.scores has an element that is not a number",
        ));
    }
    let types = parallel(
        meta,
        "tokenizer.ggml.token_type",
        &[ValueType::I32],
        n_tokens,
    )?;
    let types = types.and_then(|types| types.numbers::<i32>());
    let types = types
        .into_iter()
        .flatten()
        .map(Some)
        .chain(std::iter::repeat(None));

    let longest = match kind {
        Kind::Ugm | Kind::Rwkv | Kind::Plamo2 => MAX_TOKEN,
        _ => MAX_TOKEN_FLAT,
    };
    let Some(strings) = tokens.strings() else {
        return Ok(n_tokens);
    };
    let texts = || strings.clone().map(c_text);
    let mut has_empty = false;
    for ((id, text), ty) in texts().enumerate().zip(types) {
        if text.len() > longest {
            return Err(invalid(format!(
                "token {id} has {} bytes; at most {longest} are possible",
                text.len()
            )));
        }
        has_empty |= text.is_empty();
        if ty == Some(BYTE) {
            check_byte_token(kind, id, text)?;
        }
    }
    check_unique(texts, has_empty)?;
    Ok(n_tokens)
}

/// Upstream reads the texts as C strings, names empty ones `[EMPTY_id]`, and asserts that they are
/// all different after that.
fn check_unique<'a, I: ExactSizeIterator<Item = &'a [u8]>>(
    texts: impl Fn() -> I,
    has_empty: bool,
) -> Result<()> {
    if !has_empty && all_differ(texts()) {
        return Ok(());
    }
    let mut seen = HashSet::new();
    for (id, text) in texts().enumerate() {
        let text = match text {
            b"" => Cow::from(format!("[EMPTY_{id}]").into_bytes()),
            text => Cow::from(text),
        };
        if seen.contains(&text) {
            return Err(invalid(format!("token {id} {} occurs twice", quote(&text))));
        }
        seen.insert(text);
    }
    Ok(())
}

/// Whether the hashes of all texts differ; `false` may come from equal hashes of two texts.
///
/// A table of hashes alone is several times quicker than a set of texts when the vocabulary is
/// larger than the processor's caches.
fn all_differ<'a>(texts: impl ExactSizeIterator<Item = &'a [u8]>) -> bool {
    let state = SeededState::new();
    let slots = (texts.len() * 2).next_power_of_two();
    let mut table = vec![0_u32; slots];
    for text in texts {
        let hash = state.hash_one(text);
        let tag = (hash >> 32) as u32 | 1;
        let mut slot = hash as usize & (slots - 1);
        while table[slot] != 0 {
            if table[slot] == tag {
                return false;
            }
            slot = (slot + 1) & (slots - 1);
        }
        table[slot] = tag;
    }
    true
}

/// The byte of a byte token is read from its text: `<0x41>`.
fn check_byte_token(kind: Kind, id: usize, text: &[u8]) -> Result<()> {
    let good = match kind {
        Kind::Spm | Kind::Ugm | Kind::Plamo2 | Kind::Bpe => matches!(
            text,
            [b'<', b'0', b'x', high, low, b'>'] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()
        ),
        Kind::Wpm => false,
        Kind::Rwkv | Kind::Test | Kind::None => true,
    };
    if good {
        return Ok(());
    }
    Err(invalid(format!(
        "token {id} is a byte token, but its text is {}",
        quote(text)
    )))
}

fn check_merges(meta: Meta<'_>, optional: bool) -> Result<()> {
    let key = "tokenizer.ggml.merges";
    if optional && meta.file.get(key).is_none() {
        return Ok(());
    }
    let merges = required_array(meta, key, &[ValueType::String])?;
    // The first byte may itself be a space.
    let torn = |merge: &[u8]| !merge.iter().skip(1).any(|&byte| byte == b' ');
    match merges.strings().into_iter().flatten().position(torn) {
        Some(index) => Err(invalid(format!(
            "key {key}: merge {index} is not two texts and a space"
        ))),
        None => Ok(()),
    }
}

fn check_charsmap(meta: Meta<'_>) -> Result<()> {
    let key = "tokenizer.ggml.precompiled_charsmap";
    let Some(map) = meta.array(key)? else {
        return Ok(());
    };
    if !matches!(map.element_type(), ValueType::U8 | ValueType::I8) {
        return Err(invalid(format!(
            "key {key} has type arr[{}], expected arr[u8]",
            map.element_type()
        )));
    }
    // The map starts with the size of its table; texts follow the table.
    let size = map
        .bytes()
        .first_chunk()
        .map(|size| u64::from(u32::from_le_bytes(*size)));
    if size.is_none_or(|size| size + 4 >= map.len() as u64) {
        return Err(invalid(format!(
            "key {key} of {} bytes is shorter than its table",
            map.len()
        )));
    }
    if map.bytes().last() != Some(&0) {
        return Err(invalid(format!("key {key} does not end with a NUL")));
    }
    Ok(())
}

fn check_special_ids(meta: Meta<'_>, kind: Kind, n_tokens: u32) -> Result<()> {
    for name in [
        "bos",
        "eos",
        "eot",
        "eom",
        "unknown",
        "seperator",
        "padding",
        "mask",
        "cls",
        "fim_pre",
        "fim_suf",
        "fim_mid",
        "fim_pad",
        "fim_rep",
        "fim_sep",
        "prefix",
        "suffix",
        "middle",
    ] {
        meta.u32(&format!("tokenizer.ggml.{name}_token_id"))?;
    }
    for name in [
        "add_space_prefix",
        "remove_extra_whitespaces",
        "normalizer.lowercase",
        "normalizer.strip_accents",
    ] {
        meta.bool(&format!("tokenizer.ggml.{name}"))?;
    }
    if let Some(array) = meta.array("tokenizer.ggml.suppress_tokens")?
        && array.element_type() != ValueType::I32
    {
        return Err(invalid(
            "key tokenizer.ggml.suppress_tokens is not an array of i32",
        ));
    }
    let defaults = |bos, eos, separator| (Some(bos), eos, separator);
    let (bos, eos, separator) = match kind {
        Kind::Spm | Kind::Plamo2 => defaults(1, Some(2), None),
        Kind::Wpm => defaults(101, None, Some(102)),
        Kind::Bpe if meta.str("tokenizer.ggml.model")? != Some(b"gemma4") => {
            defaults(11, Some(11), None)
        }
        Kind::Ugm => (None, Some(1), None),
        _ => (None, None, None),
    };
    // Tokenizing with special tokens asserts that the wanted ones exist. Bert always wants both.
    let always = kind == Kind::Wpm;
    for (name, id, default, wanted) in [
        ("add_bos_token", "bos_token_id", bos, always),
        ("add_eos_token", "eos_token_id", eos, false),
        ("add_sep_token", "seperator_token_id", separator, always),
    ] {
        let flag = meta.bool(&format!("tokenizer.ggml.{name}"))?;
        let id = format!("tokenizer.ggml.{id}");
        let known = [meta.u32(&id)?, default]
            .into_iter()
            .flatten()
            .any(|id| id < n_tokens);
        if (wanted || flag == Some(true)) && !known {
            return Err(invalid(format!(
                "the tokenizer adds a token that does not exist: {id} is missing or no token"
            )));
        }
    }
    Ok(())
}

fn required_array<'a>(meta: Meta<'a>, key: &str, types: &[ValueType]) -> Result<ArrayRef<'a>> {
    let array = meta
        .array(key)?
        .ok_or_else(|| invalid(format!("key {key} is missing")))?;
    if !types.contains(&array.element_type()) {
        return Err(invalid(format!(
            "key {key} has type arr[{}], expected arr[{}]",
            array.element_type(),
            types[0]
        )));
    }
    Ok(array)
}

/// An optional array with an element for each token, which upstream indexes without a check.
fn parallel<'a>(
    meta: Meta<'a>,
    key: &str,
    types: &[ValueType],
    n_tokens: u32,
) -> Result<Option<ArrayRef<'a>>> {
    if meta.file.get(key).is_none() {
        return Ok(None);
    }
    let array = required_array(meta, key, types)?;
    if array.len() < n_tokens as usize {
        return Err(invalid(format!(
            "key {key} has {} elements for {n_tokens} tokens",
            array.len()
        )));
    }
    Ok(Some(array))
}
