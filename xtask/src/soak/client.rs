//! Requests at random, and what their replies must be.

use std::time::Duration;

use serde_json::{Value, json};

use super::http::{self, Broken, Leave, Reply};
use super::random::Random;
use super::tally::Tally;
use super::{COPY, SMALL, TINY};

/// Routes on which models answer.
pub const INFERENCE: [&str; 4] = [
    "/api/generate",
    "/api/chat",
    "/api/embed",
    "/v1/chat/completions",
];

/// How a reply ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One JSON value.
    Whole,
    /// Lines of JSON, of which the last says `done` or `success`.
    Lines,
    /// Events, of which the last is `[DONE]`.
    Events,
}

pub struct Request {
    pub method: &'static str,
    pub path: &'static str,
    pub body: Value,
    pub shape: Shape,
    pub leave: Leave,
    pub canary: String,
}

impl Request {
    pub fn manage(method: &'static str, path: &'static str, body: Value, shape: Shape) -> Self {
        Self {
            method,
            path,
            body,
            shape,
            leave: Leave::Never,
            canary: String::new(),
        }
    }

    pub fn random(random: &mut Random, tally: &Tally) -> Self {
        let canary = format!("cw{:012x}", random.next() >> 16);
        tally.lock().canaries.insert(canary.clone());
        let model = [SMALL, SMALL, TINY, TINY, COPY][random.below(5)];
        let stream = random.below(2) == 0;
        let tokens = 1 + random.below(32);
        let options =
            json!({"num_predict": tokens, "temperature": 0.5, "seed": random.below(1000)});
        let ask = format!("Repeat the word {canary}. Then tell a story.");
        let system = format!("The secret word is {canary}.");
        let messages = json!([
            {"role": "system", "content": system},
            {"role": "user", "content": "Which word is it?"}
        ]);
        let shape = if stream { Shape::Lines } else { Shape::Whole };
        let (method, path, body, shape) = match random.below(10) {
            0 | 1 => {
                let body =
                    json!({"model": model, "prompt": ask, "stream": stream, "options": options});
                ("POST", "/api/generate", body, shape)
            }
            2 | 3 => {
                let body = json!({"model": model, "messages": messages, "stream": stream, "options": options});
                ("POST", "/api/chat", body, shape)
            }
            4 | 5 => {
                let shape = if stream { Shape::Events } else { Shape::Whole };
                let body = json!({"model": model, "messages": messages, "stream": stream, "max_tokens": tokens});
                ("POST", "/v1/chat/completions", body, shape)
            }
            6 => {
                let body = json!({"model": model, "input": [ask, system]});
                ("POST", "/api/embed", body, Shape::Whole)
            }
            7 => ("GET", "/api/tags", Value::Null, Shape::Whole),
            8 => ("GET", "/api/ps", Value::Null, Shape::Whole),
            _ => ("POST", "/api/show", json!({"model": model}), Shape::Whole),
        };
        let leave = match random.below(10) {
            0 if shape != Shape::Whole => Leave::After(random.below(6)),
            1 if shape != Shape::Whole => Leave::After(1),
            2 if method == "POST" => Leave::Early(Duration::from_millis(random.below(300) as u64)),
            _ => Leave::Never,
        };
        Self {
            method,
            path,
            body,
            shape,
            leave,
            canary,
        }
    }

    /// Sends it, and notes what came of it. Says the status that was seen.
    pub fn send(&self, address: &str, tally: &Tally) -> Option<u16> {
        let body = match &self.body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let result = http::ask(address, self.method, self.path, &body, self.leave);
        let mut seen = tally.lock();
        seen.requests += 1;
        let reply = match result {
            Ok(reply) => reply,
            Err(Broken::Left) => {
                seen.aborts += 1;
                *seen.early.entry(self.path.to_owned()).or_default() += 1;
                return None;
            }
            Err(Broken::Hung(why)) => {
                seen.fault(format!("{} hung: {why}: {body}", self.path));
                return None;
            }
            Err(Broken::Cut(why)) => {
                seen.fault(format!("{} was cut: {why}: {body}", self.path));
                return None;
            }
        };
        let key = (self.path.to_owned(), reply.status);
        *seen.replies.entry(key).or_default() += 1;
        let text = self.text(&reply);
        let crossed = words(&text)
            .into_iter()
            .find(|word| *word != self.canary && seen.canaries.contains(*word));
        if let Some(word) = crossed {
            let own = &self.canary;
            seen.fault(format!(
                "{}: the reply to {own} holds another's {word}: {text}",
                self.path
            ));
        }
        if reply.left {
            seen.aborts += 1;
            return Some(reply.status);
        }
        match self.outcome(&reply) {
            Ok(None) => {
                seen.answers += 1;
                // What manages models has no canary, and is no answer of a model.
                if let Some(model) = self.body["model"].as_str()
                    && !self.canary.is_empty()
                {
                    let key = (self.path, model.to_owned());
                    *seen.by_model.entry(key).or_default() += 1;
                    seen.repeated += u64::from(text.contains(&self.canary));
                }
            }
            Ok(Some(error)) => {
                let kind = format!("{} {error}", reply.status);
                *seen.errors.entry(kind).or_default() += 1;
            }
            Err(why) => seen.fault(format!(
                "{} {}: {why}: {body}: {:?}",
                self.path, reply.status, reply.body
            )),
        }
        Some(reply.status)
    }

    /// An answer, an error that says what is wrong, or neither.
    fn outcome(&self, reply: &Reply) -> Result<Option<String>, String> {
        if reply.status == 503 && !reply.retry_after {
            return Err("503 without Retry-After".into());
        }
        let values = self.values(&reply.body)?;
        let last = values.last();
        let error = last.and_then(|last| {
            let error = last.get("error")?;
            error.as_str().or_else(|| error.get("message")?.as_str())
        });
        if let Some(error) = error {
            return Ok(Some(error.chars().take(100).collect()));
        }
        if reply.status != 200 {
            return Err("no error is told".into());
        }
        let ended = match self.shape {
            Shape::Whole => true,
            Shape::Lines => {
                last.is_some_and(|last| last["done"] == true || last["status"] == "success")
            }
            Shape::Events => reply.body.trim_end().ends_with("data: [DONE]"),
        };
        match ended {
            true => Ok(None),
            false => Err("the stream ends neither with its end nor with an error".into()),
        }
    }

    fn values(&self, body: &str) -> Result<Vec<Value>, String> {
        let parse = |text: &str| serde_json::from_str(text).map_err(|e| format!("{e} in {text:?}"));
        // Refusals of streams are one JSON value.
        let events = self.shape == Shape::Events && !body.starts_with('{');
        match (events, self.shape) {
            (true, _) => body
                .lines()
                .filter_map(|line| line.strip_prefix("data: "))
                .filter(|data| *data != "[DONE]")
                .map(parse)
                .collect(),
            // Some replies, as those of copy and delete, are empty.
            (false, _) if body.trim().is_empty() => Ok(Vec::new()),
            (false, Shape::Lines) => body.lines().map(parse).collect(),
            (false, _) => parse(body).map(|value| vec![value]),
        }
    }

    /// What a reader of the reply reads: the pieces of a stream put together.
    fn text(&self, reply: &Reply) -> String {
        let Ok(values) = self.values(&reply.body) else {
            return reply.body.clone();
        };
        let piece = |value: &Value| {
            let places = [
                "/response",
                "/message/content",
                "/choices/0/delta/content",
                "/choices/0/message/content",
            ];
            let found = places
                .iter()
                .find_map(|place| value.pointer(place)?.as_str());
            found.map_or_else(|| value.to_string(), str::to_owned)
        };
        values.iter().map(piece).collect()
    }
}

/// All that can be a canary.
fn words(text: &str) -> Vec<&str> {
    text.match_indices("cw")
        .filter_map(|(at, _)| text.get(at..at + 14))
        .collect()
}
