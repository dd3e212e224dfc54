//! The command line.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::PathBuf;

use lexopt::prelude::*;
use llamakit::sampler::SamplerParams;

pub(crate) const HELP: &str = "\
A chat with a language model in the terminal.

usage: chat [options]

  --model FILE        a GGUF file; without it SmolLM2 135M is fetched once (98 MB)
  -p, --prompt TEXT   answer once and exit; - reads the prompt from stdin
  --system TEXT       what the model is told before the conversation
  --no-think          answer without thinking first, if the model can do that
  --raw               continue plain text: no chat template, no history
  --ctx N             context length in tokens (default: the model's, at most 4096)
  --max-tokens N      most tokens of one answer (default: 1024)
  --threads N         threads (default: physical cores)
  --gpu-layers N      layers on the GPU, where there is one (default: all)
  --stats             tokens and speeds of each answer on stderr
  --verbose           llama.cpp's log on stderr
  --help

Sampling, on top of a preset:
  --llama-cpp         llama.cpp's defaults (this is the default)
  --ollama            Ollama's defaults
  --greedy            always the most probable token; goes with no other setting
  --temp X  --top-k N  --top-p X  --min-p X  --repeat-penalty X  --seed N
";

/// Small models like to repeat themselves until the context is full.
const MAX_TOKENS: usize = 1024;

/// What to do.
pub(crate) enum Parsed {
    Run(Box<Options>),
    Help,
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) model: Option<PathBuf>,
    pub(crate) prompt: Option<PromptSource>,
    pub(crate) system: Option<String>,
    pub(crate) no_think: bool,
    pub(crate) raw: bool,
    pub(crate) ctx: Option<u32>,
    pub(crate) max_tokens: usize,
    pub(crate) threads: Option<u32>,
    pub(crate) gpu_layers: Option<u32>,
    pub(crate) stats: bool,
    pub(crate) verbose: bool,
    /// `None` is greedy.
    pub(crate) sampling: Option<SamplerParams>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum PromptSource {
    Text(String),
    Stdin,
}

impl PromptSource {
    pub(crate) fn read(&self) -> io::Result<String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Stdin => {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text)?;
                Ok(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        }
    }
}

/// One setting of the command line.
type Change = Box<dyn FnOnce(&mut SamplerParams)>;

/// Single settings, applied after the preset wherever they stand on the command line.
#[derive(Default)]
struct Sampling {
    preset: Option<fn() -> SamplerParams>,
    greedy: bool,
    changes: Vec<Change>,
}

impl Sampling {
    fn change(&mut self, change: impl FnOnce(&mut SamplerParams) + 'static) {
        self.changes.push(Box::new(change));
    }

    fn params(self) -> Result<Option<SamplerParams>, String> {
        if self.greedy {
            if self.preset.is_some() || !self.changes.is_empty() {
                return Err("--greedy goes with no other sampling setting".to_owned());
            }
            return Ok(None);
        }
        let mut params = self.preset.unwrap_or(SamplerParams::llama_cpp)();
        for change in self.changes {
            change(&mut params);
        }
        // Names what is out of range before a model is loaded.
        params.build().map_err(|error| error.to_string())?;
        Ok(Some(params))
    }
}

/// Reads the arguments, the program's name first.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, String> {
    let mut parser = lexopt::Parser::from_iter(args);
    let parsed = read(&mut parser);
    parsed.map_err(|error| error.to_string())
}

fn read(parser: &mut lexopt::Parser) -> Result<Parsed, lexopt::Error> {
    let mut options = Options {
        model: None,
        prompt: None,
        system: None,
        no_think: false,
        raw: false,
        ctx: None,
        max_tokens: MAX_TOKENS,
        threads: None,
        gpu_layers: None,
        stats: false,
        verbose: false,
        sampling: None,
    };
    let mut sampling = Sampling::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(Parsed::Help),
            Long("model") | Short('m') => options.model = Some(parser.value()?.into()),
            Long("prompt") | Short('p') => {
                options.prompt = Some(match parser.value()?.string()? {
                    text if text == "-" => PromptSource::Stdin,
                    text => PromptSource::Text(text),
                });
            }
            Long("system") => options.system = Some(parser.value()?.string()?),
            Long("no-think") => options.no_think = true,
            Long("raw") => options.raw = true,
            Long("ctx") => options.ctx = Some(number(parser, "--ctx")?),
            Long("max-tokens") => options.max_tokens = number(parser, "--max-tokens")?,
            Long("threads") => options.threads = Some(number(parser, "--threads")?),
            Long("gpu-layers") => options.gpu_layers = Some(number(parser, "--gpu-layers")?),
            Long("stats") => options.stats = true,
            Long("verbose") => options.verbose = true,
            Long("llama-cpp") => sampling.preset = Some(SamplerParams::llama_cpp),
            Long("ollama") => sampling.preset = Some(SamplerParams::ollama),
            Long("greedy") => sampling.greedy = true,
            Long("temp") => {
                let value = number(parser, "--temp")?;
                sampling.change(move |params| params.temperature = value);
            }
            Long("top-k") => {
                let value = number(parser, "--top-k")?;
                sampling.change(move |params| params.top_k = value);
            }
            Long("top-p") => {
                let value = number(parser, "--top-p")?;
                sampling.change(move |params| params.top_p = value);
            }
            Long("min-p") => {
                let value = number(parser, "--min-p")?;
                sampling.change(move |params| params.min_p = value);
            }
            Long("repeat-penalty") => {
                let value = number(parser, "--repeat-penalty")?;
                sampling.change(move |params| params.repeat_penalty = value);
            }
            Long("seed") => {
                let value = number(parser, "--seed")?;
                sampling.change(move |params| params.seed = Some(value));
            }
            other => return Err(other.unexpected()),
        }
    }
    for (option, given) in [
        ("--system", options.system.is_some()),
        ("--no-think", options.no_think),
    ] {
        if options.raw && given {
            return Err(format!("{option} needs a chat template, which --raw turns off").into());
        }
    }
    options.sampling = sampling.params()?;
    Ok(Parsed::Run(Box::new(options)))
}

/// A value, with an error that names the option.
fn number<T: std::str::FromStr>(
    parser: &mut lexopt::Parser,
    option: &str,
) -> Result<T, lexopt::Error>
where
    T::Err: std::fmt::Display,
{
    let value = parser.value()?.string()?;
    value
        .parse()
        .map_err(|error| format!("{option} {value}: {error}").into())
}

#[cfg(test)]
mod tests {
    use super::{Options, Parsed, PromptSource, parse};

    fn run(args: &[&str]) -> Result<Options, String> {
        let args = std::iter::once(&"chat").chain(args).map(Into::into);
        match parse(args)? {
            Parsed::Run(options) => Ok(*options),
            Parsed::Help => Err("help".to_owned()),
        }
    }

    #[test]
    fn settings_win_over_the_preset_wherever_they_stand() {
        let options = run(&["--top-p", "0.5", "--ollama", "--seed=7"]).unwrap();
        let params = options.sampling.unwrap();
        assert_eq!((params.top_p, params.min_p), (0.5, 0.0));
        assert_eq!(params.seed, Some(7));
    }

    #[test]
    fn greedy_stands_alone() {
        assert!(run(&["--greedy"]).unwrap().sampling.is_none());
        let error = run(&["--greedy", "--temp", "1"]).unwrap_err();
        assert!(error.contains("--greedy"), "{error}");
    }

    #[test]
    fn errors_name_the_option() {
        for (args, name) in [
            (&["--ctx", "many"][..], "--ctx"),
            (&["--top-p", "2"], "p"),
            (&["--nonsense"], "--nonsense"),
            (&["--model"], "--model"),
            (&["stray"], "stray"),
            (&["--raw", "--no-think"], "--no-think"),
        ] {
            let error = run(args).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_dash_reads_the_prompt_from_stdin() {
        assert_eq!(run(&["-p", "-"]).unwrap().prompt, Some(PromptSource::Stdin));
        assert_eq!(
            run(&["-phi"]).unwrap().prompt,
            Some(PromptSource::Text("hi".to_owned()))
        );
    }
}
