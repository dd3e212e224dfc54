//! Writes a model file anew with fewer bits per weight.

mod params;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use crate::atomic_file;
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{self, File, Overrides, TensorInfo, TensorType};
use crate::sys;

pub use params::QuantizeParams;

/// The alignment of what upstream writes, whatever the metadata says that it copies.
const ALIGNMENT: u64 = 32;

/// Larger weights overflow when the I-quants square them, which upstream asserts in its threads.
const LARGEST_WEIGHT: f32 = 1e15;

/// How far quantising has come, told before each tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuantizeProgress<'a> {
    /// The tensor that comes next.
    pub tensor: &'a str,
    /// Its number, from 1.
    pub number: u32,
    /// How many there are.
    pub count: u32,
    /// Bytes of the input's tensors that are done.
    pub done: u64,
    /// Bytes of all of them.
    pub total: u64,
}

/// Quantises the model in `input` into one new file, `output` (`llama_model_quantize`).
///
/// `input` is a model, or the first file of a split one; it is validated before upstream opens it. The work
/// is done in a file beside `output`, which is validated as well and then renamed, so that `output` is
/// whole or unchanged. `progress` is told of each tensor on the calling thread, and stops the work by
/// [`ControlFlow::Break`]; a tensor that is begun is finished first.
///
/// ```no_run
/// use std::ops::ControlFlow;
/// use llamakit::gguf::FileType;
/// use llamakit::{QuantizeParams, quantize};
///
/// let params = QuantizeParams::new(FileType::Q4_K_M);
/// quantize("model-f16.gguf", "model-q4_k_m.gguf", &params, |progress| {
///     eprintln!("{}/{}: {}", progress.number, progress.count, progress.tensor);
///     ControlFlow::Continue(())
/// })?;
/// # Ok::<(), llamakit::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::Io`] and [`ErrorKind::InvalidGguf`] name the file; [`ErrorKind::InvalidArgument`] for
/// parameters that do not go together; [`ErrorKind::Unsupported`] for an alignment other than 32 bytes, and for
/// weights that the I-quants cannot hold; [`ErrorKind::Cancelled`]; [`ErrorKind::Upstream`] with
/// upstream's log, also if weights are not finite or are quantised already and
/// [`QuantizeParams::allow_requantize`] does not allow it.
pub fn quantize(
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    params: &QuantizeParams,
    mut progress: impl FnMut(&QuantizeProgress<'_>) -> ControlFlow<()>,
) -> Result<()> {
    let (input, output) = (input.as_ref(), output.as_ref());
    params.check()?;
    let files = gguf::open_shards(input)?;
    gguf::validate_shards(&files, &params.overrides)?;
    if let Some(file) = files.iter().find(|file| file.alignment() != ALIGNMENT) {
        let message = format!(
            "the tensors are aligned to {} bytes; only files with an alignment of {ALIGNMENT} can be quantised",
            file.alignment()
        );
        return Err(Error::new(ErrorKind::Unsupported, message).with_path(input));
    }
    let tensors: HashMap<&str, (&File, &TensorInfo)> = files
        .iter()
        .flat_map(|file| file.tensors().iter().map(move |tensor| (file, tensor)))
        .map(|(file, tensor)| (tensor.name(), (file, tensor)))
        .collect();
    check_importance(params, &tensors)?;
    if params.types().any(is_codebook) {
        for (file, tensor) in tensors.values() {
            check_weights(file, tensor)?;
        }
    }

    let size = |name: &str| {
        tensors
            .get(name)
            .map_or(0, |(_, tensor)| tensor.byte_len() as u64)
    };
    let total = tensors.keys().copied().map(size).sum();
    let (mut done, mut current) = (0, 0);
    let mut told = |number: i32, count: i32, tensor: &str| {
        done += current;
        current = size(tensor);
        progress(&QuantizeProgress {
            tensor,
            number: u32::try_from(number).unwrap_or(0),
            count: u32::try_from(count).unwrap_or(0),
            done,
            total,
        })
    };
    atomic_file::make(output, |new| {
        sys::quantize(input, new, &params.raw(), &mut told)
            .map_err(|error| error.with_path(input))?;
        // A disk that is full shows here: upstream does not notice it.
        let written =
            File::open(new).and_then(|file| gguf::validate_model(&file, &Overrides::new()));
        written.map_err(|error| {
            let message = format!("what was written is no whole model: {}", error.message());
            Error::new(ErrorKind::Upstream, message).with_path(output)
        })
    })
}

/// Types whose values come from a codebook. Quantising searches it, with assertions in threads.
fn is_codebook(ty: TensorType) -> bool {
    use TensorType::{IQ1_M, IQ1_S, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS};
    matches!(
        ty,
        IQ1_S | IQ1_M | IQ2_XXS | IQ2_XS | IQ2_S | IQ3_XXS | IQ3_S
    )
}

/// Upstream asserts in its threads that there are importances for these types (`ggml_quantize_requires_imatrix`).
fn needs_importance(ty: TensorType) -> bool {
    use TensorType::{IQ1_S, IQ2_XS, IQ2_XXS};
    matches!(ty, IQ1_S | IQ2_XXS | IQ2_XS)
}

fn check_importance(
    params: &QuantizeParams,
    tensors: &HashMap<&str, (&File, &TensorInfo)>,
) -> Result<()> {
    for (name, values) in &params.importance {
        if let Some((_, tensor)) = tensors.get(name.as_str()) {
            let [row, _, experts, _] = tensor.shape();
            if row.checked_mul(experts) != Some(values.len() as u64) {
                return Err(Error::argument(format!(
                    "tensor {name} needs {row} times {experts} importances, not {}",
                    values.len()
                )));
            }
        }
    }
    // Upstream refuses the others itself; these three it takes to need none.
    let needed = params.chosen_types().find(|ty| needs_importance(*ty));
    let tables = [
        "token_embd.weight",
        "per_layer_token_embd.weight",
        "output.weight",
    ];
    for name in tables.into_iter().filter(|name| tensors.contains_key(name)) {
        if let Some(ty) = needed
            && !params.importance.iter().any(|(known, _)| known == name)
        {
            return Err(Error::argument(format!(
                "tensor {name} can be {ty} only with importances"
            )));
        }
    }
    Ok(())
}

fn check_weights(file: &File, tensor: &TensorInfo) -> Result<()> {
    let data = file.tensor_data(tensor);
    let fits = |value: f32| value.abs() <= LARGEST_WEIGHT;
    let all = match tensor.tensor_type() {
        TensorType::F32 => {
            let (values, _) = data.as_chunks::<4>();
            values.iter().all(|four| fits(f32::from_le_bytes(*four)))
        }
        TensorType::BF16 => {
            let (values, _) = data.as_chunks::<2>();
            values
                .iter()
                .all(|[low, high]| fits(f32::from_le_bytes([0, 0, *low, *high])))
        }
        // The others hold no number that large, or upstream takes them for damaged.
        _ => true,
    };
    if all {
        return Ok(());
    }
    let message = format!(
        "tensor {} holds numbers that are not finite or beyond {LARGEST_WEIGHT:e}, too large for I-quants",
        tensor.name()
    );
    Err(Error::new(ErrorKind::Unsupported, message).with_path(file.path()))
}
