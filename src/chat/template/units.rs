//! Which messages of a conversation may be dropped, and which only together.

use crate::chat::Conversation;

/// Messages that are dropped together: one, and the tools' results after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) from: usize,
    /// The first one behind.
    pub(crate) to: usize,
}

/// All that may be dropped, oldest first: not what the system said, and not the last unit. An answer that
/// is to be continued stays with what it answers.
pub(crate) fn droppable(conversation: &Conversation) -> Vec<Unit> {
    let messages = &conversation.messages;
    let mut units: Vec<Unit> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        match message.role.as_str() {
            "system" | "developer" => {}
            "tool" | "function" | "ipython" if units.last().is_some_and(|unit| unit.to == at) => {
                if let Some(unit) = units.last_mut() {
                    unit.to = at + 1;
                }
            }
            _ => units.push(Unit {
                from: at,
                to: at + 1,
            }),
        }
    }
    let kept = 1 + usize::from(conversation.continue_last_message);
    units.truncate(units.len().saturating_sub(kept));
    units
}
