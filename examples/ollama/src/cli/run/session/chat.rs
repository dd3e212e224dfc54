//! A message and its answer.

use super::Session;
use crate::api::{ChatRequest, ChatResponse, Message};
use crate::cli::client::End;
use crate::cli::run::answer::{self, Answer};
use crate::cli::run::{media, timings};
use crate::error::{Error, Kind, Result};

impl Session<'_> {
    /// Sends a message and shows the answer. A message that gets none is not part of the conversation; an
    /// answer that was stopped is, as far as it came.
    pub(super) fn chat(&mut self, text: String) -> Result<()> {
        media::refuse(&self.shown, &text)?;
        if self.lost {
            (self.revive)()?;
            self.lost = false;
        }
        let before = self.messages.len();
        self.messages.push(Message::new("user", text));
        let answered = self.answered();
        match answered {
            Ok(Some(answer)) => {
                self.messages.push(answer);
                Ok(())
            }
            Ok(None) => {
                self.messages.truncate(before);
                Ok(())
            }
            Err(error) => {
                self.messages.truncate(before);
                // Who left by closing the output needs no advice.
                if error.kind() == Kind::Cancelled {
                    return Err(error);
                }
                let message = format!(
                    "{error}\nThe conversation is kept up to your message, which can be sent again."
                );
                Err(Error::new(error.kind(), message))
            }
        }
    }

    fn answered(&mut self) -> Result<Option<Message>> {
        let request = ChatRequest {
            model: self.model.clone(),
            messages: self.messages.clone(),
            format: self.format.clone(),
            options: Some(self.options.clone()).filter(|options| !options.is_empty()),
            keep_alive: self.keep_alive,
            think: self.think,
            ..ChatRequest::default()
        };
        let mut last = None;
        let mut answer = Answer::awaited(&mut self.screen, self.manner);
        let ended = self
            .client
            .stream("/api/chat", &request, |piece: ChatResponse| {
                answer.think(&piece.message.thinking)?;
                answer.say(&piece.message.content)?;
                answer.call(&piece.message.tool_calls)?;
                if piece.done {
                    last = Some((piece.metrics, piece.notes));
                }
                Ok(())
            });
        let (thought, said) = answer.end()?;
        if !(thought.is_empty() && said.is_empty()) || ended.is_ok() {
            self.screen.print("\n\n")?;
        }
        match (ended?, last) {
            (End::Stopped, _) => {}
            (End::Whole, None) => return Err(Error::new(Kind::Network, "the answer broke off")),
            (End::Whole, Some((metrics, notes))) => {
                answer::tell(&mut self.screen, &notes);
                if self.verbose {
                    self.screen.note(&timings::summary(&metrics));
                }
            }
        }
        let message = Message {
            thinking: thought,
            ..Message::new("assistant", said)
        };
        Ok(
            Some(message)
                .filter(|answer| !answer.content.is_empty() || !answer.thinking.is_empty()),
        )
    }
}
