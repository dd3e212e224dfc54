//! Small real vocabularies of every tokenizer family, trained on one paragraph when asked for.

use std::collections::{BTreeMap, BTreeSet};

use llamakit::gguf::Value;

/// What the vocabularies are trained on: enough for common English pieces.
const CORPUS: &str = "The quick brown fox jumps over the lazy dog. A small model learns that the next word \
    follows from the words before it, and that is all there is to it. In the morning the river runs \
    through the valley; in the evening the wind comes over the hill and the birds go home. There were \
    two people in the house, and they were thinking about the weather. What is the name of the city? \
    Hello world! This is a test of the tokenizer, which should split the text into pieces. You can ask \
    me anything, and I will answer with some words. One two three four five six seven eight nine ten. \
    She said that he had never seen such a thing in all the years that he had been living there.";

const MERGES: usize = 160;

/// `▁`, which stands for a space in SentencePiece vocabularies.
const SPACE: &str = "\u{2581}";

/// Kinds of token as GGUF numbers them.
#[derive(Clone, Copy)]
enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    Byte = 6,
}

/// Tokens in order of their ids, and the other keys of the tokenizer.
pub(super) struct Vocab {
    tokens: Vec<String>,
    kinds: Vec<i32>,
    scores: Vec<f32>,
    seen: BTreeSet<String>,
    keys: Vec<(&'static str, Value)>,
}

impl Vocab {
    fn new(model: &str, pre: &str) -> Self {
        Self {
            tokens: Vec::new(),
            kinds: Vec::new(),
            scores: Vec::new(),
            seen: BTreeSet::new(),
            keys: vec![("ggml.model", model.into()), ("ggml.pre", pre.into())],
        }
    }

    /// Number of tokens.
    pub(super) fn len(&self) -> u64 {
        self.tokens.len() as u64
    }

    /// Adds a token unless one with this text is there: texts are unique in a vocabulary.
    fn push(&mut self, text: impl Into<String>, kind: Kind, score: f32) {
        let text = text.into();
        if self.seen.insert(text.clone()) {
            self.tokens.push(text);
            self.kinds.push(kind as i32);
            self.scores.push(score);
        }
    }

    fn key(&mut self, key: &'static str, value: impl Into<Value>) {
        self.keys.push((key, value.into()));
    }

    /// Adds control tokens and a key with the id of each that has one.
    fn controls(&mut self, tokens: &[(&str, &[&'static str])]) {
        for (text, keys) in tokens {
            let id = self.tokens.len() as u32;
            self.push(*text, Kind::Control, 0.0);
            for key in *keys {
                self.key(key, id);
            }
        }
    }

    /// Every key of the vocabulary with its full name.
    pub(super) fn into_keys(self) -> impl Iterator<Item = (String, Value)> {
        let lists = [
            ("ggml.tokens", Value::from(self.tokens)),
            ("ggml.token_type", self.kinds.into()),
            ("ggml.scores", self.scores.into()),
        ];
        self.keys
            .into_iter()
            .chain(lists)
            .map(|(key, value)| (format!("tokenizer.{key}"), value))
    }
}

const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n\
    {{ message.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

const TURNS: &str = "{{ bos_token }}{% for message in messages %}<start_of_turn>\
    {{ 'model' if message.role == 'assistant' else message.role }}\n\
    {{ message.content | trim }}<end_of_turn>\n{% endfor %}\
    {% if add_generation_prompt %}<start_of_turn>model\n{% endif %}";

/// Byte-level BPE (`gpt2`) with the pre-tokenizer `pre` and the ChatML template.
pub(super) fn bpe(pre: &str) -> Vocab {
    let mut vocab = Vocab::new("gpt2", pre);
    for byte in 0..=255 {
        vocab.push(byte_char(byte), Kind::Normal, 0.0);
    }
    let words = words(|word| {
        word.bytes()
            .map(|byte| byte_char(byte).to_string())
            .collect()
    });
    let merges = train(words);
    for (left, right) in &merges {
        vocab.push(format!("{left}{right}"), Kind::Normal, 0.0);
    }
    vocab.controls(&[
        (
            "<|endoftext|>",
            &["ggml.bos_token_id", "ggml.padding_token_id"],
        ),
        ("<|im_start|>", &[]),
        ("<|im_end|>", &["ggml.eos_token_id"]),
    ]);
    let merges: Vec<String> = merges
        .into_iter()
        .map(|(left, right)| format!("{left} {right}"))
        .collect();
    vocab.key("ggml.merges", merges);
    vocab.key("ggml.add_bos_token", false);
    vocab.key("chat_template", CHATML);
    vocab
}

/// SentencePiece BPE (`llama`) with byte fall-back and a turn template.
pub(super) fn spm() -> Vocab {
    let mut vocab = Vocab::new("llama", "default");
    vocab.key("ggml.unknown_token_id", 0_u32);
    vocab.push("<unk>", Kind::Unknown, 0.0);
    vocab.controls(&[
        ("<s>", &["ggml.bos_token_id"]),
        ("</s>", &["ggml.eos_token_id", "ggml.padding_token_id"]),
        ("<start_of_turn>", &[]),
        ("<end_of_turn>", &["ggml.eot_token_id"]),
    ]);
    for byte in 0..=255 {
        vocab.push(format!("<0x{byte:02X}>"), Kind::Byte, 0.0);
    }
    push_pieces(&mut vocab, -1.0);
    vocab.key("ggml.add_bos_token", true);
    vocab.key("ggml.add_eos_token", false);
    vocab.key("chat_template", TURNS);
    vocab
}

/// Unigram (`t5`): the pieces of [`spm`] with log-probabilities as scores.
pub(super) fn ugm() -> Vocab {
    let mut vocab = Vocab::new("t5", "default");
    vocab.key("ggml.unknown_token_id", 2_u32);
    vocab.controls(&[
        ("<pad>", &["ggml.padding_token_id"]),
        ("</s>", &["ggml.eos_token_id"]),
    ]);
    vocab.push("<unk>", Kind::Unknown, 0.0);
    push_pieces(&mut vocab, -0.02);
    vocab.key("ggml.add_bos_token", false);
    vocab.key("ggml.add_eos_token", true);
    vocab.key("ggml.add_space_prefix", true);
    vocab.key("ggml.remove_extra_whitespaces", true);
    vocab
}

/// WordPiece (`bert`), lower case.
pub(super) fn wpm() -> Vocab {
    let mut vocab = Vocab::new("bert", "default");
    vocab.controls(&[
        ("[PAD]", &["ggml.padding_token_id"]),
        ("[UNK]", &["ggml.unknown_token_id"]),
        ("[CLS]", &["ggml.bos_token_id", "ggml.cls_token_id"]),
        ("[SEP]", &["ggml.seperator_token_id"]),
        ("[MASK]", &["ggml.mask_token_id"]),
    ]);
    vocab.key("ggml.token_type_count", 2_u32);
    for word in CORPUS.to_lowercase().split(|c: char| !c.is_alphanumeric()) {
        if !word.is_empty() {
            vocab.push(format!("{SPACE}{word}"), Kind::Normal, 0.0);
        }
    }
    for c in '!'..='~' {
        let c = c.to_ascii_lowercase();
        vocab.push(format!("{SPACE}{c}"), Kind::Normal, 0.0);
        if c.is_alphanumeric() {
            vocab.push(c, Kind::Normal, 0.0);
        }
    }
    vocab
}

/// Merged pieces first with scores of `step` times their rank, then single characters below them.
fn push_pieces(vocab: &mut Vocab, step: f32) {
    let merges = train(words(|word| {
        word.replace(' ', SPACE)
            .chars()
            .map(|c| c.to_string())
            .collect()
    }));
    let mut rank = 0.0;
    for (left, right) in merges {
        rank += step;
        vocab.push(format!("{left}{right}"), Kind::Normal, rank);
    }
    for c in ('!'..='~').map(String::from).chain([SPACE.to_owned()]) {
        rank += step;
        vocab.push(c, Kind::Normal, rank);
    }
}

/// The words of the corpus, each with the space before it, cut into symbols.
fn words(cut: impl Fn(&str) -> Vec<String>) -> Vec<Vec<String>> {
    CORPUS
        .split_whitespace()
        .flat_map(|word| {
            let end = word
                .trim_end_matches(|c: char| c.is_ascii_punctuation())
                .len();
            [format!(" {}", &word[..end]), word[end..].to_owned()]
        })
        .map(|word| cut(&word))
        .collect()
}

/// Byte-pair encoding: joins the most frequent pair of neighbours again and again.
fn train(mut words: Vec<Vec<String>>) -> Vec<(String, String)> {
    let mut merges = Vec::new();
    while merges.len() < MERGES {
        let mut counts = BTreeMap::new();
        for pair in words.iter().flat_map(|word| word.windows(2)) {
            *counts
                .entry((pair[0].clone(), pair[1].clone()))
                .or_insert(0_u32) += 1;
        }
        let Some((pair, _)) = counts.into_iter().max_by_key(|(_, count)| *count) else {
            break;
        };
        for word in &mut words {
            join(word, &pair);
        }
        merges.push(pair);
    }
    merges
}

fn join(word: &mut Vec<String>, (left, right): &(String, String)) {
    let mut i = 0;
    while i + 1 < word.len() {
        if word[i] == *left && word[i + 1] == *right {
            let right = word.remove(i + 1);
            word[i].push_str(&right);
        }
        i += 1;
    }
}

/// The character that stands for a byte in byte-level BPE: itself where printable, else one from U+0100 on.
fn byte_char(byte: u8) -> char {
    let printable = |b: u8| matches!(b, 33..=126 | 161..=172 | 174..=255);
    if printable(byte) {
        return char::from(byte);
    }
    let rank = (0..byte).filter(|b| !printable(*b)).count() as u32;
    char::from_u32(256 + rank).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_characters_of_gpt2() {
        let expected = [
            (0, 'Ā'),
            (b'\n', 'Ċ'),
            (b' ', 'Ġ'),
            (b'a', 'a'),
            (0xAD, 'Ń'),
            (0xFF, 'ÿ'),
        ];
        for (byte, char) in expected {
            assert_eq!(byte_char(byte), char);
        }
        let all: BTreeSet<char> = (0..=255).map(byte_char).collect();
        assert_eq!(all.len(), 256);
    }

    #[test]
    fn training_finds_whole_words_and_every_merge_is_reachable() {
        for vocab in [bpe("gpt-2"), spm(), ugm()] {
            let the = vocab
                .tokens
                .iter()
                .find(|t| *t == "Ġthe" || *t == "\u{2581}the");
            assert!(the.is_some(), "{:?}", vocab.tokens);
            assert_eq!(vocab.tokens.len(), vocab.seen.len());
            for token in vocab.tokens.iter().filter(|t| t.chars().count() == 1) {
                assert!(vocab.seen.contains(token));
            }
        }
    }

    #[test]
    fn overlapping_pairs_join_from_the_left() {
        let mut word = ["a", "a", "a"].map(String::from).to_vec();
        join(&mut word, &("a".into(), "a".into()));
        assert_eq!(word, ["aa", "a"]);
    }
}
