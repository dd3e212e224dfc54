//! A radix tree over tokens: which entries share the longest prefix with a prompt.
//! Nodes live in one vector, so that neither a long prompt nor dropping the tree takes any stack.

use std::collections::{BTreeMap, BTreeSet};

use crate::token::Token;

const ROOT: usize = 0;

/// Entries by their tokens. Several entries may have the same tokens.
#[derive(Debug)]
pub(super) struct PrefixTree<E> {
    nodes: Vec<Node<E>>,
    /// Places in `nodes` that are not in use.
    free: Vec<usize>,
    len: usize,
}

/// Every node but the root has an entry or at least two children.
#[derive(Debug)]
struct Node<E> {
    /// The tokens between the parent and this node; empty at the root only.
    label: Vec<Token>,
    /// By the first token of their labels.
    children: BTreeMap<Token, usize>,
    entries: BTreeSet<E>,
}

/// A node on the way of some tokens through the tree.
#[derive(Clone, Copy)]
struct Step {
    node: usize,
    /// How many tokens of the node's label agree.
    shared: usize,
    /// Whether its whole label agrees.
    whole: bool,
    /// How many tokens agree from the root on.
    depth: usize,
}

impl<E> Node<E> {
    fn new(label: Vec<Token>) -> Self {
        Self {
            label,
            children: BTreeMap::new(),
            entries: BTreeSet::new(),
        }
    }
}

impl<E: Copy + Eq + Ord> PrefixTree<E> {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::new(Vec::new())],
            free: Vec::new(),
            len: 0,
        }
    }

    /// Number of entries.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an entry; one that is there already with the same tokens is not added again.
    pub(super) fn insert(&mut self, tokens: &[Token], entry: E) {
        let step = self.last_step(tokens);
        if !step.whole {
            self.split(step.node, step.shared);
        }
        let rest = &tokens[step.depth..];
        let node = match rest.first() {
            None => step.node,
            Some(&first) => {
                let leaf = self.place(Node::new(rest.to_vec()));
                self.nodes[step.node].children.insert(first, leaf);
                leaf
            }
        };
        self.len += usize::from(self.nodes[node].entries.insert(entry));
    }

    /// Removes an entry with exactly these tokens. False when there is none.
    pub(super) fn remove(&mut self, tokens: &[Token], entry: E) -> bool {
        let (mut parent, mut step) = (ROOT, self.last_step(&[]));
        for next in self.path(tokens) {
            parent = step.node;
            step = next;
        }
        let found = step.whole
            && step.depth == tokens.len()
            && self.nodes[step.node].entries.remove(&entry);
        if !found {
            return false;
        }
        self.len -= 1;
        let node = &self.nodes[step.node];
        if step.node != ROOT && node.entries.is_empty() && node.children.is_empty() {
            let first = node.label[0];
            self.nodes[parent].children.remove(&first);
            self.take(step.node);
            self.join(parent);
        } else {
            self.join(step.node);
        }
        true
    }

    /// The most tokens, at least one, that any entry has in common with the beginning of `tokens`,
    /// and an entry that has them: the one that ends soonest after them, then the smallest.
    pub(super) fn longest_shared(&self, tokens: &[Token]) -> Option<(usize, E)> {
        let step = self.last_step(tokens);
        if step.depth == 0 {
            return None;
        }
        Some((step.depth, self.nearest(step.node)?))
    }

    /// The longest entry, of at least one token, all of whose tokens `tokens` begins with; the
    /// smallest of several.
    pub(super) fn longest_whole(&self, tokens: &[Token]) -> Option<(usize, E)> {
        self.path(tokens)
            .filter(|step| step.whole && step.depth > 0)
            .filter_map(|step| Some((step.depth, *self.nodes[step.node].entries.first()?)))
            .last()
    }

    /// The nodes that `tokens` lead to, from the root on.
    fn path(&self, tokens: &[Token]) -> impl Iterator<Item = Step> {
        let mut rest = tokens;
        let mut next = Some(ROOT);
        std::iter::from_fn(move || {
            let id = next?;
            let node = &self.nodes[id];
            let agree = node.label.iter().zip(rest).take_while(|(a, b)| a == b);
            let shared = agree.count();
            rest = &rest[shared..];
            let whole = shared == node.label.len();
            let child = rest.first().and_then(|token| node.children.get(token));
            next = child.copied().filter(|_| whole);
            Some(Step {
                node: id,
                shared,
                whole,
                depth: tokens.len() - rest.len(),
            })
        })
    }

    fn last_step(&self, tokens: &[Token]) -> Step {
        let root = Step {
            node: ROOT,
            shared: 0,
            whole: true,
            depth: 0,
        };
        self.path(tokens).last().unwrap_or(root)
    }

    /// Of the entries at or below a node the one with the fewest tokens, then the smallest.
    fn nearest(&self, node: usize) -> Option<E> {
        let mut best: Option<(usize, E)> = None;
        let mut open = vec![(0, node)];
        while let Some((distance, id)) = open.pop() {
            if best.is_some_and(|(nearest, _)| distance > nearest) {
                continue;
            }
            let node = &self.nodes[id];
            if let Some(&entry) = node.entries.first() {
                let found = (distance, entry);
                best = Some(best.map_or(found, |best| best.min(found)));
                continue;
            }
            for &child in node.children.values() {
                open.push((distance + self.nodes[child].label.len(), child));
            }
        }
        best.map(|(_, entry)| entry)
    }

    /// Cuts a node in two: it keeps the first `at` tokens, a new child takes everything else.
    fn split(&mut self, id: usize, at: usize) {
        let node = &mut self.nodes[id];
        // Not `split_off`: it would leave the upper part all the memory.
        let upper = node.label[..at].to_vec();
        node.label.drain(..at);
        let lower = Node {
            label: std::mem::replace(&mut node.label, upper),
            children: std::mem::take(&mut node.children),
            entries: std::mem::take(&mut node.entries),
        };
        let first = lower.label[0];
        let lower = self.place(lower);
        self.nodes[id].children.insert(first, lower);
    }

    /// Joins a node with its only child when nothing ends between them.
    fn join(&mut self, id: usize) {
        let node = &self.nodes[id];
        if id == ROOT || !node.entries.is_empty() || node.children.len() != 1 {
            return;
        }
        for child in std::mem::take(&mut self.nodes[id].children).into_values() {
            let child = self.take(child);
            let node = &mut self.nodes[id];
            node.label.extend_from_slice(&child.label);
            node.children = child.children;
            node.entries = child.entries;
        }
    }

    fn place(&mut self, node: Node<E>) -> usize {
        match self.free.pop() {
            Some(id) => {
                self.nodes[id] = node;
                id
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        }
    }

    fn take(&mut self, id: usize) -> Node<E> {
        self.free.push(id);
        std::mem::replace(&mut self.nodes[id], Node::new(Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(ids: &[i32]) -> Vec<Token> {
        ids.iter().map(|&id| Token(id)).collect()
    }

    /// The obvious way: compare with every entry.
    #[derive(Default)]
    struct Linear(Vec<(Vec<Token>, u32)>);

    impl Linear {
        fn insert(&mut self, tokens: &[Token], entry: u32) {
            if !self.0.contains(&(tokens.to_vec(), entry)) {
                self.0.push((tokens.to_vec(), entry));
            }
        }

        fn remove(&mut self, tokens: &[Token], entry: u32) -> bool {
            let before = self.0.len();
            self.0.retain(|(t, e)| t != tokens || *e != entry);
            self.0.len() < before
        }

        fn longest_shared(&self, tokens: &[Token]) -> Option<(usize, u32)> {
            let shared = |t: &[Token]| t.iter().zip(tokens).take_while(|(a, b)| a == b).count();
            let most = self.0.iter().map(|(t, _)| shared(t)).max()?;
            let those = self.0.iter().filter(|(t, _)| shared(t) == most);
            let (_, entry) = those.map(|(t, e)| (t.len(), *e)).min()?;
            (most > 0).then_some((most, entry))
        }

        fn longest_whole(&self, tokens: &[Token]) -> Option<(usize, u32)> {
            let those = self.0.iter().filter(|(t, _)| tokens.starts_with(t));
            let longest = those.clone().map(|(t, _)| t.len()).max()?;
            let entry = those.filter(|(t, _)| t.len() == longest).map(|(_, e)| *e);
            (longest > 0).then_some((longest, entry.min()?))
        }
    }

    /// What must hold of the nodes: none is empty, none could be joined, none is lost.
    fn check_nodes(tree: &PrefixTree<u32>) {
        let mut open = vec![ROOT];
        let mut seen = 0;
        while let Some(id) = open.pop() {
            seen += 1;
            let node = &tree.nodes[id];
            assert!(id == ROOT || !node.label.is_empty());
            assert!(id == ROOT || !node.entries.is_empty() || node.children.len() > 1);
            for (first, &child) in &node.children {
                assert_eq!(tree.nodes[child].label[0], *first);
                open.push(child);
            }
        }
        assert_eq!(seen + tree.free.len(), tree.nodes.len());
    }

    /// Short sequences of few tokens share much.
    fn sequence() -> impl Strategy<Value = Vec<Token>> {
        proptest::collection::vec((0i32..3).prop_map(Token), 0..10)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn agrees_with_a_linear_search(
            steps in proptest::collection::vec((sequence(), 0u32..4, 0u8..3), 1..60),
            asked in proptest::collection::vec(sequence(), 1..20),
        ) {
            let (mut tree, mut linear) = (PrefixTree::new(), Linear::default());
            for (tokens, entry, what) in steps {
                if what == 0 {
                    // Mostly something that is there.
                    let pick = linear.0.get(tokens.len() % (linear.0.len() + 1)).cloned();
                    let (tokens, entry) = pick.unwrap_or((tokens, entry));
                    prop_assert_eq!(tree.remove(&tokens, entry), linear.remove(&tokens, entry));
                } else {
                    tree.insert(&tokens, entry);
                    linear.insert(&tokens, entry);
                }
                check_nodes(&tree);
                prop_assert_eq!(tree.len(), linear.0.len());
                prop_assert_eq!(tree.is_empty(), linear.0.is_empty());
                for tokens in &asked {
                    prop_assert_eq!(tree.longest_shared(tokens), linear.longest_shared(tokens));
                    prop_assert_eq!(tree.longest_whole(tokens), linear.longest_whole(tokens));
                }
            }
            for (tokens, entry) in std::mem::take(&mut linear.0) {
                prop_assert!(tree.remove(&tokens, entry));
            }
            prop_assert_eq!(tree.nodes.len() - tree.free.len(), 1);
        }
    }

    #[test]
    fn the_entry_that_ends_soonest_is_preferred() {
        let mut tree = PrefixTree::new();
        tree.insert(&tokens(&[1, 2, 3, 4, 5]), 1);
        tree.insert(&tokens(&[1, 2, 3, 9]), 8);
        tree.insert(&tokens(&[1, 2, 3, 8]), 7);
        tree.insert(&tokens(&[1, 2]), 0);
        assert_eq!(tree.longest_shared(&tokens(&[1, 2, 3, 7])), Some((3, 7)));
        assert_eq!(tree.longest_shared(&tokens(&[1, 2, 3, 4])), Some((4, 1)));
        assert_eq!(tree.longest_shared(&tokens(&[1, 2, 7])), Some((2, 0)));
        assert_eq!(tree.longest_whole(&tokens(&[1, 2, 3, 4])), Some((2, 0)));
        assert_eq!(tree.longest_shared(&tokens(&[2])), None);
        assert_eq!(tree.longest_whole(&tokens(&[1])), None);
    }

    #[test]
    fn an_entry_without_tokens_shares_nothing() {
        let mut tree = PrefixTree::new();
        tree.insert(&[], 1);
        assert_eq!(tree.len(), 1);
        assert_eq!(tree.longest_shared(&tokens(&[1])), None);
        assert_eq!(tree.longest_whole(&[]), None);
        assert!(!tree.remove(&tokens(&[1]), 1));
        assert!(tree.remove(&[], 1));
        assert!(tree.is_empty());
    }

    #[test]
    fn long_prompts_and_many_nodes_in_a_row_need_little_stack() {
        let prompt: Vec<Token> = (0..100_000).map(|id| Token(id % 7)).collect();
        // Much less than a byte per token.
        let worker = std::thread::Builder::new().stack_size(64 << 10);
        let done = worker.spawn(move || {
            let mut tree = PrefixTree::new();
            for end in 1..5000 {
                tree.insert(&prompt[..end], end);
            }
            tree.insert(&prompt, prompt.len());
            let whole = (prompt.len(), prompt.len());
            assert_eq!(tree.longest_shared(&prompt), Some(whole));
            assert_eq!(tree.longest_whole(&prompt[..3000]), Some((3000, 3000)));
            assert!(tree.remove(&prompt, prompt.len()));
        });
        done.unwrap().join().unwrap();
    }
}
