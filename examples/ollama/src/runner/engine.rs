//! The runner's backend: the library's engine on one model.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt;
use llamakit::engine::{
    EmbedRequest, Engine, EngineParams, Event as Step, FinishReason, Memory, Request,
    RerankRequest, SubmitError, TokenEvent,
};
use llamakit::engine::{EnginePrompt, Overflow as Rule};
use llamakit::sampler::{MirostatVersion, SamplerParams};
use llamakit::{
    DeviceKind, ErrorKind, FlashAttention, KvType, LoadMode, LoraAdapter, Model, ModelParams,
    Sampler, Segment, Token as Id, Vocab,
};

use super::http::{Backend, Events, Later};
use super::process::Loader;
use super::wire::{
    Completion, Detokenize, Detokenized, Embed, Embedded, Event, Failure, FailureKind, Finished,
    Go, Health, Info, Overflow, Prompt, Reason, Rerank, Reranked, Sampling, Scored, Spec, Token,
    Tokenize, Tokenized,
};
use crate::api::MemoryByKind;

/// Texts of a prompt or an embedding at most, in bytes: beyond it tokenizing takes too much memory.
const TEXT: usize = 64 << 20;

/// Loads models with llama.cpp.
#[derive(Debug)]
pub(crate) struct EngineLoader;

impl Loader for EngineLoader {
    fn measure(&mut self, spec: &Spec) -> Result<MemoryByKind, Failure> {
        let load = model_params(spec);
        let measured = Engine::measure(&spec.model, &load, &engine_params(spec)?);
        let mut memory = kinds(measured.map_err(loading)?, 0);
        if !spec.draft.is_empty() {
            let draft = Engine::measure(&spec.draft, &load, &engine_params(spec)?);
            let draft = kinds(draft.map_err(loading)?, 0);
            memory.weights += draft.weights;
            memory.context += draft.context;
            memory.compute += draft.compute;
        }
        for adapter in &spec.adapters {
            memory.weights += std::fs::metadata(adapter).map_or(0, |file| file.len());
        }
        Ok(memory)
    }

    fn load(
        &mut self,
        spec: &Spec,
        go: &Go,
        progress: &mut dyn FnMut(f32),
    ) -> Result<(Arc<dyn Backend>, Info), Failure> {
        let load = model_params(spec);
        let model = load_model(&spec.model, &load, progress)?;
        let mut params = engine_params(spec)?;
        if let Some(bytes) = go.memory_budget {
            params = params.memory_budget(bytes);
        }
        if !spec.draft.is_empty() {
            params = params.draft(&load_model(&spec.draft, &load, progress)?);
        }
        let adapters = spec
            .adapters
            .iter()
            .map(|path| LoraAdapter::load(&model, path));
        let adapters = adapters.collect::<Result<Vec<_>, _>>().map_err(loading)?;
        let engine = Engine::new(&model, &params).map_err(loading)?;
        let metrics = engine.metrics();
        let (gpu_memory, cpu_reason) = processors(&model, spec);
        let info = Info {
            port: 0,
            memory: kinds(metrics.memory, metrics.snapshot_bytes),
            gpu_memory,
            context_length: spec.context_length,
            trained_context: model.context_length(),
            threads: metrics.threads,
            cpu_reason,
        };
        let backend = EngineBackend {
            engine,
            adapters: adapters.into_iter().map(|adapter| (adapter, 1.0)).collect(),
            window: spec.context_length,
        };
        Ok((Arc::new(backend), info))
    }
}

fn load_model(
    paths: &[PathBuf],
    params: &ModelParams,
    progress: &mut dyn FnMut(f32),
) -> Result<Model, Failure> {
    let tell = |share| {
        progress(share);
        ControlFlow::Continue(())
    };
    let loaded = match paths {
        [path] => Model::load_with_progress(path, params, tell),
        paths => Model::load_shards(paths, params, tell),
    };
    loaded.map_err(loading)
}

fn model_params(spec: &Spec) -> ModelParams {
    let load = &spec.load;
    let mut params = ModelParams::new();
    if let Some(layers) = load.num_gpu {
        params = params.gpu_layers(layers);
    }
    if let Some(gpu) = load.main_gpu {
        params = params.main_gpu(gpu);
    }
    params.load_mode(match (load.use_mmap, load.use_mlock) {
        (Some(false), Some(true)) => LoadMode::ReadLocked,
        (_, Some(true)) => LoadMode::MapLocked,
        (Some(false), _) => LoadMode::Read,
        (Some(true), _) => LoadMode::Map,
        (None, _) => LoadMode::Auto,
    })
}

fn engine_params(spec: &Spec) -> Result<EngineParams, Failure> {
    let kv = kv_type(&spec.kv_cache)?;
    let mut params = EngineParams::new()
        .parallel(spec.parallel.clamp(1, 256))
        .queue(spec.queue)
        .kv_types(kv, kv)
        .deterministic(spec.deterministic)
        .flash_attention(match spec.flash_attention {
            None => FlashAttention::Auto,
            Some(true) => FlashAttention::On,
            Some(false) => FlashAttention::Off,
        });
    if spec.context_length > 0 {
        params = params.context_length(spec.context_length);
    }
    if let Some(threads) = spec.load.num_thread {
        params = params.threads(threads);
    }
    if let Some(batch) = spec.load.num_batch {
        params = params.micro_batch_size(batch.clamp(32, 4096));
    }
    Ok(params)
}

fn kv_type(name: &str) -> Result<KvType, Failure> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "" | "f16" => KvType::F16,
        "f32" => KvType::F32,
        "bf16" => KvType::Bf16,
        "q8_0" => KvType::Q8_0,
        "q5_1" => KvType::Q5_1,
        "q5_0" => KvType::Q5_0,
        "q4_1" => KvType::Q4_1,
        "q4_0" => KvType::Q4_0,
        "iq4_nl" => KvType::Iq4Nl,
        other => {
            let shown: String = other.chars().take(20).collect();
            return Err(Failure::new(
                FailureKind::Invalid,
                format!(
                    "OLLAMA_KV_CACHE_TYPE: there is no type {shown:?}; f16, q8_0 and q4_0 are common ones"
                ),
            ));
        }
    })
}

/// Bytes on GPUs, and why the CPU computes where it does.
fn processors(model: &Model, spec: &Spec) -> (u64, String) {
    let is_gpu = |kind: DeviceKind| matches!(kind, DeviceKind::Gpu | DeviceKind::IntegratedGpu);
    let gpus = llamakit::devices().map_or(0, |devices| {
        devices.iter().filter(|device| is_gpu(device.kind)).count()
    });
    let backends = llamakit::build_info().backends;
    let only_cpu = backends
        .iter()
        .all(|backend| backend.to_ascii_lowercase().contains("cpu"));
    match (gpus, spec.load.num_gpu) {
        (_, Some(0)) => (0, "num_gpu is 0".to_owned()),
        (0, _) if only_cpu => (0, "this program was built for the CPU only".to_owned()),
        (0, _) => (0, "there is no GPU that this program can use".to_owned()),
        (_, None) => (model.size(), String::new()),
        (_, Some(layers)) => {
            // The output counts as a layer.
            let all = u64::from(model.n_layers()) + 1;
            let on_gpu = model.size() / all * u64::from(layers).min(all);
            let reason = match u64::from(layers) < all {
                true => format!("num_gpu puts {layers} of {all} layers on the GPU"),
                false => String::new(),
            };
            (on_gpu, reason)
        }
    }
}

fn kinds(memory: Memory, snapshots: u64) -> MemoryByKind {
    MemoryByKind {
        weights: memory.weights,
        context: memory.context,
        compute: memory.compute,
        snapshots,
    }
}

/// An error while loading, without the path: the server knows which model it is.
fn loading(error: llamakit::Error) -> Failure {
    let kind = match error.kind() {
        ErrorKind::OutOfMemory => FailureKind::Memory,
        ErrorKind::InvalidArgument => FailureKind::Invalid,
        _ => FailureKind::Load,
    };
    tracing_line(&error);
    Failure::new(kind, error.message())
}

/// An error of a request.
fn refused(error: llamakit::Error) -> Failure {
    let kind = match error.kind() {
        ErrorKind::InvalidArgument | ErrorKind::Tokenize => FailureKind::Invalid,
        ErrorKind::Unsupported => FailureKind::Unsupported,
        ErrorKind::OutOfMemory => FailureKind::Memory,
        ErrorKind::Cancelled => FailureKind::Stopped,
        _ => FailureKind::Internal,
    };
    if kind == FailureKind::Internal {
        tracing_line(&error);
    }
    Failure::new(kind, error.message())
}

/// The server logs what a runner writes on its standard error.
#[allow(clippy::print_stderr)] // It is the runner's log.
fn tracing_line(error: &llamakit::Error) {
    eprintln!("{error}");
}

fn submitted(error: SubmitError) -> Failure {
    let message = error.to_string();
    match error {
        SubmitError::QueueFull { retry_after, .. } => {
            let retry_after_ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
            Failure::new(FailureKind::Busy { retry_after_ms }, message)
        }
        SubmitError::PromptTooLong {
            prompt_tokens,
            window,
        } => {
            let kind = FailureKind::TooLong {
                prompt_tokens: prompt_tokens as u64,
                window: window as u64,
            };
            Failure::new(kind, message)
        }
        SubmitError::Invalid(error) => refused(error),
        _ => Failure::new(FailureKind::Stopped, message),
    }
}

struct EngineBackend {
    engine: Engine,
    adapters: Vec<(LoraAdapter, f32)>,
    window: u32,
}

impl EngineBackend {
    fn vocab(&self) -> &Vocab {
        self.engine.model().vocab()
    }

    /// The tokens of a prompt.
    fn tokens(&self, prompt: &Prompt, add_special: bool) -> Result<Vec<Id>, Failure> {
        match prompt {
            Prompt::Text(text) => {
                within(text.len())?;
                self.vocab()
                    .tokenize(text, add_special, true)
                    .map_err(refused)
            }
            Prompt::Segments(_) => {
                let segments = segments(prompt)?;
                let done = self.vocab().tokenize_segments(&segments, add_special);
                Ok(done.map_err(refused)?.tokens)
            }
        }
    }

    /// The prompt, and its tokens where they are wanted or must be known.
    fn prompt(&self, request: &Completion) -> Result<(EnginePrompt, Vec<Id>, Rule), Failure> {
        let rule = match request.overflow {
            Overflow::Refuse => Rule::Error,
            Overflow::DropGroups | Overflow::Shift { .. } => Rule::DropGroups,
        };
        let shifts = matches!(request.overflow, Overflow::Shift { .. });
        if request.before.is_empty() && !request.want_tokens && !shifts {
            let prompt = match &request.prompt {
                Prompt::Text(text) => {
                    within(text.len())?;
                    EnginePrompt::Text(text.clone())
                }
                prompt => EnginePrompt::Segments(segments(prompt)?),
            };
            return Ok((prompt, Vec::new(), rule));
        }
        let mut tokens: Vec<Id> = request.before.iter().map(|&id| Id(id)).collect();
        let first = tokens.is_empty();
        tokens.extend(self.tokens(&request.prompt, first)?);
        let window = request.num_ctx.unwrap_or(self.window) as usize;
        if tokens.len() >= window && first && matches!(request.prompt, Prompt::Segments(_)) {
            // Whole messages are dropped where it is known what belongs to them.
            let prompt = EnginePrompt::Segments(segments(&request.prompt)?);
            return Ok((prompt, Vec::new(), rule));
        }
        let rule = match request.overflow {
            // The prompt fits, so that only the answer makes the window move on.
            Overflow::Shift { keep } if tokens.len() < window => Rule::Shift {
                keep: keep as usize,
            },
            _ => Rule::Error,
        };
        Ok((EnginePrompt::Tokens(tokens.clone()), tokens, rule))
    }
}

fn within(bytes: usize) -> Result<(), Failure> {
    match bytes <= TEXT {
        true => Ok(()),
        false => Err(Failure::new(
            FailureKind::Invalid,
            format!("the text has {bytes} bytes; there may be {TEXT} at most"),
        )),
    }
}

fn segments(prompt: &Prompt) -> Result<Vec<Segment>, Failure> {
    let pieces = match prompt {
        Prompt::Text(text) => {
            within(text.len())?;
            return Ok(vec![Segment::template(text.clone())]);
        }
        Prompt::Segments(pieces) => pieces,
    };
    within(pieces.iter().map(|piece| piece.t.len()).sum())?;
    let segments = pieces.iter().map(|piece| {
        let segment = match piece.m {
            true => Segment::message(piece.t.clone()),
            false => Segment::template(piece.t.clone()),
        };
        match piece.g {
            Some(group) => segment.in_group(group),
            None => segment,
        }
    });
    Ok(segments.collect())
}

fn sampler(sampling: &Sampling, window: u32) -> Result<Sampler, Failure> {
    let mut params = SamplerParams::ollama();
    fn set<T>(place: &mut T, given: Option<T>) {
        if let Some(given) = given {
            *place = given;
        }
    }
    params.seed = sampling.seed;
    set(&mut params.temperature, sampling.temperature);
    set(&mut params.top_k, sampling.top_k);
    set(&mut params.top_p, sampling.top_p);
    set(&mut params.min_p, sampling.min_p);
    set(&mut params.typical_p, sampling.typical_p);
    set(&mut params.repeat_penalty, sampling.repeat_penalty);
    set(&mut params.presence_penalty, sampling.presence_penalty);
    set(&mut params.frequency_penalty, sampling.frequency_penalty);
    set(&mut params.mirostat_tau, sampling.mirostat_tau);
    set(&mut params.mirostat_eta, sampling.mirostat_eta);
    set(
        &mut params.penalty_last_n,
        sampling
            .repeat_last_n
            .map(|last| u32::try_from(last).unwrap_or(window)),
    );
    params.mirostat = match sampling.mirostat {
        Some(1) => MirostatVersion::V1,
        Some(2) => MirostatVersion::V2,
        _ => MirostatVersion::Off,
    };
    params.logit_bias = sampling
        .logit_bias
        .iter()
        .map(|&(id, bias)| (Id(id), bias))
        .collect();
    params.build().map_err(refused)
}

impl Backend for EngineBackend {
    fn complete(&self, request: Completion) -> Result<Events, Failure> {
        let (prompt, tokens, rule) = self.prompt(&request)?;
        for &(id, _) in &request.sampling.logit_bias {
            if !self.vocab().contains(Id(id)) {
                let message = format!("logit_bias: there is no token {id}");
                return Err(Failure::new(FailureKind::Invalid, message));
            }
        }
        let window = request.num_ctx.unwrap_or(self.window);
        let mut ask = Request::new(prompt)
            .sampler(sampler(&request.sampling, window)?)
            .stop(request.stop)
            .ignore_eos(request.ignore_eos)
            .namespace(&request.namespace)
            .overflow(rule)
            .speculate(request.speculate)
            .lora_adapters(self.adapters.clone());
        if window > 0 {
            ask = ask.context_length(window);
        }
        if let Some(limit) = request.max_tokens {
            ask = ask.max_tokens(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        if let Some(top) = request.logprobs {
            ask = ask.logprobs(top as usize);
        }
        ask = super::constraint::apply(ask, request.constraint.as_ref(), request.special_texts)
            .map_err(refused)?;
        let answer = self.engine.submit(ask).map_err(submitted)?;
        let mut writer = Writer {
            vocab: self.vocab().clone(),
            logprobs: request.logprobs.is_some(),
            tokens: request.want_tokens.then_some(tokens),
        };
        // The engine's answer is an iterator as well.
        let events =
            StreamExt::filter_map(answer, move |step| std::future::ready(writer.write(step)));
        Ok(events.boxed())
    }

    fn embed(&self, request: Embed) -> Later<Embedded> {
        let size = within(request.inputs.iter().map(String::len).sum());
        let ask = EmbedRequest::new(request.inputs)
            .truncate(request.truncate)
            .normalize(request.normalize)
            .namespace(&request.namespace);
        let pending = size.and_then(|()| self.engine.embed(ask).map_err(submitted));
        Box::pin(async move {
            let done = pending?.await.map_err(refused)?;
            Ok(Embedded {
                vectors: done.embeddings.iter().map(<[f32]>::to_vec).collect(),
                tokens: done.tokens.iter().map(|&count| count as u64).collect(),
                truncated: done.truncated,
            })
        })
    }

    fn rerank(&self, request: Rerank) -> Later<Reranked> {
        let size = within(request.documents.iter().map(String::len).sum());
        let ask =
            RerankRequest::new(request.query, request.documents).namespace(&request.namespace);
        let pending = size.and_then(|()| self.engine.rerank(ask).map_err(submitted));
        Box::pin(async move {
            let done = pending?.await.map_err(refused)?;
            Ok(Reranked {
                scores: done.scores,
                tokens: done.tokens.iter().map(|&count| count as u64).collect(),
            })
        })
    }

    fn tokenize(&self, request: Tokenize) -> Result<Tokenized, Failure> {
        let tokens = self.tokens(&request.prompt, request.add_special)?;
        Ok(Tokenized {
            tokens: tokens.iter().map(|token| token.0).collect(),
        })
    }

    fn detokenize(&self, request: Detokenize) -> Result<Detokenized, Failure> {
        let mut bytes = Vec::new();
        for id in request.tokens {
            if !self.vocab().contains(Id(id)) {
                let message = format!("tokens: there is no token {id}");
                return Err(Failure::new(FailureKind::Invalid, message));
            }
            self.vocab()
                .append_piece(Id(id), true, &mut bytes)
                .map_err(refused)?;
        }
        Ok(Detokenized {
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    fn health(&self) -> Health {
        let metrics = self.engine.metrics();
        Health {
            queued: metrics.queued,
            running: metrics.running,
            steps: metrics.steps,
            stalled: metrics.stalled,
            memory: kinds(metrics.memory, metrics.snapshot_bytes),
            cells_used: metrics.cells_used,
            cells: metrics.cells,
            cached_prefixes: metrics.cached_prefixes,
            cache_hits: metrics.cache_hits,
            evictions: metrics.evictions,
            rebuilds: metrics.rebuilds,
            threads: metrics.threads,
        }
    }
}

/// Turns the engine's events into those of the wire.
struct Writer {
    vocab: Vocab,
    logprobs: bool,
    /// The tokens of prompt and answer, where they are wanted.
    tokens: Option<Vec<Id>>,
}

impl Writer {
    fn write(&mut self, step: Step) -> Option<Event> {
        match step {
            Step::Token(token) => {
                if let Some(tokens) = &mut self.tokens {
                    tokens.push(token.token);
                }
                match self.logprobs {
                    true => Some(Event::Token(Box::new(self.scored(token)))),
                    false => (!token.text.is_empty()).then_some(Event::Text(token.text)),
                }
            }
            Step::Text(text) => Some(Event::Text(text)),
            Step::Finished(finished) => Some(self.finished(finished)),
            _ => None,
        }
    }

    fn scored(&self, token: TokenEvent) -> Token {
        // A token without text in this vocabulary has none here either.
        let bytes = |id| self.vocab.piece(id, true).unwrap_or_default();
        let scored = |(id, logprob): (Id, f32)| Scored {
            bytes: bytes(id),
            logprob,
        };
        Token {
            text: token.text,
            this: scored((token.token, token.logprob.unwrap_or(f32::MIN))),
            top: token.top.into_iter().map(scored).collect(),
        }
    }

    fn finished(&mut self, finished: llamakit::engine::Finished) -> Event {
        let complete = super::constraint::complete(&finished);
        let reason = match finished.reason {
            FinishReason::EndOfGeneration(_) => Reason::End,
            FinishReason::Stop(text) => Reason::Stop(text),
            FinishReason::MaxTokens => Reason::Limit,
            FinishReason::ContextFull => Reason::Full,
            FinishReason::Failed(error) => return Event::Failed(refused(error)),
            reason if super::constraint::is_whole(&reason) => Reason::Complete,
            _ => {
                let message = "the request was stopped";
                return Event::Failed(Failure::new(FailureKind::Stopped, message));
            }
        };
        let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let tokens = self.tokens.take().unwrap_or_default();
        Event::Finished(Box::new(Finished {
            reason,
            complete,
            prompt_tokens: finished.prompt_tokens as u64,
            submitted_tokens: finished.submitted_tokens as u64,
            cached_tokens: finished.cached_tokens as u64,
            generated_tokens: finished.generated_tokens as u64,
            dropped_groups: finished.dropped_groups,
            dropped_tokens: finished.dropped_tokens as u64,
            seed: finished.seed,
            drafted_tokens: finished.drafted_tokens as u64,
            accepted_tokens: finished.accepted_tokens as u64,
            queued: nanos(finished.timing.queued),
            prompt: nanos(finished.timing.prompt),
            generation: nanos(finished.timing.generation),
            tokens: tokens.iter().map(|token| token.0).collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::{Spec, engine_params};

    #[test]
    fn the_engine_is_deterministic_where_the_spec_says_so() {
        for deterministic in [false, true] {
            let spec = Spec {
                deterministic,
                ..Spec::default()
            };
            let params = format!("{:?}", engine_params(&spec).unwrap());
            let set = format!("deterministic: {deterministic}");
            assert!(params.contains(&set), "{params}");
        }
    }
}
