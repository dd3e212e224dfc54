//! Weights with fewer bits, by llama.cpp's quantiser.

use llamakit::gguf::{File, FileType};

use crate::error::{Error, Kind, Result, shown};
use crate::store::Layer;

use super::Work;
use super::layers::Layers;
use super::source;

/// To what weights are quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level(FileType);

impl Level {
    /// Reads a level such as `q4_K_M`; `None` for an empty text.
    pub(super) fn parse(field: &str, text: &str) -> Result<Option<Self>> {
        let level = match text.to_ascii_uppercase().as_str() {
            "" => return Ok(None),
            "Q4_K" => FileType::Q4_K_M,
            "Q3_K" => FileType::Q3_K_M,
            "Q5_K" => FileType::Q5_K_M,
            name => name.parse().map_err(|_| unknown(field, text))?,
        };
        if can_be_made(level) {
            Ok(Some(Self(level)))
        } else {
            Err(unknown(field, text))
        }
    }
}

/// The others want a measure of what each weight is worth, or are made for models of their own.
fn can_be_made(level: FileType) -> bool {
    use FileType::{
        BF16, F16, F32, IQ3_M, IQ3_S, IQ4_NL, IQ4_XS, Q2_K, Q3_K_L, Q3_K_M, Q3_K_S, Q4_0, Q4_1,
        Q4_K_M, Q4_K_S, Q5_0, Q5_1, Q5_K_M, Q5_K_S, Q6_K, Q8_0,
    };
    matches!(
        level,
        F32 | F16
            | BF16
            | Q8_0
            | Q4_0
            | Q4_1
            | Q5_0
            | Q5_1
            | Q2_K
            | Q3_K_S
            | Q3_K_M
            | Q3_K_L
            | Q4_K_S
            | Q4_K_M
            | Q5_K_S
            | Q5_K_M
            | Q6_K
            | IQ3_S
            | IQ3_M
            | IQ4_NL
            | IQ4_XS
    )
}

fn unknown(field: &str, text: &str) -> Error {
    let names: Vec<&str> = FileType::ALL
        .iter()
        .filter(|level| can_be_made(**level))
        .map(|level| level.name())
        .collect();
    let shown = shown(text, 40);
    Error::new(
        Kind::Invalid,
        format!(
            "{field}: unsupported quantization type {shown:?} - supported types are {}",
            names.join(", ")
        ),
    )
}

/// Quantises the layer of this kind.
pub(super) fn layers(
    work: Work<'_>,
    layers: &mut Layers,
    media_type: &str,
    level: Option<Level>,
) -> Result<()> {
    let Some(Level(level)) = level else {
        return Ok(());
    };
    let weights: Vec<Layer> = layers.of(media_type).cloned().collect();
    let mut files = Vec::new();
    for layer in &weights {
        files.push(source::open_layer(work.store, layer)?);
    }
    if files.iter().any(is_quantised) {
        return Err(Error::new(
            Kind::Invalid,
            "quantization is only supported for F16, BF16 and F32 models",
        ));
    }
    let Some(first) = files.first() else {
        return Err(Error::new(
            Kind::Invalid,
            "there are no weights in GGUF format to quantise",
        ));
    };
    if type_name(first) == level.name() {
        return Ok(());
    }
    work.go_on()?;
    match weights.as_slice() {
        [layer] => layers.put(run(work, layer, first, level)?),
        parts => {
            let joined = source::join_layers(work, parts)?.layer;
            let file = source::open_layer(work.store, &joined)?;
            let made = run(work, &joined, &file, level);
            // Nobody else knows of it, unless somebody joined the same parts.
            let removed = work.store.remove_unused(&[joined.digest]);
            layers.put(made?);
            removed?;
        }
    }
    Ok(())
}

/// Whether any matrix is stored in blocks.
fn is_quantised(file: &File) -> bool {
    let mut tensors = file.tensors().iter();
    tensors.any(|tensor| tensor.tensor_type().block_size() > 1)
}

/// What the file calls its type, or else what its first matrix has.
fn type_name(file: &File) -> String {
    let id = file
        .get("general.file_type")
        .and_then(|value| value.as_u64());
    let named = id
        .and_then(|id| u32::try_from(id).ok())
        .and_then(FileType::from_u32);
    let matrix = || {
        let matrix = file
            .tensors()
            .iter()
            .find(|tensor| tensor.dims().len() > 1)?;
        Some(matrix.tensor_type().name().to_ascii_uppercase())
    };
    named.map_or_else(
        || matrix().unwrap_or_default(),
        |named| named.name().to_owned(),
    )
}

#[cfg(feature = "inference")]
use run::run;

#[cfg(feature = "inference")]
mod run {
    use std::ops::ControlFlow;

    use llamakit::QuantizeParams;
    use llamakit::gguf::{self, File, FileType, TensorType};

    use super::super::layers::Made;
    use super::super::scratch::Scratch;
    use super::super::{Work, source};
    use super::{is_low, type_name};
    use crate::error::{Error, Kind, Result};
    use crate::progress::Progress;
    use crate::store::Layer;

    /// What clients know progress that belongs to no blob yet by.
    const NO_DIGEST: &str = "0000000000000000000";

    pub(super) fn run(work: Work<'_>, layer: &Layer, file: &File, level: FileType) -> Result<Made> {
        let name = layer.digest.to_string();
        let status = format!("quantizing {} model to {level}", type_name(file));
        let elements = file.tensors().iter().map(gguf::TensorInfo::elements);
        let ty = level.tensor_type();
        let need = elements.fold(0, u64::saturating_add) / ty.block_size() * ty.block_bytes();
        let free = work.store.available()?;
        if free < need {
            return Err(Error::new(
                Kind::Storage,
                format!(
                    "quantising to {level} needs about {need} bytes of the disk, {free} are free"
                ),
            ));
        }
        let scratch = Scratch::new(work.store)?;
        let output = scratch.path().join("model.gguf");
        let architecture = file.get("general.architecture");
        let architecture = architecture
            .and_then(|value| value.as_str())
            .unwrap_or_default();
        let mut params = QuantizeParams::new(level);
        for (pattern, ty) in rules(architecture, level) {
            params = params.rule(*pattern, *ty);
        }
        let told = |completed: u64, total: u64| {
            (work.report)(Progress {
                digest: Some(NO_DIGEST.to_owned()),
                total: Some(total),
                completed: Some(completed),
                ..Progress::status(status.clone())
            });
        };
        let mut total = 0;
        llamakit::quantize(file.path(), &output, &params, |progress| {
            total = progress.total;
            told(progress.done, progress.total);
            match work.go_on() {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })
        .map_err(|error| source::about(&name, &error))?;
        told(total, total);
        work.say("verifying conversion");
        let (digest, size) = work.store.adopt(&output).map_err(|error| {
            // Nobody knows the name of the file.
            Error::new(error.kind(), "cannot store the quantised model")
        })?;
        let made = Layer {
            from: layer.from.clone(),
            ..Layer::new(layer.media_type.clone(), digest, size)
        };
        Ok(Made::created(made))
    }

    /// Tensors that Ollama keeps more exact than llama.cpp does: small ones that count much.
    fn rules(architecture: &str, level: FileType) -> &'static [(&'static str, TensorType)] {
        const EMBEDDED: (&str, TensorType) = ("^(a|mm|mtp|s|v)\\.", TensorType::F16);
        match architecture {
            _ if !is_low(level) => &[EMBEDDED],
            "qwen35" | "qwen35moe" => &[
                EMBEDDED,
                (
                    "^blk\\.[0-9]+\\.nextn\\.eh_proj\\.weight$",
                    TensorType::Q8_0,
                ),
            ],
            "gemma3n" => &[
                EMBEDDED,
                ("^per_layer_token_embd\\.weight$", TensorType::F16),
            ],
            "deepseek2" => &[
                EMBEDDED,
                (
                    "attn_(k_b|q_a|q_b|v_b|kv_a_mqa)\\.weight$",
                    TensorType::Q8_0,
                ),
            ],
            "glmocr" | "glm4" => &[
                EMBEDDED,
                ("^token_embd\\.weight$", TensorType::F16),
                ("^output\\.weight$", TensorType::F16),
            ],
            _ => &[EMBEDDED],
        }
    }
}

/// Whether a level is one at which Ollama keeps some tensors more exact.
#[cfg(feature = "inference")]
fn is_low(level: FileType) -> bool {
    matches!(level, FileType::Q4_K_S | FileType::Q4_K_M)
}

#[cfg(not(feature = "inference"))]
fn run(_: Work<'_>, _: &crate::store::Layer, _: &File, _: FileType) -> Result<super::layers::Made> {
    Err(Error::new(
        Kind::Unsupported,
        "this program was built without inference, and so cannot quantise",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_in_any_case() {
        let level = |text| Level::parse("quantize", text).map(|level| level.map(|level| level.0));
        for (text, expected) in [
            ("q4_K_M", FileType::Q4_K_M),
            ("Q4_K", FileType::Q4_K_M),
            ("q8_0", FileType::Q8_0),
            ("bf16", FileType::BF16),
            ("iq4_xs", FileType::IQ4_XS),
        ] {
            assert_eq!(level(text).unwrap(), Some(expected));
        }
        assert_eq!(level("").unwrap(), None);
        for text in ["q4", "IQ1_S", "int8", "Q4_K_M "] {
            let error = level(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            let text = error.to_string();
            assert!(
                text.starts_with("quantize: unsupported") && text.contains("Q4_K_M"),
                "{text}"
            );
        }
    }
}
