//! The messages so far, and how they become a prompt that starts with what the KV cache holds.

use llamakit::{ChatMessage, Context, Error, ErrorKind, Model, Token};

/// The messages, and the last prompt with its answer as text and as tokens.
#[derive(Default)]
pub(crate) struct Conversation {
    messages: Vec<ChatMessage>,
    /// The last prompt, without the answer.
    text: String,
    /// The last prompt and the answer.
    tokens: Vec<Token>,
}

/// What to generate from.
pub(crate) struct Prompt {
    text: String,
    pub(crate) tokens: Vec<Token>,
    /// Messages that were forgotten to make room.
    pub(crate) dropped: usize,
}

impl Conversation {
    pub(crate) fn new(system: Option<&str>) -> Self {
        Self {
            messages: system
                .map(|text| ChatMessage::new("system", text))
                .into_iter()
                .collect(),
            ..Self::default()
        }
    }

    /// Says now that the model cannot chat, if it cannot.
    pub(crate) fn check_template(&self, model: &Model) -> Result<(), String> {
        let mut messages = self.messages.clone();
        messages.push(ChatMessage::new("user", "Hello"));
        match model.apply_chat_template(&messages, true) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                Err(format!("{error}; use --raw to let it continue plain text"))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// The prompt that asks `message`. Forgets whole turns, the oldest first, while it leaves too
    /// little room for an answer.
    pub(crate) fn ask(
        &mut self,
        message: &str,
        context: &Context,
        max_tokens: usize,
    ) -> Result<Prompt, Error> {
        let length = context.context_length();
        let room = max_tokens.min(length / 4);
        let before = self.messages.clone();
        let mut dropped = 0;
        loop {
            let mut messages = self.messages.clone();
            messages.push(ChatMessage::new("user", message));
            let text = context.model().apply_chat_template(&messages, true)?;
            let tokens = self.tokens_of(&text, context.model())?;
            let now = if tokens.len() + room < length {
                0
            } else {
                self.drop_oldest_turn()
            };
            if now == 0 {
                if tokens.len() >= length {
                    // Generating will refuse it; nothing need be forgotten for that.
                    self.messages = before;
                    dropped = 0;
                }
                return Ok(Prompt {
                    text,
                    tokens,
                    dropped,
                });
            }
            dropped += now;
        }
    }

    /// Remembers a message with its answer. An answer stopped before its first text leaves no trace.
    pub(crate) fn answered(
        &mut self,
        message: &str,
        prompt: Prompt,
        answer: &str,
        tokens: &[Token],
    ) {
        if answer.is_empty() {
            return;
        }
        self.messages.push(ChatMessage::new("user", message));
        self.messages.push(ChatMessage::new("assistant", answer));
        self.text = prompt.text;
        self.tokens = prompt.tokens;
        self.tokens.extend_from_slice(tokens);
    }

    /// Tokenizes only what comes after the last answer: the same text can be split in several ways,
    /// and the way in which the model wrote it is what the KV cache holds.
    fn tokens_of(&self, text: &str, model: &Model) -> Result<Vec<Token>, Error> {
        let Some(tail) = self.tail(text) else {
            return model.vocab().tokenize(text, true, true);
        };
        let mut tokens = self.tokens.clone();
        tokens.extend(model.vocab().tokenize(tail, false, true)?);
        Ok(tokens)
    }

    /// What follows the last prompt and its answer in `text`.
    fn tail<'t>(&self, text: &'t str) -> Option<&'t str> {
        let answer = &self.messages.last()?.content;
        let rest = text.strip_prefix(&self.text)?;
        // Some templates trim what they are given.
        rest.strip_prefix(answer.as_str())
            .or_else(|| rest.strip_prefix(answer.trim()))
            .filter(|_| !self.tokens.is_empty())
    }

    /// Removes the first question with its answer; returns the number of messages removed.
    fn drop_oldest_turn(&mut self) -> usize {
        let is_user = |message: &ChatMessage| message.role == "user";
        let Some(first) = self.messages.iter().position(is_user) else {
            return 0;
        };
        let later = self.messages[first + 1..].iter().position(is_user);
        let end = later.map_or(self.messages.len(), |after| first + 1 + after);
        self.messages.drain(first..end).len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Conversation, Prompt};
    use llamakit::Token;

    fn talked(turns: usize) -> Conversation {
        let mut conversation = Conversation::new(Some("be brief"));
        for turn in 0..turns {
            let prompt = Prompt {
                text: format!("p{turn}:"),
                tokens: vec![Token(1)],
                dropped: 0,
            };
            conversation.answered("q", prompt, &format!(" a{turn} "), &[Token(2)]);
        }
        conversation
    }

    #[test]
    fn forgets_the_oldest_turn_and_never_the_system_message() {
        let mut conversation = talked(2);
        assert_eq!(conversation.drop_oldest_turn(), 2);
        let left: Vec<_> = conversation.messages.iter().map(|m| &*m.content).collect();
        assert_eq!(left, ["be brief", "q", " a1 "]);
        assert_eq!(conversation.drop_oldest_turn(), 2);
        assert_eq!(conversation.drop_oldest_turn(), 0);
        assert_eq!(conversation.messages.len(), 1);
    }

    #[test]
    fn goes_on_after_the_answer_even_if_the_template_trims_it() {
        let conversation = talked(1);
        assert_eq!(conversation.tail("p0: a0 <end>q"), Some("<end>q"));
        assert_eq!(conversation.tail("p0:a0<end>q"), Some("<end>q"));
        assert_eq!(conversation.tail("other: a0 <end>q"), None);
        assert_eq!(talked(0).tail("be brief"), None);
    }

    #[test]
    fn an_answer_stopped_at_once_leaves_no_trace() {
        let mut conversation = talked(1);
        let prompt = Prompt {
            text: "new".to_owned(),
            tokens: Vec::new(),
            dropped: 0,
        };
        conversation.answered("q", prompt, "", &[]);
        assert_eq!(conversation.messages.len(), 3);
        assert_eq!(conversation.text, "p0:");
    }
}
