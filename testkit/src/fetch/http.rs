//! The HTTP client: TLS by rustls, redirects, limits on time and size, a few retries.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, ResponseExt, http};

use super::cache;
use super::error::Failure;
use super::progress::Progress;

/// What the index is asked for; an index that only speaks HTML may answer so.
const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

const PAGE_LIMIT: u64 = 16 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(300);

pub(super) struct Client {
    agent: Agent,
}

/// A page of the index.
pub(super) struct Page {
    /// Where it was found after redirects; relative links start here.
    pub(super) url: String,
    pub(super) is_json: bool,
    pub(super) body: String,
}

impl Client {
    /// A client that leaves HTTPS only if the index itself is plain HTTP.
    pub(super) fn new(index: &str, cert_file: Option<&Path>) -> Result<Self, Failure> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = cert_file {
            tls = tls.root_certs(roots(path)?);
        }
        let config = Agent::config_builder()
            .https_only(!index.starts_with("http://"))
            .http_status_as_error(false)
            .user_agent(concat!("llamakit/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(READ_TIMEOUT))
            .build();
        Ok(Self {
            agent: config.into(),
        })
    }

    /// Reads one page of the index.
    pub(super) fn page(&self, url: &str) -> Result<Page, Failure> {
        retried(|| {
            let mut response = self.get(url)?;
            let is_json = response
                .body()
                .mime_type()
                .is_some_and(|mime| mime.ends_with("json"));
            let found = response.get_uri().to_string();
            let body = response
                .body_mut()
                .with_config()
                .limit(PAGE_LIMIT)
                .read_to_string()
                .map_err(|e| network(url, &e))?;
            Ok(Page {
                url: found,
                is_json,
                body,
            })
        })
    }

    /// Writes what `url` has to `path` and returns its SHA-256.
    pub(super) fn download(
        &self,
        url: &str,
        path: &Path,
        limit: u64,
        label: &str,
    ) -> Result<String, Failure> {
        retried(|| {
            let response = self.get(url)?;
            let length = response.body().content_length();
            let too_large = || Failure::TooLarge {
                what: redacted(url),
                limit,
            };
            if length.is_some_and(|length| length > limit) {
                return Err(too_large());
            }
            let mut body = response.into_body().into_reader();
            let mut file = File::create(path).map_err(|e| Failure::io(path, e))?;
            let mut progress = Progress::new(label, length);
            let mut hasher = Sha256::new();
            let mut buffer = vec![0; 1 << 16];
            let mut done = 0;
            loop {
                let n = body.read(&mut buffer).map_err(|e| Failure::Network {
                    url: redacted(url),
                    reason: format!("after {done} bytes: {e}"),
                    transient: true,
                })?;
                if n == 0 {
                    break;
                }
                done += n as u64;
                if done > limit {
                    return Err(too_large());
                }
                hasher.update(&buffer[..n]);
                file.write_all(&buffer[..n])
                    .map_err(|e| Failure::io(path, e))?;
                progress.set(done);
            }
            Ok(cache::hex(hasher))
        })
    }

    fn get(&self, url: &str) -> Result<http::Response<Body>, Failure> {
        let response = self
            .agent
            .get(url)
            .header("Accept", ACCEPT)
            .call()
            .map_err(|e| network(url, &e))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        Err(Failure::Network {
            url: redacted(url),
            reason: format!("the server answered {status}"),
            transient: status.is_server_error(),
        })
    }
}

fn retried<T>(mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let mut tries = 1;
    loop {
        match attempt() {
            Err(Failure::Network {
                transient: true, ..
            }) if tries < TRIES => {
                std::thread::sleep(PAUSE * tries);
                tries += 1;
            }
            result => return result,
        }
    }
}

fn network(url: &str, error: &ureq::Error) -> Failure {
    use ureq::Error as E;
    Failure::Network {
        url: redacted(url),
        reason: error.to_string(),
        transient: matches!(
            error,
            E::Io(_) | E::Timeout(_) | E::ConnectionFailed | E::Protocol(_)
        ),
    }
}

fn roots(path: &Path) -> Result<RootCerts, Failure> {
    let pem = fs::read(path).map_err(|e| Failure::io(path, e))?;
    let certs: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(cert)) => Some(cert),
            _ => None,
        })
        .collect();
    if certs.is_empty() {
        let none = std::io::Error::other("SSL_CERT_FILE holds no PEM certificate");
        return Err(Failure::io(path, none));
    }
    Ok(RootCerts::new_with_certs(&certs))
}

/// `url` without the user name and password it may carry.
pub(super) fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_https_index_cannot_lead_to_plain_http() {
        let client = Client::new("https://host/simple", None).unwrap();
        let path = std::env::temp_dir().join("llamakit-never-written");
        let error = client
            .download("http://127.0.0.1:9/x", &path, 1, "")
            .unwrap_err();
        assert!(error.to_string().contains("https"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(
            redacted("https://user:pa@ss@host:1/a@b"),
            "https://host:1/a@b"
        );
        assert_eq!(redacted("https://host"), "https://host");
        assert_eq!(redacted("no url"), "no url");
    }
}
