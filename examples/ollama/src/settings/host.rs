//! Where a server is, in all the ways in which OLLAMA_HOST can say it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::name::Scheme;

const DEFAULT_PORT: u16 = 11434;

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// A name or an address without brackets; empty for all addresses of this machine.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What comes before the paths of the API, without slashes at its ends.
    pub path: String,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            scheme: Scheme::Http,
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: DEFAULT_PORT,
            path: String::new(),
        }
    }
}

impl Host {
    /// Reads `host`, `host:port`, `:port`, `[::1]:port`, each with `http://` or `https://` before
    /// (which changes the port it has by default) and a path behind.
    ///
    /// # Errors
    /// A sentence on what can't be understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (scheme, rest, default_port) = match text.split_once("://") {
            None => (Scheme::Http, text, DEFAULT_PORT),
            Some(("http", rest)) => (Scheme::Http, rest, 80),
            Some(("https", rest)) => (Scheme::Https, rest, 443),
            Some((scheme, _)) => return Err(format!("{scheme:?} is neither http nor https")),
        };
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_matches('/').to_owned();
        let unbracketed = address.trim_matches(['[', ']']);
        let (host, port) = if unbracketed.parse::<IpAddr>().is_ok() {
            (unbracketed, None)
        } else if let Some((host, port)) = address.rsplit_once(':') {
            (host.trim_matches(['[', ']']), Some(port))
        } else {
            (address, None)
        };
        let host = match (host, port) {
            ("", None) => Ipv4Addr::LOCALHOST.to_string(),
            (host, _) => host.to_owned(),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        // Addresses of IPv6 may name an interface behind a percent sign.
        let is_v6 = || {
            host.split('%')
                .next()
                .is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok())
        };
        if !host.chars().all(is_name) && !is_v6() {
            return Err(format!(
                "{host:?} is neither the name of a host nor an address"
            ));
        }
        let port = match port {
            None => default_port,
            Some(port) => port
                .parse()
                .map_err(|_| format!("{port:?} is not a port"))?,
        };
        Ok(Self {
            scheme,
            host,
            port,
            path,
        })
    }

    /// `host:port`, with brackets around addresses of IPv6.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The URL that the paths of the API are added to; it ends with no slash.
    #[must_use]
    pub fn url(&self) -> String {
        let slash = if self.path.is_empty() { "" } else { "/" };
        format!(
            "{}://{}{slash}{}",
            self.scheme.as_str(),
            self.authority(),
            self.path
        )
    }

    /// Where a client reaches a server that listens here: not all addresses, but this machine.
    #[must_use]
    pub fn connectable(&self) -> Self {
        let host = match self.host.parse::<IpAddr>() {
            _ if self.host.is_empty() => Ipv4Addr::LOCALHOST.to_string(),
            Ok(IpAddr::V4(ip)) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            Ok(IpAddr::V6(ip)) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.to_string(),
            _ => self.host.clone(),
        };
        Self {
            host,
            ..self.clone()
        }
    }

    /// Whether only this machine can reach a server that listens here.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms() {
        for (text, url) in [
            ("", "http://127.0.0.1:11434"),
            ("1.2.3.4", "http://1.2.3.4:11434"),
            (":1234", "http://:1234"),
            (":0", "http://:0"),
            ("1.2.3.4:1234", "http://1.2.3.4:1234"),
            ("0.0.0.0", "http://0.0.0.0:11434"),
            ("http://1.2.3.4", "http://1.2.3.4:80"),
            ("https://1.2.3.4", "https://1.2.3.4:443"),
            ("https://1.2.3.4:4321", "https://1.2.3.4:4321"),
            ("example.com", "http://example.com:11434"),
            ("example.com:1234", "http://example.com:1234"),
            ("https://example.com", "https://example.com:443"),
            ("example.com/", "http://example.com:11434"),
            ("example.com:1234/", "http://example.com:1234"),
            ("http://example.com/ollama/", "http://example.com:80/ollama"),
            ("https://example.com/a/b", "https://example.com:443/a/b"),
            ("[::1]", "http://[::1]:11434"),
            ("::1", "http://[::1]:11434"),
            ("[::]:1234", "http://[::]:1234"),
            (
                "[0001:002:003:0004::1]:80",
                "http://[0001:002:003:0004::1]:80",
            ),
            (" 1.2.3.4 ", "http://1.2.3.4:11434"),
            ("localhost", "http://localhost:11434"),
        ] {
            assert_eq!(Host::parse(text).unwrap().url(), url, "{text:?}");
        }
        for text in [
            "a:99999", "a:-1", "a:x", "a:", "ftp://a", "a b", "a@b", "a?x", "::x",
        ] {
            assert!(Host::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_client_connects_to_this_machine() {
        for (text, url) in [
            (":1", "http://127.0.0.1:1"),
            ("0.0.0.0:1", "http://127.0.0.1:1"),
            ("[::]:1", "http://[::1]:1"),
            ("example.com:1", "http://example.com:1"),
        ] {
            assert_eq!(Host::parse(text).unwrap().connectable().url(), url);
        }
        let loopback = |text| Host::parse(text).unwrap().is_loopback();
        assert!(
            loopback("") && loopback("127.0.0.9") && loopback("[::1]") && loopback("localhost")
        );
        assert!(!loopback(":1") && !loopback("0.0.0.0") && !loopback("::") && !loopback("a.org"));
    }
}
