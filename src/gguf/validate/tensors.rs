//! Rules for the tensors of a model: types that upstream can compute with, where it can map them.

use crate::error::Result;
use crate::gguf::cursor::invalid;
use crate::gguf::{File, TensorInfo, TensorType};

/// What upstream's CPU backend asserts of the addresses of tensors (`TENSOR_ALIGNMENT`).
const ADDRESS_ALIGNMENT: usize = 32;

/// Tables of ids; everything else that is no float cannot be computed with.
const ID_TABLES: &[&str] = &["d2t", "ffn_gate_tid2eid", "masked_embd_ordering"];

/// Matrices that upstream adds, multiplies element-wise, convolves or scans: F32 or an assertion
/// fails in a compute thread.
const FLOAT_MATRICES: &[&str] = &[
    "altup_correct_coef",
    "altup_predict_coef",
    "attn_conv_base",
    "attn_compressor_ape",
    "ffn_conv_base",
    "indexer_compressor_ape",
    "ple_conv1d",
    "shortconv.conv",
    "ssm_conv1d",
    "ssm_conv1d_k",
    "ssm_conv1d_q",
    "ssm_conv1d_v",
    "time_mix_decay",
    "time_mix_first",
    "time_mix_lerp_fused",
    "token_types",
];

/// Checks the tensors of one file of a model with `n_expert` experts.
pub(super) fn check(file: &File, n_expert: u32) -> Result<()> {
    file.tensors()
        .iter()
        .try_for_each(|tensor| check_tensor(file, tensor, n_expert))
}

fn check_tensor(file: &File, tensor: &TensorInfo, n_expert: u32) -> Result<()> {
    let (name, ty) = (tensor.name(), tensor.tensor_type());
    if tensor.elements() == 0 {
        return Err(invalid(format!(
            "tensor {name} has no elements: {:?}",
            tensor.dims()
        )));
    }
    if !tensor.file_offset().is_multiple_of(ADDRESS_ALIGNMENT) {
        return Err(invalid(format!(
            "tensor {name} starts at byte {}; mapping needs a multiple of {ADDRESS_ALIGNMENT}",
            tensor.file_offset()
        )));
    }
    let base = base_name(name);
    if ID_TABLES.contains(&base) {
        return check_id_table(file, tensor, base, n_expert);
    }
    let only = |wanted: &str| {
        Err(invalid(format!(
            "tensor {name} has type {ty}; upstream computes it as {wanted} alone"
        )))
    };
    if needs_f32(tensor, base) && ty != TensorType::F32 {
        return only("f32");
    }
    if is_convolution(base) && !matches!(ty, TensorType::F16 | TensorType::F32) {
        return only("f16 or f32");
    }
    if !is_weight_type(ty) {
        return only("a float or a quantised type for weights");
    }
    Ok(())
}

/// The part of a name that says what the tensor is: without block number and `.weight`.
fn base_name(name: &str) -> &str {
    let name = name.strip_suffix(".weight").unwrap_or(name);
    let name = name
        .strip_prefix("dec.")
        .or(name.strip_prefix("enc."))
        .unwrap_or(name);
    match name
        .strip_prefix("blk.")
        .and_then(|rest| rest.split_once('.'))
    {
        Some((_, base)) => base,
        None => name,
    }
}

/// Vectors, norms, biases and all that is not called a weight take part in element-wise
/// arithmetic, for which upstream's CPU backend has F32 alone.
fn needs_f32(tensor: &TensorInfo, base: &str) -> bool {
    let vector = tensor.shape()[1..] == [1, 1, 1];
    let weight = tensor.name().ends_with(".weight");
    (vector || !weight || base.contains("norm") || FLOAT_MATRICES.contains(&base))
        && !is_convolution(base)
}

fn is_convolution(base: &str) -> bool {
    base == "conv1d"
        || (base.starts_with("posnet.") && (base.ends_with("conv1") || base.ends_with("conv2")))
        || (base.starts_with("convnext.") && base.ends_with("dw"))
}

fn is_weight_type(ty: TensorType) -> bool {
    use TensorType::{F64, I8, I16, I32, I64, Q8_1, Q8_K};
    !matches!(ty, I8 | I16 | I32 | I64 | F64 | Q8_1 | Q8_K)
}

/// Ids in tables become indices into other tensors, which upstream asserts in compute threads.
fn check_id_table(file: &File, tensor: &TensorInfo, base: &str, n_expert: u32) -> Result<()> {
    let name = tensor.name();
    let most = match base {
        "ffn_gate_tid2eid" => u64::from(n_expert),
        "masked_embd_ordering" => tensor.elements(),
        // Offsets that upstream adds on the host.
        _ => {
            return match tensor.tensor_type() {
                TensorType::I32 | TensorType::I64 => Ok(()),
                ty => Err(invalid(format!(
                    "tensor {name} has type {ty}; it must hold integers"
                ))),
            };
        }
    };
    if tensor.tensor_type() != TensorType::I32 {
        return Err(invalid(format!(
            "tensor {name} has type {}; it must be i32",
            tensor.tensor_type()
        )));
    }
    let data = file.tensor_data(tensor);
    let ids = data
        .chunks_exact(4)
        .map(|id| id.first_chunk().map_or(0, |id| i32::from_le_bytes(*id)));
    match ids
        .into_iter()
        .find(|&id| u64::try_from(id).is_ok_and(|id| id >= most) || id < 0)
    {
        Some(id) => Err(invalid(format!(
            "tensor {name} holds id {id}; it must be below {most}"
        ))),
        None => Ok(()),
    }
}
