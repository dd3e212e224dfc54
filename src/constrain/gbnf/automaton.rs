//! Automata of what has no recursion (Thompson's), and whether one can go on where another has ended.

use super::alphabet::{Alphabet, Kinds};
use super::{Grammar, Node};

/// The most states of one automaton.
const STATES: usize = 2000;

pub(super) struct Automaton {
    states: Vec<State>,
    end: usize,
    most: usize,
}

#[derive(Default)]
struct State {
    silent: Vec<usize>,
    /// With one of these characters to the next state.
    step: Option<(Kinds, usize)>,
}

impl Automaton {
    /// `None` when it would be too large, or need more than `left` states.
    pub(super) fn new(
        node: &Node,
        grammar: &Grammar,
        alphabet: &Alphabet,
        left: usize,
    ) -> Option<Self> {
        let mut this = Self {
            states: vec![State::default()],
            end: 0,
            most: left.min(STATES),
        };
        this.end = this.add(node, 0, grammar, alphabet)?;
        Some(this)
    }

    /// How many states it has.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// Adds the node's states from `from` on; gives the one after it.
    fn add(
        &mut self,
        node: &Node,
        from: usize,
        grammar: &Grammar,
        alphabet: &Alphabet,
    ) -> Option<usize> {
        match node {
            Node::Token(_) => None,
            Node::Rule(rule) => {
                // A state of its own, so that rules of rules of rules end.
                let start = self.silent(from)?;
                self.add(&grammar.rules[*rule], start, grammar, alphabet)
            }
            Node::Chars(chars) => self.step(from, alphabet.set(chars)),
            Node::Text(text) => {
                let mut chars = text.iter();
                chars.try_fold(from, |at, &c| self.step(at, alphabet.one(c)))
            }
            Node::Seq(parts) => {
                let mut parts = parts.iter();
                parts.try_fold(from, |at, part| self.add(part, at, grammar, alphabet))
            }
            Node::Alt(parts) => {
                let end = self.state()?;
                for part in parts {
                    let start = self.silent(from)?;
                    let last = self.add(part, start, grammar, alphabet)?;
                    self.states[last].silent.push(end);
                }
                Some(end)
            }
            Node::Repeat(part, least, most) => {
                let mut at = from;
                for _ in 0..*least {
                    at = self.add(part, at, grammar, alphabet)?;
                }
                let end = self.state()?;
                match most {
                    None => {
                        let start = self.silent(at)?;
                        let last = self.add(part, start, grammar, alphabet)?;
                        self.states[last].silent.push(start);
                        self.states[start].silent.push(end);
                    }
                    Some(most) => {
                        for _ in *least..*most {
                            self.states[at].silent.push(end);
                            let start = self.silent(at)?;
                            at = self.add(part, start, grammar, alphabet)?;
                        }
                        self.states[at].silent.push(end);
                    }
                }
                Some(end)
            }
        }
    }

    fn state(&mut self) -> Option<usize> {
        if self.states.len() >= self.most {
            return None;
        }
        self.states.push(State::default());
        Some(self.states.len() - 1)
    }

    fn silent(&mut self, from: usize) -> Option<usize> {
        let state = self.state()?;
        self.states[from].silent.push(state);
        Some(state)
    }

    fn step(&mut self, from: usize, kinds: Kinds) -> Option<usize> {
        let from = self.silent(from)?;
        let to = self.state()?;
        self.states[from].step = Some((kinds, to));
        Some(to)
    }

    /// Whether there is a text of this one, not empty, after which `other` has read the same text and
    /// can read one of `next` as well. Takes from `budget`; `None` when that is used up.
    pub(super) fn is_outrun(&self, other: &Self, next: &Kinds, budget: &mut usize) -> Option<bool> {
        let width = other.states.len();
        let size = self.states.len() * width;
        // Twice: before the first character and after it.
        let mut seen = vec![false; 2 * size];
        let mut waiting = vec![0];
        *budget = budget.checked_sub(size / 64 + 1)?;
        while let Some(pair) = waiting.pop() {
            if std::mem::replace(&mut seen[pair], true) {
                continue;
            }
            *budget = budget.checked_sub(1)?;
            let (late, pair) = (pair / size, pair % size);
            let (mine, its) = (pair / width, pair % width);
            let at = |mine: usize, its: usize, late: usize| late * size + mine * width + its;
            let (mine_at, its_at) = (&self.states[mine], &other.states[its]);
            waiting.extend(mine_at.silent.iter().map(|&mine| at(mine, its, late)));
            waiting.extend(its_at.silent.iter().map(|&its| at(mine, its, late)));
            let Some((its_kinds, its_next)) = &its_at.step else {
                continue;
            };
            if late == 1 && mine == self.end && its_kinds.meets(next) {
                return Some(true);
            }
            if let Some((kinds, mine_next)) = &mine_at.step
                && kinds.meets(its_kinds)
            {
                waiting.push(at(*mine_next, *its_next, 1));
            }
        }
        Some(false)
    }
}
