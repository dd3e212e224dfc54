//! The parameters that a Modelfile and a request can set, with their types.

/// What kind of value a parameter has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    /// An integer of 32 bits.
    Int,
    /// An integer of 64 bits.
    Seed,
    Float,
    Bool,
    /// A text; several of them are a list.
    Texts,
}

const PARAMETERS: [(&str, Type); 20] = [
    ("draft_num_predict", Type::Int),
    ("frequency_penalty", Type::Float),
    ("main_gpu", Type::Int),
    ("min_p", Type::Float),
    ("num_batch", Type::Int),
    ("num_ctx", Type::Int),
    ("num_gpu", Type::Int),
    ("num_keep", Type::Int),
    ("num_predict", Type::Int),
    ("num_thread", Type::Int),
    ("presence_penalty", Type::Float),
    ("repeat_last_n", Type::Int),
    ("repeat_penalty", Type::Float),
    ("seed", Type::Seed),
    ("stop", Type::Texts),
    ("temperature", Type::Float),
    ("top_k", Type::Int),
    ("top_p", Type::Float),
    ("typical_p", Type::Float),
    ("use_mmap", Type::Bool),
];

/// Names that older versions knew. They are taken and said to have no effect.
const DEPRECATED: [&str; 9] = [
    "f16_kv",
    "logits_all",
    "low_vram",
    "mirostat",
    "mirostat_eta",
    "mirostat_tau",
    "penalize_newline",
    "use_mlock",
    "vocab_only",
];

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    /// A whole number.
    Int(i64),
    /// A finite number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// One of the texts of a list.
    Text(String),
}

/// A `PARAMETER` as it was written, known to be of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    name: &'static str,
    text: String,
}

impl Parameter {
    /// Checks name and value.
    ///
    /// # Errors
    /// What is wrong, naming the parameter.
    pub fn new(name: &str, text: &str) -> Result<Self, String> {
        let known = PARAMETERS.iter().map(|(known, _)| *known).chain(DEPRECATED);
        let name = known
            .into_iter()
            .find(|known| *known == name)
            .ok_or_else(|| unknown(name))?;
        let parameter = Self {
            name,
            text: text.to_owned(),
        };
        parameter.setting()?;
        Ok(parameter)
    }

    /// The name, such as `num_ctx`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The value as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value; `None` for a parameter that has no effect any more.
    #[must_use]
    pub fn value(&self) -> Option<Setting> {
        self.setting().unwrap_or_default()
    }

    fn setting(&self) -> Result<Option<Setting>, String> {
        let (name, text) = (self.name, self.text.as_str());
        let wrong = |what: &str| format!("parameter {name} must be {what}, not '{text}'");
        let Some(ty) = type_of(name) else {
            return Ok(None);
        };
        let value = match ty {
            Type::Int => {
                let value: i32 = text.parse().map_err(|_| wrong("an integer of 32 bits"))?;
                Setting::Int(value.into())
            }
            Type::Seed => Setting::Int(text.parse().map_err(|_| wrong("an integer of 64 bits"))?),
            Type::Float => Setting::Float(float(text).ok_or_else(|| wrong("a finite number"))?),
            Type::Bool => Setting::Bool(bool(text).ok_or_else(|| wrong("true or false"))?),
            Type::Texts => Setting::Text(self.text.clone()),
        };
        Ok(Some(value))
    }
}

/// Whether older versions knew a parameter of this name, which has no effect any more.
#[must_use]
pub(crate) fn is_deprecated(name: &str) -> bool {
    DEPRECATED.contains(&name)
}

/// Checks a parameter of a request.
pub(crate) fn check_json(name: &str, value: &serde_json::Value) -> Result<(), String> {
    use serde_json::Value;
    let ty = type_of(name).ok_or_else(|| unknown(name))?;
    let whole = |value: &Value| {
        let float = value.as_f64().filter(|float| float.fract() == 0.0);
        value.as_i64().or(float.map(|float| float as i64))
    };
    let (fits, what) = match ty {
        Type::Int => (
            whole(value).is_some_and(|value| i32::try_from(value).is_ok()),
            "an integer of 32 bits",
        ),
        Type::Seed => (whole(value).is_some(), "an integer of 64 bits"),
        Type::Float => (
            value
                .as_f64()
                .is_some_and(|value| (value as f32).is_finite()),
            "a finite number",
        ),
        Type::Bool => (value.is_boolean(), "true or false"),
        Type::Texts => {
            let list = value.as_array();
            let texts = list.is_some_and(|list| list.iter().all(Value::is_string));
            (texts || value.is_string(), "a text or a list of texts")
        }
    };
    if fits {
        Ok(())
    } else {
        Err(format!("parameter {name} must be {what}"))
    }
}

fn unknown(name: &str) -> String {
    format!("unknown parameter '{}'", name.escape_debug())
}

fn type_of(name: &str) -> Option<Type> {
    let known = PARAMETERS.iter().find(|(known, _)| *known == name);
    known.map(|(_, ty)| *ty)
}

/// A number that is finite with 32 bits as well, as which it is used.
fn float(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    (value as f32).is_finite().then_some(value)
}

/// What Go reads as a boolean.
fn bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}
