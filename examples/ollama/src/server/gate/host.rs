//! Which hosts requests may name: a page of a stranger whose name was made to mean this machine sends its own.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};

use crate::settings::{self, AllowedHost};

/// Whether all hosts that the request names can't be a stranger's. Its target may name one as well.
pub(super) fn host_allowed(known: &[AllowedHost], target: &Uri, headers: &HeaderMap) -> bool {
    let target = target.authority().map(Authority::as_str);
    let host = headers.get(header::HOST);
    let host = host.map(|host| host.to_str().unwrap_or_default());
    host.is_some_and(|host| allowed(known, host)) && target.is_none_or(|host| allowed(known, host))
}

fn allowed(known: &[AllowedHost], authority: &str) -> bool {
    let Some(host) = host_name(authority) else {
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
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        if !port.is_empty() && !is_port(port.strip_prefix(':')?) {
            return None;
        }
        // Which of this machine's networks it is on is the client's affair.
        let (address, _zone) = address.split_once('%').unwrap_or((address, ""));
        return Some(address.parse::<Ipv6Addr>().ok()?.to_string());
    }
    let host = match authority.split_once(':') {
        Some((host, port)) if is_port(port) => host,
        Some(_) => return None,
        None => authority,
    };
    settings::host_name(host)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
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
            ("[FE80::1%25eth0]:11434", Some("fe80::1")),
            ("[fe80::1%eth0]", Some("fe80::1")),
            ("[evil%eth0]", None),
            ("evil@localhost", None),
            ("evil/.localhost", None),
            (".localhost", None),
            ("a..localhost", None),
            ("localhost..", None),
            ("a:b", None),
            ("evil.example:80@localhost", None),
        ] {
            assert_eq!(host_name(authority).as_deref(), host, "{authority:?}");
        }
    }
}
