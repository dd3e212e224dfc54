//! Which web pages may ask, and what their browsers are told.

use axum::http::{HeaderMap, HeaderValue, Method, header};

/// Headers that a web page may send: those of the clients of all APIs.
const ALLOWED_HEADERS: &str = "Authorization, Content-Type, User-Agent, Accept, X-Requested-With, X-Api-Key, \
    X-Request-Id, X-Ollama-Strict, OpenAI-Beta, Anthropic-Version, Anthropic-Beta, \
    Anthropic-Dangerous-Direct-Browser-Access, X-Stainless-Arch, X-Stainless-Async, \
    X-Stainless-Custom-Poll-Interval, X-Stainless-Helper-Method, X-Stainless-Lang, X-Stainless-Os, \
    X-Stainless-Package-Version, X-Stainless-Poll-Helper, X-Stainless-Retry-Count, X-Stainless-Runtime, \
    X-Stainless-Runtime-Version, X-Stainless-Timeout";
const ALLOWED_METHODS: &str = "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS";

/// A page of this server's own.
pub(super) fn same_origin(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let origin = origin.as_bytes();
    let of = |scheme: &[u8]| {
        origin
            .strip_prefix(scheme)
            .is_some_and(|rest| Some(rest) == host)
    };
    of(b"http://") || of(b"https://")
}

/// Origins that are always allowed, as with Ollama; `*` stands for anything.
const ORIGINS: &[&str] = &[
    "http://localhost",
    "https://localhost",
    "http://localhost:*",
    "https://localhost:*",
    "http://127.0.0.1",
    "https://127.0.0.1",
    "http://127.0.0.1:*",
    "https://127.0.0.1:*",
    "http://0.0.0.0",
    "https://0.0.0.0",
    "http://0.0.0.0:*",
    "https://0.0.0.0:*",
    "http://[::1]:*",
    "app://*",
    "file://*",
    "tauri://*",
    "vscode-webview://*",
    "vscode-file://*",
    "chrome-extension://*",
    "moz-extension://*",
    "safari-extension://*",
    "safari-web-extension://*",
    "ms-browser-extension://*",
];

/// Whether the origin is always allowed, or one of `own`.
pub(super) fn origin_allowed(own: &[String], origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let own = own.iter().map(String::as_str);
    ORIGINS
        .iter()
        .copied()
        .chain(own)
        .any(|pattern| matches(pattern, origin))
}

/// Whether a text is what a pattern with at most one `*` says. What stands for a port must be one.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern.eq_ignore_ascii_case(text);
    };
    let lower = text.to_ascii_lowercase();
    let rest = lower.strip_prefix(&before.to_ascii_lowercase());
    let Some(middle) = rest.and_then(|rest| rest.strip_suffix(&after.to_ascii_lowercase())) else {
        return false;
    };
    match before.ends_with(':') && after.is_empty() && !before.ends_with("://") {
        true => !middle.is_empty() && middle.bytes().all(|byte| byte.is_ascii_digit()),
        false => true,
    }
}

/// Tells the browser that the page may ask, and may read the reply.
pub(super) fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue, method: &Method) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if method == Method::OPTIONS {
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(ALLOWED_HEADERS),
        );
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(ALLOWED_METHODS),
        );
        headers.insert(
            header::ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from_static("43200"),
        );
    } else {
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("X-Request-Id, Retry-After"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_of_origins() {
        for (pattern, origin, is) in [
            ("http://localhost", "http://localhost", true),
            ("http://localhost:*", "http://localhost:3000", true),
            ("http://localhost:*", "http://localhost:", false),
            (
                "http://localhost:*",
                "http://localhost:80.evil.example",
                false,
            ),
            ("http://localhost:*", "http://localhost.evil.example", false),
            ("app://*", "app://obsidian.md", true),
            ("https://*.example.com", "https://a.example.com", true),
            ("https://*.example.com", "https://a.example.com.evil", false),
            ("*", "http://anything", true),
            ("*", "null", true),
            ("http://localhost", "null", false),
        ] {
            assert_eq!(matches(pattern, origin), is, "{pattern} {origin}");
        }
    }
}
