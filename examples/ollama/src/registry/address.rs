//! Which addresses are public: what a client of the server may have fetched by URL.
//!
//! A name is checked by the addresses that the connection is then made to, so that it cannot change in
//! between. Through a proxy it is the proxy that connects; only addresses in the URL itself are checked then.

use std::error::Error as StdError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::error::{Error, Kind, Result};

/// Whether the address belongs to the public internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        // Shared by providers, protocol assignments, benchmarks, the former 6to4 relays.
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18)
        || (a == 192 && b == 88 && c == 99);
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let tail = Ipv4Addr::from((u32::from(s[6]) << 16) | u32::from(s[7]));
    match s {
        // Mapped, translated and tunnelled addresses are those that they carry.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_public_v4(tail),
        [0x2002, high, low, ..] => {
            is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
        }
        // Of what is global unicast: Teredo and other assignments, documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Hosts that are allowed although their addresses are not public: `host` or `host:port`.
#[derive(Debug, Clone, Default)]
pub(super) struct Allowed(pub(super) Arc<[String]>);

impl Allowed {
    fn has(&self, host: &str, port: Option<u16>) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.0.iter().any(|entry| {
            let (name, wanted) = match entry.rsplit_once(':') {
                Some((name, digits)) if digits.parse::<u16>().is_ok() && !name.contains(':') => {
                    (name, digits.parse().ok())
                }
                _ => (entry.as_str(), None),
            };
            let name = name.trim_start_matches('[').trim_end_matches(']');
            name.eq_ignore_ascii_case(host)
                && (wanted.is_none() || port.is_none() || wanted == port)
        })
    }

    /// Refuses what is visibly not public before anything is connected.
    pub(super) fn check(&self, url: &Url) -> Result<()> {
        let host = url.host_str().unwrap_or_default();
        if self.has(host, url.port_or_known_default()) {
            return Ok(());
        }
        let public = match url.host() {
            Some(url::Host::Ipv4(v4)) => is_public_v4(v4),
            Some(url::Host::Ipv6(v6)) => is_public_v6(v6),
            Some(url::Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                name != "localhost" && !name.ends_with(".localhost")
            }
            None => false,
        };
        if public { Ok(()) } else { Err(refused(host)) }
    }
}

fn refused(host: &str) -> Error {
    Error::new(
        Kind::Invalid,
        format!("{host} is not a public address; OLLAMA_PULL_HOSTS can allow it"),
    )
}

/// Resolves names to their public addresses only.
pub(super) struct PublicOnly {
    pub(super) allowed: Allowed,
    /// Names of the proxies in use, which are connected to for others.
    pub(super) proxies: Vec<String>,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        // The resolver is not told the port; an entry with one was compared by `check`.
        let free = self.allowed.has(&host, None)
            || self
                .proxies
                .iter()
                .any(|proxy| proxy.eq_ignore_ascii_case(&host));
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = found
                .filter(|address| free || is_public(address.ip()))
                .collect();
            if addresses.is_empty() {
                return Err(Box::new(refused(&host)) as Box<dyn StdError + Send + Sync>);
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_other_networks_are_not_public() {
        for text in [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "192.0.0.8",
            "198.18.0.1",
            "198.19.255.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
            "::127.0.0.1",
            "fec0::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn urls_that_lead_inside_are_refused_unless_allowed() {
        let none = Allowed::default();
        let some = Allowed(Arc::from([
            "127.0.0.1:8000".to_owned(),
            "Box.Local".to_owned(),
        ]));
        for text in [
            "http://127.0.0.1/x",
            "http://127.1/x",
            "http://2130706433/x",
            "http://0x7f000001/x",
            "http://[::1]/x",
            "http://localhost/x",
            "http://LOCALHOST./x",
            "http://a.localhost/x",
            "http://[::ffff:10.0.0.1]/x",
            "http://169.254.169.254/latest/meta-data",
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(
                none.check(&url).unwrap_err().kind(),
                Kind::Invalid,
                "{text}"
            );
            assert!(some.check(&url).is_err(), "{text}");
        }
        assert!(
            none.check(&Url::parse("https://example.com/x").unwrap())
                .is_ok()
        );
        assert!(
            some.check(&Url::parse("http://127.0.0.1:8000/x").unwrap())
                .is_ok()
        );
        assert!(
            some.check(&Url::parse("http://box.local:99/x").unwrap())
                .is_ok()
        );
    }
}
