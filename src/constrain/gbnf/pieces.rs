//! Which parts of a recursive grammar become terminals.
//!
//! A terminal ends where no terminal can match more. That is where GBNF lets it end if no character that
//! may follow it lets any terminal match more; terminals that could are taken apart, down to single
//! characters.

use std::collections::{HashMap, HashSet};

use super::super::limits;
use super::alphabet::{Alphabet, Kinds};
use super::automaton::Automaton;
use super::check::{fixed_point, is_nullable};
use super::{Grammar, Node};

/// Kinds of characters, and steps of comparing terminals; with more, terminals are single characters.
const KINDS: usize = 512;
const STEPS: usize = 10_000_000;
/// Choices in one terminal: the memory for it grows with their square.
const OPTIONS: usize = 500;
/// States of all automata together; terminals that need more are taken apart.
const STATES: usize = 50_000;

/// A rule as terminals, rules and tokens.
#[derive(Debug, Clone)]
pub(super) enum Plan {
    Piece(usize),
    /// What stays as it is: a rule or a token.
    Leaf(Node),
    Seq(Vec<Plan>),
    Alt(Vec<Plan>),
    Repeat(Box<Plan>, u32, Option<u32>),
}

/// A grammar with its terminals.
pub(super) struct Pieces {
    /// What terminals match: without recursion and tokens.
    pub(super) pieces: Vec<Node>,
    /// Of rules that are not within terminals only.
    pub(super) rules: Vec<Option<Plan>>,
}

pub(super) fn plan(grammar: &Grammar) -> Pieces {
    let regular = fixed_point(grammar, is_regular);
    let mut planner = Planner {
        grammar,
        regular,
        options: vec![0; grammar.rules.len()],
        numbers: HashMap::new(),
        apart: HashSet::new(),
        all_apart: false,
        out: Pieces {
            pieces: Vec::new(),
            rules: Vec::new(),
        },
    };
    planner.count_options();
    planner.plan();
    // A single terminal is compared with no other.
    if let [piece] = &planner.out.pieces[..]
        && planner.regular[grammar.root]
        && !planner.is_large(piece)
    {
        return planner.out;
    }
    let alphabet = Alphabet::of(&grammar.rules);
    let mut budget = if alphabet.len() > KINDS { 0 } else { STEPS };
    loop {
        match planner.outrun(&alphabet, &mut budget) {
            Some(outrun) if outrun.is_empty() => return planner.out,
            Some(outrun) => planner.apart.extend(outrun),
            None => {
                planner.all_apart = true;
                planner.plan();
                return planner.out;
            }
        }
        planner.plan();
    }
}

/// Whether neither recursion nor a token is in it, if that is known of the rules in it.
fn is_regular(node: &Node, known: &[bool]) -> bool {
    match node {
        Node::Token(_) => false,
        Node::Rule(rule) => known[*rule],
        _ => node.parts().iter().all(|part| is_regular(part, known)),
    }
}

fn is_single(node: &Node) -> bool {
    matches!(node, Node::Chars(_))
}

struct Planner<'a> {
    grammar: &'a Grammar,
    regular: Vec<bool>,
    /// Of rules without recursion how often there is a choice in them, each rule counted as often as it
    /// is named.
    options: Vec<usize>,
    numbers: HashMap<Node, usize>,
    /// What may not be a terminal; all but characters where that would take too long to find out.
    apart: HashSet<Node>,
    all_apart: bool,
    out: Pieces,
}

impl Planner<'_> {
    fn count_options(&mut self) {
        // Rules after those that they name.
        let mut left: Vec<usize> = (0..self.regular.len())
            .filter(|&r| self.regular[r])
            .collect();
        let mut known = vec![false; self.regular.len()];
        while !left.is_empty() {
            left.retain(|&rule| {
                let node = &self.grammar.rules[rule];
                if !is_regular(node, &known) {
                    return true;
                }
                self.options[rule] = self.options(node);
                known[rule] = true;
                false
            });
        }
    }

    /// Plans all rules anew.
    fn plan(&mut self) {
        self.numbers.clear();
        self.out.pieces.clear();
        self.out.rules = vec![None; self.grammar.rules.len()];
        let mut waiting = vec![self.grammar.root];
        while let Some(rule) = waiting.pop() {
            if self.out.rules[rule].is_some() {
                continue;
            }
            let plan = self.node(&self.grammar.rules[rule]);
            plan.rules(&mut waiting);
            self.out.rules[rule] = Some(plan);
        }
    }

    fn node(&mut self, node: &Node) -> Plan {
        if is_regular(node, &self.regular) && !self.is_apart(node) {
            // Nothing is no terminal.
            return match node {
                Node::Seq(parts) if parts.is_empty() => Plan::Seq(Vec::new()),
                _ => self.piece(node.clone()),
            };
        }
        match node {
            Node::Chars(_) => self.piece(node.clone()),
            Node::Rule(_) | Node::Token(_) => Plan::Leaf(node.clone()),
            Node::Text(text) => {
                let chars = text.iter();
                let chars = chars.map(|&c| self.piece(Node::Chars(super::Chars(vec![(c, c)]))));
                Plan::Seq(chars.collect())
            }
            Node::Alt(parts) => Plan::Alt(parts.iter().map(|part| self.node(part)).collect()),
            Node::Repeat(part, least, most) => {
                Plan::Repeat(Box::new(self.node(part)), *least, *most)
            }
            Node::Seq(parts) => self.seq(parts),
        }
    }

    /// Neighbours become one terminal where they may.
    fn seq(&mut self, parts: &[Node]) -> Plan {
        let mut plans = Vec::new();
        let mut rest = parts;
        while !rest.is_empty() {
            let regular = rest
                .iter()
                .take_while(|part| is_regular(part, &self.regular))
                .count();
            let (run, after) = rest.split_at(regular.max(1));
            self.run(run, &mut plans);
            rest = after;
        }
        Plan::Seq(plans)
    }

    fn run(&mut self, parts: &[Node], into: &mut Vec<Plan>) {
        /// Of short runs the longest beginning is tried, long ones are halved.
        const SHORT: usize = 8;
        let Some((first, others)) = parts.split_first() else {
            return;
        };
        if others.is_empty() {
            let plan = self.node(first);
            return into.push(plan);
        }
        if parts.len() > SHORT {
            if let Some(plan) = self.joined(parts) {
                return into.push(plan);
            }
            let (left, right) = parts.split_at(parts.len() / 2);
            self.run(left, into);
            return self.run(right, into);
        }
        for count in (2..=parts.len()).rev() {
            if let Some(plan) = self.joined(&parts[..count]) {
                into.push(plan);
                return self.run(&parts[count..], into);
            }
        }
        let plan = self.node(first);
        into.push(plan);
        self.run(others, into);
    }

    fn joined(&mut self, parts: &[Node]) -> Option<Plan> {
        let node = Node::Seq(parts.to_vec());
        (!self.is_apart(&node)).then(|| self.piece(node))
    }

    /// Whether a terminal of this would take too much memory.
    fn is_large(&self, node: &Node) -> bool {
        self.options(node) > OPTIONS
    }

    fn options(&self, node: &Node) -> usize {
        let own = usize::from(matches!(node, Node::Alt(_) | Node::Repeat(..)));
        let parts = node.parts().iter().map(|part| self.options(part));
        match node {
            Node::Rule(rule) => self.options[*rule],
            _ => parts.fold(own, usize::saturating_add),
        }
    }

    fn is_apart(&self, node: &Node) -> bool {
        !is_single(node) && (self.all_apart || self.apart.contains(node))
    }

    fn piece(&mut self, node: Node) -> Plan {
        let next = self.out.pieces.len();
        let number = *self.numbers.entry(node.clone()).or_insert(next);
        if number == next {
            self.out.pieces.push(node);
        }
        Plan::Piece(number)
    }

    /// Terminals that can match more where another one ends; `None` when the budget is used up.
    fn outrun(&self, alphabet: &Alphabet, budget: &mut usize) -> Option<Vec<Node>> {
        let pieces = &self.out.pieces;
        let options = pieces.iter().map(|piece| self.options(piece));
        if options.fold(0, usize::saturating_add) > limits::OPTIONS {
            return None;
        }
        let mut left = STATES;
        let mut automata = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let automaton = Automaton::new(piece, self.grammar, alphabet, left);
            let states = automaton.as_ref().map_or(0, Automaton::len);
            left -= states;
            *budget = budget.checked_sub(states)?;
            automata.push(automaton);
        }
        let too_large = |index: &usize| {
            let piece = &pieces[*index];
            (automata[*index].is_none() && !is_single(piece)) || self.is_large(piece)
        };
        let large: Vec<Node> = (0..pieces.len())
            .filter(too_large)
            .map(|index| pieces[index].clone())
            .collect();
        if !large.is_empty() {
            return Some(large);
        }
        if automata.iter().any(Option::is_none) {
            return None;
        }
        let follow = Follow::new(self, alphabet, budget)?;
        let mut outrun = Vec::new();
        for (longer, piece) in automata.iter().zip(pieces) {
            if is_single(piece) {
                continue;
            }
            for (ended, next) in automata.iter().zip(&follow.pieces) {
                if let (Some(ended), Some(longer)) = (ended, longer)
                    && ended.is_outrun(longer, next, budget)?
                {
                    outrun.push(piece.clone());
                    break;
                }
            }
        }
        Some(outrun)
    }
}

impl Plan {
    fn parts(&self) -> &[Self] {
        match self {
            Self::Seq(parts) | Self::Alt(parts) => parts,
            Self::Repeat(part, ..) => std::slice::from_ref(part),
            Self::Piece(_) | Self::Leaf(_) => &[],
        }
    }

    fn rules(&self, into: &mut Vec<usize>) {
        if let Self::Leaf(Node::Rule(rule)) = self {
            into.push(*rule);
        }
        self.parts().iter().for_each(|part| part.rules(into));
    }
}

/// What may come after terminals: the sets FIRST and FOLLOW of parsers.
struct Follow {
    /// Of each terminal.
    pieces: Vec<Kinds>,
    rules: Vec<Kinds>,
    /// What rules and terminals may begin with, and whether they may be empty.
    first_of_rules: Vec<(Kinds, bool)>,
    first_of_pieces: Vec<(Kinds, bool)>,
    none: Kinds,
    changed: bool,
}

impl Follow {
    fn new(planner: &Planner<'_>, alphabet: &Alphabet, budget: &mut usize) -> Option<Self> {
        let grammar = planner.grammar;
        let nullable = fixed_point(grammar, is_nullable);
        let none = alphabet.none();
        let mut this = Self {
            pieces: vec![none.clone(); planner.out.pieces.len()],
            rules: vec![none.clone(); grammar.rules.len()],
            first_of_rules: nullable.iter().map(|&null| (none.clone(), null)).collect(),
            first_of_pieces: Vec::new(),
            none,
            changed: true,
        };
        let mut firsts = vec![this.none.clone(); grammar.rules.len()];
        while std::mem::take(&mut this.changed) {
            for rule in (0..grammar.rules.len()).rev() {
                *budget = budget.checked_sub(1)?;
                let first = first_of_node(&grammar.rules[rule], &firsts, &nullable, alphabet);
                this.changed |= firsts[rule].add(&first);
            }
        }
        for ((first, _), found) in this.first_of_rules.iter_mut().zip(&firsts) {
            *first = found.clone();
        }
        for piece in &planner.out.pieces {
            let first = first_of_node(piece, &firsts, &nullable, alphabet);
            this.first_of_pieces
                .push((first, is_nullable(piece, &nullable)));
        }
        this.changed = true;
        while std::mem::take(&mut this.changed) {
            for (rule, plan) in planner.out.rules.iter().enumerate() {
                *budget = budget.checked_sub(1)?;
                if let Some(plan) = plan {
                    let after = this.rules[rule].clone();
                    this.add(plan, &after);
                }
            }
        }
        Some(this)
    }

    /// Notes that `after` may come after what is planned; gives what it may begin with.
    fn add(&mut self, plan: &Plan, after: &Kinds) {
        match plan {
            Plan::Piece(piece) => self.changed |= self.pieces[*piece].add(after),
            Plan::Leaf(Node::Rule(rule)) => self.changed |= self.rules[*rule].add(after),
            Plan::Leaf(_) => {}
            Plan::Alt(parts) => parts.iter().for_each(|part| self.add(part, after)),
            Plan::Repeat(part, ..) => {
                let mut after = after.clone();
                after.add(&self.first(part).0);
                self.add(part, &after);
            }
            Plan::Seq(parts) => {
                let mut after = after.clone();
                for part in parts.iter().rev() {
                    self.add(part, &after);
                    let (mut first, nullable) = self.first(part);
                    if nullable {
                        first.add(&after);
                    }
                    after = first;
                }
            }
        }
    }

    fn first(&self, plan: &Plan) -> (Kinds, bool) {
        match plan {
            Plan::Piece(piece) => self.first_of_pieces[*piece].clone(),
            Plan::Leaf(Node::Rule(rule)) => self.first_of_rules[*rule].clone(),
            Plan::Leaf(_) => (self.none.clone(), false),
            Plan::Repeat(part, least, _) => {
                let (first, nullable) = self.first(part);
                (first, nullable || *least == 0)
            }
            Plan::Alt(parts) => {
                let (mut all, mut any) = (self.none.clone(), false);
                for part in parts {
                    let (first, nullable) = self.first(part);
                    all.add(&first);
                    any |= nullable;
                }
                (all, any)
            }
            Plan::Seq(parts) => {
                let mut all = self.none.clone();
                for part in parts {
                    let (first, nullable) = self.first(part);
                    all.add(&first);
                    if !nullable {
                        return (all, false);
                    }
                }
                (all, true)
            }
        }
    }
}

fn first_of_node(node: &Node, firsts: &[Kinds], nullable: &[bool], alphabet: &Alphabet) -> Kinds {
    let inner = |node: &Node| first_of_node(node, firsts, nullable, alphabet);
    match node {
        Node::Chars(chars) => alphabet.set(chars),
        Node::Text(text) => text
            .first()
            .map_or_else(|| alphabet.none(), |&c| alphabet.one(c)),
        Node::Token(_) => alphabet.none(),
        Node::Rule(rule) => firsts[*rule].clone(),
        Node::Repeat(part, ..) => inner(part),
        Node::Alt(parts) => {
            let mut all = alphabet.none();
            for part in parts {
                all.add(&inner(part));
            }
            all
        }
        Node::Seq(parts) => {
            let mut all = alphabet.none();
            for part in parts {
                all.add(&inner(part));
                if !is_nullable(part, nullable) {
                    break;
                }
            }
            all
        }
    }
}
