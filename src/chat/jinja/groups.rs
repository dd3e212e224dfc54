//! Puts the parts of a text into groups, one for each message that can be dropped alone.

use std::collections::HashMap;

use crate::chat::Conversation;
use crate::chat::template::units::{Unit, droppable};
use crate::segments::{Origin, Segment};

use super::Rendering;
use super::context::Places;
use super::origin::{self, Origins};

/// The segments of a text. Where the borders of messages are not certain, no segment is in a group.
pub(super) fn find(rendering: &Rendering, text: &str, origins: Origins) -> Vec<Segment> {
    let units = droppable(rendering.conversation);
    // A system message between others would be dropped with them.
    let gaps = units.windows(2).any(|pair| pair[0].to != pair[1].from);
    match borders(rendering, text, &origins, &units) {
        Some(borders) if !gaps && holds(rendering, text, &units, &borders) => {
            cut(origins, &units, &borders)
        }
        _ => origins.into_segments(),
    }
}

/// Where each unit begins, and where the last one ends.
fn borders(
    rendering: &Rendering,
    text: &str,
    origins: &Origins,
    units: &[Unit],
) -> Option<Vec<usize>> {
    let messages = &rendering.conversation.messages;
    let first = units.first()?.from;
    let end = units.last()?.to;
    let starts = starts(origins, messages.len())?;
    let mut ends_of_turns = HashMap::new();
    let mut openings: HashMap<&str, &str> = HashMap::new();
    let mut borders = Vec::with_capacity(units.len() + 1);
    for at in units.iter().map(|unit| unit.to).filter(|to| *to <= end) {
        let start = *starts.get(at)?;
        let gap = &text[last_written(origins, start)..start];
        let closing = match ends_of_turns.get(gap) {
            Some(length) => *length,
            None => {
                let length = closing(rendering, at)
                    .filter(|closing| gap.starts_with(closing))?
                    .len();
                ends_of_turns.insert(gap, length);
                length
            }
        };
        let opening = &gap[closing..];
        let known = openings
            .entry(messages.get(at)?.role.as_str())
            .or_insert(opening);
        if *known != opening {
            return None;
        }
        borders.push(start - opening.len());
    }
    // The first one begins as others of its role do.
    let start = *starts.get(first)?;
    let opening = openings.get(messages.get(first)?.role.as_str())?;
    if !text[..start].ends_with(opening) {
        return None;
    }
    borders.insert(0, start - opening.len());
    borders.is_sorted().then_some(borders)
}

/// Where the text of each message begins: all of them are there, in order, and none is within another.
fn starts(origins: &Origins, count: usize) -> Option<Vec<usize>> {
    let mut starts: Vec<usize> = Vec::with_capacity(count);
    for &(at, message) in &origins.anchors {
        let message = message as usize;
        if message == starts.len() {
            starts.push(at);
        } else if message + 1 != starts.len() {
            return None;
        }
    }
    (starts.len() == count).then_some(starts)
}

/// The end of the last part before this byte that a message wrote.
fn last_written(origins: &Origins, before: usize) -> usize {
    let mut at = 0;
    let mut end = 0;
    for part in &origins.parts {
        let to = at + part.text.len();
        if to > before {
            break;
        }
        if part.origin == Origin::Message {
            end = to;
        }
        at = to;
    }
    end
}

/// What the template writes behind the last of so many messages.
fn closing(rendering: &Rendering, count: usize) -> Option<String> {
    let mut conversation: Conversation = rendering.conversation.clone();
    conversation.messages.truncate(count);
    conversation.add_generation_prompt = false;
    conversation.continue_last_message = false;
    let shorter = rendering.with(&conversation);
    let mut origins = origin::render(&shorter, &mut Places::default()).ok()??;
    let last = origins.parts.pop()?;
    Some(match last.origin {
        Origin::Template => last.text,
        Origin::Message => String::new(),
    })
}

/// Whether the text without its first units is what the template writes for the other messages. Templates
/// may refuse some of the shorter conversations.
fn holds(rendering: &Rendering, text: &str, units: &[Unit], borders: &[usize]) -> bool {
    for count in 1..=units.len().min(4) {
        let mut conversation = rendering.conversation.clone();
        conversation
            .messages
            .drain(units[0].from..units[count - 1].to);
        if let Ok(expected) = rendering.with(&conversation).text() {
            let (from, to) = (borders[0], borders[count]);
            return expected.len() == text.len() - (to - from)
                && expected.starts_with(&text[..from])
                && expected.ends_with(&text[to..]);
        }
    }
    false
}

fn cut(origins: Origins, units: &[Unit], borders: &[usize]) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut at = 0;
    for part in origins.parts {
        let mut rest = &*part.text;
        while !rest.is_empty() {
            let next = borders.iter().find(|border| **border > at);
            let (head, tail) =
                rest.split_at(next.map_or(rest.len(), |next| rest.len().min(next - at)));
            // The border before it belongs to the unit of the same place.
            let passed = borders.iter().filter(|border| **border <= at).count();
            let unit = passed.checked_sub(1).and_then(|unit| units.get(unit));
            segments.push(Segment {
                text: head.to_owned(),
                origin: part.origin,
                group: unit.and_then(|unit| u32::try_from(unit.from).ok()),
            });
            at += head.len();
            rest = tail;
        }
    }
    segments
}
