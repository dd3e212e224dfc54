//! Evaluates pipelines.

use super::ast::{Command, Pipe, Term, Word};
use super::exec::Exec;
use super::failure::{Failure, Outcome};
use super::functions::{self, Arity};
use super::value::Value;

impl<'t> Exec<'t> {
    /// The value of a pipeline, which its variables get.
    pub(super) fn pipe(&mut self, dot: &Value, pipe: &'t Pipe) -> Outcome<Value> {
        self.enter(pipe.at)?;
        let mut value = None;
        for command in &pipe.commands {
            let next = self.command(dot, command, value)?;
            value = Some(match next {
                Value::Nil => Value::Invalid,
                next => next,
            });
        }
        self.leave();
        let value = value.unwrap_or(Value::Invalid);
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(pipe.at, name, value.clone())?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    pub(super) fn assign(&mut self, at: u32, name: &str, value: Value) -> Outcome<()> {
        let index = self.find(at, name)?;
        if let Some(variable) = self.variables.get_mut(index) {
            variable.1 = value;
        }
        Ok(())
    }

    /// Where the innermost variable of this name is.
    fn find(&mut self, at: u32, name: &str) -> Outcome<usize> {
        let variables = self.variables.get(self.scope..).unwrap_or_default();
        let found = variables.iter().rposition(|(known, _)| *known == name);
        let looked_at = variables.len() - found.unwrap_or(0);
        self.spend(at, looked_at / 16)?;
        match found {
            Some(index) => Ok(self.scope + index),
            None => Err(Failure::at(at, format!("undefined variable: {name}"))),
        }
    }

    /// The value of a command; `last` is what the command before it gave, the last argument of this.
    fn command(
        &mut self,
        dot: &Value,
        command: &'t Command,
        last: Option<Value>,
    ) -> Outcome<Value> {
        let Some((word, arguments)) = command.words.split_first() else {
            return Ok(Value::Invalid);
        };
        self.spend(word.at, 1)?;
        let called = !arguments.is_empty() || last.is_some();
        if let Term::Function(name) = &word.term {
            return self.call(dot, word.at, name, arguments, last);
        }
        match &word.term {
            Term::Nil => Err(Failure::at(word.at, "nil is not a command")),
            Term::Pipe(pipe) if !called => self.pipe(dot, pipe),
            _ => self.term(dot, word, called),
        }
    }

    /// The value of a word as an argument.
    fn argument(&mut self, dot: &Value, word: &'t Word) -> Outcome<Value> {
        self.spend(word.at, 1)?;
        match &word.term {
            Term::Function(name) => self.call(dot, word.at, name, &[], None),
            Term::Nil => Ok(Value::Nil),
            Term::Pipe(pipe) => self.pipe(dot, pipe),
            _ => self.term(dot, word, false),
        }
    }

    /// The value of a word that is neither function nor nil nor, unless `called`, in parentheses. Arguments
    /// follow when it is `called`, which only functions take.
    fn term(&mut self, dot: &Value, word: &'t Word, called: bool) -> Outcome<Value> {
        let (value, fields) = match &word.term {
            Term::Fields(fields) => (dot.clone(), fields.as_slice()),
            Term::Variable(name, fields) => {
                let index = self.find(word.at, name)?;
                let variable = self.variables.get(index);
                let value = variable.map_or(Value::Invalid, |(_, value)| value.clone());
                (value, fields.as_slice())
            }
            Term::Chain(inner, fields) => (self.argument(dot, inner)?, fields.as_slice()),
            Term::Dot => (dot.clone(), &[][..]),
            Term::Bool(value) => (Value::Bool(*value), &[][..]),
            Term::Int(value) => (Value::Int(*value), &[][..]),
            Term::Float(value) => (Value::Float(*value), &[][..]),
            Term::Text(text) => {
                self.spend_text(word.at, text.0.len())?;
                (Value::Text(text.to_text()), &[][..])
            }
            Term::Pipe(_) | Term::Function(_) | Term::Nil => (Value::Invalid, &[][..]),
        };
        let takes_any = !fields.is_empty() && matches!(value, Value::Invalid);
        if called && !takes_any {
            return Err(Failure::at(word.at, "can't give argument to non-function"));
        }
        let mut value = value;
        for field in fields {
            value = self.field(word.at, value, field)?;
        }
        Ok(value)
    }

    fn field(&mut self, at: u32, value: Value, name: &str) -> Outcome<Value> {
        self.spend(at, 1)?;
        let room = self.room;
        if let Some(result) = functions::method(&value, name, room) {
            if let Value::Text(text) = &result {
                self.spend_text(at, text.len())?;
            }
            return Ok(result);
        }
        let cause = match &value {
            Value::Invalid => return Ok(Value::Invalid),
            Value::Nil => format!("nil pointer evaluating interface {{}}.{name}"),
            Value::Ordered(None) => format!("nil pointer evaluating {}.{name}", value.described()),
            Value::Map(map) => return Ok(map.get(name.as_bytes())),
            Value::Struct(fields) => match fields.get(name) {
                Some(value) => return Ok(value.clone()),
                None => format!("can't evaluate field {name} in type {}", value.described()),
            },
            _ => format!("can't evaluate field {name} in type {}", value.described()),
        };
        Err(Failure::at(at, cause))
    }

    fn call(
        &mut self,
        dot: &Value,
        at: u32,
        name: &str,
        words: &'t [Word],
        last: Option<Value>,
    ) -> Outcome<Value> {
        check_count(name, words.len() + usize::from(last.is_some()), at)?;
        if matches!(name, "and" | "or") {
            return self.first_decisive(dot, name == "or", words, last);
        }
        let arguments = self.arguments(dot, at, name, words, last)?;
        self.apply(at, name, &arguments)
    }

    #[inline(never)]
    fn arguments(
        &mut self,
        dot: &Value,
        at: u32,
        name: &str,
        words: &'t [Word],
        last: Option<Value>,
    ) -> Outcome<Vec<Value>> {
        let mut arguments = Vec::with_capacity(words.len() + 1);
        for (index, word) in words.iter().enumerate() {
            let argument = self.argument(dot, word)?;
            must_be_text(name, index, &argument, word.at)?;
            arguments.push(argument);
        }
        if let Some(last) = last {
            must_be_text(name, words.len(), &last, at)?;
            arguments.push(last);
        }
        Ok(arguments)
    }

    #[inline(never)]
    fn apply(&mut self, at: u32, name: &str, arguments: &[Value]) -> Outcome<Value> {
        // What is read takes time as well as what is made.
        let whole = functions::reads_whole(name);
        let read: usize = arguments.iter().map(|value| value.weight(whole)).sum();
        self.spend(at, read)?;
        match functions::call(name, arguments, &self.today, self.room) {
            Ok(Value::Text(text)) => {
                self.spend_text(at, text.len())?;
                Ok(Value::Text(text))
            }
            Ok(value) => Ok(value),
            Err(cause) => Err(Failure::at(at, format!("error calling {name}: {cause}"))),
        }
    }

    /// `and` and `or`: the first argument that decides, the rest is not evaluated; else the last.
    fn first_decisive(
        &mut self,
        dot: &Value,
        decides: bool,
        words: &'t [Word],
        last: Option<Value>,
    ) -> Outcome<Value> {
        let mut value = Value::Invalid;
        for word in words {
            value = self.argument(dot, word)?;
            if value.is_true() == decides {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }
}

#[inline(never)]
fn check_count(name: &str, count: usize, at: u32) -> Outcome<()> {
    let Some(Arity { least, most }) = functions::arity(name) else {
        return Err(Failure::at(
            at,
            format!("{name:?} is not a defined function"),
        ));
    };
    if count < least || most.is_some_and(|most| count > most) {
        let want = if most.is_some() { "" } else { "at least " };
        let cause = format!("wrong number of args for {name}: want {want}{least} got {count}");
        return Err(Failure::at(at, cause));
    }
    Ok(())
}

#[inline(never)]
fn must_be_text(function: &str, index: usize, value: &Value, at: u32) -> Outcome<()> {
    if !functions::takes_text(function, index) || matches!(value, Value::Text(_)) {
        return Ok(());
    }
    let cause = format!(
        "wrong type for value of {function}; expected string; got {}",
        value.described()
    );
    Err(Failure::at(at, cause))
}
