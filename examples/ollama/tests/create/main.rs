//! Making models: what comes into the store, and what is refused.

mod command;
mod files;
mod gather;
mod hostile;
mod models;
#[cfg(feature = "inference")]
mod quantize;

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use llamakit_testkit::tiny::{self, Tiny};
use ollama::create::{Control, Request, create};
use ollama::store::{Layer, Manifest};
use ollama::{Digest, Name, Progress, Result, Store};
use serde_json::Value;
use tempfile::TempDir;

static GO_ON: AtomicBool = AtomicBool::new(false);

/// A store in a folder of its own.
struct Kit {
    store: Store,
    folder: TempDir,
}

impl Kit {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("models")).unwrap();
        Self { store, folder }
    }

    /// Stores a file's bytes and gives their digest.
    fn put(&self, bytes: &[u8]) -> String {
        self.store.put_bytes(bytes).unwrap().0.to_string()
    }

    /// Creates, and gives what was told; text of progress with bytes has them at the end.
    fn create(&self, request: &Request) -> Result<Vec<String>> {
        let told = Mutex::new(Vec::new());
        let report = |progress: Progress| told.lock().unwrap().push(progress.status);
        let control = Control {
            stop: &GO_ON,
            prune: true,
        };
        create(&self.store, request, &report, control)?;
        Ok(told.into_inner().unwrap())
    }

    /// The message of a request that fails. Nothing must have become a model.
    fn refused(&self, request: &Request) -> ollama::Error {
        let before = self.store.list().unwrap().models.len();
        let error = match self.create(request) {
            Ok(told) => panic!("{request:?} was done: {told:?}"),
            Err(error) => error,
        };
        assert_eq!(self.store.list().unwrap().models.len(), before);
        // CVE-2024-39719: errors told where files of the server are.
        let text = error.to_string();
        assert!(
            !text.contains(&*self.folder.path().to_string_lossy()),
            "{text}"
        );
        error
    }

    /// A model of the tiny llama, called `base`.
    fn base(&self) -> Tiny {
        let tiny = plain().with("general.file_type", 1_u32);
        self.create(&self.of_file("base", "base.gguf", &tiny.bytes()))
            .unwrap();
        tiny
    }

    fn of_file(&self, model: &str, file: &str, bytes: &[u8]) -> Request {
        let mut request = Request::new(model);
        request.files.insert(file.to_owned(), self.put(bytes));
        request
    }

    fn manifest(&self, model: &str) -> Manifest {
        self.store.manifest(&Name::parse(model).unwrap()).unwrap().0
    }

    /// The layers as the last part of their media types with their contents, weights left out.
    fn layers(&self, model: &str) -> Vec<(String, String)> {
        let text = |layer: &Layer| {
            let kind = layer.media_type.rsplit('.').next().unwrap().to_owned();
            let weights = ["model", "draft", "adapter", "projector"].contains(&kind.as_str());
            let text = if weights {
                String::new()
            } else {
                self.text(layer)
            };
            (kind, text)
        };
        self.manifest(model).layers.iter().map(text).collect()
    }

    fn text(&self, layer: &Layer) -> String {
        fs::read_to_string(self.store.layer(layer).unwrap()).unwrap()
    }

    fn config(&self, model: &str) -> Value {
        serde_json::from_str(&self.text(&self.manifest(model).config)).unwrap()
    }

    fn blobs(&self) -> Vec<String> {
        names(&self.store.blobs_dir())
    }
}

/// The tiny llama without a template, so that none is found out.
fn plain() -> Tiny {
    tiny::llama().without("tokenizer.chat_template")
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

fn digest(bytes: &[u8]) -> String {
    Digest::of_bytes(bytes).to_string()
}

fn layer(kind: &str, text: &str) -> (String, String) {
    (kind.to_owned(), text.to_owned())
}
