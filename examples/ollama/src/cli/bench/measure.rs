//! One request, and how long it took.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::prompt::prompt;
use crate::api::GenerateResponse;
use crate::cli::client::{Client, End};
use crate::error::{Error, Kind, Result};

/// What is asked for each time.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub model: String,
    pub words: u32,
    pub tokens: u32,
}

/// What a request took.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// Until the first piece of the answer was here.
    pub first_token: Duration,
    pub whole: Duration,
    pub prompt_tokens: u64,
    /// Those that were not computed now.
    pub cached_tokens: u64,
    pub answer_tokens: u64,
    /// As the server counts: tokens per second.
    pub prompt_speed: Option<f64>,
    pub answer_speed: Option<f64>,
    pub warnings: Vec<String>,
}

/// Tokens that a context has without asking, as Ollama's least.
const CONTEXT: u64 = 4096;

impl Plan {
    /// What is asked with the prompt of this number.
    pub(super) fn request(&self, number: u64) -> Value {
        let mut options = json!({
            "num_predict": self.tokens,
            // Every answer is as long as it may be.
            "ignore_eos": true,
            "seed": number >> 12,
        });
        // Words of few letters are a token or two each.
        let needed = u64::from(self.words) * 3 + u64::from(self.tokens) + 64;
        if needed > CONTEXT {
            options["num_ctx"] = json!(needed);
        }
        json!({
            "model": self.model,
            "prompt": prompt(number, self.words),
            "raw": true,
            "options": options,
        })
    }

    /// Asks with the prompt of this number.
    pub(super) fn run(&self, client: &Client, number: u64) -> Result<Sample> {
        let request = self.request(number);
        let began = Instant::now();
        let mut first = None;
        let mut last = None;
        let end = client.stream("/api/generate", &request, |line: GenerateResponse| {
            if first.is_none() && !(line.response.is_empty() && line.thinking.is_empty()) {
                first = Some(began.elapsed());
            }
            if line.done {
                last = Some(line);
            }
            Ok(())
        })?;
        let whole = began.elapsed();
        if end == End::Stopped {
            return Err(Error::new(Kind::Cancelled, "stopped"));
        }
        let Some(last) = last else {
            return Err(Error::new(Kind::Network, "the answer broke off"));
        };
        let metrics = &last.metrics;
        let computed = metrics
            .prompt_eval_count
            .saturating_sub(metrics.prompt_cached_count);
        Ok(Sample {
            // An answer without text has no first piece.
            first_token: first.unwrap_or(whole),
            whole,
            prompt_tokens: metrics.prompt_eval_count,
            cached_tokens: metrics.prompt_cached_count,
            answer_tokens: metrics.eval_count,
            prompt_speed: speed(computed, metrics.prompt_eval_duration),
            answer_speed: speed(metrics.eval_count, metrics.eval_duration),
            warnings: last.notes.warnings,
        })
    }
}

/// Tokens per second; nothing where nothing was done.
fn speed(tokens: u64, nanos: u64) -> Option<f64> {
    (tokens > 0 && nanos > 0).then(|| tokens as f64 / (nanos as f64 / 1e9))
}
