//! pip's settings: which index a package comes from, as an office has set it up for Python already.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::error::{Error, Kind, Result};

const DEFAULT_INDEX: &str = "https://pypi.org/simple";
/// A file of settings is a few lines.
const MAX_FILE: u64 = 1 << 20;
/// Later ones win.
const SECTIONS: [&str; 3] = ["global", "install", "download"];

/// Where packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pip {
    /// The index and then the extra ones.
    pub(super) indexes: Vec<Url>,
    /// `host` or `host:port` that may be spoken to without encryption.
    trusted: Vec<String>,
    /// A file of further certificates.
    pub(super) cert: Option<PathBuf>,
}

impl Pip {
    /// What the environment and the files say that pip reads.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when an index is no URL, may not be spoken to or is switched off.
    pub(super) fn from_env() -> Result<Self> {
        let get = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self::read(&get, &|path| {
            use std::io::Read as _;
            let mut text = String::new();
            let file = std::fs::File::open(path).ok()?;
            file.take(MAX_FILE).read_to_string(&mut text).ok()?;
            Some(text)
        })
    }

    fn read(
        get: &dyn Fn(&str) -> Option<OsString>,
        file: &dyn Fn(&Path) -> Option<String>,
    ) -> Result<Self> {
        let mut settings: HashMap<String, String> = HashMap::new();
        for path in files(get) {
            let text = file(&path).unwrap_or_default();
            for wanted in SECTIONS {
                for (section, key, value) in entries(&text) {
                    if section == wanted && !value.is_empty() {
                        settings.insert(key, value);
                    }
                }
            }
        }
        for key in [
            "index-url",
            "extra-index-url",
            "no-index",
            "trusted-host",
            "cert",
        ] {
            let variable = format!("PIP_{}", key.replace('-', "_").to_ascii_uppercase());
            if let Some(value) = get(&variable).and_then(|value| value.into_string().ok()) {
                settings.insert(key.to_owned(), value);
            }
        }
        let setting = |key: &str| settings.get(key).map(String::as_str).unwrap_or_default();
        if matches!(
            setting("no-index").to_ascii_lowercase().as_str(),
            "1" | "true" | "yes" | "on" | "t" | "y"
        ) {
            return Err(Error::new(
                Kind::Invalid,
                "pip's settings switch package indexes off (no-index)",
            ));
        }
        let trusted: Vec<String> = setting("trusted-host")
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let main = setting("index-url")
            .split_whitespace()
            .next()
            .unwrap_or(DEFAULT_INDEX);
        let urls = [main]
            .into_iter()
            .chain(setting("extra-index-url").split_whitespace());
        let mut pip = Self {
            indexes: Vec::new(),
            trusted,
            cert: settings.get("cert").map(PathBuf::from),
        };
        for text in urls {
            let url = pip.index(text)?;
            if !pip.indexes.contains(&url) {
                pip.indexes.push(url);
            }
        }
        Ok(pip)
    }

    /// Whether this address may be spoken to without encryption.
    pub(super) fn trusts(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let with_port = url
            .port_or_known_default()
            .map(|port| format!("{host}:{port}"));
        let loopback = match url.host() {
            Some(url::Host::Ipv4(v4)) => v4.is_loopback(),
            Some(url::Host::Ipv6(v6)) => v6.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        let named = |entry: &String| {
            entry.eq_ignore_ascii_case(host)
                || with_port
                    .as_ref()
                    .is_some_and(|with_port| entry.eq_ignore_ascii_case(with_port))
        };
        url.scheme() == "https" || loopback || self.trusted.iter().any(named)
    }

    fn index(&self, text: &str) -> Result<Url> {
        // Not shown: it may have credentials.
        let no_url = || Error::new(Kind::Invalid, "pip's index-url is no http or https URL");
        let mut url = Url::parse(text.trim_end_matches('/')).map_err(|_| no_url())?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(no_url());
        }
        url.set_fragment(None);
        if !self.trusts(&url) {
            let host = url.host_str().unwrap_or_default();
            let why = format!(
                "the package index {host} is not encrypted; pip's trusted-host can allow it"
            );
            return Err(Error::new(Kind::Invalid, why));
        }
        Ok(url)
    }
}

/// The files that pip reads, the most general one first.
fn files(get: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let path = |name: &str| get(name).map(PathBuf::from);
    let named = path("PIP_CONFIG_FILE");
    if named.as_deref() == Some(Path::new(if cfg!(windows) { "nul" } else { "/dev/null" })) {
        return Vec::new();
    }
    let file = if cfg!(windows) { "pip.ini" } else { "pip.conf" };
    let home = path(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
    let mut files = Vec::new();
    if cfg!(windows) {
        files.extend(path("PROGRAMDATA").map(|dir| dir.join("pip").join(file)));
    } else if cfg!(target_vendor = "apple") {
        files.push("/Library/Application Support/pip/pip.conf".into());
    } else {
        let dirs = get("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".into());
        let dirs: Vec<PathBuf> = std::env::split_paths(&dirs).collect();
        files.extend(dirs.into_iter().rev().map(|dir| dir.join("pip").join(file)));
        files.push("/etc/pip.conf".into());
    }
    if let Some(home) = home {
        files.push(
            home.join(if cfg!(windows) { "pip" } else { ".pip" })
                .join(file),
        );
        if cfg!(windows) {
            files.extend(path("APPDATA").map(|dir| dir.join("pip").join(file)));
        } else {
            if cfg!(target_vendor = "apple") {
                files.push(home.join("Library/Application Support/pip").join(file));
            }
            let config = path("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
            files.push(config.join("pip").join(file));
        }
    }
    files.extend(path("VIRTUAL_ENV").map(|dir| dir.join(file)));
    files.extend(named);
    files
}

/// Section, key and value of every entry; a value may go on in further lines that are indented.
fn entries(text: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut entries: Vec<(String, String, String)> = Vec::new();
    let mut open = false;
    for line in text.trim_start_matches('\u{feff}').lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if open
            && line.starts_with([' ', '\t'])
            && let Some((.., value)) = entries.last_mut()
        {
            value.push(' ');
            value.push_str(trimmed);
            continue;
        }
        open = false;
        if let Some(name) = trimmed
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name.trim().to_ascii_lowercase();
        } else if let Some((key, value)) = trimmed.split_once(['=', ':']) {
            let key = key.trim().to_ascii_lowercase().replace('_', "-");
            let key = key.trim_start_matches("--").to_owned();
            entries.push((section.clone(), key, value.trim().to_owned()));
            open = true;
        }
    }
    // The first piece is empty where the value begins on the next line.
    for (.., value) in &mut entries {
        *value = value.trim().to_owned();
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)], files: &[(&str, &str)]) -> Result<Pip> {
        let find = |pairs: &[(&str, &str)], name: &str| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Pip::read(
            &|name| {
                find(variables, name)
                    .filter(|value| !value.is_empty())
                    .map(OsString::from)
            },
            &|path| find(files, path.to_str()?),
        )
    }

    fn indexes(variables: &[(&str, &str)], files: &[(&str, &str)]) -> Vec<String> {
        read(variables, files)
            .unwrap()
            .indexes
            .iter()
            .map(Url::to_string)
            .collect()
    }

    const HOME: (&str, &str) = ("HOME", "/h");

    #[test]
    fn without_settings_it_is_pypi() {
        assert_eq!(indexes(&[], &[]), [DEFAULT_INDEX]);
        assert_eq!(indexes(&[("PIP_INDEX_URL", "")], &[]), [DEFAULT_INDEX]);
    }

    #[test]
    fn variables_win_over_files() {
        let file = (
            "/etc/pip.conf",
            "[global]\nindex-url = https://file/simple/\nextra-index-url=https://x\n",
        );
        assert_eq!(indexes(&[], &[file]), ["https://file/simple", "https://x/"]);
        let set = [
            ("PIP_INDEX_URL", "https://u:p@env/simple"),
            ("PIP_EXTRA_INDEX_URL", "https://a https://b/c/ https://a"),
        ];
        assert_eq!(
            indexes(&set, &[file]),
            ["https://u:p@env/simple", "https://a/", "https://b/c"]
        );
    }

    #[cfg(all(unix, not(target_vendor = "apple")))]
    #[test]
    fn nearer_files_win() {
        let places = [
            "/etc/xdg/pip/pip.conf",
            "/etc/pip.conf",
            "/h/.pip/pip.conf",
            "/h/.config/pip/pip.conf",
            "/venv/pip.conf",
            "/named.conf",
        ];
        let texts =
            ["0", "1", "2", "3", "4", "5"].map(|n| format!("[global]\nindex-url: https://n{n}\n"));
        let variables = [
            HOME,
            ("VIRTUAL_ENV", "/venv"),
            ("PIP_CONFIG_FILE", "/named.conf"),
        ];
        for count in 1..=places.len() {
            let files: Vec<(&str, &str)> = places
                .iter()
                .copied()
                .zip(texts.iter().map(String::as_str))
                .take(count)
                .collect();
            let reversed: Vec<_> = files.iter().rev().copied().collect();
            let expected = format!("https://n{}/", count - 1);
            assert_eq!(indexes(&variables, &reversed), [expected]);
        }
        let moved = [
            HOME,
            ("XDG_CONFIG_HOME", "/c"),
            ("XDG_CONFIG_DIRS", "/d1:/d2"),
        ];
        let files = [
            ("/d2/pip/pip.conf", texts[2].as_str()),
            ("/d1/pip/pip.conf", &texts[1]),
        ];
        assert_eq!(indexes(&moved, &files), ["https://n1/"]);
        let file = ("/c/pip/pip.conf", texts[3].as_str());
        assert_eq!(indexes(&moved, &[file, files[0]]), ["https://n3/"]);
        let none = [HOME, ("PIP_CONFIG_FILE", "/dev/null")];
        assert_eq!(
            indexes(&none, &[("/etc/pip.conf", texts[0].as_str())]),
            [DEFAULT_INDEX]
        );
    }

    #[test]
    fn files_in_all_their_forms() {
        let text = "\u{feff}# c\n[install]\nindex_url=https://install\n[GLOBAL]\n; c\nindex-url = https://global\n\
            extra-index-url =\n    https://a\n    # c\n\thttps://b\nno-index = false\n[other]\nindex-url = https://other\n";
        let found = indexes(&[], &[("/etc/pip.conf", text)]);
        assert_eq!(found, ["https://install/", "https://a/", "https://b/"]);
        let pip = read(&[("PIP_CERT", "/ca.pem")], &[]).unwrap();
        assert_eq!(pip.cert.as_deref(), Some(Path::new("/ca.pem")));
    }

    #[test]
    fn plain_http_only_where_it_is_trusted() {
        let plain = ("PIP_INDEX_URL", "http://mirror:8080/simple");
        assert!(read(&[plain], &[]).is_err());
        assert!(read(&[plain, ("PIP_TRUSTED_HOST", "other mirror")], &[]).is_ok());
        assert!(read(&[plain, ("PIP_TRUSTED_HOST", "mirror:8080")], &[]).is_ok());
        assert!(read(&[plain, ("PIP_TRUSTED_HOST", "mirror:80")], &[]).is_err());
        assert!(read(&[("PIP_INDEX_URL", "http://127.0.0.1:1/simple")], &[]).is_ok());
        assert!(read(&[("PIP_NO_INDEX", "1")], &[]).is_err());
    }

    #[test]
    fn passwords_are_not_shown() {
        for url in [
            "http://u:secret@mirror/simple",
            "ftp://u:secret@h",
            "https://u:secret@:x/",
            "u:secret",
        ] {
            let error = read(&[("PIP_INDEX_URL", url)], &[]).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
