//! The tokens of a vocabulary by their bytes, as grammars need them; made once per model.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{
    INVALID_TOKEN, InferenceCapabilities, SimpleVob, TokEnv, TokRxInfo, TokTrie, TokenId,
    TokenizerEnv,
};
use llguidance::{ParserFactory, panic_utils};

use super::limits;
use crate::error::{Error, ErrorKind, Result};
use crate::token::Token;

/// What a token is for a grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenKind {
    /// It stands for its bytes.
    Text,
    /// A control token. Its bytes are its name, which is no text: a grammar can only ask for it by
    /// name or id.
    Control,
    /// It ends the answer. It may be drawn where the text so far is a whole value.
    End,
}

/// The tokens of a vocabulary by their bytes, as constraints need them.
///
/// Cheap to clone: clones share the table. Of a loaded model,
/// [`Vocab::token_table`](https://docs.rs/llamakit/latest/llamakit/struct.Vocab.html#method.token_table)
/// gives the table, which is made when it is first asked for.
///
/// ```
/// use llamakit::constrain::{Constraint, TokenKind, TokenTable};
///
/// let mut tokens: Vec<_> = (0..=255).map(|byte| (vec![byte], TokenKind::Text)).collect();
/// tokens.push((b"</s>".to_vec(), TokenKind::End));
/// let table = TokenTable::new(tokens)?;
///
/// let mut matcher = Constraint::regex("[0-9]+")?.matcher(&table)?;
/// assert!(matcher.allows(llamakit::Token(i32::from(b'7'))));
/// assert!(!matcher.allows(llamakit::Token(i32::from(b'x'))));
/// # Ok::<(), llamakit::Error>(())
/// ```
#[derive(Clone)]
pub struct TokenTable {
    inner: Arc<Inner>,
}

struct Inner {
    factory: ParserFactory,
    kinds: Vec<TokenKind>,
    /// Text tokens with a digit in them, which JSON is careful about.
    digits: Vec<bool>,
    by_name: HashMap<Vec<u8>, Token>,
    ends: Vec<Token>,
}

/// Gives llguidance the tree of tokens. Nothing is ever tokenized with it: tokens are the model's.
struct Tree(TokTrie);

impl TokenizerEnv for Tree {
    fn tok_trie(&self) -> &TokTrie {
        &self.0
    }

    fn tokenize_bytes(&self, text: &[u8]) -> Vec<TokenId> {
        self.0.greedy_tokenize(text)
    }

    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}

/// What llguidance puts in front of the names of special tokens; no byte of UTF-8.
const MARKER: u8 = TokTrie::SPECIAL_TOKEN_MARKER;

impl TokenTable {
    /// A table of these tokens in the order of their ids.
    ///
    /// Several tokens may have the same bytes. Tokens without bytes, with bytes that no UTF-8 text has
    /// (0xFF), or with more than 512 bytes are never allowed by a grammar.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) without tokens; [`ErrorKind::Unsupported`] when there are more
    /// than 16 million tokens or their bytes are too many (a tree of 4 million nodes).
    pub fn new(tokens: impl IntoIterator<Item = (Vec<u8>, TokenKind)>) -> Result<Self> {
        let (mut words, mut kinds): (Vec<Vec<u8>>, Vec<TokenKind>) = tokens.into_iter().unzip();
        if words.is_empty() {
            return Err(Error::argument("a vocabulary without tokens"));
        }
        if words.len() > limits::TOKENS {
            return Err(too_large());
        }
        let digits = words
            .iter()
            .zip(&kinds)
            .map(|(word, kind)| *kind == TokenKind::Text && word.iter().any(u8::is_ascii_digit))
            .collect();
        let ends = (0..)
            .zip(&kinds)
            .filter(|(_, kind)| **kind == TokenKind::End);
        let ends = ends.map(|(id, _)| Token(id)).collect();
        let mut by_name = HashMap::new();
        for ((id, word), kind) in (0..).zip(&mut words).zip(&mut kinds) {
            // As a name, any token that a reader of the model's file would call so.
            if word.starts_with(b"<") && word.ends_with(b">") && word.len() > 2 {
                by_name.entry(word.clone()).or_insert(Token(id));
            }
            if word.len() > limits::TOKEN_BYTES || word.contains(&MARKER) {
                word.clear();
            }
            if *kind != TokenKind::Text {
                word.insert(0, MARKER);
                // Told apart from the marker alone, and from each other.
                word.extend(format!("[{id}]").into_bytes());
            }
        }
        // Any text can be spelled with one more token per byte, which no model draws.
        words.extend((0..MARKER).map(|byte| vec![byte]));
        let factory = panic_utils::catch_unwind(|| {
            let count = u32::try_from(words.len())?;
            let tree = Tree(TokTrie::from(&TokRxInfo::new(count, INVALID_TOKEN), &words));
            let tree: TokEnv = Arc::new(tree);
            let slices = SlicedBiasComputer::general_slices();
            let mut factory = ParserFactory::new(&tree, InferenceCapabilities::default(), &slices)?;
            factory.quiet();
            *factory.limits_mut() = limits::parser();
            Ok(factory)
        })
        .map_err(|_| too_large())?;
        Ok(Self {
            inner: Arc::new(Inner {
                factory,
                kinds,
                digits,
                by_name,
                ends,
            }),
        })
    }

    /// The number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.kinds.len()
    }

    /// Whether there are none; a table has at least one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.kinds.is_empty()
    }

    /// What a token is; `None` for ids that are not in the table.
    #[must_use]
    pub fn kind(&self, token: Token) -> Option<TokenKind> {
        self.inner.kinds.get(token.index()?).copied()
    }

    /// One token per byte value, and one that ends the answer: what constraints are checked with
    /// before there is a model.
    pub(super) fn of_bytes() -> Result<Self> {
        static TABLE: OnceLock<TokenTable> = OnceLock::new();
        if let Some(table) = TABLE.get() {
            return Ok(table.clone());
        }
        let bytes = (0..=u8::MAX).map(|byte| (vec![byte], TokenKind::Text));
        let table = Self::new(bytes.chain([(b"<end>".to_vec(), TokenKind::End)]))?;
        Ok(TABLE.get_or_init(|| table).clone())
    }

    pub(super) fn factory(&self) -> &ParserFactory {
        &self.inner.factory
    }

    /// The bytes of a token; of control tokens the name, without what tells it apart.
    pub(super) fn bytes(&self, token: Token) -> &[u8] {
        let Ok(id) = TokenId::try_from(token.0) else {
            return &[];
        };
        let word = self.inner.factory.tok_env().tok_trie().token(id);
        match word.strip_prefix(&[MARKER]) {
            None => word,
            Some(name) => match name.iter().rposition(|&byte| byte == b'[') {
                Some(end) => &name[..end],
                None => name,
            },
        }
    }

    /// Whether a text token has a digit in it.
    pub(super) fn has_digit(&self, token: Token) -> bool {
        let has = token.index().and_then(|index| self.inner.digits.get(index));
        has.copied().unwrap_or(false)
    }

    /// The token of this name, `<name>`.
    pub(super) fn by_name(&self, name: &str) -> Option<Token> {
        self.inner.by_name.get(name.as_bytes()).copied()
    }

    /// The tokens that end an answer.
    pub(super) fn ends(&self) -> impl Iterator<Item = Token> {
        self.inner.ends.iter().copied()
    }

    /// Every token that stands for text.
    pub(super) fn text_tokens(&self) -> impl Iterator<Item = Token> {
        let ids = (0..).zip(&self.inner.kinds);
        ids.filter(|(_, kind)| **kind == TokenKind::Text)
            .map(|(id, _)| Token(id))
    }

    /// The id that stands for one byte and is no token of the model.
    pub(super) fn byte_id(&self, byte: u8) -> TokenId {
        // The table has fewer than 2^24 tokens.
        self.len() as TokenId + TokenId::from(byte)
    }

    /// A set of no tokens, as masks are.
    pub(super) fn no_tokens(&self) -> SimpleVob {
        self.inner.factory.tok_env().tok_trie().alloc_token_set()
    }

    /// Whether both are the same table.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

fn too_large() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "the vocabulary is too large for constraints",
    )
}

impl std::fmt::Debug for TokenTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenTable")
            .field("tokens", &self.len())
            .finish_non_exhaustive()
    }
}
