//! Failures of requests, and whether trying again can help.

use std::time::Duration;

use reqwest::{Response, StatusCode, Url, header};

use crate::error::{Error, Kind};

/// How much of an answer that is an error is read and shown.
const SHOWN: usize = 1000;
/// What a server asks for is honoured up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A failure of one request.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// Trying again may help, after at least this.
    pub(super) retry: Option<Duration>,
    /// What the server answered, if it did.
    pub(super) status: Option<StatusCode>,
}

impl Failure {
    /// One that may pass.
    pub(super) fn passing(message: impl Into<String>) -> Self {
        Self {
            error: Error::new(Kind::Network, message),
            retry: Some(Duration::ZERO),
            status: None,
        }
    }

    /// The request did not get through or its answer broke off.
    pub(super) fn broken(url: &Url, error: &reqwest::Error) -> Self {
        let mut message = format!("{}: {}", redacted(url), kind_of(error));
        // The outer messages repeat the address; what counts is the innermost.
        if let Some(innermost) = causes(error).skip(1).last() {
            message = format!("{message}: {innermost}");
        }
        if let Some(own) = refusal(error) {
            return Self::from(own);
        }
        if distrusted(error) {
            return Self::from(Error::new(Kind::Network, message));
        }
        Self::passing(message)
    }

    /// The error, with the address if it does not say it yet.
    pub(super) fn of(self, url: &Url) -> Error {
        match self.status {
            Some(_) => Error::new(
                self.error.kind(),
                format!("{}: {}", redacted(url), self.error),
            ),
            None => self.error,
        }
    }

    /// An answer that is an error, in the words of Ollama.
    pub(super) async fn answered(mut response: Response) -> Self {
        let status = response.status();
        let after = response.headers().get(header::RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
        let after = Duration::from_secs(after.unwrap_or(0)).min(LONGEST_WAIT);
        let mut body = Vec::new();
        while let Ok(Some(bytes)) = response.chunk().await {
            body.extend(bytes.iter().take(SHOWN - body.len()));
            if body.len() == SHOWN {
                break;
            }
        }
        let body = String::from_utf8_lossy(&body);
        let body: String = body.trim().chars().filter(|c| !c.is_control()).collect();
        let (kind, message) = match status.as_u16() {
            404 => (Kind::NotFound, "file does not exist".to_owned()),
            401 => (
                Kind::Unauthorized,
                format!("unauthorized: access denied: {body}"),
            ),
            403 => (Kind::Unauthorized, format!("403: {body}")),
            code => (Kind::Network, format!("{code}: {body}")),
        };
        let message = message.trim_end_matches([':', ' ']);
        let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
        Self {
            error: Error::new(kind, message),
            retry: passing.then_some(after),
            status: Some(status),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            retry: None,
            status: None,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// An error, what caused it, what caused that, and so on.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// An address that was refused by ourselves is deep in what the client says.
fn refusal(error: &reqwest::Error) -> Option<Error> {
    causes(error).find_map(|cause| cause.downcast_ref().cloned())
}

/// Whether the server's certificate is not trusted: it would not be in a second either.
fn distrusted(error: &(dyn std::error::Error + 'static)) -> bool {
    causes(error).any(|cause| matches!(tls(cause), Some(rustls::Error::InvalidCertificate(_))))
}

/// The TLS error that this is. I/O errors hold one, in each other, and do not tell it as their source.
fn tls<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<std::io::Error>() {
        Some(error) => tls(error.get_ref()?),
        None => error.downcast_ref(),
    }
}

fn kind_of(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "cannot connect"
    } else if error.is_body() || error.is_decode() {
        "the answer broke off"
    } else {
        "the request failed"
    }
}

/// A URL without what may be secret: credentials, query and fragment.
pub(super) fn redacted(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_not_trusted_is_no_passing_failure() {
        let io = |error| std::io::Error::other(std::io::Error::other(error));
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert!(distrusted(&io(untrusted)));
        assert!(!distrusted(&io(rustls::Error::HandshakeNotComplete)));
        assert!(!distrusted(&std::io::Error::from(
            std::io::ErrorKind::ConnectionReset
        )));
    }

    #[test]
    fn credentials_are_never_shown() {
        let url = Url::parse("https://user:secret@host:8/path/x.gguf?token=secret#secret").unwrap();
        assert_eq!(redacted(&url), "https://host:8/path/x.gguf");
    }
}
