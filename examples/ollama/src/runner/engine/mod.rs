//! The runner's backend: the library's engine on one model.

mod constraint;
mod failure;
mod load;
mod params;
mod prompt;
mod writer;

use futures_util::StreamExt;
use llamakit::engine::{EmbedRequest, Engine, Request, RerankRequest};
use llamakit::{LoraAdapter, Token as Id, Vocab};

use super::http::{Backend, Events, Later};
use super::wire::{
    Completion, Detokenize, Detokenized, Embed, Embedded, Failure, FailureKind, Health, Rerank,
    Reranked, Tokenize, Tokenized,
};
use failure::{refused, submitted};
use load::kinds;
use params::sampler;
use prompt::within;
use writer::Writer;

pub(super) use load::EngineLoader;

struct EngineBackend {
    engine: Engine,
    adapters: Vec<(LoraAdapter, f32)>,
    window: u32,
}

impl EngineBackend {
    fn vocab(&self) -> &Vocab {
        self.engine.model().vocab()
    }
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
        ask = constraint::apply(ask, request.constraint.as_ref(), request.special_texts)
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
