//! The engine's thread: takes work from the queue and steps through it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use super::budget::taken;
use super::draft::Draft;
use super::event::FinishReason;
use super::generator::Generator;
use super::metrics::Memory;
use super::pooled::{Contexts, PooledJob};
use super::schedule::Fit;
use super::shared::{Ended, Job, Shared, Work, lock};
use crate::error::{Error, ErrorKind, Result};

struct Worker {
    shared: Arc<Shared>,
    /// Absent for models that only embed.
    generator: Option<Generator>,
    contexts: Contexts,
    pooled: Vec<PooledJob>,
}

/// Starts the thread; the context is made before this returns.
pub(super) fn start(shared: Arc<Shared>) -> Result<JoinHandle<()>> {
    let model = &shared.model;
    let generates = model.has_decoder() && !model.has_encoder() && !model.is_diffusion();
    let generator = generates
        .then(|| Generator::new(Arc::clone(&shared)))
        .transpose()?;
    let mut worker = Worker {
        shared,
        generator,
        contexts: Contexts::default(),
        pooled: Vec::new(),
    };
    worker.publish_memory();
    std::thread::Builder::new()
        .name("llamakit-engine".to_owned())
        .spawn(move || worker.run())
        .map_err(|error| {
            Error::new(
                ErrorKind::OutOfMemory,
                format!("the engine's thread could not be started: {error}"),
            )
        })
}

impl Worker {
    fn run(&mut self) {
        while self.wait() {
            self.reap();
            self.admit();
            self.step_pooled();
            self.step_generator();
            self.publish();
        }
        self.end_all();
        self.publish();
    }

    /// Sleeps until there is something to do. False: the engine is to end.
    fn wait(&self) -> bool {
        let busy = !self.pooled.is_empty()
            || self
                .generator
                .as_ref()
                .is_some_and(|generator| !generator.running.is_empty());
        let mut state = lock(&self.shared.state);
        loop {
            match state.closing {
                Some(until) if Instant::now() >= until => return false,
                Some(_) if !busy && state.queue.len() == 0 => return false,
                _ => {}
            }
            if busy || state.queue.len() > 0 {
                return true;
            }
            state = self
                .shared
                .work
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// Ends running requests that were cancelled.
    fn reap(&mut self) {
        if let Some(generator) = &mut self.generator {
            let mut index = 0;
            while let Some(running) = generator.running.get(index) {
                match running.job.control.ended() {
                    Some(ended) => generator.finish(index, ended.reason()),
                    None => index += 1,
                }
            }
        }
        for job in self
            .pooled
            .extract_if(.., |job| job.control.ended().is_some())
        {
            let ended = job.control.ended().unwrap_or(Ended::Cancelled);
            job.finish_ended(ended);
        }
    }

    /// Lets requests in, in the queue's order, until the next one does not fit.
    fn admit(&mut self) {
        loop {
            let mut state = lock(&self.shared.state);
            let fit = match (state.queue.peek(), &self.generator) {
                (None, _) => return,
                (Some(Work::Generate(job)), Some(generator)) => generator.fit(job),
                // Texts to embed take no place of a request that generates.
                (Some(_), _) => Fit::Now,
            };
            if fit == Fit::Later {
                return;
            }
            let Some(work) = state.queue.pop() else {
                return;
            };
            drop(state);
            match work {
                Work::Pooled(job) => self.pooled.push(*job),
                Work::Generate(job) => self.start(job, fit),
            }
        }
    }

    fn start(&mut self, job: Box<Job>, fit: Fit) {
        let Some(generator) = &mut self.generator else {
            let error = Error::new(ErrorKind::Unsupported, "this engine does not generate");
            job.finish_unstarted(FinishReason::Failed(error));
            return;
        };
        if fit == Fit::Grow {
            let grown = generator.grow(job.worst_case());
            self.publish_memory();
            if let Err(error) = grown {
                job.finish_unstarted(FinishReason::Failed(error));
                return;
            }
        }
        if let Some(generator) = &mut self.generator {
            generator.start(job);
        }
    }

    fn step_pooled(&mut self) {
        if self.pooled.is_empty() {
            return;
        }
        // One part of one job at a time, so that answers go on between them.
        let job = &mut self.pooled[0];
        let made = job.step(&self.shared, &mut self.contexts);
        if made {
            self.publish_memory();
        }
        if self.pooled[0].is_done() {
            self.pooled.remove(0).finish(&self.contexts);
        } else {
            self.pooled.rotate_left(1);
        }
    }

    fn step_generator(&mut self) {
        let Some(generator) = &mut self.generator else {
            return;
        };
        if let Err(error) = generator.step() {
            // Not even a new context could be made: without one nothing can run.
            tracing::error!(%error, "the engine lost its context");
            let affected: Vec<u64> = generator.running.iter().map(|r| r.id()).collect();
            if let Err(error) = generator.recover(&affected, error) {
                tracing::error!(%error, "the engine cannot go on");
                lock(&self.shared.state).closing = Some(Instant::now());
            }
        }
    }

    fn end_all(&mut self) {
        for job in self.pooled.drain(..) {
            job.finish_ended(Ended::Shutdown);
        }
        if let Some(mut generator) = self.generator.take() {
            while !generator.running.is_empty() {
                generator.finish(0, FinishReason::Shutdown);
            }
            generator.save_to_disk();
        }
        self.contexts = Contexts::default();
    }

    /// Makes the present state visible in the metrics.
    fn publish(&self) {
        let mut stats = lock(&self.shared.stats);
        let now = &mut stats.now;
        let Some(generator) = &self.generator else {
            (now.running, now.cells_used, now.sequences_used) = (0, 0, 0);
            return;
        };
        let kv = generator.context.kv_cache();
        now.running = generator.running.len();
        now.cells = kv.capacity();
        now.cells_used = kv.used();
        now.sequences = kv.n_sequences();
        now.sequences_used = now.sequences - generator.free.len();
        now.cached_prefixes = generator.cache.len();
        now.snapshot_bytes = generator.cache.snapshot_bytes();
    }

    fn publish_memory(&mut self) {
        let mut memory = Memory::default();
        for taken in self
            .contexts
            .values()
            .filter_map(|context| taken(context).ok())
        {
            memory.weights = taken.weights;
            memory.context += taken.context;
            memory.compute += taken.compute;
        }
        if let Some(generator) = &mut self.generator {
            let draft = generator
                .draft
                .as_ref()
                .map(Draft::memory)
                .unwrap_or_default();
            memory.context += draft.context;
            memory.compute += draft.compute;
            generator.others = memory.context + memory.compute + draft.weights;
            if let Ok(taken) = taken(&generator.context) {
                memory.weights = taken.weights;
                memory.context += taken.context;
                memory.compute += taken.compute;
            }
            memory.weights += draft.weights;
        }
        lock(&self.shared.stats).now.memory = memory;
    }
}

/// Also when the thread panics, nobody waits for an engine that is gone.
impl Drop for Worker {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.closing = Some(Instant::now());
        let waiting = state.queue.remove_where(|_| true);
        drop(state);
        for work in waiting {
            work.finish_unstarted(Ended::Shutdown);
        }
        self.shared.watch.notify_all();
    }
}
