//! The HTTP clients: TLS by rustls with ring, redirects followed by ourselves, nothing ever decompressed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Certificate, Method, Response, Url};

use super::address::{Allowed, PublicOnly};
use super::failure::{Failure, redacted};
use crate::error::{Error, Kind, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// From the request to the first line of the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A request without what authorises it. Its body can be sent again.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
}

impl Call {
    /// A request without a body.
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
        }
    }

    /// With one more header.
    pub(super) fn header(mut self, name: header::HeaderName, value: &str) -> Result<Self, Failure> {
        let value = HeaderValue::from_str(value)
            .map_err(|_| Error::new(Kind::Invalid, format!("{name}: not the value of a header")))?;
        self.headers.insert(name, value);
        Ok(self)
    }
}

/// Which addresses may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Anywhere,
    Public,
}

/// The clients and what they share.
pub(super) struct Http {
    offline: bool,
    allowed: Allowed,
    extra_roots: Vec<PathBuf>,
    /// How long an answer may pause.
    pub(super) stall: Duration,
    open: OnceLock<Built>,
    public: OnceLock<Built>,
}

#[derive(Clone)]
struct Built {
    client: reqwest::Client,
    /// The system has no certificates to check others with.
    rootless: bool,
}

impl Http {
    pub(super) fn new(offline: bool, allowed: Allowed, stall: Duration) -> Self {
        Self {
            offline,
            allowed,
            extra_roots: Vec::new(),
            stall,
            open: OnceLock::new(),
            public: OnceLock::new(),
        }
    }

    /// The same, but trusting the certificates of this file as well.
    pub(super) fn with_roots(&self, file: &Path) -> Self {
        let mut http = Self::new(self.offline, self.allowed.clone(), self.stall);
        http.extra_roots = self.extra_roots.clone();
        http.extra_roots.push(file.to_owned());
        http
    }

    /// Refuses what would need a connection when there may be none.
    pub(super) fn check_online(&self) -> Result<()> {
        if self.offline {
            return Err(Error::new(
                Kind::Network,
                "offline: nothing is fetched or sent; `ollama import` reads models from files",
            ));
        }
        Ok(())
    }

    /// Sends one request as it is, without following redirects.
    pub(super) async fn once(
        &self,
        call: &Call,
        authorization: Option<HeaderValue>,
        reach: Reach,
    ) -> Result<Response, Failure> {
        self.check_online()?;
        let built = match reach {
            Reach::Anywhere => self.built(&self.open, reach)?,
            Reach::Public => {
                self.allowed.check(&call.url)?;
                self.built(&self.public, reach)?
            }
        };
        let mut request = built
            .client
            .request(call.method.clone(), without_credentials(&call.url))
            .headers(call.headers.clone())
            .header(header::ACCEPT_ENCODING, "identity");
        if let Some(mut authorization) = authorization {
            authorization.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        let answer = tokio::time::timeout(ANSWER_TIMEOUT.max(self.stall), request.send());
        let response = match answer.await {
            Ok(Ok(response)) => response,
            Ok(Err(e)) => {
                let mut failure = Failure::broken(&call.url, &e);
                if built.rootless && call.url.scheme() == "https" {
                    failure = Failure::from(Error::new(
                        Kind::Network,
                        format!(
                            "{}; this system has no certificates of authorities: install \
                             ca-certificates or set SSL_CERT_FILE",
                            failure.error
                        ),
                    ));
                }
                return Err(failure);
            }
            Err(_) => {
                return Err(Failure::passing(format!(
                    "{}: no answer in time",
                    redacted(&call.url)
                )));
            }
        };
        // What was not asked for is not unpacked either, so that nothing can grow.
        let encoding = response.headers().get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Failure::from(Error::new(
                Kind::Network,
                format!(
                    "{}: the answer is compressed, which was not asked for",
                    redacted(&call.url)
                ),
            )));
        }
        Ok(response)
    }

    /// Sends a body that is made while it is sent, to an address that was given for just this.
    pub(super) async fn upload(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: reqwest::Body,
        reach: Reach,
    ) -> Result<Response, Failure> {
        self.check_online()?;
        let built = match reach {
            Reach::Anywhere => self.built(&self.open, reach)?,
            Reach::Public => {
                self.allowed.check(url)?;
                self.built(&self.public, reach)?
            }
        };
        let request = built.client.request(method, without_credentials(url));
        let sent = request.headers(headers).body(body).send().await;
        sent.map_err(|e| Failure::broken(url, &e))
    }

    /// The whole body of an answer.
    ///
    /// # Errors
    /// It is longer than `limit`, pauses for too long or breaks off.
    pub(super) async fn body(
        &self,
        mut response: Response,
        limit: usize,
    ) -> Result<Vec<u8>, Failure> {
        let url = response.url().clone();
        let too_long = || {
            Failure::from(Error::new(
                Kind::Damaged,
                format!(
                    "{}: the answer is longer than {limit} bytes",
                    redacted(&url)
                ),
            ))
        };
        if response
            .content_length()
            .is_some_and(|length| length > limit as u64)
        {
            return Err(too_long());
        }
        let mut body = Vec::new();
        loop {
            match self.next(&mut response).await? {
                None => return Ok(body),
                Some(bytes) if body.len() + bytes.len() > limit => return Err(too_long()),
                Some(bytes) => body.extend_from_slice(&bytes),
            }
        }
    }

    /// The next bytes of an answer.
    pub(super) async fn next(&self, response: &mut Response) -> Result<Option<Bytes>, Failure> {
        match tokio::time::timeout(self.stall, response.chunk()).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(e)) => Err(Failure::broken(response.url(), &e)),
            Err(_) => {
                let shown = redacted(response.url());
                Err(Failure::passing(format!("{shown}: the answer stalled")))
            }
        }
    }

    fn built(&self, cell: &OnceLock<Built>, reach: Reach) -> Result<Built> {
        if let Some(built) = cell.get() {
            return Ok(built.clone());
        }
        let built = self.build(reach)?;
        Ok(cell.get_or_init(|| built).clone())
    }

    fn build(&self, reach: Reach) -> Result<Built> {
        // Another part of the program may have been first, with the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut roots = Vec::new();
        for file in &self.extra_roots {
            roots.extend(certificates(file)?);
        }
        // Elsewhere these variables are read with the system's certificates.
        if cfg!(any(windows, target_vendor = "apple"))
            && let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty())
        {
            roots.extend(certificates(Path::new(&file))?);
        }
        let builder = || {
            let builder = reqwest::Client::builder()
                .tls_backend_rustls()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                .user_agent(user_agent())
                .referer(false);
            match reach {
                Reach::Anywhere => builder,
                Reach::Public => builder.dns_resolver(Arc::new(PublicOnly {
                    allowed: self.allowed.clone(),
                    proxies: proxies(),
                })),
            }
        };
        let failed = |e: reqwest::Error| {
            Error::new(
                Kind::Network,
                format!("the HTTP client can't be set up: {e}"),
            )
        };
        match builder().tls_certs_merge(roots.clone()).build() {
            Ok(client) => Ok(Built {
                client,
                rootless: false,
            }),
            // Plain HTTP works without the system's certificates.
            Err(_) => {
                let rootless = roots.is_empty();
                let client = builder().tls_certs_only(roots).build().map_err(failed)?;
                Ok(Built { client, rootless })
            }
        }
    }
}

/// Registries refuse models that are too new for the client, by the version that it names.
fn user_agent() -> String {
    let own = env!("CARGO_PKG_VERSION");
    format!("ollama/{} llamakit-ollama/{own}", crate::VERSION)
}

/// The certificates of a PEM file that the user named.
fn certificates(file: &Path) -> Result<Vec<Certificate>> {
    let unreadable = |why: String| {
        Error::new(
            Kind::Invalid,
            format!("certificates of {}: {why}", file.display()),
        )
    };
    let pem = std::fs::read(file).map_err(|e| unreadable(e.to_string()))?;
    Certificate::from_pem_bundle(&pem).map_err(|e| unreadable(e.to_string()))
}

/// Names of the proxies that the environment asks for.
fn proxies() -> Vec<String> {
    let names = [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ];
    let host = |value: String| {
        let url = if value.contains("://") {
            value
        } else {
            format!("http://{value}")
        };
        Some(Url::parse(&url).ok()?.host_str()?.to_owned())
    };
    names
        .iter()
        .filter_map(|name| host(std::env::var(name).ok()?))
        .collect()
}

fn without_credentials(url: &Url) -> Url {
    let mut url = url.clone();
    // They can't be set for URLs without a host, which have none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}
