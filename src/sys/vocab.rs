//! Calls on a model's vocabulary, with every id and length already checked by the caller.

use std::ffi::CStr;
use std::sync::Arc;

use super::bindings::{
    lk_detokenize, lk_model_get_vocab, lk_token_info, lk_token_to_piece, lk_tokenize,
    lk_vocab_get_info, lk_vocab_info, lk_vocab_token_info, llama_vocab,
};
use super::fault::{Fault, guarded};
use super::model::RawModel;
use crate::error::Result;
use crate::token::Token;

/// A model's vocabulary. Keeps the model alive.
#[derive(Clone)]
pub(crate) struct RawVocab {
    pointer: *const llama_vocab,
    info: lk_vocab_info,
    _model: Arc<RawModel>,
}

// SAFETY: upstream's vocabulary is immutable after loading and documented as thread-safe.
unsafe impl Send for RawVocab {}
// SAFETY: as above.
unsafe impl Sync for RawVocab {}

impl RawVocab {
    pub(crate) fn new(model: &Arc<RawModel>) -> Result<Self> {
        let mut pointer = std::ptr::null();
        // SAFETY: the model is alive; `pointer` is a place for the result.
        guarded(unsafe { lk_model_get_vocab(model.as_ptr(), &mut pointer) })?;
        // SAFETY: all-zero is a valid value of this plain C struct.
        let mut info: lk_vocab_info = unsafe { std::mem::zeroed() };
        // SAFETY: the vocabulary belongs to the model, which `_model` keeps alive.
        guarded(unsafe { lk_vocab_get_info(pointer, &mut info) })?;
        Ok(Self {
            pointer,
            info,
            _model: Arc::clone(model),
        })
    }

    pub(crate) fn info(&self) -> &lk_vocab_info {
        &self.info
    }

    pub(crate) fn as_ptr(&self) -> *const llama_vocab {
        self.pointer
    }

    /// Score and attributes of a token. `token` must be in `0..n_tokens`.
    pub(crate) fn token_info(&self, token: Token) -> Result<lk_token_info, Fault> {
        // SAFETY: all-zero is a valid value of this plain C struct.
        let mut info: lk_token_info = unsafe { std::mem::zeroed() };
        // SAFETY: the caller checked the id; the vocabulary is alive.
        guarded(unsafe { lk_vocab_token_info(self.pointer, token.0, &mut info) })?;
        Ok(info)
    }

    /// Text, score and attributes of a token. `token` must be in `0..n_tokens`.
    pub(crate) fn token(&self, token: Token) -> Result<(Vec<u8>, lk_token_info), Fault> {
        let info = self.token_info(token)?;
        let text = if info.text.is_null() {
            Vec::new()
        } else {
            // SAFETY: upstream returned a NUL-terminated string of the vocabulary.
            unsafe { CStr::from_ptr(info.text) }.to_bytes().to_vec()
        };
        Ok((text, info))
    }

    /// One attempt to tokenize into `out`'s spare capacity. Returns upstream's number: the count,
    /// or the negated count that would have been needed.
    pub(crate) fn tokenize(
        &self,
        text: &[u8],
        add_special: bool,
        parse_special: bool,
        out: &mut Vec<Token>,
    ) -> Result<i32, Fault> {
        out.clear();
        let capacity = i32::try_from(out.capacity()).unwrap_or(i32::MAX);
        let mut count = 0;
        // SAFETY: text length was checked to fit an i32 and the pointer is non-null also for an
        // empty slice; `Token` is a transparent i32 and upstream writes at most `capacity` of them.
        guarded(unsafe {
            lk_tokenize(
                self.pointer,
                text.as_ptr().cast(),
                text.len() as i32,
                out.as_mut_ptr().cast(),
                capacity,
                add_special,
                parse_special,
                &mut count,
            )
        })?;
        if count > 0 {
            debug_assert!(count <= capacity);
            // SAFETY: upstream initialised the first `count` elements, at most `capacity`.
            unsafe { out.set_len(count as usize) };
        }
        Ok(count)
    }

    /// Writes a token's bytes into `out`. Returns upstream's number: the length, or the negated
    /// length that would have been needed.
    pub(crate) fn piece(&self, token: Token, special: bool, out: &mut [u8]) -> Result<i32, Fault> {
        let mut length = 0;
        // SAFETY: the caller checked the id; upstream writes at most `out.len()` bytes.
        guarded(unsafe {
            lk_token_to_piece(
                self.pointer,
                token.0,
                out.as_mut_ptr().cast(),
                i32::try_from(out.len()).unwrap_or(i32::MAX),
                0,
                special,
                &mut length,
            )
        })?;
        Ok(length)
    }

    /// Writes the text of `tokens` into `out`. Returns upstream's number: the length, or the
    /// negated length that would have been needed.
    pub(crate) fn detokenize(
        &self,
        tokens: &[Token],
        remove_special: bool,
        unparse_special: bool,
        out: &mut [u8],
    ) -> Result<i32, Fault> {
        let mut length = 0;
        // SAFETY: the caller checked the ids and that their number fits an i32; upstream writes at
        // most `out.len()` bytes.
        guarded(unsafe {
            lk_detokenize(
                self.pointer,
                tokens.as_ptr().cast(),
                tokens.len() as i32,
                out.as_mut_ptr().cast(),
                i32::try_from(out.len()).unwrap_or(i32::MAX),
                remove_special,
                unparse_special,
                &mut length,
            )
        })?;
        Ok(length)
    }
}
