//! What all routes share.

use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::key_file::KeyFile;
use super::metrics::Metrics;
use super::model::{Model, Models};
use crate::api::{self, KeepAlive, Options};
use crate::runner::wire::{LoadOptions, Spec};
use crate::scheduler::{Lease, Scheduler, Want};
use crate::settings::AllowedHost;
use crate::tasks;

/// The shared state of the server.
pub(crate) struct App {
    pub models: Arc<Models>,
    pub scheduler: Scheduler,
    /// `None`: nobody needs a key.
    pub keys: Option<Arc<KeyFile>>,
    pub rules: Rules,
    pub metrics: Metrics,
    /// How pulls and pushes are done.
    pub transfer: super::transfer::Transfer,
    pub started: Instant,
}

/// What the environment says about how requests are served.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Names that requests may call the server by, beside those that can't be strangers'.
    pub hosts: Vec<AllowedHost>,
    pub origins: Vec<String>,
    pub insecure_manage: bool,
    /// Whether what is not understood in a request is an error.
    pub strict: bool,
    pub keep_alive: KeepAlive,
    pub context_length: Option<u32>,
    pub num_gpu: Option<u32>,
    pub parallel: u32,
    pub queue: usize,
    pub kv_cache: String,
    pub flash_attention: Option<bool>,
    pub deterministic: bool,
    /// Whether prompts are logged.
    pub log_prompts: bool,
}

/// Tokens of a context when nobody says.
const CONTEXT: u32 = 4096;

/// Who asks, and how strictly.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    /// Prefixes of prompts are shared only within a namespace.
    pub namespace: Arc<str>,
    /// The request's id.
    pub id: Arc<str>,
    pub strict: bool,
    /// Whether it sits on this machine.
    pub local: bool,
}

/// What of a request was not understood or not done.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub warnings: Vec<String>,
    strict: bool,
}

/// Warnings that are told at most.
const WARNINGS: usize = 32;

impl Heard {
    pub(crate) fn warn(&mut self, warning: String) {
        if self.warnings.len() < WARNINGS {
            self.warnings.push(warning);
        }
    }

    /// In strict mode warnings are an error.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        match self.strict && !self.warnings.is_empty() {
            true => Err(ApiError::bad(self.warnings.join("; "))),
            false => Ok(()),
        }
    }
}

/// Reads a request.
pub(crate) fn hear<T: for<'de> Deserialize<'de>>(
    body: &[u8],
    caller: &Caller,
) -> Result<(T, Heard), ApiError> {
    let parsed = api::parse::<T>(body)?;
    let mut heard = Heard {
        warnings: Vec::new(),
        strict: caller.strict,
    };
    for path in &parsed.unknown {
        heard.warn(api::options::about_unknown_field(path));
    }
    Ok((parsed.request, heard))
}

/// The options of a request over those of the model. `fields` are the request's other fields.
pub(crate) fn options(
    model: &Model,
    given: Option<&Map<String, Value>>,
    fields: &[&str],
    heard: &mut Heard,
) -> Result<Options, ApiError> {
    let empty = Map::new();
    let mut unknown = |name: &str| heard.warn(api::options::about_unknown(name, fields));
    let options = Options::read(given.unwrap_or(&empty), &mut unknown)?;
    Ok(options.or(&model.options))
}

impl App {
    /// Finds a model, on a thread that may read files.
    pub(crate) async fn find(&self, asked: &str) -> Result<Arc<Model>, ApiError> {
        let models = Arc::clone(&self.models);
        let asked = asked.to_owned();
        blocking(move || models.find(&asked)).await
    }

    /// Tokens of this request's window.
    pub(crate) fn window(&self, model: &Model, options: &Options, heard: &mut Heard) -> u32 {
        let asked = options
            .num_ctx
            .and_then(|tokens| u32::try_from(tokens).ok());
        let trained = match model.trained_context {
            0 => u32::MAX,
            tokens => tokens,
        };
        let wanted = asked.or(self.rules.context_length);
        if let Some(wanted) = wanted.filter(|&wanted| wanted > trained) {
            heard.warn(format!(
                "num_ctx {wanted} is more than the {trained} tokens that the model was trained with, which are used"
            ));
        }
        wanted.unwrap_or(CONTEXT).min(trained)
    }

    /// What is wanted of the model's runner.
    pub(crate) fn want(&self, model: &Model, options: &Options, window: u32) -> Want {
        let number = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
        Want {
            spec: Spec {
                model: model.weights.clone(),
                adapters: model.adapters.clone(),
                draft: model.draft.clone(),
                load: LoadOptions {
                    num_gpu: number(options.num_gpu).or(self.rules.num_gpu),
                    main_gpu: number(options.main_gpu),
                    use_mmap: options.use_mmap,
                    use_mlock: options.use_mlock,
                    num_thread: number(options.num_thread).filter(|&threads| threads > 0),
                    num_batch: number(options.num_batch),
                },
                context_length: window,
                parallel: self.rules.parallel,
                queue: self.rules.queue,
                kv_cache: self.rules.kv_cache.clone(),
                flash_attention: self.rules.flash_attention,
                deterministic: self.rules.deterministic,
            },
            card: Arc::clone(&model.card),
        }
    }

    /// Waits for the model's runner, where nothing else of the request is left to be understood.
    pub(crate) async fn ready(
        &self,
        model: &Model,
        options: &Options,
        keep_alive: Option<KeepAlive>,
        heard: &mut Heard,
    ) -> Result<Lease, ApiError> {
        let window = self.window(model, options, heard);
        heard.check()?;
        self.acquire(model, options, window, keep_alive).await
    }

    /// Waits for the model's runner.
    pub(crate) async fn acquire(
        &self,
        model: &Model,
        options: &Options,
        window: u32,
        keep_alive: Option<KeepAlive>,
    ) -> Result<Lease, ApiError> {
        let want = self.want(model, options, window);
        let keep_alive = keep_alive.unwrap_or(self.rules.keep_alive);
        let key = Arc::clone(&model.key);
        Ok(self.scheduler.acquire(key, want, keep_alive).await?)
    }
}

/// Does what reads files or computes on a thread for it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tasks::on_thread(work)
        .await
        .map_err(|_| ApiError::internal("the server failed"))?
}
