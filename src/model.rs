//! A loaded model: weights, vocabulary and metadata, shared cheaply.

use std::ffi::CString;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::gguf;
use crate::model_params::ModelParams;
use crate::sys;
use crate::token::Token;
use crate::vocab::Vocab;

/// A loaded model.
///
/// A handle: cloning is cheap, all clones share the same weights, and the weights are freed with
/// the last clone and the last [`Context`](crate::Context), [`Vocab`] or
/// [`LoraAdapter`](crate::LoraAdapter) made from it. `Send` and `Sync`.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

struct Inner {
    raw: Arc<sys::RawModel>,
    info: sys::lk_model_info,
    vocab: Vocab,
    architecture: String,
    vocab_only: bool,
    position_limit: Option<u64>,
    overrides: gguf::Overrides,
    /// The files of the model, kept open so that the fingerprint is of what was loaded.
    files: Vec<(PathBuf, File)>,
    fingerprint: OnceLock<Fingerprint>,
}

impl Model {
    /// Loads a model from a GGUF file (`llama_model_load_from_file_ptr`).
    ///
    /// The file is checked completely before upstream sees it, and upstream reads from the same
    /// open file. For a model split into `NAME-00001-of-0000N.gguf`, give the first file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind) and [`ErrorKind::InvalidGguf`](crate::ErrorKind) name the
    /// file and what is wrong with it; [`ErrorKind::ModelLoad`](crate::ErrorKind) carries upstream's
    /// log; [`ErrorKind::UnsupportedCpu`](crate::ErrorKind) when the compiled code cannot run here.
    pub fn load(path: impl AsRef<Path>, params: &ModelParams) -> Result<Self> {
        Self::load_with_progress(path, params, |_| ControlFlow::Continue(()))
    }

    /// Loads a model, telling `progress` a fraction from 0 to 1. [`ControlFlow::Break`] cancels.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); [`ErrorKind::Cancelled`](crate::ErrorKind) when `progress` broke
    /// off.
    pub fn load_with_progress(
        path: impl AsRef<Path>,
        params: &ModelParams,
        progress: impl FnMut(f32) -> ControlFlow<()>,
    ) -> Result<Self> {
        let mut files = gguf::open_shards(path)?;
        if files.len() > 1 {
            return Self::load_split(files, params, progress);
        }
        Self::load_single(files.remove(0), params, progress)
    }

    /// Loads a model from an open file, whose position does not matter.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_file(
        file: File,
        params: &ModelParams,
        progress: impl FnMut(f32) -> ControlFlow<()>,
    ) -> Result<Self> {
        let file = gguf::File::from_file(file, "(open file)")?;
        Self::load_single(file, params, progress)
    }

    /// Loads a model that is split into several files of any names, given in order
    /// (`llama_model_load_from_splits`).
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_shards(
        paths: &[impl AsRef<Path>],
        params: &ModelParams,
        progress: impl FnMut(f32) -> ControlFlow<()>,
    ) -> Result<Self> {
        let files = paths
            .iter()
            .map(gguf::File::open)
            .collect::<Result<Vec<_>>>()?;
        Self::load_split(files, params, progress)
    }

    fn load_split(
        files: Vec<gguf::File>,
        params: &ModelParams,
        mut progress: impl FnMut(f32) -> ControlFlow<()>,
    ) -> Result<Self> {
        gguf::validate_shards(&files, &params.overrides)?;
        let paths: Vec<PathBuf> = files.iter().map(|file| file.path().to_owned()).collect();
        Self::finish(
            &sys::LoadSource::Splits(&paths),
            files,
            params,
            &mut progress,
        )
    }

    fn load_single(
        file: gguf::File,
        params: &ModelParams,
        mut progress: impl FnMut(f32) -> ControlFlow<()>,
    ) -> Result<Self> {
        if params.vocab_only {
            gguf::validate_vocab(&file, &params.overrides)?;
        } else {
            gguf::validate_model(&file, &params.overrides)?;
        }
        let (path, handle) = open_handle(&file)?;
        Self::finish(
            &sys::LoadSource::File(&handle),
            vec![file],
            params,
            &mut progress,
        )
        .map_err(|error| error.with_path(path))
    }

    fn finish(
        source: &sys::LoadSource<'_>,
        files: Vec<gguf::File>,
        params: &ModelParams,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<Self> {
        let architecture = files[0].require::<&str>("general.architecture")?.to_owned();
        let position_limit = files.iter().find_map(learned_positions);
        let has_classifier = files
            .iter()
            .flat_map(gguf::File::tensors)
            .any(|tensor| tensor.name().starts_with("cls."));
        let handles = files.iter().map(open_handle).collect::<Result<Vec<_>>>()?;
        // Upstream maps the files itself; two maps would count twice in the peak of memory.
        drop(files);
        let raw = Arc::new(sys::RawModel::load(source, &params.raw()?, progress)?);
        let mut info = raw.info()?;
        if !has_classifier {
            // Upstream says 1 for every model.
            info.n_cls_out = 0;
        }
        let vocab = Vocab::new(&raw)?;
        Ok(Self {
            inner: Arc::new(Inner {
                raw,
                info,
                vocab,
                architecture,
                vocab_only: params.vocab_only,
                position_limit,
                overrides: params.overrides.clone(),
                files: handles,
                fingerprint: OnceLock::new(),
            }),
        })
    }

    /// The vocabulary.
    #[must_use]
    pub fn vocab(&self) -> &Vocab {
        &self.inner.vocab
    }

    /// The architecture's name, such as `llama` (`general.architecture`).
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.inner.architecture
    }

    /// Upstream's description, such as `llama 135M Q4_1` (`llama_model_desc`).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Upstream`](crate::ErrorKind) for a failure inside upstream.
    pub fn description(&self) -> Result<String> {
        Ok(self.inner.raw.description()?)
    }

    /// The file type, such as `Q4_K - Medium` (`llama_ftype_name`).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Upstream`](crate::ErrorKind) for a failure inside upstream.
    pub fn file_type(&self) -> Result<String> {
        Ok(self.inner.raw.ftype_name()?)
    }

    /// Number of parameters (`llama_model_n_params`).
    #[must_use]
    pub fn n_params(&self) -> u64 {
        self.inner.info.n_params
    }

    /// Bytes of all tensors together (`llama_model_size`).
    #[must_use]
    pub fn size(&self) -> u64 {
        self.inner.info.size
    }

    /// The context length the model was trained with, in tokens (`llama_model_n_ctx_train`).
    #[must_use]
    pub fn context_length(&self) -> u32 {
        unsigned(self.inner.info.n_ctx_train)
    }

    /// Floats in one embedding (`llama_model_n_embd_out`).
    #[must_use]
    pub fn embedding_length(&self) -> usize {
        unsigned(self.inner.info.n_embd_out) as usize
    }

    /// Number of layers (`llama_model_n_layer`).
    #[must_use]
    pub fn n_layers(&self) -> u32 {
        unsigned(self.inner.info.n_layer)
    }

    /// Number of attention heads (`llama_model_n_head`).
    #[must_use]
    pub fn n_heads(&self) -> u32 {
        unsigned(self.inner.info.n_head)
    }

    /// Number of key-value heads (`llama_model_n_head_kv`).
    #[must_use]
    pub fn n_kv_heads(&self) -> u32 {
        unsigned(self.inner.info.n_head_kv)
    }

    /// Number of experts; 0 for a dense model (`llama_model_n_expert`).
    #[must_use]
    pub fn n_experts(&self) -> u32 {
        unsigned(self.inner.info.n_expert)
    }

    /// The attention window of the sliding-window layers in tokens; 0 when there are none
    /// (`llama_model_n_swa`).
    #[must_use]
    pub fn sliding_window(&self) -> u32 {
        unsigned(self.inner.info.n_swa)
    }

    /// Whether the model has an encoder that [`Context::encode`](crate::Context::encode) runs.
    #[must_use]
    pub fn has_encoder(&self) -> bool {
        self.inner.info.has_encoder
    }

    /// Whether the model has a decoder that [`Context::decode`](crate::Context::decode) runs.
    #[must_use]
    pub fn has_decoder(&self) -> bool {
        self.inner.info.has_decoder
    }

    /// Whether the model keeps a recurrent state instead of a KV cache (Mamba, RWKV).
    #[must_use]
    pub fn is_recurrent(&self) -> bool {
        self.inner.info.is_recurrent
    }

    /// Whether the model has both attention and recurrent layers (Jamba, LFM2).
    #[must_use]
    pub fn is_hybrid(&self) -> bool {
        self.inner.info.is_hybrid
    }

    /// Whether the model generates by diffusion; upstream then computes no next-token logits.
    #[must_use]
    pub fn is_diffusion(&self) -> bool {
        self.inner.info.is_diffusion
    }

    /// For encoder-decoder models, the token that the decoder starts with
    /// (`llama_model_decoder_start_token`).
    #[must_use]
    pub fn decoder_start_token(&self) -> Option<Token> {
        let token = self.inner.info.decoder_start_token;
        (token >= 0).then_some(Token(token))
    }

    /// Number of classifier outputs of a classifier or reranking model; 0 when the file has no
    /// classifier head (`llama_model_n_cls_out`).
    #[must_use]
    pub fn n_classifier_outputs(&self) -> u32 {
        self.inner.info.n_cls_out
    }

    /// The label of a classifier output, where the file names it (`llama_model_cls_label`).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) when there is no such output.
    pub fn classifier_label(&self, index: u32) -> Result<Option<String>> {
        if index >= self.n_classifier_outputs() {
            return Err(Error::argument(format!(
                "classifier output {index} of {}",
                self.n_classifier_outputs()
            )));
        }
        Ok(self.inner.raw.classifier_label(index)?)
    }

    /// The scalar metadata as upstream prints it (`llama_model_meta_val_str_by_index`); arrays are
    /// left out, [`gguf::File`] has them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Upstream`](crate::ErrorKind) for a failure inside upstream.
    pub fn metadata(&self) -> Result<Vec<(String, String)>> {
        Ok(self.inner.raw.metadata()?)
    }

    /// The source of the chat template in the file, or of the one called `name`
    /// (`llama_model_chat_template`). `chat::ChatTemplate` (feature `chat`) renders it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) when `name` contains a NUL byte.
    pub fn chat_template(&self, name: Option<&str>) -> Result<Option<String>> {
        let name = name.map(c_string).transpose()?;
        Ok(self.inner.raw.chat_template(name.as_deref())?)
    }

    /// Identifies the weights and metadata; computed when first asked for.
    pub(crate) fn fingerprint(&self) -> Result<Fingerprint> {
        if let Some(known) = self.inner.fingerprint.get() {
            return Ok(*known);
        }
        let computed = Fingerprint::of_model(&self.inner.files, &self.inner.overrides)?;
        Ok(*self.inner.fingerprint.get_or_init(|| computed))
    }

    pub(crate) fn raw(&self) -> &Arc<sys::RawModel> {
        &self.inner.raw
    }

    pub(crate) fn info(&self) -> &sys::lk_model_info {
        &self.inner.info
    }

    pub(crate) fn is_vocab_only(&self) -> bool {
        self.inner.vocab_only
    }

    /// How many positions there are embeddings for, of a model that learned them. Upstream looks
    /// them up by position and aborts past the end.
    pub(crate) fn position_limit(&self) -> Option<u64> {
        self.inner.position_limit
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("architecture", &self.inner.architecture)
            .field("n_params", &self.inner.info.n_params)
            .field("size", &self.inner.info.size)
            .finish_non_exhaustive()
    }
}

/// The rows of a table of learned position embeddings (BERT, GPT-2, StarCoder).
fn learned_positions(file: &gguf::File) -> Option<u64> {
    file.tensor("position_embd.weight")?.dims().get(1).copied()
}

/// A handle of the file behind a checked GGUF, with its path.
fn open_handle(file: &gguf::File) -> Result<(PathBuf, File)> {
    let handle = file
        .file()
        .ok_or_else(|| Error::argument("the model is not in a file"))?
        .try_clone()
        .map_err(|error| Error::io("cannot duplicate the file handle", file.path(), error))?;
    Ok((file.path().to_owned(), handle))
}

/// Upstream's counts are signed; a negative one never reaches users.
fn unsigned(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::argument("the text contains a NUL byte"))
}
