//! Which settings are in force that are not what they are by themselves.

use std::ffi::OsString;

use serde::Serialize;

use super::Findings;
use crate::server::keys;
use crate::settings::{Settings, VARIABLES};

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Setting {
    pub name: String,
    pub value: String,
}

/// What clients read, and servers do not.
const CLIENTS: &[&str] = &["OLLAMA_API_KEY"];

pub(super) fn look(findings: &mut Findings) -> Vec<Setting> {
    let get = |name: &str| std::env::var_os(name);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let known = VARIABLES.iter().any(|variable| variable.name == name);
        if name.starts_with("OLLAMA_") && !known && !CLIENTS.contains(&&*name) {
            findings.warn(format!(
                "{name} is set, which means nothing to this program"
            ));
        }
    }
    if let Some(path) = Settings::read(get)
        .ok()
        .and_then(|settings| settings.api_keys)
    {
        match keys::read(&path).and_then(|text| keys::lines(&text)) {
            Ok(keys) if keys.is_empty() => {
                findings
                    .problem("OLLAMA_API_KEYS: the file has no keys, and no server starts with it");
            }
            Ok(_) => {}
            Err(error) => findings.problem(error.to_string()),
        }
    }
    changed(&get)
}

/// The variables without which something would be otherwise.
fn changed(get: &dyn Fn(&str) -> Option<OsString>) -> Vec<Setting> {
    let Ok(all) = Settings::read(get) else {
        return Vec::new();
    };
    let mut changed = Vec::new();
    for variable in VARIABLES {
        let Some(value) = get(variable.name).filter(|value| !value.is_empty()) else {
            continue;
        };
        let without = Settings::read(|name| {
            if name == variable.name {
                None
            } else {
                get(name)
            }
        });
        let ours = variable.name.starts_with("OLLAMA_");
        if ours && without.is_ok_and(|without| without == all) {
            continue;
        }
        changed.push(Setting {
            name: variable.name.to_owned(),
            value: hidden(&value.to_string_lossy()),
        });
    }
    changed
}

/// Without the passwords that URLs may have.
fn hidden(value: &str) -> String {
    let parts = value.split(',').map(|part| {
        let Some((before, rest)) = part.split_once("://") else {
            return part.to_owned();
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) => {
                let user = user.split(':').next().unwrap_or_default();
                format!("{before}://{user}:***@{host}{path}")
            }
            None => part.to_owned(),
        }
    });
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_something_is_told() {
        let set = [
            ("HOME", "/home/u"),
            ("USERPROFILE", "/home/u"),
            ("OLLAMA_KEEP_ALIVE", "300s"),
            ("OLLAMA_MAX_QUEUE", "7"),
            ("OLLAMA_NOPRUNE", "0"),
            ("OLLAMA_DEBUG", ""),
            (
                "OLLAMA_MIRRORS",
                "a.org=https://user:secret@mirror.example/x",
            ),
            ("HTTPS_PROXY", "http://user:secret@proxy.example:8080/"),
        ];
        let get = |name: &str| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let changed = changed(&get);
        let names: Vec<&str> = changed
            .iter()
            .map(|setting| setting.name.as_str())
            .collect();
        assert_eq!(names, ["OLLAMA_MAX_QUEUE", "OLLAMA_MIRRORS", "HTTPS_PROXY"]);
        assert!(
            changed
                .iter()
                .all(|setting| !setting.value.contains("secret")),
            "{changed:?}"
        );
    }
}
