//! How a model is quantised.

use crate::error::{Error, Result};
use crate::gguf::{FileType, OverrideValue, Overrides, TensorType};
use crate::machine;
use crate::sys;

/// More threads do not help, and upstream ends the process where the system gives none.
const MAX_THREADS: u32 = 256;

/// Longer patterns could exhaust the stack of the C++ library.
const MAX_PATTERN: usize = 256;

/// Importances beyond this overflow when they are multiplied with weights.
const LARGEST_IMPORTANCE: f32 = 1e15;

/// How to quantise. [`QuantizeParams::new`] and a type are enough.
///
/// Not offered of upstream's parameters are `keep_split`, as the result is one file, and `dry_run`, which writes
/// to the log only.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizeParams {
    file_type: Option<FileType>,
    threads: Option<u32>,
    output_type: Option<TensorType>,
    token_embedding_type: Option<TensorType>,
    allow_requantize: bool,
    quantize_output: bool,
    pure: bool,
    rules: Vec<(String, TensorType)>,
    pub(super) importance: Vec<(String, Vec<f32>)>,
    pub(super) overrides: Overrides,
    layers_left_out: Vec<i32>,
    max_buffer: usize,
}

impl QuantizeParams {
    /// Quantises by this scheme.
    #[must_use]
    pub fn new(file_type: FileType) -> Self {
        Self {
            file_type: Some(file_type),
            threads: None,
            output_type: None,
            token_embedding_type: None,
            allow_requantize: false,
            quantize_output: true,
            pure: false,
            rules: Vec::new(),
            importance: Vec::new(),
            overrides: Overrides::new(),
            layers_left_out: Vec::new(),
            max_buffer: 0,
        }
    }

    /// Copies all tensors as they are, which makes one file of a split model (`only_copy`).
    #[must_use]
    pub fn copy() -> Self {
        Self {
            file_type: None,
            ..Self::new(FileType::F32)
        }
    }

    /// Number of threads, at most 256. Default: the physical cores that this process may use.
    #[must_use]
    pub fn threads(mut self, threads: u32) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The type of `output.weight`. Default: the scheme's choice.
    #[must_use]
    pub fn output_type(mut self, ty: TensorType) -> Self {
        self.output_type = Some(ty);
        self
    }

    /// The type of `token_embd.weight`. Default: the scheme's choice.
    #[must_use]
    pub fn token_embedding_type(mut self, ty: TensorType) -> Self {
        self.token_embedding_type = Some(ty);
        self
    }

    /// Whether tensors that are quantised already may be quantised again, which loses more than quantising
    /// once. Default: false.
    #[must_use]
    pub fn allow_requantize(mut self, allow: bool) -> Self {
        self.allow_requantize = allow;
        self
    }

    /// Whether `output.weight` is quantised. Default: true.
    #[must_use]
    pub fn quantize_output(mut self, quantize: bool) -> Self {
        self.quantize_output = quantize;
        self
    }

    /// Whether all tensors get the scheme's main type, none a better one. Default: false.
    #[must_use]
    pub fn pure(mut self, pure: bool) -> Self {
        self.pure = pure;
        self
    }

    /// Adds a rule: tensors in whose names this regular expression (C++, ECMAScript) is found get this
    /// type. The first that matches holds; for schemes of floats there are no rules.
    #[must_use]
    pub fn rule(mut self, pattern: impl Into<String>, ty: TensorType) -> Self {
        self.rules.push((pattern.into(), ty));
        self
    }

    /// Adds a tensor's part of an importance matrix: how much each column counts, a row of numbers for
    /// each expert. A second one for a tensor replaces the first.
    #[must_use]
    pub fn importance(mut self, tensor: impl Into<String>, values: Vec<f32>) -> Self {
        let tensor = tensor.into();
        self.importance.retain(|(known, _)| *known != tensor);
        self.importance.push((tensor, values));
        self
    }

    /// Metadata to be written in place of the file's. Upstream writes integers as `u32`.
    #[must_use]
    pub fn overrides(mut self, overrides: Overrides) -> Self {
        self.overrides = overrides;
        self
    }

    /// Layers to be left out, counted from 0; those behind them move up.
    #[must_use]
    pub fn leave_out_layers(mut self, layers: impl IntoIterator<Item = u16>) -> Self {
        let mut layers: Vec<i32> = layers.into_iter().map(i32::from).collect();
        // Upstream takes the first for the smallest.
        layers.sort_unstable();
        layers.dedup();
        self.layers_left_out = layers;
        self
    }

    /// Bytes of a tensor's rows in memory at once; a tensor that takes more is quantised in parts.
    /// Default: 8 GiB.
    #[must_use]
    pub fn max_buffer(mut self, bytes: usize) -> Self {
        self.max_buffer = bytes;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        if self
            .threads
            .is_some_and(|threads| !(1..=MAX_THREADS).contains(&threads))
        {
            return Err(Error::argument(format!(
                "threads must be 1 to {MAX_THREADS}"
            )));
        }
        if self.file_type == Some(FileType::NVFP4) {
            return Err(Error::argument(
                "upstream has no scheme NVFP4 to quantise by",
            ));
        }
        let explicit = self
            .output_type
            .into_iter()
            .chain(self.token_embedding_type);
        for ty in explicit.chain(self.rules.iter().map(|(_, ty)| *ty)) {
            if !can_be_made(ty) {
                return Err(Error::argument(format!(
                    "tensors cannot be quantised to {ty}"
                )));
            }
        }
        for (pattern, _) in &self.rules {
            if pattern.is_empty() || pattern.len() > MAX_PATTERN {
                return Err(Error::argument(format!(
                    "the pattern of a rule has 1 to {MAX_PATTERN} bytes: {pattern:?}"
                )));
            }
        }
        for (tensor, values) in &self.importance {
            let good = |value: &f32| (0.0..=LARGEST_IMPORTANCE).contains(value);
            if !values.iter().all(good) {
                return Err(Error::argument(format!(
                    "the importances of tensor {tensor} must be 0 to {LARGEST_IMPORTANCE:e}"
                )));
            }
        }
        for (key, value) in self.overrides.iter() {
            if key == "general.alignment" {
                return Err(Error::argument(format!("{key} cannot be overridden")));
            }
            if let OverrideValue::Int(value) = value
                && u32::try_from(*value).is_err()
            {
                return Err(Error::argument(format!(
                    "the override of {key} must be 0 to {}, not {value}",
                    u32::MAX
                )));
            }
        }
        Ok(())
    }

    /// Types that are chosen for more than the scheme gives them to.
    pub(super) fn chosen_types(&self) -> impl Iterator<Item = TensorType> {
        let main = self
            .file_type
            .filter(|_| self.pure)
            .map(FileType::tensor_type);
        main.into_iter()
            .chain(self.output_type)
            .chain(self.token_embedding_type)
            .chain(self.rules.iter().map(|(_, ty)| *ty))
    }

    /// Types that tensors may get, of those that the caller has a say in.
    pub(super) fn types(&self) -> impl Iterator<Item = TensorType> {
        let main = self.file_type.map(FileType::tensor_type);
        main.into_iter().chain(self.chosen_types())
    }

    pub(super) fn raw(&self) -> sys::RawQuantize<'_> {
        let importance = self.importance.iter();
        let overrides = self.overrides.iter();
        sys::RawQuantize {
            threads: self
                .threads
                .unwrap_or_else(machine::default_threads)
                .min(MAX_THREADS),
            file_type: self.file_type.unwrap_or(FileType::F32).id(),
            output_type: self.output_type,
            token_embedding_type: self.token_embedding_type,
            allow_requantize: self.allow_requantize,
            quantize_output: self.quantize_output,
            only_copy: self.file_type.is_none(),
            pure: self.pure,
            importance: importance
                .map(|(tensor, values)| (tensor.as_str(), values.as_slice()))
                .collect(),
            rules: &self.rules,
            overrides: overrides
                .map(|(key, value)| (key.to_owned(), value.clone()))
                .collect(),
            layers_left_out: &self.layers_left_out,
            max_buffer: self.max_buffer,
        }
    }
}

/// Whether upstream can make tensors of this type (`ggml_quantize_chunk`).
fn can_be_made(ty: TensorType) -> bool {
    use TensorType::{F64, I8, I16, I32, I64, Q8_1, Q8_K};
    !matches!(ty, I8 | I16 | I32 | I64 | F64 | Q8_1 | Q8_K)
}
