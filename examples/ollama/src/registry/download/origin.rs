//! One place that has the bytes: asks it for ranges.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::{Method, Response, StatusCode, Url, header};

use super::super::auth::same_site;
use super::super::failure::{Failure, redacted};
use super::super::http::Call;
use super::super::session::Session;
use crate::error::{Error, Kind};

/// A URL and the session in which it is asked.
pub(in crate::registry) struct Origin {
    session: Arc<Session>,
    url: Url,
    /// Where redirects led, which may hold for a while only.
    led_to: Mutex<Option<Url>>,
}

/// A part of the bytes, on its way.
pub(super) struct Part {
    pub(super) response: Response,
    /// Whether it is the whole file instead.
    pub(super) all: bool,
}

/// What an origin says of the file when it is asked for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::registry) struct Probe {
    pub(in crate::registry) size: u64,
    /// Its mark of this version.
    pub(in crate::registry) validator: String,
}

impl Origin {
    pub(in crate::registry) fn new(session: Arc<Session>, url: Url) -> Self {
        Self {
            session,
            url,
            led_to: Mutex::new(None),
        }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// The file's length and version, for one byte of it.
    pub(in crate::registry) async fn probe(&self) -> Result<Probe, Failure> {
        let response = self.ask(0..1).await?;
        let headers = response.headers();
        let text = |name: header::HeaderName| Some(headers.get(name)?.to_str().ok()?.to_owned());
        let size = match response.status() {
            StatusCode::PARTIAL_CONTENT => text(header::CONTENT_RANGE)
                .and_then(|value| content_range(&value))
                .and_then(|(_, size)| size),
            _ => response.content_length(),
        };
        let validator = text(header::ETAG).or_else(|| text(header::LAST_MODIFIED));
        let size = size.ok_or_else(|| self.unusable("it does not say how long the file is"))?;
        Ok(Probe {
            size,
            validator: validator.unwrap_or_default(),
        })
    }

    /// The bytes of a range, or all of them when the server knows no ranges.
    pub(super) async fn part(&self, range: Range<u64>, size: u64) -> Result<Part, Failure> {
        let response = self.ask(range.clone()).await?;
        let (all, total) = if response.status() == StatusCode::PARTIAL_CONTENT {
            let value = response.headers().get(header::CONTENT_RANGE);
            let value = value.and_then(|value| content_range(value.to_str().ok()?));
            let (found, total) = value.ok_or_else(|| self.unusable("its range can't be read"))?;
            if found.start != range.start || found.is_empty() {
                return Err(self
                    .unusable("it is another range than was asked for")
                    .into());
            }
            (false, total)
        } else {
            (true, response.content_length())
        };
        match total {
            Some(total) if total != size => Err(self
                .unusable(&format!("the file has {total} bytes instead of {size}"))
                .into()),
            _ => Ok(Part { response, all }),
        }
    }

    async fn ask(&self, range: Range<u64>) -> Result<Response, Failure> {
        let known = self.led_to().clone();
        let last = range.end.saturating_sub(1);
        let call = |url: &Url| {
            let ranged = format!("bytes={}-{last}", range.start);
            Call::new(Method::GET, url.clone()).header(header::RANGE, &ranged)
        };
        if let Some(url) = known {
            let answer = self.session.send(call(&url)?).await;
            match answer {
                Ok((response, _)) if response.status().is_success() => return Ok(response),
                // Such addresses expire.
                Ok((response, _)) if response.status().is_client_error() => {
                    *self.led_to() = None;
                }
                Ok((response, _)) => return Err(Failure::answered(response).await),
                Err(failure) => {
                    *self.led_to() = None;
                    return Err(failure);
                }
            }
        }
        let (response, url) = self.session.ok(call(&self.url)?).await?;
        if !same_site(&url, &self.url) {
            *self.led_to() = Some(url);
        }
        Ok(response)
    }

    fn led_to(&self) -> std::sync::MutexGuard<'_, Option<Url>> {
        self.led_to.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unusable(&self, why: &str) -> Error {
        Error::new(Kind::Damaged, format!("{}: {why}", redacted(&self.url)))
    }
}

/// `bytes 0-99/1000`, where the end is the last byte and the length may be unknown.
fn content_range(value: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let size = match size.trim() {
        "*" => None,
        digits => Some(digits.parse().ok()?),
    };
    let end = last.checked_add(1)?;
    (first <= last && size.is_none_or(|size| end <= size)).then_some((first..end, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_contradict_themselves_are_none() {
        assert_eq!(content_range("bytes 0-9/10"), Some((0..10, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5..10, None)));
        for value in [
            "",
            "bytes",
            "bytes */10",
            "bytes 9-5/10",
            "bytes 0-10/10",
            "bytes 0-9",
            "items 0-9/10",
            "bytes -1-9/10",
            "bytes 0-18446744073709551615/*",
            "bytes 0-9/ten",
        ] {
            assert_eq!(content_range(value), None, "{value}");
        }
    }
}
