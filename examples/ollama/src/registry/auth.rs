//! How a registry asks for a token, and the request that gets one.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use reqwest::Url;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;

use super::mirrors::canonical;
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};

/// The longest challenge that is read.
const MAX_CHALLENGE: usize = 4096;

/// What `WWW-Authenticate` says.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Challenge {
    pub(super) realm: String,
    service: String,
    scope: String,
}

/// What the realm answers.
#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl Token {
    /// The token, if it can be sent.
    pub(super) fn into_text(self) -> Option<String> {
        let text = if self.token.is_empty() {
            self.access_token
        } else {
            self.token
        };
        let visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        visible.then_some(text)
    }
}

impl Challenge {
    /// Reads the header; nothing when it asks for something other than a token.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let scheme = header
            .get(..7)
            .filter(|s| s.eq_ignore_ascii_case("bearer "))?;
        let mut rest = header.get(scheme.len()..MAX_CHALLENGE.min(header.len()))?;
        let mut challenge = Self::default();
        while let Some((key, after)) = rest.split_once('=') {
            let key = key.trim_matches([',', ' ', '\t']).to_ascii_lowercase();
            let value;
            (value, rest) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_once(',').unwrap_or((after, "")),
            };
            match key.as_str() {
                "realm" => challenge.realm = value.to_owned(),
                "service" => challenge.service = value.to_owned(),
                "scope" => challenge.scope = value.to_owned(),
                _ => {}
            }
        }
        (!challenge.realm.is_empty()).then_some(challenge)
    }

    /// The address that gives the token, for a registry that was asked at `asked`.
    ///
    /// # Errors
    /// [`Kind::Unauthorized`] when it is on another host: a token is only for the host that was asked.
    pub(super) fn url(&self, asked: &Url) -> Result<Url> {
        let refused = |why: String| Error::new(Kind::Unauthorized, why);
        let realm = Url::parse(&self.realm)
            .map_err(|_| refused("the registry's realm is no URL".to_owned()))?;
        if !same_site(&realm, asked) {
            return Err(refused(format!(
                "realm host {:?} does not match original host {:?}",
                authority(&realm),
                authority(asked)
            )));
        }
        let mut random = [0; 16];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| Error::new(Kind::Storage, "no random numbers"))?;
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let mut pairs: Vec<(String, String)> = realm.query_pairs().into_owned().collect();
        pairs.push(("service".to_owned(), self.service.clone()));
        for scope in self.scope.split(' ') {
            pairs.push(("scope".to_owned(), scope.to_owned()));
        }
        pairs.push(("ts".to_owned(), seconds.to_string()));
        pairs.push(("nonce".to_owned(), BASE64_URL_SAFE_NO_PAD.encode(random)));
        // In the order in which Ollama signs them.
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        let mut url = realm;
        url.set_fragment(None);
        url.query_pairs_mut().clear().extend_pairs(pairs);
        Ok(url)
    }
}

/// What is signed for a request without a body.
pub(super) fn signed_text(url: &Url) -> String {
    let nothing = BASE64_STANDARD.encode(Digest::of_bytes(b"").hex());
    format!("GET,{url},{nothing}")
}

/// Whether credentials for one address may go to the other: same scheme, host and port; the two names
/// of Hugging Face are one host.
pub(super) fn same_site(a: &Url, b: &Url) -> bool {
    let key = |url: &Url| {
        let host = canonical(url.host_str().unwrap_or_default());
        (url.scheme().to_owned(), host, url.port_or_known_default())
    };
    key(a) == key(b)
}

fn authority(url: &Url) -> String {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{}{port}", url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn challenges_in_all_their_forms() {
        let full = Challenge {
            realm: "https://h/token?a=b".into(),
            service: "h".into(),
            scope: "repository:library/m:pull,push".into(),
        };
        for text in [
            r#"Bearer realm="https://h/token?a=b",service="h",scope="repository:library/m:pull,push""#,
            r#"bearer scope="repository:library/m:pull,push", Realm="https://h/token?a=b", service=h"#,
            r#"Bearer realm="https://h/token?a=b",error="x",service=h,scope="repository:library/m:pull,push""#,
        ] {
            assert_eq!(Challenge::parse(text).as_ref(), Some(&full), "{text}");
        }
        for text in [
            "",
            "Basic realm=\"x\"",
            "Bearer",
            "Bearer ",
            "Bearer realm=\"x",
            "Bearer =,=,\"\"=",
            "é",
        ] {
            assert_eq!(Challenge::parse(text), None, "{text}");
        }
    }

    // CVE-2025-51471: the realm's host got a signature that was made for another one.
    #[test]
    fn a_token_is_only_asked_for_on_the_host_itself() {
        let challenge = |realm: &str| Challenge {
            realm: realm.to_owned(),
            ..Challenge::default()
        };
        let asked = url("https://h.example/v2/x");
        for realm in [
            "https://evil.example/token",
            "http://h.example/token",
            "https://h.example:444/token",
            "https://h.example.evil/token",
            "https://h.example@evil/token",
            "//evil",
            "token",
            "",
        ] {
            let error = challenge(realm).url(&asked).unwrap_err();
            assert_eq!(error.kind(), Kind::Unauthorized, "{realm}");
        }
        assert!(challenge("https://H.example:443/token").url(&asked).is_ok());
        assert!(
            challenge("https://huggingface.co/v2/token")
                .url(&url("https://hf.co/v2/x"))
                .is_ok()
        );
    }

    #[test]
    fn the_request_for_a_token_has_ollamas_form() {
        let challenge = Challenge {
            realm: "https://h/token?z=1".into(),
            service: "h".into(),
            scope: "repository:a/b:pull repository:a/c:pull".into(),
        };
        let url = challenge.url(&url("https://h/v2/")).unwrap();
        let keys: Vec<String> = url.query_pairs().map(|(key, _)| key.into_owned()).collect();
        assert_eq!(keys, ["nonce", "scope", "scope", "service", "ts", "z"]);
        assert!(
            url.as_str().contains("scope=repository%3Aa%2Fb%3Apull"),
            "{url}"
        );
        let text = signed_text(&url);
        let empty = "ZTNiMGM0NDI5OGZjMWMxNDlhZmJmNGM4OTk2ZmI5MjQyN2FlNDFlNDY0OWI5MzRjYTQ5NTk5MWI3ODUyYjg1NQ==";
        assert_eq!(text, format!("GET,{url},{empty}"));
    }

    #[test]
    fn tokens_that_can_not_be_sent_are_none() {
        let token = |json: &str| {
            serde_json::from_str::<Token>(json)
                .ok()
                .and_then(Token::into_text)
        };
        assert_eq!(token(r#"{"token":"a"}"#).as_deref(), Some("a"));
        assert_eq!(
            token(r#"{"access_token":"b","expires_in":1}"#).as_deref(),
            Some("b")
        );
        for json in [
            "{}",
            r#"{"token":""}"#,
            r#"{"token":"a\r\nX: y"}"#,
            "[]",
            "null",
            r#"{"token":1}"#,
        ] {
            assert_eq!(token(json), None, "{json}");
        }
    }
}
