//! Complete models of a few hundred kilobytes with seeded weights and real tokenizers, made on the spot.
//!
//! They talk nonsense, deterministically, through every code path that a large model takes.

mod decoder;
mod encoder;
mod lora;
mod recall;
mod recurrent;
mod vocab;
mod weights;

use std::path::{Path, PathBuf};

use llamakit::gguf::{TensorType, Value, Writer};

pub use decoder::{gemma3, llama, llama_spm, lookback, lookback_successor, moe};
pub use encoder::{bert, reranker, t5};
pub use lora::lora;
pub use recall::{recalled, recalling};
pub use recurrent::{lfm2, mamba};

/// One model of every kind of memory that can be decoded with: plain, sliding window, recurrent, hybrid.
#[must_use]
pub fn every_memory() -> [Tiny; 4] {
    [llama(), gemma3(), mamba(), lfm2()]
}

/// A model file in the making; tests change what they need before it is written.
#[derive(Debug, Clone)]
pub struct Tiny {
    name: String,
    arch: String,
    keys: Vec<(String, Value)>,
    tensors: Vec<Tensor>,
}

/// A tensor of a [`Tiny`].
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Its name in the file.
    pub name: String,
    /// Its dimensions, row length first.
    pub dims: Vec<u64>,
    /// How the values are encoded.
    pub ty: TensorType,
    /// The encoded values, little endian.
    pub data: Vec<u8>,
}

impl Tiny {
    /// A file with an architecture and nothing else.
    fn new(name: &str, arch: &str) -> Self {
        let tiny = Self {
            name: name.to_owned(),
            arch: arch.to_owned(),
            keys: Vec::new(),
            tensors: Vec::new(),
        };
        tiny.with("general.architecture", arch)
            .with("general.name", format!("tiny {name}"))
    }

    /// Sets a metadata key, replacing the value it has.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.set(key.to_owned(), value.into());
        self
    }

    /// Removes a metadata key.
    ///
    /// # Panics
    /// When the model has no such key, so that a test cannot pass by a slip of the pen.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        let before = self.keys.len();
        self.keys.retain(|(name, _)| name != key);
        assert!(self.keys.len() < before, "{} has no key {key}", self.name);
        self
    }

    /// Changes one tensor.
    ///
    /// # Panics
    /// When the model has no such tensor.
    #[must_use]
    pub fn map_tensor(mut self, name: &str, change: impl FnOnce(&mut Tensor)) -> Self {
        let tensor = self.tensors.iter_mut().find(|tensor| tensor.name == name);
        change(tensor.unwrap_or_else(|| panic!("{} has no tensor {name}", self.name)));
        self
    }

    /// Removes one tensor.
    ///
    /// # Panics
    /// When the model has no such tensor.
    #[must_use]
    pub fn without_tensor(mut self, name: &str) -> Self {
        let before = self.tensors.len();
        self.tensors.retain(|tensor| tensor.name != name);
        assert!(
            self.tensors.len() < before,
            "{} has no tensor {name}",
            self.name
        );
        self
    }

    /// Encodes the matrices as `ty`: `F16`, `Q8_0` or `Q4_0`. Vectors and small tensors stay `F32`.
    ///
    /// # Panics
    /// For other types.
    #[must_use]
    pub fn quantized(mut self, ty: TensorType) -> Self {
        const KEPT: [&str; 3] = ["position_embd", "token_types", "ffn_gate_inp"];
        for tensor in &mut self.tensors {
            let matrix = tensor.dims.iter().filter(|dim| **dim > 1).count() > 1
                && tensor.dims[0].is_multiple_of(32)
                && tensor.ty == TensorType::F32
                && tensor.name.ends_with(".weight")
                && !KEPT.iter().any(|kept| tensor.name.contains(kept));
            if matrix {
                tensor.data = weights::encode(&weights::f32_values(&tensor.data), ty);
                tensor.ty = ty;
            }
        }
        self.name = format!("{}-{ty}", self.name);
        self
    }

    /// The architecture, as in `general.architecture` when the model was made.
    #[must_use]
    pub fn arch(&self) -> &str {
        &self.arch
    }

    /// A short name for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The metadata in file order.
    #[must_use]
    pub fn keys(&self) -> &[(String, Value)] {
        &self.keys
    }

    /// The tensors in file order.
    #[must_use]
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The whole file.
    ///
    /// # Panics
    /// When a change made it something that the writer refuses, such as data that does not fill its dimensions.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        write(&self.keys, &self.tensors)
    }

    /// Path of the file, written on first use below the system's temporary directory.
    ///
    /// The name contains a hash of the contents, so equal models share a file across tests and runs.
    ///
    /// # Panics
    /// As [`Tiny::bytes`], and when the file cannot be written.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let bytes = self.bytes();
        let path = dir().join(format!("{}-{:016x}.gguf", self.name, weights::hash(&bytes)));
        write_once(&path, &bytes);
        path
    }

    /// The model split over `count` files by the convention of `gguf-split`; the first path is the one to load.
    ///
    /// # Panics
    /// As [`Tiny::path`], and when there are more files than tensors.
    #[must_use]
    pub fn shards(&self, count: u16) -> Vec<PathBuf> {
        assert!(
            (1..=self.tensors.len()).contains(&usize::from(count)),
            "shards of {}",
            self.name
        );
        let hash = weights::hash(&self.bytes());
        let total = self.tensors.len();
        let border = |i: u16| total * usize::from(i) / usize::from(count);
        (0..count)
            .map(|i| {
                // Only the first file has the model's metadata.
                let mut keys = if i == 0 {
                    self.keys.clone()
                } else {
                    Vec::new()
                };
                keys.push(("split.no".to_owned(), i.into()));
                keys.push(("split.count".to_owned(), count.into()));
                keys.push(("split.tensors.count".to_owned(), (total as i32).into()));
                let bytes = write(&keys, &self.tensors[border(i)..border(i + 1)]);
                let name = format!("{}-{hash:016x}-{:05}-of-{count:05}.gguf", self.name, i + 1);
                let path = dir().join(name);
                write_once(&path, &bytes);
                path
            })
            .collect()
    }

    fn set(&mut self, key: String, value: Value) {
        match self.keys.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => self.keys.push((key, value)),
        }
    }

    /// Sets keys of the architecture's own.
    fn hparams<const N: usize>(&mut self, keys: [(&str, Value); N]) {
        for (key, value) in keys {
            self.set(format!("{}.{key}", self.arch), value);
        }
    }

    fn vocab(&mut self, vocab: vocab::Vocab) {
        for (key, value) in vocab.into_keys() {
            self.set(key, value);
        }
    }

    fn tensor(&mut self, name: impl Into<String>, dims: &[u64], values: Vec<f32>) {
        self.tensors.push(Tensor {
            name: name.into(),
            dims: dims.to_vec(),
            ty: TensorType::F32,
            data: weights::f32_bytes(values),
        });
    }

    /// Random values of unit variance times `scale`.
    fn random(&mut self, name: impl Into<String>, dims: &[u64], scale: f32) {
        let name = name.into();
        let values = weights::random(&name, dims, scale);
        self.tensor(name, dims, values);
    }

    /// A matrix that keeps the variance of what it multiplies.
    fn matrix(&mut self, name: impl Into<String>, dims: &[u64]) {
        self.random(name, dims, 1.0 / (dims[0] as f32).sqrt());
    }

    /// Norm weights: near one, not all the same.
    fn norm(&mut self, name: impl Into<String>, len: u64) {
        let name = name.into();
        let mut rng = weights::Rng::named(&name);
        let values = (0..len).map(|_| 1.0 + 0.1 * rng.uniform()).collect();
        self.tensor(name, &[len], values);
    }

    /// Small random biases.
    fn bias(&mut self, name: impl Into<String>, len: u64) {
        self.random(name, &[len], 0.1);
    }
}

fn write(keys: &[(String, Value)], tensors: &[Tensor]) -> Vec<u8> {
    let mut writer = Writer::new();
    for (key, value) in keys {
        writer
            .set(key.clone(), value.clone())
            .expect("a key that the writer takes");
    }
    for tensor in tensors {
        writer
            .tensor(
                tensor.name.clone(),
                &tensor.dims,
                tensor.ty,
                tensor.data.clone(),
            )
            .expect("a tensor that the writer takes");
    }
    writer.to_bytes()
}

fn dir() -> PathBuf {
    let dir = std::env::temp_dir().join("llamakit-tiny");
    std::fs::create_dir_all(&dir).expect("a directory for tiny models");
    dir
}

/// Writes the file unless it is there. Other processes see all of it or nothing.
fn write_once(path: &Path, bytes: &[u8]) {
    if std::fs::metadata(path).is_ok_and(|data| data.len() == bytes.len() as u64) {
        return;
    }
    let unique = format!("{}-{:?}", std::process::id(), std::thread::current().id());
    let temp = path.with_extension(unique);
    std::fs::write(&temp, bytes).expect("write a tiny model");
    if let Err(e) = std::fs::rename(&temp, path) {
        // Windows refuses while another process, which was first, has the file open.
        let _ = std::fs::remove_file(&temp);
        assert!(path.exists(), "{}: {e}", path.display());
    }
}
