//! Refuses grammars that have no end: rules that begin with themselves, or that match no finite text.

use std::collections::BTreeSet;

use super::super::compile::Refusal;
use super::{Grammar, Node};

pub(super) fn check(grammar: &Grammar) -> Result<(), Refusal> {
    let nullable = fixed_point(grammar, is_nullable);
    if let Some(rule) = begins_with_itself(grammar, &nullable) {
        let name = &grammar.names[rule];
        return Err(Refusal::bad(format!(
            "the rule {name:?} begins with itself (left recursion)"
        )));
    }
    let finite = fixed_point(grammar, is_finite);
    if let Some(rule) = finite.iter().position(|finite| !finite) {
        let name = &grammar.names[rule];
        return Err(Refusal::bad(format!(
            "the rule {name:?} matches no finite text: it always contains itself"
        )));
    }
    Ok(())
}

/// Of each rule what follows from that of others.
pub(super) fn fixed_point(grammar: &Grammar, holds: impl Fn(&Node, &[bool]) -> bool) -> Vec<bool> {
    let mut known = vec![false; grammar.rules.len()];
    loop {
        let mut changed = false;
        // Rules mostly stand before those that they name.
        for rule in (0..known.len()).rev() {
            if !known[rule] && holds(&grammar.rules[rule], &known) {
                known[rule] = true;
                changed = true;
            }
        }
        if !changed {
            return known;
        }
    }
}

pub(super) fn is_nullable(node: &Node, known: &[bool]) -> bool {
    match node {
        Node::Chars(_) | Node::Text(_) | Node::Token(_) => false,
        Node::Rule(rule) => known[*rule],
        Node::Seq(parts) => parts.iter().all(|part| is_nullable(part, known)),
        Node::Alt(parts) => parts.iter().any(|part| is_nullable(part, known)),
        Node::Repeat(part, least, _) => *least == 0 || is_nullable(part, known),
    }
}

fn is_finite(node: &Node, known: &[bool]) -> bool {
    match node {
        Node::Chars(_) | Node::Text(_) | Node::Token(_) => true,
        Node::Rule(rule) => known[*rule],
        Node::Seq(parts) => parts.iter().all(|part| is_finite(part, known)),
        Node::Alt(parts) => parts.iter().any(|part| is_finite(part, known)),
        Node::Repeat(part, least, _) => *least == 0 || is_finite(part, known),
    }
}

fn begins_with_itself(grammar: &Grammar, nullable: &[bool]) -> Option<usize> {
    let firsts: Vec<BTreeSet<usize>> = grammar
        .rules
        .iter()
        .map(|node| {
            let mut rules = BTreeSet::new();
            add_first(node, nullable, &mut rules);
            rules
        })
        .collect();
    // Rules that begin with no rule that may begin with itself, until no more are found.
    let mut sound = vec![false; firsts.len()];
    loop {
        let before = sound.iter().filter(|sound| **sound).count();
        for rule in (0..sound.len()).rev() {
            sound[rule] = sound[rule] || firsts[rule].iter().all(|&first| sound[first]);
        }
        let now = sound.iter().filter(|sound| **sound).count();
        if now == before {
            break;
        }
    }
    // From one of the others the way leads into a circle.
    let mut rule = sound.iter().position(|sound| !sound)?;
    let mut seen = vec![false; firsts.len()];
    while !std::mem::replace(&mut seen[rule], true) {
        rule = *firsts[rule].iter().find(|&&first| !sound[first])?;
    }
    Some(rule)
}

/// Adds the rules that a text of the node may begin with.
fn add_first(node: &Node, nullable: &[bool], into: &mut BTreeSet<usize>) {
    match node {
        Node::Chars(_) | Node::Text(_) | Node::Token(_) => {}
        Node::Rule(rule) => drop(into.insert(*rule)),
        Node::Alt(parts) => parts
            .iter()
            .for_each(|part| add_first(part, nullable, into)),
        Node::Repeat(part, ..) => add_first(part, nullable, into),
        Node::Seq(parts) => {
            for part in parts {
                add_first(part, nullable, into);
                if !is_nullable(part, nullable) {
                    break;
                }
            }
        }
    }
}
