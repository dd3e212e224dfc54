//! The messages so far, and how they become a prompt that starts with what the KV cache holds.

use llamakit::chat::{self, AnswerFormat, CallFormat, ChatTemplate, Message, Thinking};
use llamakit::{Context, Error, Segment, Token, Vocab};

/// The messages, and the last prompt with its answer as text and as tokens.
pub(crate) struct Conversation {
    template: ChatTemplate,
    thinking: Thinking,
    messages: Vec<Message>,
    /// The last prompt, without the answer.
    prompt: String,
    /// The last answer as the model wrote it, its thoughts included.
    answer: String,
    /// The last prompt and the answer.
    tokens: Vec<Token>,
}

/// What to generate from.
pub(crate) struct Prompt {
    text: String,
    pub(crate) tokens: Vec<Token>,
    /// How to read the answer.
    pub(crate) format: AnswerFormat,
    /// Messages that were forgotten to make room.
    pub(crate) dropped: usize,
}

impl Prompt {
    /// Plain text to be continued.
    pub(crate) fn raw(text: &str, vocab: &Vocab) -> Result<Self, Error> {
        Ok(Self {
            text: text.to_owned(),
            tokens: vocab.tokenize(text, true, false)?,
            format: AnswerFormat::new(CallFormat::None),
            dropped: 0,
        })
    }
}

impl Conversation {
    pub(crate) fn new(template: ChatTemplate, system: Option<&str>, thinking: Thinking) -> Self {
        Self {
            template,
            thinking,
            messages: system.map(Message::system).into_iter().collect(),
            prompt: String::new(),
            answer: String::new(),
            tokens: Vec::new(),
        }
    }

    /// The text that asks `message`, in pieces that know what came from messages.
    pub(crate) fn render(&self, message: &str) -> Result<Vec<Segment>, Error> {
        let mut messages = self.messages.clone();
        messages.push(Message::user(message));
        let conversation = chat::Conversation::new(messages).thinking(self.thinking);
        self.template.render(&conversation)
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
            let segments = self.render(message)?;
            let text: String = segments.iter().map(|part| part.text.as_str()).collect();
            let tokens = self.tokens_of(segments, &text, context.model().vocab())?;
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
                let format = AnswerFormat::detect(self.template.source()).after_prompt(&text);
                return Ok(Prompt {
                    text,
                    tokens,
                    format,
                    dropped,
                });
            }
            dropped += now;
        }
    }

    /// Remembers a message with its answer, and how the model wrote the answer. One that was stopped
    /// before it said anything leaves no trace.
    pub(crate) fn answered(
        &mut self,
        message: &str,
        prompt: Prompt,
        said: Message,
        answer: String,
        tokens: &[Token],
    ) {
        if said.content.is_empty() {
            return;
        }
        self.messages.extend([Message::user(message), said]);
        self.prompt = prompt.text;
        self.answer = answer;
        self.tokens = prompt.tokens;
        self.tokens.extend_from_slice(tokens);
    }

    /// Tokenizes only what comes after the last answer: the same text can be split in several ways,
    /// and the way in which the model wrote it is what the KV cache holds.
    fn tokens_of(
        &self,
        segments: Vec<Segment>,
        text: &str,
        vocab: &Vocab,
    ) -> Result<Vec<Token>, Error> {
        let Some(tail) = self.tail(text) else {
            return Ok(vocab.tokenize_segments(&segments, true)?.tokens);
        };
        let tail = behind(segments, text.len() - tail.len());
        let mut tokens = self.tokens.clone();
        tokens.extend(vocab.tokenize_segments(&tail, false)?.tokens);
        Ok(tokens)
    }

    /// What follows the last prompt and its answer in `text`. Many templates leave earlier thoughts
    /// out: then an answer that had some does not follow the prompt.
    fn tail<'t>(&self, text: &'t str) -> Option<&'t str> {
        let rest = text.strip_prefix(&self.prompt)?;
        // Some templates trim what they are given.
        rest.strip_prefix(&self.answer)
            .or_else(|| rest.strip_prefix(self.answer.trim()))
            .filter(|_| !self.tokens.is_empty())
    }

    /// Removes the first question with its answer; returns the number of messages removed.
    fn drop_oldest_turn(&mut self) -> usize {
        let is_user = |message: &Message| message.role == "user";
        let Some(first) = self.messages.iter().position(is_user) else {
            return 0;
        };
        let later = self.messages[first + 1..].iter().position(is_user);
        let end = later.map_or(self.messages.len(), |after| first + 1 + after);
        self.messages.drain(first..end).len()
    }
}

/// The segments without the first bytes of their text.
fn behind(segments: Vec<Segment>, mut bytes: usize) -> Vec<Segment> {
    let mut rest = Vec::new();
    for mut segment in segments {
        let cut = bytes.min(segment.text.len());
        bytes -= cut;
        segment.text.drain(..cut);
        rest.push(segment);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::{Conversation, Prompt, behind};
    use llamakit::chat::{AnswerFormat, CallFormat, ChatTemplate, Message, SpecialTexts, Thinking};
    use llamakit::{Origin, Segment, Token};

    const TEMPLATE: &str = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}<end>\
        {% endfor %}<assistant>{% if enable_thinking is false %}<think></think>{% endif %}";

    fn empty(thinking: Thinking) -> Conversation {
        let template = ChatTemplate::jinja(TEMPLATE, &SpecialTexts::default()).unwrap();
        Conversation::new(template, Some("be brief"), thinking)
    }

    fn prompt(text: &str) -> Prompt {
        Prompt {
            text: text.to_owned(),
            tokens: vec![Token(1)],
            format: AnswerFormat::new(CallFormat::None),
            dropped: 0,
        }
    }

    fn text(segments: &[Segment]) -> String {
        segments.iter().map(|part| part.text.as_str()).collect()
    }

    /// Each question is `q`, each answer its number between spaces.
    fn talked(turns: usize) -> Conversation {
        let mut conversation = empty(Thinking::Default);
        for turn in 0..turns {
            let asked = prompt(&text(&conversation.render("q").unwrap()));
            let answer = format!(" {turn} ");
            let said = Message::assistant(answer.as_str());
            conversation.answered("q", asked, said, answer, &[Token(2)]);
        }
        conversation
    }

    #[test]
    fn forgets_the_oldest_turn_and_never_the_system_message() {
        let mut conversation = talked(2);
        assert_eq!(conversation.drop_oldest_turn(), 2);
        let left: Vec<_> = conversation.messages.iter().map(|m| &*m.content).collect();
        assert_eq!(left, ["be brief", "q", " 1 "]);
        assert_eq!(conversation.drop_oldest_turn(), 2);
        assert_eq!(conversation.drop_oldest_turn(), 0);
        assert_eq!(conversation.messages.len(), 1);
    }

    #[test]
    fn goes_on_after_the_answer_even_if_the_template_trims_it() {
        let conversation = talked(2);
        let next = conversation.render("and <end>?").unwrap();
        let whole = text(&next);
        let tail = conversation.tail(&whole).unwrap();
        assert_eq!(tail, "<end><user>and <end>?<end><assistant>");
        // Who wrote what is still known there.
        let rest = behind(next, whole.len() - tail.len());
        let said: Vec<_> = rest
            .iter()
            .filter(|part| part.origin == Origin::Message && !part.text.is_empty())
            .map(|part| part.text.as_str())
            .collect();
        assert_eq!((text(&rest).as_str(), said), (tail, vec!["and <end>?"]));
        assert_eq!(conversation.tail("other"), None);
        assert_eq!(talked(0).tail("<system>be brief<end>"), None);
    }

    #[test]
    fn starts_anew_where_the_template_leaves_thoughts_out() {
        let mut conversation = talked(0);
        let asked = prompt(&text(&conversation.render("q").unwrap()));
        let said = Message::assistant("a");
        conversation.answered(
            "q",
            asked,
            said,
            "<think>b</think>a".to_owned(),
            &[Token(2)],
        );
        let next = text(&conversation.render("q").unwrap());
        assert!(next.contains("<assistant>a<end>"), "{next}");
        assert_eq!(conversation.tail(&next), None);
    }

    #[test]
    fn an_answer_stopped_at_once_leaves_no_trace() {
        let mut conversation = talked(1);
        let before = conversation.prompt.clone();
        let mut thought = Message::assistant("");
        thought.thinking = Some("hm".to_owned());
        conversation.answered("q", prompt("new"), thought, "<think>hm".to_owned(), &[]);
        assert_eq!(conversation.messages.len(), 3);
        assert_eq!(conversation.prompt, before);
    }

    #[test]
    fn the_template_is_told_not_to_think() {
        let ends = |thinking| text(&empty(thinking).render("q").unwrap()).ends_with("</think>");
        assert!(!ends(Thinking::Default) && ends(Thinking::Off));
    }
}
