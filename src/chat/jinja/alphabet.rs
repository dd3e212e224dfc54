//! A second way to spell text, so that what a message wrote can be told from what the template wrote.
//!
//! The engine's strings do not know where they come from. So the template is rendered a second time with
//! every character of a message replaced by a stand-in, a code point that means nothing. Stand-ins pass
//! through concatenating, slicing and splitting one for one; filters, methods and comparisons see through
//! them ([`plain`]). What the template writes itself is not spelled with stand-ins.
//!
//! Unicode has 17 planes of 65,536 code points, of which hardly four are in use. Two planes that do not
//! occur in the input are taken: characters of the basic plane stand in the same order in the first, all
//! others get the next free place of the second, and so do characters that say which message they belong
//! to.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Planes in which nothing is assigned, or only what programs agree on.
const PLANES: std::ops::RangeInclusive<u32> = 4..=16;

/// The last two code points of a plane are no characters.
const PLANE: u32 = 0xFFFE;

#[derive(Debug, Default)]
pub(super) struct Alphabet {
    base: u32,
    /// Where the places begin that are given out one by one.
    places: u32,
    /// What stands at each place, and the message it belongs to.
    table: Vec<(char, Option<u32>)>,
    by_char: HashMap<char, u32>,
    /// Whether there was no place for a character.
    pub(super) is_full: bool,
}

/// Which planes texts use, bit by bit.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PlanesUsed(u32);

impl PlanesUsed {
    pub(super) fn look(&mut self, text: &str) {
        if may_have_stand_ins(text) {
            for char in text.chars() {
                self.0 |= 1 << (u32::from(char) >> 16);
            }
        }
    }
}

impl Alphabet {
    /// An alphabet that no text spelled so far uses; none if there are no two planes left.
    pub(super) fn new(used: PlanesUsed) -> Option<Self> {
        let mut free = PLANES.filter(|plane| used.0 & (1 << plane) == 0);
        Some(Self {
            base: free.next()? << 16,
            places: free.next()? << 16,
            ..Self::default()
        })
    }

    /// Spells a text.
    pub(super) fn spell(&mut self, text: &str) -> String {
        text.chars().map(|char| self.stand_in(char)).collect()
    }

    /// Spells a text so that the first character that is not space says which message it belongs to.
    pub(super) fn spell_owned(&mut self, text: &str, message: u32) -> String {
        let mut owned = false;
        let spelled = text.chars().map(|char| {
            if owned || char.is_whitespace() {
                return self.stand_in(char);
            }
            owned = true;
            // Half of the places are for characters that have no other.
            if self.table.len() < (PLANE / 2) as usize {
                self.place(char, Some(message)).unwrap_or(char)
            } else {
                self.stand_in(char)
            }
        });
        spelled.collect()
    }

    fn stand_in(&mut self, char: char) -> char {
        if let Some(stand_in) = self.fixed(char) {
            return stand_in;
        }
        if let Some(place) = self.by_char.get(&char) {
            return self.at_place(*place).unwrap_or(char);
        }
        let place = u32::try_from(self.table.len()).unwrap_or(PLANE);
        let stand_in = self.place(char, None);
        if stand_in.is_some() {
            self.by_char.insert(char, place);
        }
        self.is_full |= stand_in.is_none();
        stand_in.unwrap_or(char)
    }

    fn fixed(&self, char: char) -> Option<char> {
        let code = u32::from(char);
        (code < PLANE)
            .then(|| char::from_u32(self.base + code))
            .flatten()
    }

    fn place(&mut self, char: char, message: Option<u32>) -> Option<char> {
        let place = u32::try_from(self.table.len()).ok()?;
        let stand_in = self.at_place(place)?;
        self.table.push((char, message));
        Some(stand_in)
    }

    fn at_place(&self, place: u32) -> Option<char> {
        (place < PLANE)
            .then(|| char::from_u32(self.places + place))
            .flatten()
    }

    /// Spells what became of a spelled text during rendering. No further places are given out.
    fn respell(&self, text: &str) -> String {
        let stand_in = |char| {
            let place = || self.at_place(*self.by_char.get(&char)?);
            self.fixed(char).or_else(place).unwrap_or(char)
        };
        text.chars().map(stand_in).collect()
    }

    /// What a character stands for, and the message it belongs to.
    pub(super) fn read(&self, char: char) -> Option<(char, Option<u32>)> {
        let (plane, at) = (u32::from(char) & !0xFFFF, u32::from(char) & 0xFFFF);
        if plane == self.base {
            char::from_u32(at).map(|char| (char, None))
        } else if plane == self.places {
            self.table.get(at as usize).copied()
        } else {
            None
        }
    }
}

thread_local! {
    /// The alphabet of the rendering that runs on this thread, which is one of its own.
    static CURRENT: RefCell<Option<Rc<Alphabet>>> = const { RefCell::new(None) };
}

/// Runs a rendering whose input is spelled in this alphabet.
pub(super) fn with<T>(alphabet: Option<Rc<Alphabet>>, rendering: impl FnOnce() -> T) -> T {
    CURRENT.with(|current| current.replace(alphabet));
    let result = rendering();
    CURRENT.with(|current| current.replace(None));
    result
}

/// The text as it reads without stand-ins.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if !may_have_stand_ins(text) {
        return Cow::Borrowed(text);
    }
    CURRENT.with_borrow(|current| match current {
        Some(alphabet) => {
            let read = |char| alphabet.read(char).map_or(char, |(char, _)| char);
            Cow::Owned(text.chars().map(read).collect())
        }
        None => Cow::Borrowed(text),
    })
}

/// Whether some of the text is a message's.
pub(super) fn is_spelled(text: &str) -> bool {
    may_have_stand_ins(text)
        && CURRENT.with_borrow(|current| {
            current
                .as_ref()
                .is_some_and(|alphabet| text.chars().any(|char| alphabet.read(char).is_some()))
        })
}

/// The text, spelled as a message's if what it was made from is.
pub(super) fn like(origin: &str, text: String) -> String {
    if is_spelled(origin) {
        respell(&text)
    } else {
        text
    }
}

/// The text as a message's.
pub(super) fn respell(text: &str) -> String {
    CURRENT.with_borrow(|current| match current {
        Some(alphabet) => alphabet.respell(text),
        None => text.to_owned(),
    })
}

/// Only these planes have bytes from 0xF1 on in UTF-8.
fn may_have_stand_ins(text: &str) -> bool {
    text.bytes().any(|byte| byte >= 0xF1)
}
