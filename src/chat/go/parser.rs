//! From tokens to the tree of a template.

use std::collections::HashMap;

use super::ast::{Branches, Command, Node, Pipe, Term, Tree, Word};
use super::failure::{Failure, Outcome};
use super::functions;
use super::lexer::{self, Keyword, Kind, Token, Tokens};
use super::{limits, literal};

pub(super) fn parse(source: &str) -> Outcome<Tree> {
    if source.len() > limits::SOURCE {
        return Err(Failure::nowhere(format!(
            "{} bytes are more than the {} allowed",
            source.len(),
            limits::SOURCE
        )));
    }
    let mut parser = Parser {
        source,
        tokens: lexer::tokens(source),
        at: 0,
        depth: 0,
        scope: Scope::default(),
        defined: HashMap::new(),
    };
    let mut root = parser.root()?;
    // The whole has a name as well, the empty one.
    match parser.defined.remove("") {
        Some(named) if is_blank(&root) => root = named,
        Some(named) if !is_blank(&named) => {
            return Err(Failure::nowhere("multiple definition of template \"\""));
        }
        _ => {}
    }
    Ok(Tree {
        root,
        defined: parser.defined,
    })
}

/// What may be named at a place.
#[derive(Default)]
struct Scope {
    variables: Vec<String>,
    /// How often each name is among the variables.
    counts: HashMap<String, usize>,
    /// How many `range`s it is in.
    ranges: usize,
}

impl Scope {
    fn declare(&mut self, name: &str) {
        self.variables.push(name.to_owned());
        *self.counts.entry(name.to_owned()).or_default() += 1;
    }

    fn leave(&mut self, count: usize) {
        for name in self.variables.drain(count..) {
            if let Some(count) = self.counts.get_mut(&name) {
                *count -= 1;
            }
        }
    }

    fn knows(&self, name: &str) -> bool {
        name == "$" || self.counts.get(name).is_some_and(|&count| count > 0)
    }
}

/// What ends a list of nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    End,
    Else,
}

enum Item {
    Node(Node),
    Stop(Stop),
}

struct Parser<'s> {
    source: &'s str,
    tokens: Tokens,
    at: usize,
    depth: usize,
    scope: Scope,
    defined: HashMap<String, Vec<Node>>,
}

impl Parser<'_> {
    /// The token at hand; the last one stays.
    fn peek(&self) -> Token {
        let last = self.tokens.list.len() - 1;
        self.tokens.list[self.at.min(last)]
    }

    fn next(&mut self) -> Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.at += 1;
        }
    }

    fn peek_solid(&mut self) -> Token {
        self.skip_space();
        self.peek()
    }

    fn next_solid(&mut self) -> Token {
        self.skip_space();
        self.next()
    }

    fn word(&self, token: Token) -> &str {
        let range = token.start as usize..token.end as usize;
        self.source.get(range).unwrap_or_default()
    }

    fn unexpected<T>(&self, token: Token, context: &str) -> Outcome<T> {
        let what = match token.kind {
            Kind::Error => return Err(Failure::at(token.start, self.tokens.error.clone())),
            Kind::End => "EOF".to_owned(),
            _ => format!("{:?}", self.word(token)),
        };
        fail(token, format!("unexpected {what} in {context}"))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Outcome<Token> {
        let token = self.next_solid();
        if token.kind == kind {
            Ok(token)
        } else {
            self.unexpected(token, context)
        }
    }

    /// Goes one level further down.
    fn enter(&mut self) -> Outcome<()> {
        if self.depth == limits::DEPTH {
            let cause = format!("more than {} blocks or parentheses deep", limits::DEPTH);
            return fail(self.peek(), cause);
        }
        self.depth += 1;
        Ok(())
    }

    fn root(&mut self) -> Outcome<Vec<Node>> {
        let mut nodes = Vec::new();
        while self.peek().kind != Kind::End {
            let token = self.peek();
            if token.kind == Kind::Open {
                let before = self.at;
                self.at += 1;
                if self.next_solid().kind == Kind::Keyword(Keyword::Define) {
                    self.definition()?;
                    continue;
                }
                self.at = before;
            }
            match self.text_or_action()? {
                Item::Node(node) => nodes.push(node),
                Item::Stop(Stop::End) => return fail(token, "unexpected {{end}}"),
                Item::Stop(Stop::Else) => return fail(token, "unexpected {{else}}"),
            }
        }
        Ok(nodes)
    }

    fn definition(&mut self) -> Outcome<()> {
        let token = self.next_solid();
        let name = self.template_name(token, "define clause")?;
        self.expect(Kind::Close, "define clause")?;
        let outer = std::mem::take(&mut self.scope);
        let (nodes, stop) = self.list()?;
        self.scope = outer;
        if stop != Stop::End {
            return fail(self.peek(), "unexpected {{else}} in define clause");
        }
        self.define(token, name, nodes)
    }

    /// Of two definitions, one that is empty gives way.
    fn define(&mut self, token: Token, name: String, nodes: Vec<Node>) -> Outcome<()> {
        match self.defined.get(&name) {
            Some(old) if !is_blank(old) => {
                if !is_blank(&nodes) {
                    let cause = format!("multiple definition of template {name:?}");
                    return fail(token, cause);
                }
            }
            _ => {
                self.defined.insert(name, nodes);
            }
        }
        Ok(())
    }

    fn template_name(&self, token: Token, context: &str) -> Outcome<String> {
        if !matches!(token.kind, Kind::Quoted | Kind::Raw) {
            return self.unexpected(token, context);
        }
        let name = literal::text(self.word(token));
        match name.and_then(|name| String::from_utf8(name.0).ok()) {
            Some(name) => Ok(name),
            None => fail(token, "invalid syntax"),
        }
    }

    /// Up to an `end` or `else`, which is passed.
    fn list(&mut self) -> Outcome<(Vec<Node>, Stop)> {
        let mut nodes = Vec::new();
        while self.peek_solid().kind != Kind::End {
            match self.text_or_action()? {
                Item::Node(node) => nodes.push(node),
                Item::Stop(stop) => return Ok((nodes, stop)),
            }
        }
        fail(self.peek(), "unexpected EOF")
    }

    fn text_or_action(&mut self) -> Outcome<Item> {
        let token = self.next_solid();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text(self.word(token).to_owned()))),
            Kind::Open => self.action(),
            _ => self.unexpected(token, "input"),
        }
    }

    fn action(&mut self) -> Outcome<Item> {
        let token = self.peek_solid();
        match token.kind {
            Kind::Keyword(Keyword::Nil) => self.command_action(),
            Kind::Keyword(keyword) => {
                self.at += 1;
                match keyword {
                    Keyword::If | Keyword::With | Keyword::Range | Keyword::Block => {
                        self.nested(keyword)
                    }
                    keyword => self.short_action(token, keyword),
                }
            }
            _ => self.command_action(),
        }
    }

    fn command_action(&mut self) -> Outcome<Item> {
        let pipe = self.pipeline("command", Kind::Close)?;
        Ok(Item::Node(Node::Action(pipe)))
    }

    /// An action that contains others. Few locals, as these calls are within each other.
    fn nested(&mut self, keyword: Keyword) -> Outcome<Item> {
        self.enter()?;
        let node = match keyword {
            Keyword::If => self.branches(keyword, "if"),
            Keyword::With => self.branches(keyword, "with"),
            Keyword::Range => self.range(),
            _ => self.block(),
        };
        self.depth -= 1;
        node.map(Item::Node)
    }

    /// An action without a body.
    fn short_action(&mut self, token: Token, keyword: Keyword) -> Outcome<Item> {
        Ok(match keyword {
            Keyword::End => {
                self.expect(Kind::Close, "end")?;
                Item::Stop(Stop::End)
            }
            Keyword::Else => {
                let chained = [Keyword::If, Keyword::With].map(Kind::Keyword);
                if !chained.contains(&self.peek_solid().kind) {
                    self.expect(Kind::Close, "else")?;
                }
                Item::Stop(Stop::Else)
            }
            Keyword::Template => Item::Node(self.template()?),
            Keyword::Break => Item::Node(self.leave(token, Node::Break, "{{break}}")?),
            Keyword::Continue => Item::Node(self.leave(token, Node::Continue, "{{continue}}")?),
            _ => return self.unexpected(token, "command"),
        })
    }

    fn leave(&mut self, token: Token, node: Node, name: &str) -> Outcome<Node> {
        self.expect(Kind::Close, name)?;
        if self.scope.ranges == 0 {
            return fail(token, format!("{name} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    fn branches(&mut self, keyword: Keyword, context: &str) -> Outcome<Node> {
        let variables = self.scope.variables.len();
        let mut branches = Branches {
            arms: Vec::new(),
            otherwise: Vec::new(),
        };
        loop {
            let pipe = self.pipeline(context, Kind::Close)?;
            let (nodes, stop) = self.list()?;
            branches.arms.push((pipe, nodes));
            if stop == Stop::End {
                break;
            }
            if self.peek().kind == Kind::Keyword(keyword) {
                self.at += 1;
                continue;
            }
            branches.otherwise = self.otherwise()?;
            break;
        }
        self.scope.leave(variables);
        Ok(match keyword {
            Keyword::With => Node::With(branches),
            _ => Node::If(branches),
        })
    }

    /// What follows an `else`, up to its `end`.
    fn otherwise(&mut self) -> Outcome<Vec<Node>> {
        let (nodes, stop) = self.list()?;
        if stop == Stop::Else {
            return fail(self.peek(), "expected end; found {{else}}");
        }
        Ok(nodes)
    }

    fn range(&mut self) -> Outcome<Node> {
        let variables = self.scope.variables.len();
        let pipe = self.pipeline("range", Kind::Close)?;
        self.scope.ranges += 1;
        let (body, stop) = self.list()?;
        self.scope.ranges -= 1;
        let otherwise = match stop {
            Stop::End => Vec::new(),
            Stop::Else => self.otherwise()?,
        };
        self.scope.leave(variables);
        Ok(Node::Range {
            pipe,
            body,
            otherwise,
        })
    }

    fn template(&mut self) -> Outcome<Node> {
        let token = self.next_solid();
        let name = self.template_name(token, "template clause")?;
        let pipe = if self.peek_solid().kind == Kind::Close {
            self.at += 1;
            None
        } else {
            Some(self.pipeline("template clause", Kind::Close)?)
        };
        Ok(Node::Template {
            at: token.start,
            name,
            pipe,
        })
    }

    fn block(&mut self) -> Outcome<Node> {
        let token = self.next_solid();
        let name = self.template_name(token, "block clause")?;
        let pipe = self.pipeline("block clause", Kind::Close)?;
        let outer = std::mem::take(&mut self.scope);
        let (nodes, stop) = self.list()?;
        self.scope = outer;
        if stop != Stop::End {
            return fail(self.peek(), "unexpected {{else}} in block clause");
        }
        self.define(token, name.clone(), nodes)?;
        Ok(Node::Template {
            at: token.start,
            name,
            pipe: Some(pipe),
        })
    }

    /// A pipeline and the token after it.
    fn pipeline(&mut self, context: &str, end: Kind) -> Outcome<Pipe> {
        let mut pipe = Pipe {
            at: self.peek_solid().start,
            ..Pipe::default()
        };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.peek_solid();
            if token.kind == end {
                self.at += 1;
                break;
            }
            match token.kind {
                Kind::Bool
                | Kind::Char
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Keyword(Keyword::Nil)
                | Kind::Raw
                | Kind::Quoted
                | Kind::Variable
                | Kind::LeftParen => {
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(token, context),
            }
        }
        if pipe.commands.is_empty() {
            return fail(self.peek(), format!("missing value for {context}"));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            if let Some(word) = command.words.first()
                && matches!(
                    word.term,
                    Term::Bool(_)
                        | Term::Dot
                        | Term::Nil
                        | Term::Int(_)
                        | Term::Float(_)
                        | Term::Text(_)
                )
            {
                let cause = format!("non executable command in pipeline stage {}", index + 1);
                return Err(Failure::at(word.at, cause));
            }
        }
        Ok(pipe)
    }

    /// The variables that a pipeline begins with, if it does.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Outcome<()> {
        loop {
            let variable = self.peek_solid();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            let before = self.at;
            self.at += 1;
            let next = self.peek_solid();
            if !matches!(next.kind, Kind::Assign | Kind::Declare | Kind::Comma) {
                self.at = before;
                return Ok(());
            }
            self.at += 1;
            let name = self.word(variable).to_owned();
            self.scope.declare(&name);
            pipe.variables.push(name);
            if next.kind != Kind::Comma {
                pipe.assigns = next.kind == Kind::Assign;
                return Ok(());
            }
            if context != "range" || pipe.variables.len() > 1 {
                return fail(next, format!("too many declarations in {context}"));
            }
            let follows = self.peek_solid().kind;
            if !matches!(follows, Kind::Variable | Kind::Close | Kind::RightParen) {
                return fail(next, "range can only initialize variables");
            }
        }
    }

    fn command(&mut self) -> Outcome<Command> {
        let mut command = Command::default();
        loop {
            self.skip_space();
            if let Some(word) = self.operand()? {
                command.words.push(word);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::Close | Kind::RightParen => self.at -= 1,
                Kind::Pipe => {}
                _ => return self.unexpected(token, "operand"),
            }
            break;
        }
        if command.words.is_empty() {
            return fail(self.peek(), "empty command");
        }
        Ok(command)
    }

    /// A term with the fields after it.
    fn operand(&mut self) -> Outcome<Option<Word>> {
        let Some(mut word) = self.term()? else {
            return Ok(None);
        };
        let mut fields = Vec::new();
        let at = self.peek().start;
        while self.peek().kind == Kind::Field {
            let token = self.next();
            fields.push(self.word(token)[1..].to_owned());
        }
        if fields.is_empty() {
            return Ok(Some(word));
        }
        match &mut word.term {
            Term::Fields(names) | Term::Variable(_, names) => names.append(&mut fields),
            Term::Function(_) | Term::Pipe(_) | Term::Chain(..) => {
                word = Word {
                    at,
                    term: Term::Chain(Box::new(word), fields),
                };
            }
            _ => return Err(Failure::at(at, "unexpected . after term")),
        }
        Ok(Some(word))
    }

    fn term(&mut self) -> Outcome<Option<Word>> {
        let token = self.next_solid();
        let text = self.word(token);
        let term = match token.kind {
            Kind::Identifier if functions::exists(text) => Term::Function(text.to_owned()),
            Kind::Identifier => return fail(token, format!("function {text:?} not defined")),
            Kind::Dot => Term::Dot,
            Kind::Keyword(Keyword::Nil) => Term::Nil,
            Kind::Variable if self.scope.knows(text) => Term::Variable(text.to_owned(), Vec::new()),
            Kind::Variable => return fail(token, format!("undefined variable {text:?}")),
            Kind::Field => Term::Fields(vec![text[1..].to_owned()]),
            Kind::Bool => Term::Bool(text == "true"),
            Kind::Char => match literal::character(text) {
                Some(value) => Term::Int(value),
                None => return fail(token, format!("malformed character constant: {text}")),
            },
            Kind::Number | Kind::Complex => match literal::number(text) {
                Ok(term) => term,
                Err(cause) => return fail(token, cause),
            },
            Kind::Quoted | Kind::Raw => match literal::text(text) {
                Some(text) => Term::Text(text),
                None => return fail(token, "invalid syntax"),
            },
            Kind::LeftParen => {
                self.enter()?;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.depth -= 1;
                Term::Pipe(Box::new(pipe))
            }
            _ => {
                self.at -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Word {
            at: token.start,
            term,
        }))
    }
}

fn fail<T>(token: Token, cause: impl Into<String>) -> Outcome<T> {
    Err(Failure::at(token.start, cause))
}

fn is_blank(nodes: &[Node]) -> bool {
    let blank = |node: &Node| matches!(node, Node::Text(text) if text.trim().is_empty());
    nodes.iter().all(blank)
}
