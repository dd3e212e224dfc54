//! Writes the Lark grammar. Every part of parts gets a name of its own: Lark nests 30 deep.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::super::lark::{Lark, quoted};
use super::pieces::{Pieces, Plan};
use super::{Chars, Grammar, Node};

pub(super) fn emit(grammar: &Grammar, pieces: &Pieces) -> Lark {
    let mut rules = Rules {
        out: Lark::new(),
        groups: 0,
    };
    rules.out.push(&format!("start: r{}\n", grammar.root));
    for (number, plan) in pieces.rules.iter().enumerate() {
        if let Some(plan) = plan {
            rules.define(&format!("r{number}"), plan);
        }
    }
    let mut terminals = Terminals {
        out: String::new(),
        groups: 0,
    };
    let mut named = BTreeSet::new();
    for (number, piece) in pieces.pieces.iter().enumerate() {
        terminals.define(&format!("P{number}"), piece);
        piece.rules(&mut named);
    }
    let mut written = BTreeSet::new();
    while let Some(rule) = named.pop_first() {
        if written.insert(rule) {
            let node = &grammar.rules[rule];
            terminals.define(&format!("R{rule}"), node);
            node.rules(&mut named);
        }
    }
    let mut out = rules.out;
    out.push(&terminals.out);
    out
}

/// Rules, which may ask for tokens.
struct Rules {
    out: Lark,
    groups: usize,
}

impl Rules {
    fn define(&mut self, name: &str, plan: &Plan) {
        let mut inner = Vec::new();
        self.out.push(&format!("{name}: "));
        match plan {
            Plan::Alt(options) => {
                for (index, option) in options.iter().enumerate() {
                    if index > 0 {
                        self.out.push(" | ");
                    }
                    self.operand(option, &mut inner);
                }
            }
            Plan::Seq(parts) if parts.is_empty() => self.out.push("\"\""),
            Plan::Seq(parts) => {
                for part in parts {
                    self.operand(part, &mut inner);
                    self.out.push(" ");
                }
            }
            Plan::Repeat(part, least, most) => {
                self.operand(part, &mut inner);
                self.out.push(&repetition(*least, *most));
            }
            Plan::Piece(_) | Plan::Leaf(_) => self.operand(plan, &mut inner),
        }
        self.out.push("\n");
        for (name, plan) in inner {
            self.define(&name, plan);
        }
    }

    fn operand<'a>(&mut self, plan: &'a Plan, inner: &mut Vec<(String, &'a Plan)>) {
        match plan {
            Plan::Piece(number) => self.out.push(&format!("P{number}")),
            Plan::Leaf(Node::Rule(rule)) => self.out.push(&format!("r{rule}")),
            Plan::Leaf(Node::Token(wanted)) => self.out.push_tokens(wanted.clone()),
            _ => {
                let name = format!("g{}", self.groups);
                self.groups += 1;
                self.out.push(&name);
                inner.push((name, plan));
            }
        }
    }
}

/// Terminals, which are text alone.
struct Terminals {
    out: String,
    groups: usize,
}

impl Terminals {
    fn define(&mut self, name: &str, node: &Node) {
        let mut inner = Vec::new();
        let text = match node {
            Node::Alt(options) => {
                let options = options
                    .iter()
                    .map(|option| self.operand(option, &mut inner));
                options.collect::<Vec<_>>().join(" | ")
            }
            Node::Seq(parts) if parts.is_empty() => "\"\"".to_owned(),
            Node::Seq(parts) => {
                let parts = parts.iter().map(|part| self.operand(part, &mut inner));
                parts.collect::<Vec<_>>().join(" ")
            }
            Node::Repeat(part, least, most) => {
                self.operand(part, &mut inner) + &repetition(*least, *most)
            }
            _ => self.operand(node, &mut inner),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "{name}: {text}");
        for (name, node) in inner {
            self.define(&name, node);
        }
    }

    fn operand<'a>(&mut self, node: &'a Node, inner: &mut Vec<(String, &'a Node)>) -> String {
        match node {
            Node::Chars(chars) => class(chars),
            Node::Text(text) => quoted(&text.iter().collect::<String>()),
            Node::Rule(rule) => format!("R{rule}"),
            _ => {
                let name = format!("G{}", self.groups);
                self.groups += 1;
                inner.push((name.clone(), node));
                name
            }
        }
    }
}

fn class(chars: &Chars) -> String {
    let ranges = chars.0.iter().map(|&(from, to)| {
        let (from, to) = (u32::from(from), u32::from(to));
        format!("\\x{{{from:x}}}-\\x{{{to:x}}}")
    });
    format!("/[{}]/", ranges.collect::<String>())
}

fn repetition(least: u32, most: Option<u32>) -> String {
    match (least, most) {
        (0, None) => "*".to_owned(),
        (1, None) => "+".to_owned(),
        (0, Some(1)) => "?".to_owned(),
        (least, None) => format!("{{{least},}}"),
        (least, Some(most)) => format!("{{{least},{most}}}"),
    }
}
