//! What the generator takes from disk when a request can begin with it, and leaves there at the end.

use super::cache::Place;
use super::disk::{Disk, Owner};
use super::generator::Generator;
use super::running::Running;
use super::shared::{Shared, lock};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::kv_cache::MemoryKind;
use crate::model::Model;

/// A prefix on disk is read when it is at least this much longer than what is in memory.
const WORTH_READING: usize = 16;

/// A prefix on disk that a request can begin with.
#[derive(Debug, Clone, Copy)]
pub(super) struct OnDisk {
    file: usize,
    /// Tokens that the request and the file share.
    pub(super) len: usize,
}

/// Opens the folder of saved prefixes where one was asked for. Without it the engine works as well.
pub(super) fn open(shared: &Shared, context: &Context) -> Option<Disk> {
    let params = &shared.params;
    let path = params.state_dir.as_ref().filter(|_| params.reuse)?;
    let kind = context.kv_cache().kind();
    if matches!(kind, MemoryKind::None | MemoryKind::Other) {
        return None;
    }
    let failed = |error: &dyn std::fmt::Display| {
        tracing::warn!(path = %path.display(), %error, "prefixes are not kept on disk");
    };
    let model = match shared.model.fingerprint() {
        Ok(model) => model,
        Err(error) => {
            failed(&error);
            return None;
        }
    };
    let owner = Owner::new(model, &settings(shared, context));
    let cells = shared.resolved.pool as usize;
    let vocab = shared.model.vocab();
    match Disk::open(path, params.state_cap, owner, vocab.clone(), cells) {
        Ok(disk) => Some(disk),
        Err(error) => {
            failed(&error);
            None
        }
    }
}

/// All that must be the same for one engine to use what another one computed.
fn settings(shared: &Shared, context: &Context) -> String {
    let params = &shared.params;
    let build = crate::build_info();
    let kind = context.kv_cache().kind();
    let mut settings = format!(
        "{} {kind:?} {:?} {:?} {:?} {}",
        build.upstream_commit,
        params.keys,
        params.values,
        params.flash_attention,
        is_stretched(&shared.model, context)
    );
    if params.deterministic {
        // The last bits of its sums are promised to be the same as well.
        settings += &format!(
            " {} {:?} {:?} {} {} {:?}",
            env!("CARGO_PKG_VERSION"),
            build.cpu_compiled,
            build.cpu_found,
            params.parallel,
            context.micro_batch_size(),
            context.threads()
        );
    }
    settings
}

/// Whether the context is longer than a model with scaled rotations was trained for at first:
/// upstream then rotates the keys of some by other factors.
fn is_stretched(model: &Model, context: &Context) -> bool {
    let scaling = format!("{}.rope.scaling.", model.architecture());
    let metadata = model.metadata().unwrap_or_default();
    let mut stated = metadata
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(&scaling)?, value)))
        .peekable();
    if stated.peek().is_none() {
        return false;
    }
    let original = stated
        .find(|(key, _)| *key == "original_context_length")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(model.context_length() as usize);
    context.context_length() > original
}

impl Generator {
    /// What a request can begin with that is worth reading when memory has `have` of its tokens.
    pub(super) fn on_disk(&self, running: &Running, have: usize) -> Option<OnDisk> {
        let disk = self
            .disk
            .as_ref()
            .filter(|_| running.job.reuse && running.key.adapters.is_empty())?;
        let most = running.tokens.len() - 1;
        let namespace = &running.key.namespace;
        let tokens = &running.tokens[..most];
        let (len, file) = disk.longest(namespace, tokens, !self.shares_cells)?;
        let (cells, bytes) = disk.size(file);
        let bytes = bytes.saturating_add(self.cache.snapshot_bytes());
        let fits = self.can_have(cells) && bytes <= self.memory_left();
        // It takes cells of its own, also where some that others hold were counted on.
        let fits = fits && self.fits_alone(running);
        (fits && len >= have + WORTH_READING).then_some(OnDisk { file, len })
    }

    /// Whether so many cells are free when all cached prefixes leave.
    fn can_have(&self, cells: usize) -> bool {
        let kv = self.context.kv_cache();
        let held = kv.cells_of(self.running.iter().map(|running| running.seq));
        !self.shares_cells || held + cells <= kv.capacity()
    }

    /// Puts a prefix from disk in the place of what a request's sequence holds. Returns how many of
    /// its tokens the sequence holds then.
    pub(super) fn seed_from_disk(&mut self, running: &Running, found: OnDisk) -> usize {
        let seq = running.seq;
        let Some(state) = self.disk.as_mut().and_then(|disk| disk.read(found.file)) else {
            return self.context.kv_cache().len(seq);
        };
        if self.shares_cells
            && let Some(disk) = &self.disk
        {
            self.make_room(disk.size(found.file).0);
        }
        match self.put_state(running, &state, found.len) {
            Ok(()) => {
                let len = found.len;
                lock(&self.shared.stats).now.prefixes_restored += 1;
                if let Some(disk) = &mut self.disk {
                    disk.touch(found.file);
                }
                if !self.shares_cells {
                    let tokens = running.tokens[..len].to_vec();
                    self.keep_snapshot(&running.key, tokens, state);
                }
                len
            }
            Err(error) => {
                if let Some(disk) = &mut self.disk {
                    disk.forget(found.file, &error);
                }
                // Memory that is not what its record says is cleared as a whole.
                let _ = self.follow_the_cache();
                self.context.kv_cache().len(seq)
            }
        }
    }

    /// What the restored sequence begins with is compared with the request's tokens one by one.
    fn put_state(&mut self, running: &Running, state: &[u8], len: usize) -> Result<()> {
        self.attach(&running.key, &[])?;
        let kv = self.context.kv_cache_mut();
        kv.restore_sequence(running.seq, state)?;
        if kv.reuse_prefix(running.seq, &running.tokens)? == len {
            return Ok(());
        }
        kv.remove_sequence(running.seq)?;
        let why = "its state is not of the tokens that its header says";
        Err(Error::new(ErrorKind::State, why))
    }

    /// Writes what is cached to disk, the latest used first, for the next engine. The cache is
    /// empty afterwards.
    pub(super) fn save_to_disk(&mut self) {
        let Some(mut disk) = self.disk.take() else {
            return;
        };
        // A saved state belongs to the adapters that are attached.
        if !self.attached.is_empty() && self.context.set_lora_adapters(&[]).is_err() {
            return;
        }
        let mut written = 0;
        for entry in self.cache.drain().into_iter().rev() {
            let namespace = &entry.key.namespace;
            let whole = !self.shares_cells;
            if !entry.key.adapters.is_empty() || disk.keeps(namespace, &entry.tokens, whole) {
                continue;
            }
            let state = match entry.place {
                Place::Snapshot(bytes) => Ok(bytes),
                Place::Sequence(seq) => self.context.kv_cache_mut().save_sequence(seq),
            };
            match state.and_then(|state| disk.write(namespace, &entry.tokens, &state, whole)) {
                Ok(true) => written += 1,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "cached prefixes could not be saved");
                    break;
                }
            }
        }
        lock(&self.shared.stats).now.prefixes_written += written;
    }
}
