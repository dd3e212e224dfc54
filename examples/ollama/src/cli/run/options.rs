//! The model's options as they are typed.

use serde_json::{Map, Value, json};

use crate::api::{Options, options};
use crate::cli::args::OptionArgs;
use crate::error::{Error, Kind, Result};

/// The options of the command line.
pub(super) fn given(args: &OptionArgs) -> Result<Map<String, Value>> {
    let flags = [
        ("num_ctx", args.num_ctx.map(Value::from)),
        ("num_predict", args.num_predict.map(Value::from)),
        ("seed", args.seed.map(Value::from)),
        ("temperature", args.temperature.map(Value::from)),
        ("top_k", args.top_k.map(Value::from)),
        ("top_p", args.top_p.map(Value::from)),
        ("min_p", args.min_p.map(Value::from)),
        ("repeat_penalty", args.repeat_penalty.map(Value::from)),
        ("repeat_last_n", args.repeat_last_n.map(Value::from)),
        ("num_gpu", args.num_gpu.map(Value::from)),
        ("num_thread", args.num_thread.map(Value::from)),
    ];
    let mut all = Map::new();
    for (name, value) in flags {
        if let Some(value) = value {
            checked(name, &value).map_err(|why| Error::new(Kind::Invalid, why))?;
            all.insert(name.to_owned(), value);
        }
    }
    let mut stops = args.stop.clone();
    for other in &args.other {
        let (name, text) = other.split_once('=').ok_or_else(|| {
            let message = format!("option {other:?} must be written NAME=VALUE");
            Error::new(Kind::Invalid, message)
        })?;
        if name == "stop" {
            stops.push(text.to_owned());
            continue;
        }
        let value = typed(name, &[text]).map_err(|why| Error::new(Kind::Invalid, why))?;
        all.insert(name.to_owned(), value);
    }
    if !stops.is_empty() {
        let value = json!(stops);
        checked("stop", &value).map_err(|why| Error::new(Kind::Invalid, why))?;
        all.insert("stop".to_owned(), value);
    }
    Ok(all)
}

/// The value of an option from what was typed; only `stop` takes several.
pub(super) fn typed(name: &str, texts: &[&str]) -> Result<Value, String> {
    if name == "stop" {
        let value = json!(texts);
        return checked(name, &value).map(|()| value);
    }
    let [text] = texts else {
        return Err(format!("parameter '{name}' takes one value"));
    };
    let readings = [
        text.parse::<i64>().ok().map(Value::from),
        text.parse::<f64>().ok().map(Value::from),
        crate::settings::boolean(text).map(Value::from),
        Some(Value::from(*text)),
    ];
    let mut wrong = String::new();
    for value in readings.into_iter().flatten() {
        match checked(name, &value) {
            Ok(()) => return Ok(value),
            Err(why) => wrong = why,
        }
    }
    Err(wrong)
}

fn checked(name: &str, value: &Value) -> Result<(), String> {
    // JSON has no others.
    if value.is_null() {
        return Err(format!("option {name:?} must be a number"));
    }
    let values = Map::from_iter([(name.to_owned(), value.clone())]);
    let mut unknown = None;
    let mut note = |name: &str| unknown = Some(options::about_refused(name));
    Options::read(&values, &mut note).map_err(|error| error.to_string())?;
    unknown.flatten().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_options_types() {
        for (name, text, value) in [
            ("num_ctx", "4096", json!(4096)),
            ("seed", "-1", json!(-1)),
            ("temperature", "0", json!(0)),
            ("temperature", "0.25", json!(0.25)),
            ("use_mmap", "true", json!(true)),
            ("use_mmap", "0", json!(false)),
            ("stop", "5", json!(["5"])),
        ] {
            assert_eq!(typed(name, &[text]), Ok(value), "{name}");
        }
        assert_eq!(typed("stop", &["a", "b c"]), Ok(json!(["a", "b c"])));
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (name, texts, why) in [
            (
                "num_ctx",
                &["many"][..],
                "option \"num_ctx\" must be an integer",
            ),
            (
                "temperature",
                &["nan"],
                "option \"temperature\" must be a number",
            ),
            (
                "use_mmap",
                &["perhaps"],
                "option \"use_mmap\" must be true or false",
            ),
            (
                "temprature",
                &["1"],
                "unknown parameter 'temprature'; did you mean 'temperature'?",
            ),
            ("foo", &["1"], "unknown parameter 'foo'"),
            ("top_k", &["1", "2"], "takes one value"),
        ] {
            let error = typed(name, texts).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
