//! Prompts in segments: text that knows whether the template or a message wrote it.

#[cfg(any(feature = "inference", test))]
pub(crate) mod split;

#[cfg(feature = "inference")]
use crate::token::Token;

/// Who wrote the text of a [`Segment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The chat template. The names of control tokens in its text become these tokens.
    Template,
    /// A message: of a user, a tool, a document. Whatever it says is text.
    Message,
}

/// A part of a prompt.
///
/// A prompt is the text of its segments, one after the other, with no need to say where a segment
/// ends: plain text is tokenized as if it were one string. What segments add is safety. Text of a
/// message can never become a control token, nor a part of one, even when it spells one out: a user
/// who writes `<|im_end|>` has written ten characters and ended no turn. Give all text that you did not
/// write yourself as [`Origin::Message`].
///
/// The group says which segments belong together, for instance all those of one message with the
/// template's text around it. Where a prompt is too long, whole groups are dropped; what is in no
/// group stays.
///
/// ```
/// use llamakit::Segment;
///
/// let prompt = [
///     Segment::template("<|im_start|>user\n").in_group(0),
///     Segment::message("What does <|im_end|> mean?").in_group(0),
///     Segment::template("<|im_end|>\n").in_group(0),
///     Segment::template("<|im_start|>assistant\n"),
/// ];
/// # assert_eq!(prompt[3].group, None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segment {
    /// The text; it may be empty.
    pub text: String,
    /// Who wrote it.
    pub origin: Origin,
    /// The group it is dropped with; `None` keeps it always.
    pub group: Option<u32>,
}

impl Segment {
    /// Text of the template, in no group.
    #[must_use]
    pub fn template(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            origin: Origin::Template,
            group: None,
        }
    }

    /// Text of a message, in no group.
    #[must_use]
    pub fn message(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            origin: Origin::Message,
            group: None,
        }
    }

    /// Puts the segment into a group.
    #[must_use]
    pub fn in_group(mut self, group: u32) -> Self {
        self.group = Some(group);
        self
    }
}

/// The tokens of segments, and of each the group that it belongs to.
#[cfg(feature = "inference")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentTokens {
    /// The tokens of the whole prompt.
    pub tokens: Vec<Token>,
    /// As many as tokens: the group of the segment that the token's first byte lies in. `None` for
    /// segments in no group and for BOS, EOS and their kin.
    pub groups: Vec<Option<u32>>,
}

#[cfg(feature = "inference")]
impl SegmentTokens {
    pub(crate) fn push(&mut self, token: Token, group: Option<u32>) {
        self.tokens.push(token);
        self.groups.push(group);
    }
}
