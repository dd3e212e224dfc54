//! Bytes that remember who wrote them, as Go's strings are bytes and prompts must know.

use std::rc::Rc;

use crate::segments::{Origin, Segment};

/// Who wrote a stretch of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Author {
    /// The template, or a value that it computed.
    Template,
    /// The message of this index.
    Message(u32),
    /// A definition of a tool, or a variable of the caller's.
    Caller,
}

impl Author {
    fn origin(self) -> Origin {
        match self {
            Self::Template => Origin::Template,
            Self::Message(_) | Self::Caller => Origin::Message,
        }
    }
}

/// A stretch ends at `end` and begins where the one before it ends.
#[derive(Debug, Clone, Copy)]
struct Run {
    end: usize,
    author: Author,
    group: Option<u32>,
}

/// What a run costs beside its bytes, so that many short ones stay within the limit too.
const RUN_COST: usize = size_of::<Run>();

/// Text under construction, up to a limit. What goes beyond it is left out and remembered.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    runs: Vec<Run>,
    /// Which group the text belongs to that comes next.
    pub(super) group: Option<u32>,
    limit: usize,
    overflowed: bool,
}

impl Buffer {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            runs: Vec::new(),
            group: None,
            limit,
            overflowed: false,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8], author: Author) {
        if bytes.is_empty() {
            return;
        }
        let group = self.group;
        let continues = self
            .runs
            .last()
            .is_some_and(|run| run.author == author && run.group == group);
        let runs = self.runs.len() + usize::from(!continues);
        let cost = self.bytes.len() + bytes.len() + runs * RUN_COST;
        if self.overflowed || cost > self.limit {
            self.overflowed = true;
            return;
        }
        self.bytes.extend_from_slice(bytes);
        let end = self.bytes.len();
        match self.runs.last_mut() {
            Some(run) if continues => run.end = end,
            _ => self.runs.push(Run { end, author, group }),
        }
    }

    /// Text of the template.
    pub(super) fn push_str(&mut self, text: &str) {
        self.push(text.as_bytes(), Author::Template);
    }

    pub(super) fn push_char(&mut self, char: char, author: Author) {
        self.push(char.encode_utf8(&mut [0; 4]).as_bytes(), author);
    }

    pub(super) fn push_text(&mut self, text: &Text) {
        for (bytes, author) in text.stretches() {
            self.push(bytes, author);
        }
    }

    /// `count` times the same character of the template.
    pub(super) fn pad(&mut self, char: char, count: usize) {
        for _ in 0..count {
            if self.overflowed {
                return;
            }
            self.push_char(char, Author::Template);
        }
    }

    /// What it holds and what it costs to hold it.
    pub(super) fn cost(&self) -> usize {
        self.bytes.len() + self.runs.len() * RUN_COST
    }

    pub(super) fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Ends it after what `author` wrote last; false if that is nothing.
    pub(super) fn end_after(&mut self, author: Author) -> bool {
        let Some(last) = self.runs.iter().rposition(|run| run.author == author) else {
            return false;
        };
        self.bytes.truncate(self.runs[last].end);
        self.runs.truncate(last + 1);
        true
    }

    /// Its text by origin and group; bytes that are not UTF-8 become U+FFFD.
    pub(super) fn into_segments(self) -> Vec<Segment> {
        let mut segments = Vec::new();
        let mut start = 0;
        let mut runs = self.runs.iter().peekable();
        while let Some(run) = runs.next() {
            let (origin, group) = (run.author.origin(), run.group);
            let same = |next: &&Run| next.author.origin() == origin && next.group == group;
            if runs.peek().is_some_and(same) {
                continue;
            }
            let text = String::from_utf8_lossy(&self.bytes[start..run.end]).into_owned();
            segments.push(Segment {
                text,
                origin,
                group,
            });
            start = run.end;
        }
        segments
    }

    pub(super) fn into_text(self) -> Text {
        let end = self.bytes.len();
        Text {
            whole: Rc::new(self),
            start: 0,
            end,
        }
    }
}

/// A Go string: any bytes, cheap to clone and to cut.
#[derive(Debug, Clone)]
pub(super) struct Text {
    whole: Rc<Buffer>,
    start: usize,
    end: usize,
}

impl Text {
    pub(super) fn new(text: &str, author: Author) -> Self {
        Self::from_bytes(text.as_bytes(), author)
    }

    pub(super) fn from_bytes(bytes: &[u8], author: Author) -> Self {
        let mut buffer = Buffer::new(usize::MAX);
        buffer.push(bytes, author);
        buffer.into_text()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.whole.bytes[self.start..self.end]
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// From `start` up to `end`, which lie within it.
    pub(super) fn cut(&self, start: usize, end: usize) -> Self {
        let end = (self.start + end).min(self.end);
        Self {
            whole: Rc::clone(&self.whole),
            start: (self.start + start).min(end),
            end,
        }
    }

    /// Its bytes by who wrote them.
    pub(super) fn stretches(&self) -> impl Iterator<Item = (&[u8], Author)> {
        let runs = &self.whole.runs;
        let first = runs.partition_point(|run| run.end <= self.start);
        let mut start = self.start;
        runs[first..]
            .iter()
            .take_while(move |_| self.start < self.end)
            .map_while(move |run| {
                let from = start;
                start = run.end.min(self.end);
                (from < start).then(|| (&self.whole.bytes[from..start], run.author))
            })
    }

    /// Its characters as Go reads them: a byte that belongs to none is `None`, one at a time.
    pub(super) fn chars(&self) -> Chars<'_> {
        Chars {
            rest: self.bytes(),
            runs: &self.whole.runs,
            at: self.start,
            run: self.whole.runs.partition_point(|run| run.end <= self.start),
        }
    }

    /// How many characters Go counts.
    pub(super) fn char_count(&self) -> usize {
        self.chars().count()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

/// A character of a [`Text`].
pub(super) struct Char<'t> {
    /// The character; `None` for a byte that is not UTF-8.
    pub(super) char: Option<char>,
    pub(super) bytes: &'t [u8],
    /// Who wrote its first byte.
    pub(super) author: Author,
}

pub(super) struct Chars<'t> {
    rest: &'t [u8],
    runs: &'t [Run],
    at: usize,
    run: usize,
}

impl<'t> Iterator for Chars<'t> {
    type Item = Char<'t>;

    fn next(&mut self) -> Option<Char<'t>> {
        if self.rest.is_empty() {
            return None;
        }
        while self.runs.get(self.run)?.end <= self.at {
            self.run += 1;
        }
        let author = self.runs.get(self.run)?.author;
        let char = first_char(self.rest);
        let (bytes, rest) = self.rest.split_at(char.map_or(1, char::len_utf8));
        self.rest = rest;
        self.at += bytes.len();
        Some(Char {
            char,
            bytes,
            author,
        })
    }
}

fn first_char(bytes: &[u8]) -> Option<char> {
    let head = &bytes[..bytes.len().min(4)];
    match std::str::from_utf8(head) {
        Ok(text) => text.chars().next(),
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()])
            .ok()?
            .chars()
            .next(),
    }
}
