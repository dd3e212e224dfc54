//! One registry as one transfer sees it: adds credentials, gets tokens, follows redirects.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{self, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::sync::Mutex;

use super::auth::{Challenge, Token, same_site, signed_text};
use super::failure::Failure;
use super::http::{Call, Http, Reach};
use super::key::Key;
use crate::error::{Error, Kind, Result};

const MAX_REDIRECTS: usize = 10;
const MAX_TOKEN: usize = 64 << 10;

/// Credentials go to `base` alone.
pub(super) struct Session {
    pub(super) http: Arc<Http>,
    base: Url,
    /// What every request to it has, instead of a token.
    fixed: Option<HeaderValue>,
    /// The folder of the key with which tokens are asked for.
    key_dir: Option<PathBuf>,
    token: Mutex<Option<String>>,
    reach: Rules,
}

/// Where a session may go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// To the host that was asked.
    pub(super) asked: Reach,
    /// To hosts that it redirects to.
    pub(super) others: Reach,
    /// From encrypted to plain.
    pub(super) downgrade: bool,
}

impl Session {
    /// A session with a registry; a token is asked for when it wants one.
    pub(super) fn new(http: Arc<Http>, base: &Url, key_dir: Option<PathBuf>, reach: Rules) -> Self {
        let fixed = (!base.username().is_empty() || base.password().is_some()).then(|| {
            let decoded = |text: &str| {
                percent_encoding::percent_decode_str(text)
                    .decode_utf8_lossy()
                    .into_owned()
            };
            let user = decoded(base.username());
            let password = decoded(base.password().unwrap_or_default());
            let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
            HeaderValue::from_str(&format!("Basic {pair}")).ok()
        });
        Self {
            http,
            base: base.clone(),
            fixed: fixed.flatten(),
            key_dir,
            token: Mutex::new(None),
            reach,
        }
    }

    /// The same with a token that the user has.
    pub(super) fn with_token(mut self, token: &str) -> Self {
        self.fixed = HeaderValue::from_str(&format!("Bearer {token}")).ok();
        self
    }

    /// The answer, whatever its status, after redirects, and where it came from.
    pub(super) async fn send(&self, call: Call) -> Result<(Response, Url), Failure> {
        let had = self.token.lock().await.clone();
        let (response, url) = self.follow(call.clone(), had.as_deref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !same_site(&url, &self.base) {
            return Ok((response, url));
        }
        let challenge = response.headers().get_all(header::WWW_AUTHENTICATE).iter();
        let challenge = challenge
            .filter_map(|value| Challenge::parse(value.to_str().ok()?))
            .next();
        let Some(challenge) = challenge.filter(|_| self.fixed.is_none()) else {
            return Ok((response, url));
        };
        let token = self.renew(&challenge, &url, had.as_deref()).await?;
        self.follow(call, Some(&token)).await
    }

    /// The answer if it is a success.
    pub(super) async fn ok(&self, call: Call) -> Result<(Response, Url), Failure> {
        let (response, url) = self.send(call).await?;
        if response.status().is_success() {
            return Ok((response, url));
        }
        Err(Failure::answered(response).await)
    }

    /// The body of an answer that is a success.
    pub(super) async fn get(&self, call: Call, limit: usize) -> Result<Vec<u8>, Failure> {
        let (response, _) = self.ok(call).await?;
        self.http.body(response, limit).await
    }

    /// What authorises a request to this address, if it is the host that it is for.
    pub(super) async fn authorization(&self, url: &Url) -> Option<HeaderValue> {
        let token = self.token.lock().await.clone();
        self.header_for(url, token.as_deref())
    }

    /// Gets a token again after the registry refused one in an answer from `url`.
    pub(super) async fn refused(&self, response: &Response, url: &Url) -> Result<(), Failure> {
        let header = response.headers().get(header::WWW_AUTHENTICATE);
        let challenge = header.and_then(|value| Challenge::parse(value.to_str().ok()?));
        let had = self.token.lock().await.clone();
        if let Some(challenge) = challenge.filter(|_| self.fixed.is_none()) {
            self.renew(&challenge, url, had.as_deref()).await?;
        }
        Ok(())
    }

    fn header_for(&self, url: &Url, token: Option<&str>) -> Option<HeaderValue> {
        if !same_site(url, &self.base) {
            return None;
        }
        match (&self.fixed, token) {
            (Some(fixed), _) => Some(fixed.clone()),
            (None, Some(token)) => HeaderValue::from_str(&format!("Bearer {token}")).ok(),
            (None, None) => None,
        }
    }

    /// Which addresses may be connected to for this URL.
    pub(super) fn reach(&self, url: &Url) -> Reach {
        if same_site(url, &self.base) {
            self.reach.asked
        } else {
            self.reach.others
        }
    }

    async fn follow(
        &self,
        mut call: Call,
        token: Option<&str>,
    ) -> Result<(Response, Url), Failure> {
        for _ in 0..=MAX_REDIRECTS {
            let authorization = self.header_for(&call.url, token);
            let reach = self.reach(&call.url);
            let response = self.http.once(&call, authorization, reach).await?;
            let follows = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            let plain = matches!(call.method, Method::GET | Method::HEAD);
            let Some(next) = self.next(&call.url, &response).filter(|_| follows && plain) else {
                return Ok((response, call.url));
            };
            call.url = next?;
        }
        Err(Failure::from(Error::new(
            Kind::Network,
            format!("more than {MAX_REDIRECTS} redirects"),
        )))
    }

    /// Where an answer redirects to.
    pub(super) fn next(&self, from: &Url, response: &Response) -> Option<Result<Url>> {
        let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
        let refused = |why: &str| Err(Error::new(Kind::Network, format!("redirected to {why}")));
        Some(match from.join(location) {
            Ok(url) if url.scheme() == "https" => Ok(url),
            Ok(url) if url.scheme() == "http" => {
                if from.scheme() == "http" || self.reach.downgrade {
                    Ok(url)
                } else {
                    refused("an address without encryption")
                }
            }
            _ => refused("what is no address of the web"),
        })
    }

    /// Several requests may be refused at once: one of them gets the token for all.
    async fn renew(
        &self,
        challenge: &Challenge,
        url: &Url,
        had: Option<&str>,
    ) -> Result<String, Failure> {
        let mut token = self.token.lock().await;
        if let Some(newer) = token.as_deref().filter(|&now| Some(now) != had) {
            return Ok(newer.to_owned());
        }
        let realm = challenge.url(url)?;
        let mut authorization = None;
        if let Some(dir) = &self.key_dir {
            let signature = Key::load_or_make(dir)?.sign(signed_text(&realm).as_bytes());
            authorization = HeaderValue::from_str(&signature).ok();
        }
        let call = Call::new(Method::GET, realm.clone());
        let response = self
            .http
            .once(&call, authorization, self.reach(&realm))
            .await?;
        if !response.status().is_success() {
            return Err(Failure::answered(response).await);
        }
        let body = self.http.body(response, MAX_TOKEN).await?;
        let got = serde_json::from_slice::<Token>(&body)
            .ok()
            .and_then(Token::into_text);
        let got = got.ok_or_else(|| {
            Error::new(
                Kind::Unauthorized,
                "the registry answered no token that can be used",
            )
        })?;
        *token = Some(got.clone());
        Ok(got)
    }
}
