//! Finds out which parts of a rendered text messages wrote.
//!
//! The conversation is rendered again with all text of messages spelled in a second alphabet. What comes
//! out must read the same; then each character says where it comes from. Where it does not, because the
//! template does something with a text that is not blind to its spelling, the places that matter are
//! searched for, and there only what reads like a control token is spelled. If that changes the text as
//! well, nobody can tell who wrote it, and that is an error.

use std::rc::Rc;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::segments::{Origin, Segment};

use super::alphabet::{self, Alphabet};
use super::context::{Builder, Places, Spelling};
use super::{Rendering, prefill};

/// Renderings to find the places whose spelling matters.
const MAX_TRIES: usize = 200;

/// A text in parts of one origin each.
#[derive(Debug, Default)]
pub(super) struct Origins {
    pub(super) parts: Vec<Part>,
    /// Bytes of the text where messages begin that can be told apart, and which.
    pub(super) anchors: Vec<(usize, u32)>,
}

#[derive(Debug)]
pub(super) struct Part {
    pub(super) text: String,
    pub(super) origin: Origin,
}

impl Origins {
    pub(super) fn into_segments(self) -> Vec<Segment> {
        let segment = |part: Part| match part.origin {
            Origin::Template => Segment::template(part.text),
            Origin::Message => Segment::message(part.text),
        };
        self.parts.into_iter().map(segment).collect()
    }

    fn push(&mut self, char: char, origin: Origin) {
        match self.parts.last_mut().filter(|part| part.origin == origin) {
            Some(part) => part.text.push(char),
            None => self.parts.push(Part {
                text: char.into(),
                origin,
            }),
        }
    }

    fn read(alphabet: &Alphabet, spelled: &str) -> Self {
        let mut origins = Self::default();
        let mut at = 0;
        for char in spelled.chars() {
            let (char, origin) = match alphabet.read(char) {
                Some((char, message)) => {
                    origins.anchors.extend(message.map(|message| (at, message)));
                    (char, Origin::Message)
                }
                None => (char, Origin::Template),
            };
            origins.push(char, origin);
            at += char.len_utf8();
        }
        origins
    }

    fn reads_like(&self, text: &str) -> bool {
        let mut rest = text;
        self.parts.iter().all(|part| {
            rest.strip_prefix(&*part.text).is_some_and(|left| {
                rest = left;
                true
            })
        }) && rest.is_empty()
    }
}

/// The origins of what the conversation is rendered to.
pub(super) fn find(rendering: &Rendering, text: &str) -> Result<Origins> {
    let mut places = Places::default();
    if let Some(origins) = spelled(rendering, text, &mut places)? {
        return Ok(origins);
    }
    let mut search = Search {
        rendering,
        text,
        count: places.names.len(),
        culprits: Vec::new(),
        tries: 0,
        until: Instant::now() + rendering.time,
    };
    search.among(0, search.count)?;
    search.settle(&places.names)
}

/// The text with the given spellings, if it reads the same.
fn spelled(rendering: &Rendering, text: &str, places: &mut Places) -> Result<Option<Origins>> {
    match render(rendering, places)? {
        Some(origins) if origins.reads_like(text) => Ok(Some(origins)),
        _ => Ok(None),
    }
}

/// What the conversation is rendered to with the given spellings; nothing if the template refuses it.
pub(super) fn render(rendering: &Rendering, places: &mut Places) -> Result<Option<Origins>> {
    let Some(mut alphabet) = Alphabet::new(rendering.survey.planes) else {
        return Err(Error::argument(
            "the messages use code points of all planes, so that what they write can't be told from \
             what the template writes",
        ));
    };
    let tail = prefill::tail(rendering)?;
    let context = Builder::new(rendering.template, Some(&mut alphabet), places).build(
        rendering.conversation,
        rendering.shape,
        &tail,
    );
    if alphabet.is_full {
        return Err(Error::argument(
            "the messages use too many different characters",
        ));
    }
    let alphabet = Rc::new(alphabet);
    let spelled = alphabet::with(Some(Rc::clone(&alphabet)), || {
        let text = rendering.render(context)?;
        prefill::cut(rendering, text, &tail)
    });
    Ok(spelled
        .ok()
        .map(|spelled| Origins::read(&alphabet, &spelled)))
}

/// Looks for the places that can't be spelled with stand-ins.
struct Search<'s> {
    rendering: &'s Rendering<'s>,
    text: &'s str,
    count: usize,
    culprits: Vec<usize>,
    tries: usize,
    until: Instant,
}

impl Search<'_> {
    fn attempt(&mut self, spellings: Vec<Spelling>) -> Result<Option<Origins>> {
        self.tries += 1;
        if self.tries > MAX_TRIES || Instant::now() > self.until {
            return Err(Error::argument(
                "the template does so much with the messages' texts that what they write can't be \
                 told from what it writes",
            ));
        }
        spelled(self.rendering, self.text, &mut Places::with(spellings))
    }

    /// Spells these places alone, and goes on with each half where that changes the text.
    fn among(&mut self, from: usize, to: usize) -> Result<()> {
        let mut open = vec![(from, to)];
        while let Some((from, to)) = open.pop() {
            let mut spellings = vec![Spelling::Plain; self.count];
            spellings[from..to].fill(Spelling::All);
            if from >= to || self.attempt(spellings)?.is_some() {
                continue;
            }
            if to - from == 1 {
                self.culprits.push(from);
            } else {
                let middle = from + (to - from) / 2;
                open.extend([(middle, to), (from, middle)]);
            }
        }
        Ok(())
    }

    /// Everything spelled but the control tokens in the places that matter.
    fn settle(mut self, names: &[String]) -> Result<Origins> {
        let mut spellings = vec![Spelling::All; self.count];
        for &culprit in &self.culprits {
            spellings[culprit] = Spelling::Controls;
        }
        if let Some(origins) = self.attempt(spellings)? {
            return Ok(origins);
        }
        let culprits = self.culprits.iter().filter_map(|at| names.get(*at));
        let culprits: Vec<&str> = culprits.map(String::as_str).collect();
        Err(Error::argument(format!(
            "the template treats {} in a way that hides whether it or the message writes a control \
             token",
            culprits.join(" and ")
        )))
    }
}
