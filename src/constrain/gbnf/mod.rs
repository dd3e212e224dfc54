//! GBNF, the grammars of llama.cpp's programs, as Lark grammars that match the same texts.
//!
//! GBNF knows only characters, Lark terminals that match as much as they can. What has no recursion
//! becomes one terminal. Else terminals are made as long as they can be without a text that GBNF reads
//! in one way and the longest matches in another.

mod alphabet;
mod automaton;
mod check;
mod emit;
mod parse;
mod pieces;

use std::collections::BTreeSet;

use super::compile::Refusal;
use super::lark::{Lark, Wanted};
use super::limits;
use crate::error::Result;

/// What a rule matches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Node {
    /// One character of these.
    Chars(Chars),
    /// These characters, at least two.
    Text(Vec<char>),
    /// What a rule matches.
    Rule(usize),
    /// A token, which is no text.
    Token(Wanted),
    Seq(Vec<Node>),
    Alt(Vec<Node>),
    /// At least and at most so many.
    Repeat(Box<Node>, u32, Option<u32>),
}

/// Ranges of code points, sorted and apart; never none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Chars(Vec<(char, char)>);

struct Grammar {
    names: Vec<String>,
    rules: Vec<Node>,
    root: usize,
}

/// The Lark grammar of the texts that a GBNF grammar matches.
pub(super) fn to_lark(text: &str) -> Result<Lark> {
    let about = |refusal: Refusal| refusal.about("GBNF grammar");
    if text.len() > limits::TEXT {
        return Err(about(Refusal::large(format!(
            "it has {} bytes; it may have {}",
            text.len(),
            limits::TEXT
        ))));
    }
    let grammar = parse::parse(text).map_err(about)?;
    check::check(&grammar).map_err(about)?;
    let plan = pieces::plan(&grammar);
    Ok(emit::emit(&grammar, &plan))
}

impl Node {
    fn empty() -> Self {
        Self::Seq(Vec::new())
    }

    /// Several nodes one after the other; a single one is itself.
    fn seq(mut nodes: Vec<Self>) -> Self {
        match nodes.len() {
            1 => nodes.remove(0),
            _ => Self::Seq(nodes),
        }
    }

    fn parts(&self) -> &[Self] {
        match self {
            Self::Seq(parts) | Self::Alt(parts) => parts,
            Self::Repeat(part, ..) => std::slice::from_ref(part),
            _ => &[],
        }
    }

    /// Adds the rules that are named in it.
    fn rules(&self, into: &mut BTreeSet<usize>) {
        if let Self::Rule(rule) = self {
            into.insert(*rule);
        }
        self.parts().iter().for_each(|part| part.rules(into));
    }
}
