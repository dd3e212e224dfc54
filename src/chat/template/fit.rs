//! Makes a conversation fit: whole messages are dropped, oldest first.

use crate::chat::Conversation;
use crate::error::{Error, Result};
use crate::segments::Segment;

use super::ChatTemplate;
use super::units::{Unit, droppable};

/// A conversation rendered within a limit.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Fitted {
    /// The prompt.
    pub segments: Vec<Segment>,
    /// The places of the messages that were dropped, in order.
    pub dropped: Vec<usize>,
    /// The count with all messages.
    pub full_count: usize,
    /// The count of the prompt.
    pub count: usize,
}

/// A prompt without the first units, and what it counts.
struct Shortened {
    units: usize,
    segments: Vec<Segment>,
    count: usize,
}

pub(super) fn render_within(
    template: &ChatTemplate,
    conversation: &Conversation,
    limit: usize,
    count: &mut dyn FnMut(&[Segment]) -> Result<usize>,
) -> Result<Fitted> {
    let segments = template.render(conversation)?;
    let full_count = count(&segments)?;
    if full_count <= limit {
        return Ok(Fitted {
            segments,
            dropped: Vec::new(),
            full_count,
            count: full_count,
        });
    }
    let units = droppable(conversation);
    let mut smallest = full_count;
    let mut best: Option<Shortened> = None;
    let (mut from, mut to) = (1, units.len());
    while from <= to {
        let middle = from + (to - from) / 2;
        let Some(found) = shorten(template, conversation, &units, middle..=to, count)? else {
            to = middle - 1;
            continue;
        };
        smallest = smallest.min(found.count);
        if found.count <= limit {
            to = middle - 1;
            best = Some(found);
        } else {
            from = found.units + 1;
        }
    }
    let Some(best) = best else {
        return Err(Error::argument(format!(
            "the conversation counts {full_count}, and {smallest} without all messages that may be \
             dropped; the limit is {limit}"
        )));
    };
    let dropped = units[..best.units]
        .iter()
        .flat_map(|unit| unit.from..unit.to);
    Ok(Fitted {
        segments: best.segments,
        dropped: dropped.collect(),
        full_count,
        count: best.count,
    })
}

/// Drops the fewest units in the range that leave a conversation which the template accepts. Some want
/// user and assistant to alternate.
fn shorten(
    template: &ChatTemplate,
    conversation: &Conversation,
    units: &[Unit],
    range: std::ops::RangeInclusive<usize>,
    count: &mut dyn FnMut(&[Segment]) -> Result<usize>,
) -> Result<Option<Shortened>> {
    for dropped in range {
        let gone = &units[..dropped];
        let gone = |at: usize| gone.iter().any(|unit| (unit.from..unit.to).contains(&at));
        let messages = conversation.messages.iter().enumerate();
        let messages = messages
            .filter(|(at, _)| !gone(*at))
            .map(|(_, message)| message.clone());
        let shorter = Conversation {
            messages: messages.collect(),
            ..conversation.clone()
        };
        if let Ok(segments) = template.render(&shorter) {
            let count = count(&segments)?;
            return Ok(Some(Shortened {
                units: dropped,
                segments,
                count,
            }));
        }
    }
    Ok(None)
}
