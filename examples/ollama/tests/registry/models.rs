//! Models for the tests and a registry that has them.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ollama::registry::{Config, Options, Registry, Source};
use ollama::settings::Settings;
use ollama::store::{Layer, Manifest};
use ollama::{Digest, Progress, Result, Store};

use crate::server::{Reply, Request, Server};

pub(crate) const MIB: usize = 1 << 20;

/// Bytes that no block shares with another.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A model of these layers after a small settings blob: manifest and blobs.
pub(crate) fn model(layers: &[&[u8]]) -> (Vec<u8>, HashMap<String, Arc<Vec<u8>>>) {
    let mut blobs = HashMap::new();
    let mut layer = |kind: &str, bytes: &[u8]| {
        let digest = Digest::of_bytes(bytes);
        blobs.insert(digest.to_string(), Arc::new(bytes.to_vec()));
        Layer::new(kind, digest, bytes.len() as u64)
    };
    let config = layer(
        "application/vnd.docker.container.image.v1+json",
        br#"{"model_format":"gguf","model_family":"llama","model_type":"1M","file_type":"F16"}"#,
    );
    let layers = layers
        .iter()
        .map(|bytes| layer("application/vnd.ollama.image.model", bytes));
    let manifest = Manifest::new(config.clone(), layers.collect());
    // Not as this program would write it: what is stored must be what came.
    let json = serde_json::to_string_pretty(&manifest).unwrap();
    (json.into_bytes(), blobs)
}

/// What goes wrong with one request for a blob.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The connection ends after so many bytes.
    Cut(usize),
    /// One byte of the part is wrong.
    Flip(usize),
    /// An error instead.
    Status(u16),
    /// As `Status`, but the client shall wait.
    Later(u16, u64),
    /// Another length of the whole file is told.
    Total(u64),
    /// Another range than was asked for.
    Shifted,
    /// The whole file instead of the range.
    Whole,
    /// Nothing.
    None,
}

/// What the registry has and how it behaves.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) manifests: HashMap<String, Vec<u8>>,
    pub(crate) blobs: HashMap<String, Arc<Vec<u8>>>,
    /// For the next requests for blobs larger than a block, in order.
    pub(crate) faults: VecDeque<Fault>,
    /// Whether there are lists of hashes of parts.
    pub(crate) sums: bool,
    /// A pause after each 64 KiB.
    pub(crate) pause: Duration,
}

pub(crate) type Shared = Arc<Mutex<Shelf>>;

pub(crate) fn shelf(name: &str, layers: &[&[u8]]) -> Shared {
    let (manifest, blobs) = model(layers);
    let path = format!("/v2/{}", name.replace(':', "/manifests/"));
    Arc::new(Mutex::new(Shelf {
        manifests: HashMap::from([(path, manifest)]),
        blobs,
        ..Shelf::default()
    }))
}

/// What a registry answers.
pub(crate) fn answer(shelf: &Shared, request: &Request) -> Reply {
    let mut shelf = shelf.lock().unwrap();
    if let Some(manifest) = shelf.manifests.get(&request.path) {
        return Reply::new(200, manifest.clone());
    }
    let Some((place, digest)) = request.path.rsplit_once('/') else {
        return Reply::new(404, "");
    };
    let Some(bytes) = shelf.blobs.get(digest).cloned() else {
        return Reply::new(404, "");
    };
    if place.ends_with("/chunksums") {
        let sum = |(at, part): (usize, &[u8])| {
            let first = at * 4 * MIB;
            format!(
                "{} {first}-{}\n",
                Digest::of_bytes(part),
                first + part.len() - 1
            )
        };
        let list: String = bytes.chunks(4 * MIB).enumerate().map(sum).collect();
        return if shelf.sums {
            Reply::new(200, list)
        } else {
            Reply::new(404, "")
        };
    }
    let mut reply = Reply::file(request, &bytes);
    reply.pause = shelf.pause;
    if bytes.len() < MIB {
        return reply;
    }
    match shelf.faults.pop_front().unwrap_or(Fault::None) {
        Fault::Cut(at) => reply.cut = Some(at),
        Fault::Flip(at) => reply.body.flip = Some(reply.body.range.start + at),
        Fault::Status(status) => return Reply::new(status, "it broke"),
        Fault::Later(status, seconds) => {
            return Reply::new(status, "later").with("Retry-After", seconds.to_string());
        }
        Fault::Total(total) => {
            let range = &reply.body.range;
            let told = format!("bytes {}-{}/{total}", range.start, range.end - 1);
            reply.headers = vec![("Content-Range".to_owned(), told)];
        }
        Fault::Shifted => {
            let told = format!("bytes 1-{}/{}", reply.body.range.len(), bytes.len());
            reply.headers = vec![("Content-Range".to_owned(), told)];
        }
        Fault::Whole => {
            reply = Reply::new(200, "");
            reply.body = crate::server::Body::new(bytes);
        }
        Fault::None => {}
    }
    reply
}

pub(crate) fn registry(shelf: &Shared) -> Server {
    let shelf = Arc::clone(shelf);
    Server::start(move |request| answer(&shelf, request))
}

/// A store and a client for one test.
pub(crate) struct Here {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) config: Config,
}

impl Here {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let read = |name: &str| match name {
            "HOME" | "USERPROFILE" => Some(home.clone().into_os_string()),
            _ => None,
        };
        let settings = Settings::read(read).unwrap();
        let mut config = Config::new(&settings).unwrap();
        config.backoff = Duration::from_millis(1);
        let store = Store::open(home.join("models")).unwrap();
        Self { dir, store, config }
    }

    pub(crate) fn source(name: &str) -> Source {
        Source::parse(name).unwrap()
    }

    /// Pulls and says what was reported.
    pub(crate) fn pull(&self, name: &str) -> (Result<()>, Vec<Progress>) {
        self.pull_with(
            name,
            &Options {
                insecure: true,
                ..Options::default()
            },
        )
    }

    pub(crate) fn pull_with(&self, name: &str, options: &Options) -> (Result<()>, Vec<Progress>) {
        let registry = Registry::new(self.config.clone());
        let told = Mutex::new(Vec::new());
        let report = |progress: Progress| told.lock().unwrap().push(progress);
        let source = Self::source(name);
        let result = wait(registry.pull(&self.store, &source, options, &report));
        (result, told.into_inner().unwrap())
    }

    /// All files of the test's folder, relative to the store.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut dirs = vec![self.dir.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    let path: PathBuf = path
                        .strip_prefix(self.store.root())
                        .unwrap_or(&path)
                        .to_owned();
                    files.push(path.to_str().unwrap().to_owned());
                }
            }
        }
        files.retain(|file| {
            file != ".lock" && !file.ends_with("id_ed25519") && !file.ends_with(".pub")
        });
        files.sort();
        files
    }

    pub(crate) fn root(&self) -> &Path {
        self.store.root()
    }
}

pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

/// Statuses in their order, each once.
pub(crate) fn statuses(told: &[Progress]) -> Vec<String> {
    let mut statuses: Vec<String> = told
        .iter()
        .map(|progress| progress.status.clone())
        .collect();
    statuses.dedup();
    statuses
}
