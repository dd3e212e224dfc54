//! Executes a template.

use super::ast::{Branches, Node, Pipe, Tree};
use super::failure::{Failure, Outcome};
use super::functions::Today;
use super::text::{Author, Buffer};
use super::value::{List, StructKind, Value};
use super::{limits, print};

/// Executes templates into one output, within one set of limits.
pub(super) struct Exec<'t> {
    pub(super) tree: &'t Tree,
    pub(super) today: Today,
    pub(super) out: Buffer,
    pub(super) variables: Vec<(&'t str, Value)>,
    /// The first variable of the template that is executed.
    pub(super) scope: usize,
    depth: usize,
    /// Whether a `range` over messages is under way.
    in_message: bool,
    steps: u64,
    /// Bytes of text that may still be made.
    pub(super) room: usize,
}

/// How a list of nodes ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

impl<'t> Exec<'t> {
    pub(super) fn new(tree: &'t Tree, today: Today) -> Self {
        Self {
            tree,
            today,
            out: Buffer::new(limits::OUTPUT),
            variables: Vec::new(),
            scope: 0,
            depth: 0,
            in_message: false,
            steps: 0,
            room: limits::TEXT,
        }
    }

    /// Executes a template on its data.
    pub(super) fn run(&mut self, nodes: &'t [Node], data: &Value) -> Outcome<()> {
        self.variables.clear();
        self.scope = 0;
        self.depth = 0;
        self.variables.push(("$", data.clone()));
        self.walk(data, nodes)?;
        Ok(())
    }

    /// Counts `steps` more.
    pub(super) fn spend(&mut self, at: u32, steps: usize) -> Outcome<()> {
        self.steps += steps as u64;
        if self.steps > limits::STEPS {
            let cause = format!("more than {} steps", limits::STEPS);
            return Err(Failure::at(at, cause));
        }
        Ok(())
    }

    /// Counts text that was made.
    pub(super) fn spend_text(&mut self, at: u32, bytes: usize) -> Outcome<()> {
        let Some(room) = self.room.checked_sub(bytes) else {
            let cause = format!("more than {} bytes of text", limits::TEXT);
            return Err(Failure::at(at, cause));
        };
        self.room = room;
        self.spend(at, bytes / 64)
    }

    /// Goes one level further down.
    pub(super) fn enter(&mut self, at: u32) -> Outcome<()> {
        if self.depth == limits::DEPTH {
            let cause = format!(
                "more than {} blocks, parentheses or templates deep",
                limits::DEPTH
            );
            return Err(Failure::at(at, cause));
        }
        self.depth += 1;
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    fn written(&mut self, at: u32, before: usize) -> Outcome<()> {
        if self.out.overflowed() {
            let cause = format!("the output is longer than {} bytes", limits::OUTPUT);
            return Err(Failure::at(at, cause));
        }
        self.spend_text(at, self.out.cost() - before)
    }

    fn walk(&mut self, dot: &Value, nodes: &'t [Node]) -> Outcome<Flow> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => {
                    self.write_text(text)?;
                    Flow::Next
                }
                Node::Action(pipe) => {
                    self.action(dot, pipe)?;
                    Flow::Next
                }
                Node::If(branches) => self.branches(dot, branches, false)?,
                Node::With(branches) => self.branches(dot, branches, true)?,
                Node::Range {
                    pipe,
                    body,
                    otherwise,
                } => self.range(dot, pipe, body, otherwise)?,
                Node::Template { at, name, pipe } => {
                    self.template(dot, *at, name, pipe.as_ref())?;
                    Flow::Next
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    /// A list of nodes one level further down.
    fn block(&mut self, at: u32, dot: &Value, nodes: &'t [Node]) -> Outcome<Flow> {
        self.spend(at, 1)?;
        self.enter(at)?;
        let flow = self.walk(dot, nodes)?;
        self.leave();
        Ok(flow)
    }

    #[inline(never)]
    fn write_text(&mut self, text: &str) -> Outcome<()> {
        let before = self.out.cost();
        self.out.push(text.as_bytes(), Author::Template);
        self.spend(0, 1)?;
        self.written(0, before)
    }

    #[inline(never)]
    fn action(&mut self, dot: &Value, pipe: &'t Pipe) -> Outcome<()> {
        let value = self.pipe(dot, pipe)?;
        if pipe.variables.is_empty() {
            let before = self.out.cost();
            print::action(&mut self.out, &value);
            self.written(pipe.at, before)?;
        }
        Ok(())
    }

    #[inline(never)]
    fn branches(&mut self, dot: &Value, branches: &'t Branches, with: bool) -> Outcome<Flow> {
        let mark = self.variables.len();
        let mut at = 0;
        for (pipe, nodes) in &branches.arms {
            at = pipe.at;
            let value = self.pipe(dot, pipe)?;
            if value.is_true() {
                let dot = if with { &value } else { dot };
                let flow = self.block(at, dot, nodes)?;
                self.variables.truncate(mark);
                return Ok(flow);
            }
        }
        let flow = self.block(at, dot, &branches.otherwise)?;
        self.variables.truncate(mark);
        Ok(flow)
    }

    #[inline(never)]
    fn range(
        &mut self,
        dot: &Value,
        pipe: &'t Pipe,
        body: &'t [Node],
        otherwise: &'t [Node],
    ) -> Outcome<Flow> {
        let mark = self.variables.len();
        let value = self.pipe(dot, pipe)?;
        let items = match &value {
            Value::Int(_) if pipe.variables.len() > 1 => {
                let cause = "can't use an int to iterate over more than one variable";
                return Err(Failure::at(pipe.at, cause));
            }
            Value::Int(count) => usize::try_from(*count).unwrap_or(0),
            Value::List(list) => list.len(),
            Value::Map(map) => map.entries().len(),
            Value::Invalid | Value::Nil => 0,
            other => {
                let cause = format!("range can't iterate over {}", other.described());
                return Err(Failure::at(pipe.at, cause));
            }
        };
        for index in 0..items {
            let (key, item) = entry(&value, index);
            if self.iteration(pipe, key, &item, body)? == Flow::Break {
                break;
            }
        }
        self.variables.truncate(mark);
        if items == 0 {
            return self.block(pipe.at, dot, otherwise);
        }
        Ok(Flow::Next)
    }

    /// One turn of a `range`. Where it is over messages, what it writes belongs to the message's group,
    /// whatever ranges are inside of it.
    fn iteration(
        &mut self,
        pipe: &'t Pipe,
        key: Value,
        item: &Value,
        body: &'t [Node],
    ) -> Outcome<Flow> {
        let mark = self.variables.len();
        let outer = (self.out.group, self.in_message);
        if let Value::Struct(value) = item
            && value.kind == StructKind::Message
            && !self.in_message
        {
            self.out.group = value.group;
            self.in_message = true;
        }
        let set = |exec: &mut Self, nth: usize, value: Value| {
            let name = &pipe.variables[nth];
            if pipe.assigns {
                return exec.assign(pipe.at, name, value);
            }
            // They were declared by the pipeline, in this order, just before.
            if let Some(variable) = exec.variables.get_mut(mark - pipe.variables.len() + nth) {
                variable.1 = value;
            }
            Ok(())
        };
        match pipe.variables.len() {
            0 => {}
            1 => set(self, 0, item.clone())?,
            _ => {
                set(self, 0, key)?;
                set(self, 1, item.clone())?;
            }
        }
        let flow = self.block(pipe.at, item, body)?;
        self.variables.truncate(mark);
        (self.out.group, self.in_message) = outer;
        Ok(flow)
    }

    #[inline(never)]
    fn template(
        &mut self,
        dot: &Value,
        at: u32,
        name: &str,
        pipe: Option<&'t Pipe>,
    ) -> Outcome<()> {
        let nodes = match self.tree.defined.get(name) {
            Some(nodes) => nodes,
            None if name.is_empty() => &self.tree.root,
            None => {
                return Err(Failure::at(at, format!("template {name:?} not defined")));
            }
        };
        let dot = match pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Invalid,
        };
        let outer = std::mem::replace(&mut self.scope, self.variables.len());
        self.variables.push(("$", dot.clone()));
        self.block(at, &dot, nodes)?;
        self.variables.truncate(self.scope);
        self.scope = outer;
        Ok(())
    }
}

fn entry(value: &Value, index: usize) -> (Value, Value) {
    let number = Value::Int(index as i64);
    let item = |list: &List| list.items().get(index).cloned();
    match value {
        Value::List(list) => (number, item(list).unwrap_or(Value::Invalid)),
        Value::Map(map) => match map.entries().get(index) {
            Some((key, value)) => (Value::Text(key.clone()), value.clone()),
            None => (Value::Invalid, Value::Invalid),
        },
        _ => (Value::Invalid, number),
    }
}
