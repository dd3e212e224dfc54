//! The files of a request: which of them is the model, and whether they can be used.

use std::collections::BTreeMap;
use std::io::Read;

use llamakit::gguf::{self, File, FileType, Overrides, SplitName, ValueRef};

use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::human;
use crate::store::manifest::media;
use crate::store::{Layer, Store};

use super::Work;
use super::layers::Made;

/// The layers that files make.
pub(super) struct Weights {
    pub(super) model: Made,
    pub(super) projectors: Vec<Made>,
}

/// A GGUF file of the request.
struct Source {
    name: String,
    digest: Digest,
    file: File,
}

/// What a GGUF file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Model,
    Projector,
    Adapter,
}

/// The model of these files, and its projectors.
pub(super) fn weights(work: Work<'_>, files: &BTreeMap<String, String>) -> Result<Weights> {
    let mut sources = open(work, files)?;
    let mut projectors = Vec::new();
    let mut models = Vec::new();
    for source in sources.drain(..) {
        match role(&source.file) {
            Role::Model => models.push(source),
            Role::Projector => projectors.push(Made::of_file(layer(media::PROJECTOR, &source))),
            Role::Adapter => {
                return Err(invalid(format!(
                    "{}: this is an adapter, not a model",
                    source.name
                )));
            }
        }
    }
    let model = one_model(work, media::MODEL, models)?;
    Ok(Weights { model, projectors })
}

/// The draft model of these files.
pub(super) fn draft(work: Work<'_>, files: &BTreeMap<String, String>) -> Result<Option<Made>> {
    if files.is_empty() {
        return Ok(None);
    }
    let sources = open(work, files)?;
    if let Some(other) = sources
        .iter()
        .find(|source| role(&source.file) != Role::Model)
    {
        return Err(invalid(format!("{}: this is no model", other.name)));
    }
    one_model(work, media::DRAFT, sources).map(Some)
}

/// The adapter of these files.
pub(super) fn adapter(work: Work<'_>, files: &BTreeMap<String, String>) -> Result<Option<Made>> {
    if files.len() > 1 {
        return Err(invalid("only one adapter is currently supported"));
    }
    let Some(source) = open(work, files)?.pop() else {
        return Ok(None);
    };
    gguf::validate_adapter(&source.file).map_err(|error| about(&source.name, &error))?;
    Ok(Some(Made::of_file(layer(media::ADAPTER, &source))))
}

fn open(work: Work<'_>, files: &BTreeMap<String, String>) -> Result<Vec<Source>> {
    if let Some(name) = files.keys().find(|name| is_of_another_format(name)) {
        return Err(Error::new(
            Kind::Unsupported,
            format!(
                "{name}: models and adapters in Safetensors and PyTorch files are not converted here; \
                 llama.cpp's convert_hf_to_gguf.py and convert_lora_to_gguf.py make GGUF files of them"
            ),
        ));
    }
    let mut sources = Vec::new();
    for (name, digest) in files {
        // Folders come with the files that describe their weights.
        if name.ends_with(".json") || name.ends_with(".jinja") || name.ends_with("tokenizer.model")
        {
            continue;
        }
        work.go_on()?;
        work.say("parsing GGUF");
        sources.push(Source::open(work.store, name, digest)?);
    }
    if sources.is_empty() && !files.is_empty() {
        return Err(invalid("none of the files is in GGUF format"));
    }
    Ok(sources)
}

fn is_of_another_format(name: &str) -> bool {
    [".safetensors", ".bin.index.json", ".pth", ".pt", ".ckpt"]
        .iter()
        .any(|end| name.ends_with(end))
        || (name.contains("pytorch_model") && name.ends_with(".bin"))
}

impl Source {
    fn open(store: &Store, name: &str, digest: &str) -> Result<Self> {
        let digest: Digest = digest.parse()?;
        let path = store
            .blob(&digest)
            .map_err(|error| Error::new(error.kind(), format!("{name}: {error}")))?;
        let cannot = |error: std::io::Error| {
            Error::new(
                Kind::Storage,
                format!("{name}: cannot read blob {digest}: {}", error.kind()),
            )
        };
        let mut magic = [0; 4];
        let mut head = std::fs::File::open(&path).map_err(cannot)?.take(4);
        let read = head.read_exact(&mut magic);
        if read.is_err() || magic != *b"GGUF" {
            return Err(invalid(format!(
                "{name}: supplied file was not in GGUF format"
            )));
        }
        let file = File::open(&path).map_err(|error| about(name, &error))?;
        Ok(Self {
            name: name.to_owned(),
            digest,
            file,
        })
    }
}

/// One model, of one file or of all files of a split one.
fn one_model(work: Work<'_>, media_type: &str, mut sources: Vec<Source>) -> Result<Made> {
    let split = |source: &Source| {
        let count = source.file.find::<u16>("split.count");
        count
            .map_err(|error| about(&source.name, &error))
            .map(|count| count.unwrap_or(1).max(1))
    };
    let Some(first) = sources.first() else {
        return Err(invalid("there is no model among the files"));
    };
    let count = split(first)?;
    if count == 1 {
        if let Some(second) = sources.get(1) {
            return Err(invalid(format!(
                "{} and {} are models of their own: a model is made from one",
                first.name, second.name
            )));
        }
        gguf::validate_model(&first.file, &Overrides::new())
            .map_err(|error| about(&first.name, &error))?;
        return Ok(Made::of_file(layer(media_type, first)));
    }

    let prefix = |source: &Source| {
        let name = SplitName::parse(&source.name);
        name.and_then(|name| name.paths().next())
    };
    for source in &sources {
        if split(source)? != count || prefix(source) != prefix(first) {
            return Err(invalid(format!(
                "{} and {} are not files of one split model",
                first.name, source.name
            )));
        }
    }
    if sources.len() != usize::from(count) {
        return Err(invalid(format!(
            "{} is one of {count} files of a split model, but there are {}",
            first.name,
            sources.len()
        )));
    }
    sources.sort_by_key(|source| source.file.find::<u16>("split.no").ok().flatten());
    let name = sources
        .first()
        .map(|source| source.name.clone())
        .unwrap_or_default();
    let files: Vec<File> = sources.into_iter().map(|source| source.file).collect();
    join(work, media_type, name, &files)
}

/// The parts of a split model that are layers of their own, as one layer.
pub(super) fn join_layers(work: Work<'_>, layers: &[Layer]) -> Result<Made> {
    let files = layers.iter().map(|layer| open_layer(work.store, layer));
    let files = files.collect::<Result<Vec<File>>>()?;
    let first = layers.first();
    let media_type = first.map(|layer| layer.media_type.as_str());
    let from = first.and_then(|layer| layer.from.clone());
    join(
        work,
        media_type.unwrap_or(media::MODEL),
        from.unwrap_or_default(),
        &files,
    )
}

/// One layer of all files of a split model, which `name` is called by.
fn join(work: Work<'_>, media_type: &str, name: String, files: &[File]) -> Result<Made> {
    gguf::validate_shards(files, &Overrides::new()).map_err(|error| about(&name, &error))?;
    work.go_on()?;
    work.say(format!("joining {} files", files.len()));
    let mut writer = work.store.writer()?;
    let target = Stoppable {
        work,
        inner: &mut writer,
    };
    gguf::join_shards(files, target).map_err(|error| match work.go_on() {
        Err(cancelled) => cancelled,
        Ok(()) => about(&name, &error),
    })?;
    let (digest, size) = writer.finish(None)?;
    Ok(Made::created(Layer {
        from: Some(name),
        ..Layer::new(media_type, digest, size)
    }))
}

/// Writes until it should stop.
struct Stoppable<'a, W> {
    work: Work<'a>,
    inner: W,
}

impl<W: std::io::Write> std::io::Write for Stoppable<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        const PIECE: usize = 8 << 20;
        // Not of the kind `Interrupted`, at which writers try again.
        self.work.go_on().map_err(std::io::Error::other)?;
        self.inner.write(bytes.get(..PIECE).unwrap_or(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

fn layer(media_type: &str, source: &Source) -> Layer {
    Layer {
        from: Some(source.name.clone()),
        ..Layer::new(media_type, source.digest, source.file.bytes().len() as u64)
    }
}

fn role(file: &File) -> Role {
    let text = |key: &str| {
        file.get(key)
            .and_then(|value| value.as_str())
            .unwrap_or_default()
    };
    let number = |key: &str| file.get(key).and_then(|value| value.as_u64()).unwrap_or(0);
    let architecture = text("general.architecture");
    let layers = number(&format!("{architecture}.block_count"));
    let sees = number(&format!("{architecture}.vision.block_count")) > 0;
    match text("general.type") {
        "adapter" => Role::Adapter,
        "projector" | "mmproj" => Role::Projector,
        // A vision tower on its own.
        _ if layers == 0 && (sees || architecture == "clip") => Role::Projector,
        _ => Role::Model,
    }
}

/// What the settings say of weights.
#[derive(Debug, PartialEq)]
pub(super) struct About {
    pub(super) architecture: String,
    /// How many parameters, such as `134.52M`.
    pub(super) parameters: String,
    /// How they are quantised, such as `Q4_K_M`.
    pub(super) file_type: String,
}

impl About {
    pub(super) fn read(store: &Store, layer: &Layer) -> Result<Self> {
        let file = open_layer(store, layer)?;
        let architecture = file
            .get("general.architecture")
            .and_then(|value| value.as_str());
        let count = file.tensors().iter().map(gguf::TensorInfo::elements);
        let file_type = match file
            .get("general.file_type")
            .as_ref()
            .and_then(ValueRef::as_u64)
        {
            Some(id) => u32::try_from(id).ok().and_then(FileType::from_u32),
            None => None,
        };
        Ok(Self {
            architecture: architecture.unwrap_or("unknown").to_owned(),
            parameters: human::number(count.fold(0, u64::saturating_add)),
            file_type: file_type.map_or("unknown", FileType::name).to_owned(),
        })
    }
}

/// The GGUF file of a layer.
pub(super) fn open_layer(store: &Store, layer: &Layer) -> Result<File> {
    let name = layer.digest.to_string();
    let path = store.layer(layer)?;
    File::open(path).map_err(|error| about(&name, &error))
}

/// An error of the library about a file, by the name that the caller knows it by.
pub(super) fn about(name: &str, error: &llamakit::Error) -> Error {
    let kind = match error.kind() {
        llamakit::ErrorKind::Io => Kind::Storage,
        llamakit::ErrorKind::Unsupported => Kind::Unsupported,
        llamakit::ErrorKind::Cancelled => Kind::Cancelled,
        llamakit::ErrorKind::InvalidArgument => Kind::Invalid,
        _ => Kind::Damaged,
    };
    Error::new(kind, format!("{name}: {}", error.message()))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, message)
}
