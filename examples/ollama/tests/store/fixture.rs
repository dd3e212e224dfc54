//! Stores made by hand, as the documentation of the layout says, without the code under test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ollama::{Digest, Name, Store};

pub(crate) const MODEL: &str = "application/vnd.ollama.image.model";
pub(crate) const TEMPLATE: &str = "application/vnd.ollama.image.template";
pub(crate) const SYSTEM: &str = "application/vnd.ollama.image.system";
pub(crate) const PARAMS: &str = "application/vnd.ollama.image.params";
pub(crate) const LICENSE: &str = "application/vnd.ollama.image.license";
pub(crate) const MESSAGES: &str = "application/vnd.ollama.image.messages";
pub(crate) const PROJECTOR: &str = "application/vnd.ollama.image.projector";
pub(crate) const ADAPTER: &str = "application/vnd.ollama.image.adapter";
pub(crate) const CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// A settings blob as Ollama writes it.
pub(crate) const SETTINGS: &str = r#"{"model_format":"gguf","model_family":"llama","model_families":["llama"],"model_type":"8.0B","file_type":"Q4_K_M","architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:00"]}}"#;

/// Where the models of the default registry are.
pub(crate) const LIBRARY: &str = "registry.ollama.ai/library";

pub(crate) struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("models/manifests")).unwrap();
        fs::create_dir_all(dir.path().join("models/blobs")).unwrap();
        Self { dir }
    }

    /// A folder beside the store.
    pub(crate) fn outside(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("models")
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(self.root()).unwrap()
    }

    pub(crate) fn blob_path(&self, digest: &str) -> PathBuf {
        self.root().join("blobs").join(digest.replace(':', "-"))
    }

    /// Writes a blob and gives its digest.
    pub(crate) fn blob(&self, bytes: &[u8]) -> String {
        let digest = Digest::of_bytes(bytes).to_string();
        fs::write(self.blob_path(&digest), bytes).unwrap();
        digest
    }

    pub(crate) fn manifest_path(&self, place: &str) -> PathBuf {
        self.root().join("manifests").join(place)
    }

    pub(crate) fn write_manifest(&self, place: &str, json: &[u8]) {
        let path = self.manifest_path(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, json).unwrap();
    }

    /// Writes blobs and a manifest with Ollama's bytes.
    pub(crate) fn model(&self, place: &str, settings: &str, layers: &[(&str, &[u8])]) {
        let layer = |(media, bytes): &(&str, &[u8])| {
            let digest = self.blob(bytes);
            let size = bytes.len();
            format!(r#"{{"mediaType":"{media}","digest":"{digest}","size":{size}}}"#)
        };
        let config = layer(&(CONFIG, settings.as_bytes()));
        let layers: Vec<String> = layers.iter().map(layer).collect();
        let layers = layers.join(",");
        let json = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{config},"layers":[{layers}]}}"#
        );
        self.write_manifest(place, format!("{json}\n").as_bytes());
    }

    /// Every file with its bytes, by its path below the store, without the lock.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut dirs = vec![self.root()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else if path.file_name().unwrap() != ".lock" {
                    let place = path.strip_prefix(self.root()).unwrap().to_owned();
                    files.insert(place, fs::read(path).unwrap());
                }
            }
        }
        files
    }

    pub(crate) fn blobs(&self) -> usize {
        let files = self.files();
        files
            .keys()
            .filter(|path| path.starts_with("blobs"))
            .count()
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}
