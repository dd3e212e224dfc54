//! Makes calls of what was read, and gives them out with their texts.

use std::ops::Range;

use super::{Block, Next, fail, give};
use crate::chat::message::ToolCall;
use crate::chat::parse::calls::{self, Found, Known, invalid};
use crate::chat::parse::loose::Loose;
use crate::chat::parse::part::{AnswerPart, CallError};
use crate::chat::parse::program::Make;

impl Block {
    pub(super) fn make(&mut self, make: Make, known: &Known, out: &mut Vec<AnswerPart>) -> Next {
        let value = self.raw.get(self.value.clone()).unwrap_or("");
        let name = self.name.trim();
        let id = (!self.id.is_empty()).then(|| self.id.clone());
        let one = match make {
            Make::Json(shape) => {
                if self.bare && !self.committed && !calls::is_call(value, known) {
                    return fail("it is no call");
                }
                let found = calls::from_json(value, shape, known);
                return self.give_list(found, out);
            }
            Make::Python => {
                let inner = value.trim_start().strip_prefix('[').unwrap_or("");
                if inner.trim_start().starts_with('{') {
                    let found = calls::from_json(value, calls::Shape::Named, known);
                    return self.give_list(found, out);
                }
                match Loose::new(value, None).calls() {
                    Ok(calls) => {
                        let certain = self.committed || !self.bare;
                        if !certain && calls.iter().any(|(name, _)| !known.has(name)) {
                            return fail("it is no call");
                        }
                        let place = self.value.clone();
                        let calls = calls
                            .into_iter()
                            .map(|(name, arguments)| known.call(None, &name, arguments));
                        return match calls.collect::<Result<Vec<_>, _>>() {
                            Ok(calls) => self.give_calls(calls, out),
                            // Where one of several is wrong, their texts cannot be told apart.
                            Err(error) => self.give_error(place, error, out),
                        };
                    }
                    Err(why) => Err(CallError::Invalid(why)),
                }
            }
            Make::Header => calls::value(value)
                .and_then(calls::object)
                .and_then(|arguments| known.call(id, name, arguments)),
            Make::Kimi => {
                let plain = name.strip_prefix("functions.").unwrap_or(name);
                let plain = plain.rsplit_once(':').map_or(plain, |(name, _)| name);
                calls::value(value)
                    .and_then(calls::object)
                    .and_then(|arguments| known.call(Some(name.to_owned()), plain, arguments))
            }
            Make::Arguments => known.call(id, name, std::mem::take(&mut self.arguments)),
            Make::Builtin => Loose::new(&format!("call{value}"), None)
                .calls()
                .map_err(CallError::Invalid)
                .and_then(|mut calls| calls.pop().ok_or_else(|| invalid("it is no call")))
                .and_then(|(_, arguments)| {
                    let name = name.strip_suffix(".call").unwrap_or(name);
                    known.call(None, name, arguments)
                }),
            Make::Quoted(quote) => Loose::new(value, Some(quote))
                .only()
                .map_err(CallError::Invalid)
                .and_then(calls::object)
                .and_then(|arguments| known.call(None, name, arguments)),
        };
        match one {
            Ok(call) => self.give_calls(vec![call], out),
            Err(_) if !self.committed => fail("it is no call"),
            Err(error) => self.give_error(0..self.pos, error, out),
        }
    }

    /// Gives out calls that are elements of the value, and the text before each.
    fn give_list(&mut self, found: Vec<Found>, out: &mut Vec<AnswerPart>) -> Next {
        let base = self.value.start;
        let alone = found.len() == 1;
        let mut given = 0;
        for found in found {
            let mut place = base + found.place.start..base + found.place.end;
            if alone && found.call.is_err() {
                place = 0..self.pos;
            }
            give(
                out,
                self.raw.get(given..place.start).unwrap_or("").to_owned(),
            );
            let text = self.raw.get(place.clone()).unwrap_or("").to_owned();
            given = place.end;
            match found.call {
                Ok(call) => {
                    give(out, text);
                    out.extend(call.map(AnswerPart::ToolCall));
                }
                Err(error) => out.push(AnswerPart::Malformed { text, error }),
            }
        }
        self.given(given, out)
    }

    fn give_calls(&mut self, calls: Vec<ToolCall>, out: &mut Vec<AnswerPart>) -> Next {
        let next = self.given(0, out);
        out.extend(calls.into_iter().map(AnswerPart::ToolCall));
        next
    }

    fn give_error(
        &mut self,
        place: Range<usize>,
        error: CallError,
        out: &mut Vec<AnswerPart>,
    ) -> Next {
        give(out, self.raw.get(..place.start).unwrap_or("").to_owned());
        let text = self.raw.get(place.clone()).unwrap_or("").to_owned();
        out.push(AnswerPart::Malformed { text, error });
        self.given(place.end, out)
    }

    /// Gives out what the program has read but the beginning, which was given out.
    fn given(&mut self, from: usize, out: &mut Vec<AnswerPart>) -> Next {
        let rest = self.raw.split_off(self.pos);
        let read = std::mem::replace(&mut self.raw, rest);
        give(out, read.get(from..).unwrap_or("").to_owned());
        self.pos = 0;
        self.looked = 0;
        self.value = 0..0;
        self.made = true;
        self.committed = false;
        Next::On
    }
}
