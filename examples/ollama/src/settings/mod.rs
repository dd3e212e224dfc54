//! Everything that environment variables set, read once and typed.

mod allowed_host;
mod duration;
mod host;
mod source;
mod variables;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub use allowed_host::AllowedHost;
pub(crate) use allowed_host::host_name;
pub use duration::KeepAlive;
pub use host::Host;
pub use variables::{VARIABLES, Variable, variable};

use crate::error::{Error, Kind, Result};
pub(crate) use source::boolean;
use source::{Source, bytes, rate};

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Debug {
    /// What an administrator wants to see.
    #[default]
    Info,
    /// Also how it came to that.
    Debug,
    /// Also prompts and answers.
    Trace,
}

/// The settings of all commands. Empty variables count as unset; quotes around values are dropped.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// OLLAMA_HOST: where the server listens and clients connect.
    pub host: Host,
    /// OLLAMA_MODELS: the folder of the store.
    pub models: PathBuf,
    /// The folder of keys and history, `~/.ollama`.
    pub home: PathBuf,
    /// OLLAMA_ORIGINS, without the origins that are always allowed.
    pub origins: Vec<String>,
    /// OLLAMA_ALLOWED_HOSTS: names of the server beside those that are always accepted.
    pub allowed_hosts: Vec<AllowedHost>,
    /// OLLAMA_STRICT: whether what is not understood in a request is an error.
    pub strict: bool,
    /// OLLAMA_MEMORY_BUDGET: bytes of all loaded models together; `None` when it is left to the server.
    pub memory_budget: Option<u64>,
    /// OLLAMA_KEEP_ALIVE; 5 minutes.
    pub keep_alive: KeepAlive,
    /// OLLAMA_LOAD_TIMEOUT: how long loading may stand still; 5 minutes, `None` for ever.
    pub load_timeout: Option<Duration>,
    /// OLLAMA_MAX_LOADED_MODELS; `None` for as many as memory holds.
    pub max_loaded_models: Option<u32>,
    /// OLLAMA_NUM_PARALLEL; `None` when it is left to the server.
    pub num_parallel: Option<u32>,
    /// OLLAMA_MAX_QUEUE; 512.
    pub max_queue: u32,
    /// OLLAMA_MAX_TRANSFER_STREAMS; 4.
    pub max_transfer_streams: u32,
    /// OLLAMA_MAX_TRANSFER_RATE, in bytes per second; `None` for as fast as it goes.
    pub max_transfer_rate: Option<u64>,
    /// OLLAMA_CONTEXT_LENGTH; `None` when it is left to the server.
    pub context_length: Option<u32>,
    /// OLLAMA_KV_CACHE_TYPE, as it is written.
    pub kv_cache_type: Option<String>,
    /// OLLAMA_FLASH_ATTENTION.
    pub flash_attention: Option<bool>,
    /// OLLAMA_DETERMINISTIC: the same seed gives the same answer, whatever else runs or is cached.
    pub deterministic: bool,
    /// OLLAMA_NUM_GPU: layers on the GPU where requests and models say nothing.
    pub num_gpu: Option<i32>,
    /// OLLAMA_GPU_OVERHEAD, in bytes.
    pub gpu_overhead: u64,
    /// OLLAMA_SCHED_SPREAD.
    pub sched_spread: bool,
    /// OLLAMA_LLM_LIBRARY, as it is written.
    pub llm_library: Option<String>,
    /// OLLAMA_GO_TEMPLATE: whether Go templates of models are used; `None` when the better one of
    /// two templates is.
    pub go_template: Option<bool>,
    /// OLLAMA_DEBUG.
    pub debug: Debug,
    /// OLLAMA_NOHISTORY.
    pub no_history: bool,
    /// OLLAMA_NOPRUNE.
    pub no_prune: bool,
    /// OLLAMA_EDITOR.
    pub editor: Option<String>,
    /// OLLAMA_MIRRORS: registries that are asked first, in order.
    pub mirrors: Vec<String>,
    /// OLLAMA_PULL_HOSTS: hosts of direct URLs that clients of the server may pull from although their
    /// addresses are not public.
    pub pull_hosts: Vec<String>,
    /// OLLAMA_OFFLINE: no connection leaves this machine.
    pub offline: bool,
    /// OLLAMA_API_KEYS: the file of hashed keys.
    pub api_keys: Option<PathBuf>,
    /// OLLAMA_INSECURE_MANAGE: whether peers that are not loopback may manage models without a key.
    pub insecure_manage: bool,
}

impl Settings {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// [`Kind::Invalid`] with the variable that can't be understood.
    pub fn from_env() -> Result<Self> {
        Self::read(|name| std::env::var_os(name))
    }

    /// Reads variables from anywhere.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn read(get: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let from = Source(&get);
        let user = || {
            let named = get(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
            let user = named.filter(|path| !path.is_empty()).map(PathBuf::from);
            user.or_else(std::env::home_dir).ok_or_else(|| {
                Error::new(
                    Kind::Invalid,
                    "there is no home directory; set OLLAMA_MODELS and HOME",
                )
            })
        };
        let models = from.path("OLLAMA_MODELS");
        let home = user().map(|user| user.join(".ollama"));
        let (models, home) = match (models, home) {
            (Some(models), Ok(home)) => (models, home),
            (Some(models), Err(_)) => (models.clone(), models),
            (None, Ok(home)) => (home.join("models"), home),
            (None, Err(error)) => return Err(error),
        };
        let five_minutes = Duration::from_secs(300);
        Ok(Self {
            host: from.parsed("OLLAMA_HOST", Host::parse)?.unwrap_or_default(),
            models,
            home,
            origins: from.list_of("OLLAMA_ORIGINS", origin)?,
            allowed_hosts: from.list_of("OLLAMA_ALLOWED_HOSTS", AllowedHost::parse)?,
            strict: from.switch("OLLAMA_STRICT")?.unwrap_or(false),
            memory_budget: from
                .parsed("OLLAMA_MEMORY_BUDGET", bytes)?
                .filter(|&n| n != 0),
            keep_alive: from
                .parsed("OLLAMA_KEEP_ALIVE", KeepAlive::parse)?
                .unwrap_or(KeepAlive::For(five_minutes)),
            load_timeout: match from.parsed("OLLAMA_LOAD_TIMEOUT", KeepAlive::parse)? {
                None => Some(five_minutes),
                Some(KeepAlive::For(time)) if !time.is_zero() => Some(time),
                Some(_) => None,
            },
            max_loaded_models: from.number("OLLAMA_MAX_LOADED_MODELS")?.filter(|&n| n != 0),
            num_parallel: from.number("OLLAMA_NUM_PARALLEL")?.filter(|&n| n != 0),
            max_queue: from.number("OLLAMA_MAX_QUEUE")?.unwrap_or(512),
            max_transfer_streams: from
                .number("OLLAMA_MAX_TRANSFER_STREAMS")?
                .unwrap_or(4)
                .max(1),
            max_transfer_rate: from
                .parsed("OLLAMA_MAX_TRANSFER_RATE", rate)?
                .filter(|&n| n != 0),
            context_length: from.number("OLLAMA_CONTEXT_LENGTH")?.filter(|&n| n != 0),
            kv_cache_type: from.text("OLLAMA_KV_CACHE_TYPE")?,
            flash_attention: from.switch("OLLAMA_FLASH_ATTENTION")?,
            deterministic: from.switch("OLLAMA_DETERMINISTIC")?.unwrap_or(false),
            num_gpu: from.number("OLLAMA_NUM_GPU")?,
            gpu_overhead: from.number("OLLAMA_GPU_OVERHEAD")?.unwrap_or(0),
            sched_spread: from.switch("OLLAMA_SCHED_SPREAD")?.unwrap_or(false),
            llm_library: from.text("OLLAMA_LLM_LIBRARY")?,
            go_template: from.switch("OLLAMA_GO_TEMPLATE")?,
            debug: from.debug()?,
            no_history: from.switch("OLLAMA_NOHISTORY")?.unwrap_or(false),
            no_prune: from.switch("OLLAMA_NOPRUNE")?.unwrap_or(false),
            editor: from.text("OLLAMA_EDITOR")?,
            mirrors: from.list("OLLAMA_MIRRORS")?,
            pull_hosts: from.list("OLLAMA_PULL_HOSTS")?,
            offline: from.switch("OLLAMA_OFFLINE")?.unwrap_or(false),
            api_keys: from.path("OLLAMA_API_KEYS"),
            insecure_manage: from.switch("OLLAMA_INSECURE_MANAGE")?.unwrap_or(false),
        })
    }
}

/// An origin of web pages, as it is written: what stands for anything in it can be there once.
fn origin(text: &str) -> Result<String, String> {
    match text.matches('*').count() {
        0 | 1 => Ok(text.to_owned()),
        _ => Err(format!("{text:?} has more than one *")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::path::Path;

    fn read(variables: &[(&str, &str)]) -> Result<Settings> {
        let mut map: HashMap<&str, &str> =
            HashMap::from([("HOME", "/home/u"), ("USERPROFILE", "/home/u")]);
        map.extend(variables.iter().copied());
        Settings::read(|name| map.get(name).map(OsString::from))
    }

    #[test]
    fn nothing_set_gives_ollamas_defaults() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.host.url(), "http://127.0.0.1:11434");
        assert_eq!(settings.models, Path::new("/home/u/.ollama/models"));
        assert_eq!(
            settings.keep_alive,
            KeepAlive::For(Duration::from_secs(300))
        );
        assert_eq!(settings.load_timeout, Some(Duration::from_secs(300)));
        assert_eq!((settings.max_queue, settings.num_parallel), (512, None));
        assert!(!settings.deterministic);
        assert_eq!(
            settings,
            read(&[("OLLAMA_MAX_QUEUE", ""), ("OLLAMA_DEBUG", " \"\" ")]).unwrap()
        );
    }

    #[test]
    fn quotes_and_spaces_are_dropped() {
        let settings = read(&[
            ("OLLAMA_MODELS", " \"/srv/my models\" "),
            ("OLLAMA_MAX_QUEUE", "' 7'"),
            ("OLLAMA_MIRRORS", "a.org, b.org,"),
            ("OLLAMA_NOPRUNE", "yes"),
            ("OLLAMA_FLASH_ATTENTION", "0"),
        ]);
        assert_eq!(
            settings.unwrap_err().to_string(),
            "environment variable OLLAMA_MAX_QUEUE: \" 7\" is not a number that it can have"
        );
        let settings = read(&[
            ("OLLAMA_MODELS", " \"/srv/my models\" "),
            ("OLLAMA_MIRRORS", "a.org, b.org,"),
            ("OLLAMA_NOPRUNE", "yes"),
            ("OLLAMA_FLASH_ATTENTION", "0"),
        ])
        .unwrap();
        assert_eq!(settings.models, Path::new("/srv/my models"));
        assert_eq!(settings.mirrors, ["a.org", "b.org"]);
        assert!(settings.no_prune);
        assert_eq!(settings.flash_attention, Some(false));
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        for (name, value) in [
            ("OLLAMA_NUM_PARALLEL", "-1"),
            ("OLLAMA_MAX_LOADED_MODELS", "many"),
            ("OLLAMA_CONTEXT_LENGTH", "4k"),
            ("OLLAMA_GPU_OVERHEAD", "18446744073709551616"),
            ("OLLAMA_MAX_TRANSFER_RATE", "fast"),
            ("OLLAMA_MAX_TRANSFER_RATE", "1X"),
            ("OLLAMA_MEMORY_BUDGET", "much"),
            ("OLLAMA_MEMORY_BUDGET", "12GiB/s"),
            ("OLLAMA_MEMORY_BUDGET", "-1"),
            ("OLLAMA_MEMORY_BUDGET", "1.2.3G"),
            ("OLLAMA_MEMORY_BUDGET", "19000000000G"),
            (
                "OLLAMA_ALLOWED_HOSTS",
                "a.example.com,https://b.example.com",
            ),
            ("OLLAMA_ALLOWED_HOSTS", "a.example.com:11434"),
            ("OLLAMA_ALLOWED_HOSTS", "*.*.example.com"),
            (
                "OLLAMA_ORIGINS",
                "http://a.example.com,http://*.example.com:*",
            ),
            ("OLLAMA_MAX_TRANSFER_RATE", "99999999999G"),
            ("OLLAMA_KEEP_ALIVE", "soon"),
            ("OLLAMA_LOAD_TIMEOUT", "5 minutes"),
            ("OLLAMA_HOST", "127.0.0.1:99999"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn rates_have_units() {
        for (text, rate) in [
            ("0", None),
            ("1500", Some(1500)),
            ("500K", Some(500_000)),
            ("10 MB/s", Some(10_000_000)),
            ("2MiB", Some(2 << 20)),
            ("1g", Some(1_000_000_000)),
        ] {
            let settings = read(&[("OLLAMA_MAX_TRANSFER_RATE", text)]).unwrap();
            assert_eq!(settings.max_transfer_rate, rate, "{text}");
        }
    }

    #[test]
    fn budgets_have_units() {
        for (text, budget) in [
            ("0", None),
            ("1500000", Some(1_500_000)),
            ("12GiB", Some(12 << 30)),
            ("12 Gi", Some(12 << 30)),
            ("1.5gib", Some(3 << 29)),
            ("2.5G", Some(2_500_000_000)),
            ("1TB", Some(1_000_000_000_000)),
        ] {
            let settings = read(&[("OLLAMA_MEMORY_BUDGET", text)]).unwrap();
            assert_eq!(settings.memory_budget, budget, "{text}");
        }
    }

    #[test]
    fn debug_levels() {
        for (text, level) in [
            ("0", Debug::Info),
            ("false", Debug::Info),
            ("x", Debug::Info),
            ("-3", Debug::Info),
            ("1", Debug::Debug),
            ("true", Debug::Debug),
            ("2", Debug::Trace),
            ("9", Debug::Trace),
        ] {
            assert_eq!(
                read(&[("OLLAMA_DEBUG", text)]).unwrap().debug,
                level,
                "{text}"
            );
        }
    }

    #[test]
    fn a_home_is_not_needed_when_the_models_are_named() {
        let only = |name: &str| (name == "OLLAMA_MODELS").then(|| OsString::from("/m"));
        assert_eq!(Settings::read(only).unwrap().models, Path::new("/m"));
    }
}
