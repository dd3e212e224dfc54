//! The options of a request or a Modelfile: which there are, of what kind, and in which range.

use serde_json::{Map, Value};

use crate::error::shown;

/// A value of an option that cannot be: which option, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("option {name:?} must be {wanted}")]
pub struct BadOption {
    /// The option.
    pub name: String,
    /// What it must be.
    pub wanted: String,
}

/// Reads one kind of value.
trait Kind: Sized {
    type Range;
    fn read(value: &Value, range: &Self::Range) -> Result<Self, String>;
}

impl Kind for i64 {
    type Range = std::ops::RangeInclusive<i64>;

    fn read(value: &Value, range: &Self::Range) -> Result<Self, String> {
        let wanted = || format!("an integer from {} to {}", range.start(), range.end());
        let whole = match value {
            Value::Number(number) => number.as_i64().or_else(|| {
                // `4096.0` is an integer to clients whose language has no others. Beyond 2^53 it is not
                // known which one.
                let number = number.as_f64()?;
                (number.fract() == 0.0 && number.abs() <= 9e15).then_some(number as i64)
            }),
            _ => None,
        };
        whole
            .filter(|value| range.contains(value))
            .ok_or_else(wanted)
    }
}

impl Kind for f32 {
    type Range = std::ops::RangeInclusive<f32>;

    fn read(value: &Value, range: &Self::Range) -> Result<Self, String> {
        let number = value.as_f64().map(|number| number as f32);
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("a number from {} to {}", range.start(), range.end()))
    }
}

impl Kind for bool {
    type Range = ();

    fn read(value: &Value, (): &()) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| "true or false".to_owned())
    }
}

impl Kind for Vec<String> {
    /// How many, and how many bytes each may have.
    type Range = (usize, usize);

    fn read(value: &Value, &(most, bytes): &Self::Range) -> Result<Self, String> {
        let wanted = || format!("a text or a list of up to {most} texts of up to {bytes} bytes");
        let texts = match value {
            Value::String(text) => vec![text.clone()],
            Value::Array(items) if items.len() <= most => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
                .ok_or_else(wanted)?,
            _ => return Err(wanted()),
        };
        if texts.iter().any(|text| text.len() > bytes) {
            return Err(wanted());
        }
        Ok(texts)
    }
}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $range:expr;)*) => {
        /// The options that were given; what was not is `None`.
        #[derive(Debug, Clone, Default, PartialEq)]
        #[non_exhaustive]
        pub struct Options {
            $($(#[$doc])* pub $name: Option<$type>,)*
        }

        impl Options {
            /// All names.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// Reads options; the names that mean nothing are told to `unknown`.
            ///
            /// # Errors
            /// The first option whose value is of the wrong kind or out of range.
            pub fn read(
                values: &Map<String, Value>,
                unknown: &mut dyn FnMut(&str),
            ) -> Result<Self, BadOption> {
                let mut options = Self::default();
                for (name, value) in values {
                    if value.is_null() {
                        continue;
                    }
                    match name.as_str() {
                        $(stringify!($name) => {
                            let read = <$type as Kind>::read(value, &$range);
                            options.$name = Some(read.map_err(|wanted| BadOption {
                                name: name.clone(),
                                wanted,
                            })?);
                        })*
                        _ => unknown(name),
                    }
                }
                Ok(options)
            }

            /// These options, and for those that are not given the other's.
            #[must_use]
            pub fn or(self, other: &Self) -> Self {
                Self {
                    $($name: self.$name.or_else(|| other.$name.clone()),)*
                }
            }
        }
    };
}

/// Tokens that a context can have at most.
const TOKENS: i64 = 1 << 27;

options! {
    /// Tokens of the context, prompt and answer together.
    num_ctx: i64 = 2..=TOKENS;
    /// Tokens computed at once at most.
    num_batch: i64 = 1..=65_536;
    /// Layers on the GPU; -1 leaves it to the server, 0 is CPU only.
    num_gpu: i64 = -1..=100_000;
    /// The GPU that holds what is not divided.
    main_gpu: i64 = 0..=1_024;
    /// Whether weights are mapped from their file.
    use_mmap: bool = ();
    /// Whether weights are locked in memory.
    use_mlock: bool = ();
    /// Threads to compute with; 0 leaves it to the server.
    num_thread: i64 = 0..=1_024;
    /// Tokens guessed ahead at once; 0 guesses none.
    draft_num_predict: i64 = 0..=64;
    /// Tokens at the start that stay when the window moves on.
    num_keep: i64 = -1..=TOKENS;
    /// Seed of the random numbers; below 0 takes another one each time.
    seed: i64 = i64::MIN..=i64::MAX;
    /// Tokens of the answer at most; 0 and less: as many as the context holds.
    num_predict: i64 = -2..=TOKENS;
    /// How many of the most probable tokens are drawn from; 0: all.
    top_k: i64 = 0..=10_000_000;
    /// The share of probability that is drawn from.
    top_p: f32 = 0.0..=1.0;
    /// Least probability, relative to the most probable token's.
    min_p: f32 = 0.0..=1.0;
    /// Locally typical sampling; 1 is off.
    typical_p: f32 = 0.0..=1.0;
    /// Tokens looked back at for penalties; 0 is off, -1 the whole context.
    repeat_last_n: i64 = -1..=TOKENS;
    /// Temperature; 0 takes the most probable token.
    temperature: f32 = 0.0..=1_000.0;
    /// Penalty of repeated tokens; 1 is off.
    repeat_penalty: f32 = 0.001..=1_000.0;
    /// Penalty of tokens that occurred.
    presence_penalty: f32 = -1_000.0..=1_000.0;
    /// Penalty of tokens by how often they occurred.
    frequency_penalty: f32 = -1_000.0..=1_000.0;
    /// Mirostat's version; 0 is off.
    mirostat: i64 = 0..=2;
    /// Mirostat's target surprise.
    mirostat_tau: f32 = 0.0..=1_000.0;
    /// Mirostat's learning rate.
    mirostat_eta: f32 = 0.0..=1_000.0;
    /// Texts that end the answer.
    stop: Vec<String> = (64, 1_024);
    /// Never end the answer by itself.
    ignore_eos: bool = ();
}

/// Options that Ollama had once, and that its clients may still send: they change nothing there either.
const FORMER: &[&str] = &[
    "tfs_z",
    "penalize_newline",
    "numa",
    "low_vram",
    "f16_kv",
    "logits_all",
    "vocab_only",
    "embedding_only",
    "rope_frequency_base",
    "rope_frequency_scale",
    "num_gqa",
];

/// Options by name: those given as such, and over them the fields of a request that stand for one.
pub(super) fn with_fields<const N: usize>(
    given: Option<&Map<String, Value>>,
    fields: [(&str, Option<Value>); N],
) -> Map<String, Value> {
    let mut values = given.cloned().unwrap_or_default();
    for (name, value) in fields {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            values.insert(name.to_owned(), value);
        }
    }
    values
}

/// What to say of an option that means nothing. `fields` are those of the request around the options.
pub(crate) fn about_unknown(name: &str, fields: &[&str]) -> String {
    let shown = shown(name, 64);
    if FORMER.contains(&name) {
        return format!("option {shown:?} has no effect any more");
    }
    if fields.contains(&name) {
        return format!("option {shown:?} is ignored: it belongs beside \"options\"");
    }
    match nearest(name) {
        Some(meant) => format!("option {shown:?} is unknown and ignored; did you mean {meant:?}?"),
        None => format!("option {shown:?} is unknown and ignored"),
    }
}

/// What to say to who types an option that means nothing; one that meant something once is taken.
pub(crate) fn about_refused(name: &str) -> Option<String> {
    if FORMER.contains(&name) {
        return None;
    }
    let shown = shown(name, 64);
    Some(match nearest(name) {
        Some(meant) => format!("unknown parameter '{shown}'; did you mean '{meant}'?"),
        None => format!("unknown parameter '{shown}'"),
    })
}

/// What to say of a field of a request that means nothing.
pub(crate) fn about_unknown_field(path: &str) -> String {
    let is_option = Options::NAMES.contains(&path) || FORMER.contains(&path);
    match is_option {
        true => format!("{path:?} is ignored: it belongs into \"options\""),
        false => format!("{path:?} is unknown and ignored"),
    }
}

/// The option whose name differs by at most two letters.
fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > 40 {
        return None;
    }
    let name = name.to_ascii_lowercase().replace('-', "_");
    let far = |known: &&'static str| distance(name.as_bytes(), known.as_bytes());
    let best = Options::NAMES.iter().copied().min_by_key(far)?;
    // Short names are near to everything.
    (far(&best) <= 2.min(best.len() / 3)).then_some(best)
}

/// How many letters must be added, removed or replaced (Levenshtein).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut before = i;
        let mut left = i + 1;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let replaced = before + usize::from(x != y);
            before = *cell;
            left = replaced.min(before + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(values: Value) -> Result<(Options, Vec<String>), BadOption> {
        let mut unknown = Vec::new();
        let values = values.as_object().unwrap().clone();
        let options = Options::read(&values, &mut |name| unknown.push(name.to_owned()))?;
        Ok((options, unknown))
    }

    #[test]
    fn reads_every_option() {
        let values: Map<String, Value> = Options::NAMES
            .iter()
            .map(|&name| {
                let value = match name {
                    "use_mmap" | "use_mlock" | "ignore_eos" => json!(true),
                    "stop" => json!(["a", "b"]),
                    "num_ctx" => json!(4096.0),
                    _ => json!(1),
                };
                (name.to_owned(), value)
            })
            .collect();
        let (options, unknown) = read(Value::Object(values)).unwrap();
        assert!(unknown.is_empty());
        assert_eq!(options.num_ctx, Some(4096));
        assert_eq!(options.temperature, Some(1.0));
        assert_eq!(options.stop, Some(vec!["a".to_owned(), "b".to_owned()]));
        let debug = format!("{options:?}");
        assert!(!debug.contains("None"), "{debug}");
    }

    #[test]
    fn wrong_kinds_and_ranges_name_the_option() {
        for (name, wrong) in [
            ("num_ctx", json!("4096")),
            ("num_ctx", json!(0)),
            ("num_ctx", json!(4096.5)),
            ("num_ctx", json!(1e300)),
            ("seed", json!(1e30)),
            ("temperature", json!(-0.1)),
            ("temperature", json!("hot")),
            ("top_p", json!(1.5)),
            ("repeat_penalty", json!(0)),
            ("use_mmap", json!(1)),
            ("stop", json!(5)),
            ("stop", json!([5])),
            ("stop", json!(["x".repeat(2000)])),
            ("stop", json!(vec!["x"; 65])),
        ] {
            let error = read(json!({ name: wrong })).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("option {name:?} must be ")),
                "{error}"
            );
        }
    }

    #[test]
    fn null_is_not_given_and_the_first_wins() {
        let (request, _) = read(json!({"seed": null, "top_k": 5})).unwrap();
        let (model, _) = read(json!({"seed": 7, "top_k": 50})).unwrap();
        let both = request.or(&model);
        assert_eq!((both.seed, both.top_k), (Some(7), Some(5)));
    }

    #[test]
    fn unknown_ones_are_told_with_a_hint() {
        let (_, unknown) = read(json!({"temprature": 1, "keep_alive": 0, "foo": 1})).unwrap();
        assert_eq!(unknown, ["temprature", "keep_alive", "foo"]);
        assert!(about_unknown("temprature", &[]).contains("did you mean \"temperature\""));
        assert!(about_unknown("num-ctx", &[]).contains("num_ctx"));
        assert!(about_unknown("keep_alive", &["keep_alive"]).contains("beside"));
        assert!(about_unknown("low_vram", &[]).contains("no effect"));
        assert_eq!(
            about_unknown("foo", &[]),
            "option \"foo\" is unknown and ignored"
        );
        assert!(about_unknown_field("seed").contains("belongs into \"options\""));
        assert!(about_unknown_field("foo").contains("unknown"));
    }
}
