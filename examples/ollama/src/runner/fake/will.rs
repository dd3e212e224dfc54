//! What a prompt tells a fake runner to do.

use std::time::Duration;

use crate::runner::wire::Completion;

/// What a prompt wants.
#[derive(Debug, Default)]
pub(super) struct Will {
    pub(super) pieces: Vec<String>,
    pub(super) slow: Duration,
    pub(super) hang: bool,
    pub(super) die: bool,
    pub(super) bad: Option<String>,
}

/// The last thing that a prompt wants: from its word to the end of the message or line.
fn last_wish(prompt: &str) -> &str {
    let words = ["say:", "count:", "slow:", "hang", "die", "bad:"];
    let starts = words
        .iter()
        .flat_map(|word| prompt.match_indices(word).map(|(at, _)| at));
    let begins = |at: &usize| {
        let before = prompt
            .get(..*at)
            .and_then(|before| before.chars().next_back());
        before.is_none_or(|c| matches!(c, '\n' | '>' | ']'))
    };
    let Some(at) = starts.filter(begins).max() else {
        return "";
    };
    let wish = prompt.get(at..).unwrap_or("");
    let end = wish.find("<|end|>").or_else(|| wish.find('\n'));
    wish.get(..end.unwrap_or(wish.len())).unwrap_or("")
}

pub(super) fn will(prompt: &str, request: &Completion) -> Will {
    let mut will = Will::default();
    let mut rest = last_wish(prompt);
    if let Some(slow) = rest.strip_prefix("slow:") {
        let (time, after) = slow.split_once(' ').unwrap_or((slow, ""));
        will.slow = Duration::from_millis(time.parse().unwrap_or(10));
        rest = after;
    }
    if let Some(said) = rest.strip_prefix("say:") {
        let said: Vec<char> = said.replace("\\n", "\n").chars().collect();
        will.pieces = said.chunks(4).map(|piece| piece.iter().collect()).collect();
    } else if let Some(count) = rest.strip_prefix("count:") {
        will.pieces = (0..count.parse().unwrap_or(3))
            .map(|i: u32| format!("w{i} "))
            .collect();
    } else if rest.starts_with("hang") {
        will.hang = true;
    } else if rest.starts_with("die") {
        will.die = true;
        will.pieces = vec!["last ".to_owned()];
    } else if let Some(bad) = rest.strip_prefix("bad:") {
        will.bad = Some(bad.to_owned());
    } else if request.constraint.is_some() {
        will.pieces = vec!["{\"a\":".to_owned(), " 1}".to_owned()];
    } else {
        will.pieces = vec!["Hel".to_owned(), "lo!".to_owned()];
    }
    will
}
