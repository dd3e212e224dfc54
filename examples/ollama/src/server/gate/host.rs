//! Which hosts requests may name: a page of a stranger whose name was made to mean this machine sends its own.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

use crate::settings::AllowedHost;

/// Whether the request names a host that can't be a stranger's.
pub(super) fn host_allowed(known: &[AllowedHost], headers: &HeaderMap) -> bool {
    let Some(host) = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let Some(host) = host_name(host) else {
        return false;
    };
    // An address is no name that somebody could make mean another one.
    if host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let local = ["localhost", "local", "internal"];
    let under = |name: &&str| {
        host.strip_suffix(name)
            .is_some_and(|rest| rest.ends_with('.'))
    };
    // Names without a dot belong to the local network.
    !host.contains('.') || local.iter().any(under) || known.iter().any(|known| known.matches(&host))
}

/// The host without its port, in lower case. `None`: it is none.
fn host_name(authority: &str) -> Option<String> {
    let host = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            if !port.is_empty() && !port.strip_prefix(':')?.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            host.parse::<std::net::Ipv6Addr>().ok()?;
            host
        }
        None => match authority.split_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            Some(_) => return None,
            None => authority,
        },
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::host_name;

    #[test]
    fn hosts_without_their_ports() {
        for (authority, host) in [
            ("localhost:11434", Some("localhost")),
            ("LocalHost", Some("localhost")),
            ("example.com.", Some("example.com")),
            ("127.0.0.1:1", Some("127.0.0.1")),
            ("[::1]:11434", Some("::1")),
            ("[::1]", Some("::1")),
            ("", None),
            (":11434", None),
            (".", None),
            ("[::1", None),
            ("[evil]:1", None),
            ("[::1]evil", None),
            ("a:b", None),
            ("evil.example:80@localhost", None),
        ] {
            assert_eq!(host_name(authority).as_deref(), host, "{authority:?}");
        }
    }
}
