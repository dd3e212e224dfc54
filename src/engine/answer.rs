//! The caller's end of a running request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::channel::{NotYet, Receiver};
use super::event::{Event, FinishReason, Finished};
use super::shared::{Control, Ended, Shared};
use crate::error::{Error, ErrorKind, Result};
use crate::token::Token;

/// A request's answer: a blocking iterator of [`Event`]s that ends after [`Event::Finished`].
///
/// Dropping it cancels the request.
pub struct Answer {
    control: Arc<Control>,
    shared: Arc<Shared>,
    events: Receiver<Event>,
    finished: bool,
}

/// A whole answer.
#[derive(Debug)]
#[non_exhaustive]
pub struct Completion {
    /// Its text.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<Token>,
    /// Why it ended and what it took.
    pub finished: Finished,
}

impl Answer {
    pub(super) fn new(control: Arc<Control>, shared: Arc<Shared>, events: Receiver<Event>) -> Self {
        Self {
            control,
            shared,
            events,
            finished: false,
        }
    }

    /// A number that tells this request from the engine's others.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.control.id
    }

    /// Stops the request: at once in the queue or in the middle of a prompt, else after the step
    /// that runs. Events that were sent, and the end, can still be read.
    pub fn cancel(&self) {
        self.shared.end(&self.control, Ended::Cancelled);
    }

    /// The next event, waited for no longer than `timeout`; `None` after the last one.
    ///
    /// # Errors
    ///
    /// [`NotYet`] when none came in time.
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<Event>, NotYet> {
        if self.finished {
            return Ok(None);
        }
        // A time that is too far away to be told is never.
        let event = match Instant::now().checked_add(timeout) {
            Some(deadline) => self.events.recv_deadline(deadline)?,
            None => self.events.recv(),
        };
        Ok(self.seen(event))
    }

    /// Waits for the end and gives the whole answer.
    ///
    /// # Errors
    ///
    /// What [`FinishReason::Failed`] carries; [`ErrorKind::Cancelled`] when the engine went away.
    pub fn complete(mut self) -> Result<Completion> {
        let mut text = String::new();
        let mut tokens = Vec::new();
        for event in &mut self {
            match event {
                Event::Token(event) => {
                    text.push_str(&event.text);
                    tokens.push(event.token);
                }
                Event::Text(rest) => text.push_str(&rest),
                Event::Finished(Finished {
                    reason: FinishReason::Failed(error),
                    complete: None,
                    ..
                }) => return Err(error),
                Event::Finished(finished) => {
                    return Ok(Completion {
                        text,
                        tokens,
                        finished,
                    });
                }
                Event::Queued { .. } | Event::Started { .. } | Event::Prompt { .. } => {}
            }
        }
        Err(Error::new(
            ErrorKind::Cancelled,
            "the engine went away before the answer's end",
        ))
    }

    fn seen(&mut self, event: Option<Event>) -> Option<Event> {
        self.finished |= matches!(event, None | Some(Event::Finished(_)));
        event
    }
}

impl Iterator for Answer {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.finished {
            return None;
        }
        let event = self.events.recv();
        self.seen(event)
    }
}

#[cfg(feature = "stream")]
impl futures_core::Stream for Answer {
    type Item = Event;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Event>> {
        if self.finished {
            return std::task::Poll::Ready(None);
        }
        let event = std::task::ready!(self.events.poll_recv(context));
        std::task::Poll::Ready(self.seen(event))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.finished {
            self.cancel();
        }
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("id", &self.id())
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}
