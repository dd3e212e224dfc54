//! The tokens of a vocabulary that stand around a gap.

use llamakit::gguf::{File, ValueRef};

/// Before the prefix, before the suffix, and where the answer begins.
#[derive(Debug, Clone)]
pub(crate) struct Fill {
    pub prefix: String,
    pub suffix: String,
    pub middle: String,
}

impl Fill {
    /// The names of these tokens, where the vocabulary has them.
    pub(crate) fn read(file: &File) -> Option<Self> {
        let tokens = match file.get("tokenizer.ggml.tokens") {
            Some(ValueRef::Array(array)) => array,
            _ => return None,
        };
        let id = |names: &[&str]| {
            let named = |name: &&str| {
                file.get(&format!("tokenizer.ggml.{name}_token_id"))?
                    .as_u64()
            };
            names.iter().find_map(named)
        };
        let token = |names: &[&str]| {
            let id = usize::try_from(id(names)?).ok()?;
            let text = tokens.strings()?.nth(id)?;
            std::str::from_utf8(text).ok().map(str::to_owned)
        };
        Some(Self {
            prefix: token(&["fim_pre", "prefix"])?,
            suffix: token(&["fim_suf", "suffix"])?,
            middle: token(&["fim_mid", "middle"])?,
        })
    }
}
