//! Prefixes on disk: an index of what the headers say, made when the engine starts, and the files'
//! states, which are read when a request can begin with one.

mod folder;
mod format;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use xxhash_rust::xxh3::xxh3_128;

use super::prefix::PrefixTree;
use crate::error::{Error, Result};
use crate::token::Token;
use crate::vocab::Vocab;
use folder::Folder;
pub(super) use format::Owner;
use format::{Header, refused};

/// The prefixes in a folder that one engine can use.
pub(super) struct Disk {
    folder: Folder,
    owner: Owner,
    vocab: Vocab,
    /// Cells of the engine: a longer prefix cannot be restored.
    most_tokens: usize,
    /// Files by namespace and tokens.
    trees: HashMap<String, PrefixTree<usize>>,
    files: Vec<(PathBuf, Header)>,
    /// When the next file that is kept counts as used.
    next_used: Option<SystemTime>,
}

impl Disk {
    /// Opens a folder and reads the headers of its files.
    pub(super) fn open(
        path: &Path,
        cap: u64,
        owner: Owner,
        vocab: Vocab,
        most_tokens: usize,
    ) -> io::Result<Self> {
        let folder = Folder::open(path, cap)?;
        if let Err(error) = folder.clean() {
            tracing::warn!(path = %path.display(), %error, "old saved prefixes could not be removed");
        }
        let mut disk = Self {
            folder,
            owner,
            vocab,
            most_tokens,
            trees: HashMap::new(),
            files: Vec::new(),
            next_used: None,
        };
        for path in disk.folder.files()? {
            match disk.header(&path) {
                Ok((header, _)) => disk.add(path, header),
                Err(error) => warn_of(&path, &error),
            }
        }
        Ok(disk)
    }

    /// The file that shares the longest prefix with `tokens`, and how long that is. With `whole`,
    /// of those whose tokens `tokens` begins with.
    pub(super) fn longest(
        &self,
        namespace: &str,
        tokens: &[Token],
        whole: bool,
    ) -> Option<(usize, usize)> {
        let tree = self.trees.get(namespace)?;
        match whole {
            true => tree.longest_whole(tokens),
            false => tree.longest_shared(tokens),
        }
    }

    /// Number of tokens of a file, and bytes of its state.
    pub(super) fn size(&self, id: usize) -> (usize, u64) {
        let header = &self.files[id].1;
        (header.tokens.len(), header.state_len)
    }

    /// Reads the state of a file; one that is not what it was is forgotten.
    pub(super) fn read(&mut self, id: usize) -> Option<Vec<u8>> {
        let (path, known) = &self.files[id];
        let state = self.header(path).and_then(|(header, mut file)| {
            if header != *known {
                return Err(refused("it was replaced by another prefix"));
            }
            let too_large = |_| refused("there is no memory for its state");
            let len = usize::try_from(header.state_len).map_err(|_| refused("it is too large"))?;
            let mut state = Vec::new();
            state.try_reserve_exact(len).map_err(too_large)?;
            state.resize(len, 0);
            file.read_exact(&mut state)
                .map_err(|error| refused(&format!("it cannot be read: {error}")))?;
            Ok(state)
        });
        match state {
            Ok(state) => Some(state),
            Err(error) => {
                self.forget(id, &error);
                None
            }
        }
    }

    /// Counts a file as used now.
    pub(super) fn touch(&mut self, id: usize) {
        // When this fails it only leaves sooner.
        let _ = self.folder.touch(&self.files[id].0, SystemTime::now());
    }

    /// Ignores a file from now on.
    pub(super) fn forget(&mut self, id: usize, why: &Error) {
        warn_of(&self.files[id].0, why);
        self.drop_from_index(id);
    }

    /// Whether a file holds exactly these tokens, or, where a part of a file can be used, begins
    /// with them. It then counts as used, after those kept before.
    pub(super) fn keeps(&mut self, namespace: &str, tokens: &[Token], whole: bool) -> bool {
        let Some((_, id)) = self
            .longest(namespace, tokens, whole)
            .filter(|&(len, _)| len == tokens.len())
        else {
            return false;
        };
        let used = self.next_used();
        self.folder.touch(&self.files[id].0, used).is_ok()
    }

    /// Writes a prefix, older than those kept before. Where a part of a file can be used, not
    /// `whole`, files that are a part of this one leave. False: it has no room.
    pub(super) fn write(
        &mut self,
        namespace: &str,
        tokens: &[Token],
        state: &[u8],
        whole: bool,
    ) -> Result<bool> {
        if namespace.len() > format::MAX_NAMESPACE || tokens.len() > self.most_tokens {
            return Ok(false);
        }
        let header = format::encode(&self.owner, namespace, tokens, state.len() as u64);
        // By what is known before the state is.
        let name = format::encode(&self.owner, namespace, tokens, 0);
        let path = self.folder.file(xxh3_128(&name));
        let used = self.next_used();
        let written = self.folder.write(&path, [&header, state], used);
        let failed = |error| Error::io("cannot write the saved prefix", &path, error);
        if !written.map_err(failed)? {
            return Ok(false);
        }
        while !whole && let Some((_, part)) = self.longest(namespace, tokens, true) {
            self.drop_from_index(part);
            let old = &self.files[part].0;
            if *old != path {
                // What cannot be removed now leaves with its age.
                let _ = folder::remove(old);
            }
        }
        Ok(true)
    }

    /// Each one kept is a little older than the one before, however long that took to write.
    fn next_used(&mut self) -> SystemTime {
        let used = self.next_used.unwrap_or_else(SystemTime::now);
        self.next_used = Some(used - Duration::from_millis(1));
        used
    }

    /// Opens a file and checks its header; the state is what comes next.
    fn header(&self, path: &Path) -> Result<(Header, File)> {
        let (mut file, len) = Folder::read(path)
            .map_err(|error| refused(&format!("it cannot be opened: {error}")))?;
        let header = format::decode(&mut file, len, &self.owner, self.most_tokens)?;
        for &token in &header.tokens {
            self.vocab.check_token(token)?;
        }
        Ok((header, file))
    }

    fn add(&mut self, path: PathBuf, header: Header) {
        self.trees
            .entry(header.namespace.clone())
            .or_insert_with(PrefixTree::new)
            .insert(&header.tokens, self.files.len());
        self.files.push((path, header));
    }

    fn drop_from_index(&mut self, id: usize) {
        let header = &self.files[id].1;
        if let Some(tree) = self.trees.get_mut(&header.namespace) {
            tree.remove(&header.tokens, id);
        }
    }
}

fn warn_of(path: &Path, why: &Error) {
    // One that another engine removed is nothing to speak of.
    if path.symlink_metadata().is_ok() {
        tracing::warn!(path = %path.display(), reason = %why, "a saved prefix is ignored");
    }
}
