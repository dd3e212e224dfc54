//! Reads GBNF as `llama_grammar_parser` of llama.cpp does.

use std::collections::HashMap;

use super::super::compile::Refusal;
use super::super::lark::{TokenName, Wanted};
use super::super::limits;
use super::{Chars, Grammar, Node};

/// The longest repetition; upstream's own is 2,000.
const REPEAT: u32 = 10_000;
/// Parts of a grammar: characters, classes, names, groups.
const NODES: usize = 20_000;

type Parsed<T> = std::result::Result<T, Refusal>;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// The rule that is being read.
    rule: String,
    /// Every name, in the order in which they come, with its rule once that is known.
    numbers: HashMap<String, usize>,
    rules: Vec<Option<Node>>,
    depth: usize,
    nodes: usize,
}

pub(super) fn parse(text: &str) -> Parsed<Grammar> {
    let mut parser = Parser {
        text,
        at: 0,
        rule: String::new(),
        numbers: HashMap::new(),
        rules: Vec::new(),
        depth: 0,
        nodes: 0,
    };
    parser.space(true);
    while !parser.rest().is_empty() {
        parser.rule()?;
    }
    parser.finish()
}

impl Parser<'_> {
    fn finish(self) -> Parsed<Grammar> {
        let mut names = vec![String::new(); self.numbers.len()];
        for (name, number) in self.numbers {
            names[number] = name;
        }
        let mut rules = Vec::with_capacity(names.len());
        for (name, rule) in names.iter().zip(self.rules) {
            let undefined = || Refusal::bad(format!("the rule {name:?} is not defined"));
            rules.push(rule.ok_or_else(undefined)?);
        }
        let root = names.iter().position(|name| name == "root");
        let root = root.ok_or_else(|| Refusal::bad("there is no rule \"root\""))?;
        Ok(Grammar { names, rules, root })
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn error<T>(&self, why: &str) -> Parsed<T> {
        let line = self.text[..self.at].matches('\n').count() + 1;
        let place = match self.rule.as_str() {
            "" => format!("line {line}"),
            rule => format!("line {line}, rule {rule:?}"),
        };
        Err(Refusal::bad(format!("{why} ({place})")))
    }

    fn count(&mut self, nodes: usize) -> Parsed<()> {
        self.nodes += nodes;
        if self.nodes > NODES {
            return Err(Refusal::large(format!(
                "too large: more than {NODES} parts"
            )));
        }
        Ok(())
    }

    /// Blanks and comments; line breaks where a rule goes on.
    fn space(&mut self, lines: bool) {
        loop {
            match self.peek() {
                Some(' ' | '\t') => self.at += 1,
                Some('\r' | '\n') if lines => self.at += 1,
                Some('#') => {
                    let rest = self.rest();
                    self.at += rest.find(['\r', '\n']).unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    fn name(&mut self) -> Parsed<String> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let rest = self.rest();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        if name.is_empty() {
            return self.error("a name is missing");
        }
        self.at += end;
        Ok(name)
    }

    fn number_of(&mut self, name: String) -> usize {
        let next = self.numbers.len();
        let number = *self.numbers.entry(name).or_insert(next);
        if number == next {
            self.rules.push(None);
        }
        number
    }

    fn rule(&mut self) -> Parsed<()> {
        self.rule.clear();
        let name = self.name()?;
        let number = self.number_of(name.clone());
        self.rule = name;
        self.space(false);
        if !self.rest().starts_with("::=") {
            return self.error("\"::=\" is missing");
        }
        self.at += 3;
        self.space(true);
        let node = self.alternatives(false)?;
        if self.rules[number].replace(node).is_some() {
            return self.error("the rule is defined twice");
        }
        match self.peek() {
            None | Some('\r' | '\n') => {}
            Some(other) => return self.error(&format!("{other:?} is not expected")),
        }
        self.space(true);
        Ok(())
    }

    fn alternatives(&mut self, nested: bool) -> Parsed<Node> {
        let mut options = vec![self.sequence(nested)?];
        while self.take('|') {
            self.space(true);
            options.push(self.sequence(nested)?);
        }
        Ok(match options.len() {
            1 => options.remove(0),
            _ => Node::Alt(options),
        })
    }

    fn sequence(&mut self, nested: bool) -> Parsed<Node> {
        let mut nodes: Vec<Node> = Vec::new();
        loop {
            match self.peek() {
                Some('*' | '+' | '?' | '{') => {
                    let (least, most) = self.repetition(nested)?;
                    let Some(node) = nodes.pop() else {
                        return self.error("nothing to repeat");
                    };
                    nodes.push(match most {
                        Some(0) => Node::empty(),
                        _ => Node::Repeat(Box::new(node), least, most),
                    });
                }
                Some(_) => match self.item()? {
                    Some(node) => nodes.push(node),
                    None => break,
                },
                None => break,
            }
            self.count(1)?;
            self.space(nested);
        }
        Ok(Node::seq(nodes))
    }

    /// `None` where no item begins.
    fn item(&mut self) -> Parsed<Option<Node>> {
        let Some(first) = self.peek() else {
            return Ok(None);
        };
        Ok(Some(match first {
            '"' => self.text()?,
            '[' => self.class()?,
            '<' | '!' => self.token()?,
            '.' => {
                self.at += 1;
                Node::Chars(Chars::all())
            }
            '(' => {
                self.at += 1;
                self.depth += 1;
                if self.depth > limits::DEPTH {
                    let why = format!("groups nested more than {} deep", limits::DEPTH);
                    return Err(Refusal::large(why));
                }
                self.space(true);
                let node = self.alternatives(true)?;
                if !self.take(')') {
                    return self.error("\")\" is missing");
                }
                self.depth -= 1;
                node
            }
            c if c.is_ascii_alphanumeric() || c == '-' => {
                let name = self.name()?;
                Node::Rule(self.number_of(name))
            }
            _ => return Ok(None),
        }))
    }

    fn text(&mut self) -> Parsed<Node> {
        self.at += 1;
        let mut chars = Vec::new();
        while !self.take('"') {
            chars.push(self.char()?);
            self.count(1)?;
        }
        Ok(match chars[..] {
            [] => Node::empty(),
            [only] => Node::Chars(Chars(vec![(only, only)])),
            _ => Node::Text(chars),
        })
    }

    fn class(&mut self) -> Parsed<Node> {
        self.at += 1;
        let negated = self.take('^');
        let mut ranges = Vec::new();
        while !self.take(']') {
            let from = self.char()?;
            let mut to = from;
            if self.rest().starts_with('-') && !self.rest().starts_with("-]") {
                self.at += 1;
                to = self.char()?;
            }
            if from > to {
                return self.error(&format!("{from:?}-{to:?} is no range"));
            }
            ranges.push((from, to));
            self.count(1)?;
        }
        if ranges.is_empty() {
            return self.error("a class without characters");
        }
        let chars = Chars::new(ranges);
        match if negated {
            chars.negated()
        } else {
            Some(chars)
        } {
            Some(chars) => Ok(Node::Chars(chars)),
            None => self.error("a class without characters"),
        }
    }

    fn char(&mut self) -> Parsed<char> {
        let Some(c) = self.peek() else {
            return self.error("the grammar ends in a text or a class");
        };
        self.at += c.len_utf8();
        if c != '\\' {
            return Ok(c);
        }
        let Some(escaped) = self.peek() else {
            return self.error("the grammar ends after a backslash");
        };
        self.at += escaped.len_utf8();
        match escaped {
            'x' => self.hex(2),
            'u' => self.hex(4),
            'U' => self.hex(8),
            't' => Ok('\t'),
            'r' => Ok('\r'),
            'n' => Ok('\n'),
            '\\' | '"' | '[' | ']' | '-' => Ok(escaped),
            _ => self.error(&format!("\\{escaped} is no escape")),
        }
    }

    fn hex(&mut self, digits: usize) -> Parsed<char> {
        let found = self.rest().get(..digits);
        let found = found.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = found.and_then(|hex| u32::from_str_radix(hex, 16).ok());
        match code.and_then(char::from_u32) {
            Some(c) => {
                self.at += digits;
                Ok(c)
            }
            None => self.error(&format!(
                "{digits} hexadecimal digits of a character are missing"
            )),
        }
    }

    /// `<name>`, `<[id]>`, and with `!` every other token.
    fn token(&mut self) -> Parsed<Node> {
        let negated = self.take('!');
        let name = match self.rest().find('>') {
            Some(end) if self.rest().starts_with('<') => self.rest()[..=end].to_owned(),
            _ => return self.error("a token, <name> or <[id]>, is missing"),
        };
        let token = match name.strip_prefix("<[").map(|id| id.strip_suffix("]>")) {
            None => TokenName::Named(name.clone()),
            Some(id) => match id.and_then(|id| id.parse().ok()) {
                Some(id) => TokenName::Ids(id, id),
                None => return self.error(&format!("{name:?} is no token")),
            },
        };
        self.at += name.len();
        let tokens = vec![token];
        Ok(Node::Token(Wanted { negated, tokens }))
    }

    fn repetition(&mut self, nested: bool) -> Parsed<(u32, Option<u32>)> {
        if self.take('*') {
            return Ok((0, None));
        }
        if self.take('+') {
            return Ok((1, None));
        }
        if self.take('?') {
            return Ok((0, Some(1)));
        }
        self.at += 1;
        self.space(nested);
        let least = self.times()?;
        self.space(nested);
        if self.take('}') {
            return Ok((least, Some(least)));
        }
        if !self.take(',') {
            return self.error("\",\" is missing");
        }
        self.space(nested);
        let most = match self.peek() {
            Some('}') => None,
            _ => Some(self.times()?),
        };
        self.space(nested);
        if !self.take('}') {
            return self.error("\"}\" is missing");
        }
        if most.is_some_and(|most| most < least) {
            return self.error(&format!(
                "at least {least} and at most {}",
                most.unwrap_or(0)
            ));
        }
        Ok((least, most))
    }

    fn times(&mut self) -> Parsed<u32> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        if end == 0 {
            return self.error("a number is missing");
        }
        let times = rest[..end].parse().ok().filter(|&times| times <= REPEAT);
        self.at += end;
        match times {
            Some(times) => Ok(times),
            None => Err(Refusal::large(format!(
                "too many repetitions in rule {:?}: at most {REPEAT}",
                self.rule
            ))),
        }
    }
}
