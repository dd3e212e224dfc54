//! The vocabulary of a model: text to tokens and back.

use std::sync::{Arc, OnceLock};
#[cfg(feature = "constrain")]
use std::sync::{Mutex, PoisonError};

#[cfg(feature = "constrain")]
use crate::constrain::{TokenKind, TokenTable};
use crate::error::{Error, ErrorKind, Result};
use crate::segments::split::{Run, SpecialToken, SpecialTokens, TextRun};
use crate::segments::{Segment, SegmentTokens};
use crate::sys;
use crate::text::TextDecoder;
use crate::token::Token;

/// Text longer than this is tokenized on a thread of its own. Some pre-tokenizers run a recursive
/// regular expression engine that needs a few hundred bytes of stack per character.
const LONG_TEXT: usize = 1024;
/// Stack per byte of long text, twice the most that was measured.
const STACK_PER_BYTE: usize = 1024;
const STACK_BASE: usize = 1024 * 1024;

/// How a vocabulary splits text (`enum llama_vocab_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VocabType {
    /// The model has no tokenizer.
    None,
    /// SentencePiece byte-pair encoding with byte fallback (Llama 2, Gemma).
    Spm,
    /// Byte-level byte-pair encoding (GPT-2, Llama 3, Qwen).
    Bpe,
    /// WordPiece (BERT).
    Wpm,
    /// Unigram (T5).
    Ugm,
    /// RWKV's greedy tokenizer.
    Rwkv,
    /// PLaMo-2's tokenizer.
    Plamo2,
    /// A type that this version of the library does not know.
    Other,
}

/// What the vocabulary says about one token.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TokenInfo {
    /// The text as stored in the file, in the tokenizer's own spelling.
    pub text: Vec<u8>,
    /// The score (SPM, UGM), else 0.
    pub score: f32,
    /// Whether it ends a generation: EOS, EOT and their kin.
    pub is_end_of_generation: bool,
    /// Whether it is a control token, which text never becomes unless asked for.
    pub is_control: bool,
    /// Whether it stands for a single byte.
    pub is_byte: bool,
    /// Whether the file marks it as unused.
    pub is_unused: bool,
}

/// A model's vocabulary. A cheap handle that keeps the model alive; `Send` and `Sync`.
#[derive(Clone)]
pub struct Vocab {
    raw: sys::RawVocab,
    /// Gathered when first needed, once for all handles.
    specials: Arc<OnceLock<SpecialTokens>>,
    /// Made when first asked for, once for all handles.
    #[cfg(feature = "constrain")]
    table: Arc<Mutex<Option<TokenTable>>>,
}

macro_rules! special_tokens {
    ($($(#[$doc:meta])* $name:ident => $field:ident;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(&self) -> Option<Token> {
                let token = Token(self.raw.info().$field);
                self.contains(token).then_some(token)
            }
        )*
    };
}

impl Vocab {
    pub(crate) fn new(model: &Arc<sys::RawModel>) -> Result<Self> {
        Ok(Self {
            raw: sys::RawVocab::new(model)?,
            specials: Arc::default(),
            #[cfg(feature = "constrain")]
            table: Arc::default(),
        })
    }

    /// Number of tokens (`llama_vocab_n_tokens`); ids run from 0 to one less.
    #[must_use]
    pub fn n_tokens(&self) -> usize {
        usize::try_from(self.raw.info().n_tokens).unwrap_or(0)
    }

    /// How the vocabulary splits text.
    #[must_use]
    pub fn vocab_type(&self) -> VocabType {
        match self.raw.info().type_ as u32 {
            sys::LLAMA_VOCAB_TYPE_NONE => VocabType::None,
            sys::LLAMA_VOCAB_TYPE_SPM => VocabType::Spm,
            sys::LLAMA_VOCAB_TYPE_BPE => VocabType::Bpe,
            sys::LLAMA_VOCAB_TYPE_WPM => VocabType::Wpm,
            sys::LLAMA_VOCAB_TYPE_UGM => VocabType::Ugm,
            sys::LLAMA_VOCAB_TYPE_RWKV => VocabType::Rwkv,
            sys::LLAMA_VOCAB_TYPE_PLAMO2 => VocabType::Plamo2,
            _ => VocabType::Other,
        }
    }

    /// Whether `token` is one of this vocabulary's ids.
    #[must_use]
    pub fn contains(&self, token: Token) -> bool {
        token.index().is_some_and(|index| index < self.n_tokens())
    }

    special_tokens! {
        /// Beginning of sequence; also the CLS token of encoders (`llama_vocab_bos`).
        bos => bos;
        /// End of sequence (`llama_vocab_eos`).
        eos => eos;
        /// End of turn (`llama_vocab_eot`).
        eot => eot;
        /// Sentence separator (`llama_vocab_sep`).
        sep => sep;
        /// New line (`llama_vocab_nl`).
        nl => nl;
        /// Padding (`llama_vocab_pad`).
        pad => pad;
        /// Mask (`llama_vocab_mask`).
        mask => mask;
        /// Fill in the middle: before the prefix (`llama_vocab_fim_pre`).
        fim_prefix => fim_pre;
        /// Fill in the middle: before the suffix (`llama_vocab_fim_suf`).
        fim_suffix => fim_suf;
        /// Fill in the middle: where the answer starts (`llama_vocab_fim_mid`).
        fim_middle => fim_mid;
        /// Fill in the middle: padding (`llama_vocab_fim_pad`).
        fim_pad => fim_pad;
        /// Fill in the middle: repository name (`llama_vocab_fim_rep`).
        fim_repository => fim_rep;
        /// Fill in the middle: file separator (`llama_vocab_fim_sep`).
        fim_separator => fim_sep;
    }

    /// Whether the model wants BOS before a text (`llama_vocab_get_add_bos`).
    #[must_use]
    pub fn adds_bos(&self) -> bool {
        self.raw.info().add_bos
    }

    /// Whether the model wants EOS after a text (`llama_vocab_get_add_eos`).
    #[must_use]
    pub fn adds_eos(&self) -> bool {
        self.raw.info().add_eos
    }

    /// Whether the model wants SEP after a text (`llama_vocab_get_add_sep`).
    #[must_use]
    pub fn adds_sep(&self) -> bool {
        self.raw.info().add_sep
    }

    /// Text, score and attributes of a token.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] when the id is not in the vocabulary;
    /// [`ErrorKind::Unsupported`] when the model has no tokenizer.
    pub fn token(&self, token: Token) -> Result<TokenInfo> {
        self.check_token(token)?;
        let (text, info) = self.raw.token(token)?;
        Ok(TokenInfo {
            text,
            score: info.score,
            is_end_of_generation: info.is_eog,
            is_control: info.is_control,
            is_byte: info.attr as u32 & sys::LLAMA_TOKEN_ATTR_BYTE != 0,
            is_unused: info.attr as u32 & sys::LLAMA_TOKEN_ATTR_UNUSED != 0,
        })
    }

    /// Whether a token ends a generation (`llama_vocab_is_eog`).
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    pub fn is_end_of_generation(&self, token: Token) -> Result<bool> {
        self.check_token(token)?;
        Ok(self.raw.token_info(token)?.is_eog)
    }

    /// Splits text into tokens (`llama_tokenize`).
    ///
    /// `add_special` adds BOS and EOS where the model wants them. With `parse_special`, the names
    /// of control tokens in the text become these tokens; leave it off for text from users.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] when the model has no tokenizer; [`ErrorKind::Tokenize`] when
    /// the text is longer than 2 GiB, needs more stack than the system gives, or the vocabulary
    /// lacks what the text needs.
    pub fn tokenize(
        &self,
        text: &str,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Vec<Token>> {
        self.check_has_tokenizer()?;
        if i32::try_from(text.len()).is_err() {
            return Err(Error::new(
                ErrorKind::Tokenize,
                format!(
                    "the text has {} bytes; at most {} can be tokenized",
                    text.len(),
                    i32::MAX
                ),
            ));
        }
        if add_special {
            self.check_special("BOS", self.adds_bos(), self.bos())?;
            self.check_special("EOS", self.adds_eos(), self.eos())?;
            if self.vocab_type() == VocabType::Wpm {
                self.check_special("CLS", true, self.bos())?;
                self.check_special("SEP", true, self.sep())?;
            }
        }
        let recursive = !matches!(self.vocab_type(), VocabType::Spm | VocabType::Wpm);
        if text.len() <= LONG_TEXT || !recursive {
            return self.tokenize_here(text, add_special, parse_special);
        }
        let stack = STACK_BASE + STACK_PER_BYTE * text.len();
        std::thread::scope(|scope| {
            let worker = std::thread::Builder::new()
                .name("tokenize".to_owned())
                .stack_size(stack)
                .spawn_scoped(scope, || {
                    self.tokenize_here(text, add_special, parse_special)
                })
                .map_err(|error| {
                    Error::new(
                        ErrorKind::Tokenize,
                        format!(
                            "a text of {} bytes needs {stack} bytes of stack: {error}",
                            text.len()
                        ),
                    )
                })?;
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Splits a prompt into tokens; names of control tokens count in the template's text only.
    ///
    /// Where every segment comes from the template these are, but for a second BOS, the tokens that
    /// [`tokenize`](Self::tokenize) makes of all text with `parse_special`. Text of messages never
    /// becomes a control token, and a name that is only partly the template's stays text as well.
    /// User-defined tokens, which are no control tokens, are found in any text, as `tokenize` does.
    ///
    /// `add_special` adds BOS and EOS where the model wants them, in no group; BOS only where the
    /// template did not write it already, as many do. A token that begins in one group and ends in
    /// the next belongs to the first. With tokenizers that change the text (WordPiece, Unigram) the
    /// border of two groups inside a text may be off by a few tokens.
    ///
    /// # Errors
    ///
    /// As [`tokenize`](Self::tokenize); [`ErrorKind::Tokenize`] also where a vocabulary would make a
    /// control token of plain text that spells it.
    pub fn tokenize_segments(
        &self,
        segments: &[Segment],
        add_special: bool,
    ) -> Result<SegmentTokens> {
        // Without text, what the model wants before and after one.
        let around = self.tokenize("", add_special, false)?;
        let before = self.adds_bos() || self.vocab_type() == VocabType::Wpm;
        let (before, after) = around.split_at(around.len().min(usize::from(before)));
        let runs = self.specials()?.split(segments);
        let mut out = SegmentTokens::default();
        if !matches!(runs.first(), Some(Run::Token(first, _)) if before.contains(first)) {
            for &token in before {
                out.push(token, None);
            }
        }
        for run in runs {
            match run {
                Run::Token(token, group) => out.push(token, group),
                Run::Text(run) => self.tokenize_run(&run, &mut out)?,
            }
        }
        for &token in after {
            out.push(token, None);
        }
        Ok(out)
    }

    fn tokenize_run(&self, run: &TextRun, out: &mut SegmentTokens) -> Result<()> {
        let tokens = self.tokenize(&run.text, false, false)?;
        for &token in &tokens {
            // Some tokenizers look up pieces of text among all tokens. What they do not know at all
            // becomes a control token too, one that the text does not spell.
            if !self.raw.token_info(token)?.is_control {
                continue;
            }
            let (name, _) = self.raw.token(token)?;
            let name = String::from_utf8_lossy(&name);
            if run.text.contains(name.as_ref()) {
                return Err(Error::new(
                    ErrorKind::Tokenize,
                    format!(
                        "this vocabulary would make the control token {token} of the text {name:?}"
                    ),
                ));
            }
        }
        let groups = match run.only_group() {
            Some(group) => vec![group; tokens.len()],
            None => {
                let pieces = tokens.iter().map(|&token| self.piece(token, false));
                run.groups_of(&pieces.collect::<Result<Vec<_>>>()?)
            }
        };
        for (token, group) in tokens.into_iter().zip(groups) {
            out.push(token, group);
        }
        Ok(())
    }

    /// The control token of this name: `<|im_end|>`, `</s>`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if the model has no tokenizer.
    pub fn control_token(&self, name: &str) -> Result<Option<Token>> {
        self.check_has_tokenizer()?;
        Ok(self.specials()?.control(name))
    }

    /// The control tokens among these names.
    pub(crate) fn control_tokens<S: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Vec<Token>> {
        let named = |name: S| self.control_token(name.as_ref()).transpose();
        names.into_iter().filter_map(named).collect()
    }

    fn specials(&self) -> Result<&SpecialTokens> {
        if let Some(specials) = self.specials.get() {
            return Ok(specials);
        }
        let control = sys::LLAMA_TOKEN_ATTR_CONTROL | sys::LLAMA_TOKEN_ATTR_UNKNOWN;
        let special = control | sys::LLAMA_TOKEN_ATTR_USER_DEFINED;
        let mut specials = Vec::new();
        for id in 0..self.raw.info().n_tokens {
            let token = Token(id);
            let attributes = self.raw.token_info(token)?.attr as u32;
            if attributes & special == 0 {
                continue;
            }
            let (text, _) = self.raw.token(token)?;
            // Text is UTF-8, so that a name which is not can't be a part of it.
            if let Ok(text) = String::from_utf8(text) {
                specials.push(SpecialToken {
                    text,
                    token,
                    control: attributes & control != 0,
                    lstrip: attributes & sys::LLAMA_TOKEN_ATTR_LSTRIP != 0,
                    rstrip: attributes & sys::LLAMA_TOKEN_ATTR_RSTRIP != 0,
                });
            }
        }
        Ok(self.specials.get_or_init(|| SpecialTokens::new(specials)))
    }

    /// The tokens by their bytes, as constraints need them.
    ///
    /// Made when it is first asked for, which takes about a second and 50 MB for 262,144 tokens, and
    /// kept as long as the model. A request with a constraint asks for it.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token), and as [`TokenTable::new`].
    #[cfg(feature = "constrain")]
    pub fn token_table(&self) -> Result<TokenTable> {
        let mut kept = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = &*kept {
            return Ok(table.clone());
        }
        self.check_has_tokenizer()?;
        let control = sys::LLAMA_TOKEN_ATTR_CONTROL | sys::LLAMA_TOKEN_ATTR_UNKNOWN;
        let mut tokens = Vec::with_capacity(self.n_tokens());
        for id in 0..self.raw.info().n_tokens {
            let token = Token(id);
            let info = self.raw.token_info(token)?;
            let kind = match info.is_eog {
                true => TokenKind::End,
                false if info.attr as u32 & control != 0 => TokenKind::Control,
                false => TokenKind::Text,
            };
            let bytes = match kind {
                TokenKind::Text => self.piece(token, false)?,
                _ => self.raw.token(token)?.0,
            };
            tokens.push((bytes, kind));
        }
        let table = TokenTable::new(tokens)?;
        *kept = Some(table.clone());
        Ok(table)
    }

    fn tokenize_here(
        &self,
        text: &str,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Vec<Token>> {
        // Most text has fewer tokens than bytes; special tokens come on top.
        let mut tokens = Vec::with_capacity(text.len() + 8);
        for _ in 0..2 {
            let count = self
                .raw
                .tokenize(text.as_bytes(), add_special, parse_special, &mut tokens)
                .map_err(|fault| fault.into_error(ErrorKind::Tokenize, "tokenizing"))?;
            if count >= 0 {
                return Ok(tokens);
            }
            if count == i32::MIN {
                break;
            }
            tokens.reserve(count.unsigned_abs() as usize);
        }
        Err(Error::new(
            ErrorKind::Tokenize,
            "the text has more tokens than can be counted",
        ))
    }

    /// The bytes of one token (`llama_token_to_piece`). They need not be valid UTF-8 on their own;
    /// [`TextDecoder`] joins them. `special` renders control tokens by their names instead of
    /// nothing.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    pub fn piece(&self, token: Token, special: bool) -> Result<Vec<u8>> {
        let mut piece = Vec::new();
        self.append_piece(token, special, &mut piece)?;
        Ok(piece)
    }

    /// As [`piece`](Self::piece), added to the end of `out`.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    pub fn append_piece(&self, token: Token, special: bool, out: &mut Vec<u8>) -> Result<()> {
        self.check_token(token)?;
        let mut short = [0_u8; 64];
        let length = self.raw.piece(token, special, &mut short)?;
        if let Ok(length) = usize::try_from(length) {
            out.extend_from_slice(&short[..length]);
            return Ok(());
        }
        let mut long = vec![0_u8; length.unsigned_abs() as usize];
        let length = self.raw.piece(token, special, &mut long)?;
        out.extend_from_slice(&long[..usize::try_from(length).unwrap_or(0)]);
        Ok(())
    }

    /// The text of tokens (`llama_detokenize`), with U+FFFD for bytes that are no valid UTF-8.
    ///
    /// `remove_special` leaves out BOS and EOS where the model adds them; `unparse_special`
    /// renders control tokens by their names.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    pub fn detokenize(
        &self,
        tokens: &[Token],
        remove_special: bool,
        unparse_special: bool,
    ) -> Result<String> {
        self.check_has_tokenizer()?;
        for &token in tokens {
            self.check_token(token)?;
        }
        if i32::try_from(tokens.len()).is_err() {
            return Err(Error::argument("more tokens than can be counted"));
        }
        let mut text = vec![0_u8; tokens.len() * 4 + 16];
        loop {
            let length = self
                .raw
                .detokenize(tokens, remove_special, unparse_special, &mut text)?;
            if let Ok(length) = usize::try_from(length) {
                text.truncate(length);
                return Ok(String::from_utf8_lossy(&text).into_owned());
            }
            let needed = length.unsigned_abs() as usize;
            if needed <= text.len() {
                return Err(Error::new(
                    ErrorKind::Tokenize,
                    "the text is too long to detokenize",
                ));
            }
            text.resize(needed, 0);
        }
    }

    /// A decoder that turns this vocabulary's pieces into text as they come.
    #[must_use]
    pub fn decoder(&self) -> TextDecoder {
        TextDecoder::new()
    }

    /// The pointer that the raw layer's sampler functions take. It is valid as long as this
    /// vocabulary or its model.
    #[doc(hidden)]
    #[must_use]
    pub fn as_raw(&self) -> *const sys::llama_vocab {
        self.raw.as_ptr()
    }

    fn check_has_tokenizer(&self) -> Result<()> {
        if self.vocab_type() == VocabType::None {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the model has no tokenizer",
            ));
        }
        Ok(())
    }

    pub(crate) fn check_token(&self, token: Token) -> Result<()> {
        self.check_has_tokenizer()?;
        if !self.contains(token) {
            return Err(Error::argument(format!(
                "token {token} is not in the vocabulary of {} tokens",
                self.n_tokens()
            )));
        }
        Ok(())
    }

    fn check_special(&self, name: &str, wanted: bool, token: Option<Token>) -> Result<()> {
        if wanted && token.is_none() {
            return Err(Error::new(
                ErrorKind::Tokenize,
                format!("the model wants a {name} token but its vocabulary has none"),
            ));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Vocab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vocab")
            .field("vocab_type", &self.vocab_type())
            .field("n_tokens", &self.n_tokens())
            .finish_non_exhaustive()
    }
}
