//! What the server counted, as Prometheus reads it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::app::App;
use crate::runner::wire::Finished;

/// Upper ends of the classes of durations, in seconds.
const CLASSES: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0,
];

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Requests by route and status.
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    in_flight: AtomicU64,
    duration: Histogram,
    first_token: Histogram,
    answers: AtomicU64,
    answers_failed: AtomicU64,
    prompt_tokens: AtomicU64,
    cached_tokens: AtomicU64,
    generated_tokens: AtomicU64,
    dropped_prompts: AtomicU64,
    drafted_tokens: AtomicU64,
    accepted_tokens: AtomicU64,
    embedded_inputs: AtomicU64,
}

#[derive(Debug, Default)]
struct Histogram {
    classes: [AtomicU64; CLASSES.len()],
    count: AtomicU64,
    nanos: AtomicU64,
}

impl Histogram {
    fn add(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        for (class, end) in self.classes.iter().zip(CLASSES) {
            if seconds <= end {
                class.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn write(&self, out: &mut String, name: &str, help: &str) {
        head(out, name, "histogram", help);
        for (class, end) in self.classes.iter().zip(CLASSES) {
            let count = class.load(Ordering::Relaxed);
            let _ = writeln!(out, "{name}_bucket{{le=\"{end}\"}} {count}");
        }
        let count = self.count.load(Ordering::Relaxed);
        let sum = self.nanos.load(Ordering::Relaxed) as f64 / 1e9;
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum {sum}\n{name}_count {count}");
    }
}

/// Counts a request until its reply is sent or given up.
#[derive(Debug)]
pub(crate) struct InFlight(std::sync::Arc<App>);

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    pub(crate) fn begin(app: &std::sync::Arc<App>) -> InFlight {
        app.metrics.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(std::sync::Arc::clone(app))
    }

    /// A reply was begun.
    pub(crate) fn replied(&self, route: &'static str, status: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((route, status)).or_default() += 1;
    }

    /// A reply was sent whole, or given up.
    pub(crate) fn ended(&self, duration: Duration) {
        self.duration.add(duration);
    }

    pub(crate) fn answered(&self, finished: &Finished) {
        let add = |counter: &AtomicU64, value: u64| counter.fetch_add(value, Ordering::Relaxed);
        add(&self.answers, 1);
        add(&self.prompt_tokens, finished.prompt_tokens);
        add(&self.cached_tokens, finished.cached_tokens);
        add(&self.generated_tokens, finished.generated_tokens);
        add(
            &self.dropped_prompts,
            u64::from(!finished.dropped_groups.is_empty()),
        );
        add(&self.drafted_tokens, finished.drafted_tokens);
        add(&self.accepted_tokens, finished.accepted_tokens);
        let first = finished.queued.saturating_add(finished.prompt);
        self.first_token.add(Duration::from_nanos(first));
    }

    pub(crate) fn failed(&self) {
        self.answers_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn embedded(&self, inputs: u64, tokens: u64) {
        self.embedded_inputs.fetch_add(inputs, Ordering::Relaxed);
        self.prompt_tokens.fetch_add(tokens, Ordering::Relaxed);
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn one(out: &mut String, name: &str, kind: &str, help: &str, value: u64) {
    head(out, name, kind, help);
    let _ = writeln!(out, "{name} {value}");
}

/// A label's value as the format wants it.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// All of it.
pub(crate) fn text(app: &App) -> String {
    let metrics = &app.metrics;
    let mut out = String::new();
    let out = &mut out;
    head(
        out,
        "ollama_requests_total",
        "counter",
        "Replies by route and status.",
    );
    let requests = metrics
        .requests
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    for ((route, status), count) in requests {
        let _ = writeln!(
            out,
            "ollama_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}"
        );
    }
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    one(
        out,
        "ollama_requests_in_flight",
        "gauge",
        "Requests whose reply is not sent yet.",
        load(&metrics.in_flight),
    );
    metrics.duration.write(
        out,
        "ollama_request_duration_seconds",
        "From request to the end of its reply.",
    );
    metrics.first_token.write(
        out,
        "ollama_first_token_seconds",
        "From a runner's queue to the first token.",
    );
    let scheduler = &app.scheduler;
    let counters = scheduler.counters();
    for (name, help, counter) in [
        (
            "ollama_answers_total",
            "Answers that came to their end.",
            &metrics.answers,
        ),
        (
            "ollama_answers_failed_total",
            "Answers that broke off.",
            &metrics.answers_failed,
        ),
        (
            "ollama_prompt_tokens_total",
            "Tokens of prompts.",
            &metrics.prompt_tokens,
        ),
        (
            "ollama_cached_tokens_total",
            "Of these, those that were not computed again.",
            &metrics.cached_tokens,
        ),
        (
            "ollama_generated_tokens_total",
            "Tokens of answers.",
            &metrics.generated_tokens,
        ),
        (
            "ollama_dropped_prompts_total",
            "Prompts of which messages were dropped.",
            &metrics.dropped_prompts,
        ),
        (
            "ollama_drafted_tokens_total",
            "Tokens that were guessed ahead.",
            &metrics.drafted_tokens,
        ),
        (
            "ollama_accepted_tokens_total",
            "Of these, those that were right.",
            &metrics.accepted_tokens,
        ),
        (
            "ollama_embedded_inputs_total",
            "Inputs that were embedded.",
            &metrics.embedded_inputs,
        ),
        (
            "ollama_model_loads_total",
            "Models that were loaded.",
            &counters.loads,
        ),
        (
            "ollama_model_load_failures_total",
            "Models that could not be loaded.",
            &counters.load_failures,
        ),
        (
            "ollama_model_unloads_total",
            "Runners that ended.",
            &counters.unloads,
        ),
        (
            "ollama_runner_crashes_total",
            "Runners that ended unexpectedly.",
            &counters.crashes,
        ),
        (
            "ollama_runner_hangs_total",
            "Runners that hung and were replaced.",
            &counters.hangs,
        ),
        (
            "ollama_refused_total",
            "Requests that were refused because too many waited.",
            &counters.refused,
        ),
    ] {
        one(out, name, "counter", help, load(counter));
    }
    one(
        out,
        "ollama_queue_length",
        "gauge",
        "Requests that wait.",
        scheduler.waiting() as u64,
    );
    one(
        out,
        "ollama_queue_capacity",
        "gauge",
        "Requests that may wait.",
        scheduler.config().max_queue as u64,
    );
    one(
        out,
        "ollama_memory_budget_bytes",
        "gauge",
        "Memory that models may take.",
        scheduler.config().budget,
    );
    let loaded = scheduler.loaded();
    one(
        out,
        "ollama_models_loaded",
        "gauge",
        "Models that are loaded.",
        loaded.len() as u64,
    );
    head(
        out,
        "ollama_model_memory_bytes",
        "gauge",
        "Memory of loaded models by kind.",
    );
    for model in &loaded {
        let name = label(&model.card.name);
        for (kind, bytes) in [
            ("weights", model.memory.weights),
            ("context", model.memory.context),
            ("compute", model.memory.compute),
            ("snapshots", model.memory.snapshots),
        ] {
            let _ = writeln!(
                out,
                "ollama_model_memory_bytes{{model=\"{name}\",kind=\"{kind}\"}} {bytes}"
            );
        }
    }
    type Value = fn(&crate::scheduler::LoadedModel) -> u64;
    let gauges: [(&str, &str, Value); 4] = [
        (
            "ollama_model_requests",
            "Requests of loaded models that run or wait.",
            |model| model.requests as u64,
        ),
        (
            "ollama_model_cells_used",
            "Cells of the KV cache in use.",
            |model| model.health.cells_used as u64,
        ),
        ("ollama_model_cells", "Cells of the KV cache.", |model| {
            model.health.cells as u64
        }),
        (
            "ollama_model_cached_prefixes",
            "Prefixes that are cached.",
            |model| model.health.cached_prefixes as u64,
        ),
    ];
    for (name, help, value) in gauges {
        head(out, name, "gauge", help);
        for model in &loaded {
            let _ = writeln!(
                out,
                "{name}{{model=\"{}\"}} {}",
                label(&model.card.name),
                value(model)
            );
        }
    }
    one(
        out,
        "ollama_uptime_seconds",
        "gauge",
        "Since the server started.",
        app.started.elapsed().as_secs(),
    );
    std::mem::take(out)
}
