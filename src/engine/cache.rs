//! What finished requests left behind: which tokens, in which sequence of the KV cache or in which
//! snapshot on the host, and which of them was not used for longest.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::prefix::PrefixTree;
use crate::batch::SeqId;
use crate::token::Token;

/// Whose prefixes, computed with which adapters. Nothing is ever shared between two of these.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CacheKey {
    pub(super) namespace: Arc<str>,
    /// The adapters and their scales, in words; empty without any.
    pub(super) adapters: String,
}

/// Where the computed state of some tokens is.
#[derive(Debug)]
pub(super) enum Place {
    /// In a sequence of the KV cache that no request uses.
    Sequence(SeqId),
    /// In host memory, as [`KvCache::save_sequence`](crate::KvCache::save_sequence) wrote it.
    Snapshot(Vec<u8>),
}

impl Place {
    fn bytes(&self) -> u64 {
        match self {
            Self::Sequence(_) => 0,
            Self::Snapshot(bytes) => bytes.len() as u64,
        }
    }
}

pub(super) struct Entry {
    pub(super) key: CacheKey,
    pub(super) tokens: Vec<Token>,
    pub(super) place: Place,
    used: u64,
}

/// Entries by number, found by prefix and by age.
#[derive(Default)]
pub(super) struct PrefixCache {
    trees: HashMap<CacheKey, PrefixTree<u64>>,
    entries: HashMap<u64, Entry>,
    /// Entries by when they were used last.
    by_age: BTreeMap<u64, u64>,
    clock: u64,
    next: u64,
    snapshot_bytes: u64,
}

impl PrefixCache {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn snapshot_bytes(&self) -> u64 {
        self.snapshot_bytes
    }

    pub(super) fn get(&self, id: u64) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// The entry that shares the longest prefix with `tokens`, and how long it is.
    pub(super) fn longest_shared(&self, key: &CacheKey, tokens: &[Token]) -> Option<(usize, u64)> {
        self.trees.get(key)?.longest_shared(tokens)
    }

    /// The longest entry that `tokens` begins with as a whole, and its length.
    pub(super) fn longest_whole(&self, key: &CacheKey, tokens: &[Token]) -> Option<(usize, u64)> {
        self.trees.get(key)?.longest_whole(tokens)
    }

    pub(super) fn insert(&mut self, key: CacheKey, tokens: Vec<Token>, place: Place) {
        let id = self.next;
        self.next += 1;
        self.clock += 1;
        self.trees
            .entry(key.clone())
            .or_insert_with(PrefixTree::new)
            .insert(&tokens, id);
        self.by_age.insert(self.clock, id);
        self.snapshot_bytes += place.bytes();
        let entry = Entry {
            key,
            tokens,
            place,
            used: self.clock,
        };
        self.entries.insert(id, entry);
    }

    /// Counts an entry as used now.
    pub(super) fn touch(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            self.by_age.remove(&entry.used);
            self.clock += 1;
            entry.used = self.clock;
            self.by_age.insert(entry.used, id);
        }
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.by_age.remove(&entry.used);
        self.snapshot_bytes -= entry.place.bytes();
        if let Some(tree) = self.trees.get_mut(&entry.key) {
            tree.remove(&entry.tokens, id);
            if tree.is_empty() {
                self.trees.remove(&entry.key);
            }
        }
        Some(entry)
    }

    /// The entry that was not used for longest, `spared` aside.
    pub(super) fn oldest(&self, spared: Option<u64>) -> Option<u64> {
        self.by_age.values().copied().find(|&id| Some(id) != spared)
    }

    /// Takes everything out, oldest first.
    pub(super) fn drain(&mut self) -> Vec<Entry> {
        let ids: Vec<u64> = self.by_age.values().copied().collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(namespace: &str) -> CacheKey {
        CacheKey {
            namespace: Arc::from(namespace),
            adapters: String::new(),
        }
    }

    fn tokens(ids: &[i32]) -> Vec<Token> {
        ids.iter().copied().map(Token).collect()
    }

    #[test]
    fn namespaces_never_share() {
        let mut cache = PrefixCache::default();
        cache.insert(key("a"), tokens(&[1, 2, 3]), Place::Sequence(SeqId(0)));
        assert!(cache.longest_shared(&key("b"), &tokens(&[1, 2])).is_none());
        let found = cache.longest_shared(&key("a"), &tokens(&[1, 2, 9]));
        assert_eq!(found.map(|found| found.0), Some(2));
    }

    #[test]
    fn the_one_not_used_for_longest_goes_first() {
        let mut cache = PrefixCache::default();
        for id in 0..3 {
            cache.insert(
                key(""),
                tokens(&[id, 9]),
                Place::Snapshot(vec![0; id as usize + 1]),
            );
        }
        assert_eq!(cache.snapshot_bytes(), 6);
        let (_, first) = cache.longest_whole(&key(""), &tokens(&[0, 9, 5])).unwrap();
        cache.touch(first);
        let oldest = cache.oldest(None).unwrap();
        assert_eq!(cache.get(oldest).unwrap().tokens, tokens(&[1, 9]));
        assert_ne!(cache.oldest(Some(oldest)), Some(oldest));
        cache.remove(oldest);
        assert_eq!(cache.snapshot_bytes(), 4);
        let left: Vec<_> = cache
            .drain()
            .into_iter()
            .map(|entry| entry.tokens)
            .collect();
        assert_eq!(left, [tokens(&[2, 9]), tokens(&[0, 9])]);
        assert_eq!((cache.len(), cache.snapshot_bytes()), (0, 0));
    }
}
