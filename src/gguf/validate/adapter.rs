//! Rules for LoRA adapters: the types that upstream asserts, and pairs of matrices that fit.

use super::meta::Meta;
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::cursor::{invalid, quote};
use crate::gguf::{File, Overrides, TensorInfo, TensorType, ValueType};

/// Checks that a file can be loaded as a LoRA adapter without tripping upstream.
///
/// Whether it belongs to a model (architecture, tensor names and shapes) is for the load to say.
///
/// # Errors
/// [`ErrorKind::InvalidGguf`] naming the key or tensor; [`ErrorKind::Unsupported`] for a file that
/// is no LoRA adapter.
pub fn validate_adapter(file: &File) -> Result<()> {
    check(file).map_err(|error| file.locate(error))
}

fn check(file: &File) -> Result<()> {
    let overrides = Overrides::new();
    let meta = Meta {
        file,
        overrides: &overrides,
    };
    for (key, wanted) in [("general.type", "adapter"), ("adapter.type", "lora")] {
        let text = meta
            .str(key)?
            .ok_or_else(|| invalid(format!("key {key} is missing")))?;
        if text != wanted.as_bytes() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "this is no LoRA adapter: {key} is {}, not {wanted:?}",
                    quote(text)
                ),
            ));
        }
    }
    if meta
        .str("general.architecture")?
        .is_none_or(<[u8]>::is_empty)
    {
        return Err(invalid("key general.architecture is missing or empty"));
    }
    if let Some(alpha) = meta.f32("adapter.lora.alpha")?
        && !alpha.is_finite()
    {
        return Err(invalid(format!(
            "adapter.lora.alpha is {alpha}; it must be finite"
        )));
    }
    let key = "adapter.alora.invocation_tokens";
    if let Some(tokens) = meta.array(key)?
        && tokens.element_type() != ValueType::U32
    {
        return Err(invalid(format!(
            "key {key} has type arr[{}], expected arr[u32]",
            tokens.element_type()
        )));
    }
    file.tensors()
        .iter()
        .try_for_each(|tensor| check_tensor(file, tensor))
}

fn check_tensor(file: &File, tensor: &TensorInfo) -> Result<()> {
    let name = tensor.name();
    if tensor.elements() == 0 {
        return Err(invalid(format!(
            "tensor {name} has no elements: {:?}",
            tensor.dims()
        )));
    }
    let (base, partner) = if let Some(base) = name.strip_suffix(".lora_a") {
        (base, format!("{base}.lora_b"))
    } else if let Some(base) = name.strip_suffix(".lora_b") {
        (base, format!("{base}.lora_a"))
    } else if name.ends_with("_norm.weight") {
        return Ok(());
    } else {
        return Err(invalid(format!(
            "tensor {name} is neither a .lora_a nor a .lora_b matrix"
        )));
    };
    // Upstream removes the suffix wherever it stands in the name.
    if base.contains(".lora_a") || base.contains(".lora_b") {
        return Err(invalid(format!(
            "tensor {name} has more than one LoRA suffix"
        )));
    }
    let ty = tensor.tensor_type();
    if !matches!(ty, TensorType::F32 | TensorType::F16 | TensorType::BF16) && ty.block_size() == 1 {
        return Err(invalid(format!(
            "tensor {name} has type {ty}, which is no type for weights"
        )));
    }
    if matches!(ty, TensorType::Q8_1 | TensorType::Q8_K) {
        return Err(invalid(format!(
            "tensor {name} has type {ty}, which is no type for weights"
        )));
    }
    let Some(partner) = file.tensor(&partner) else {
        return Err(invalid(format!("tensor {name} has no {partner}")));
    };
    if !name.ends_with(".lora_a") {
        return Ok(());
    }
    let (a, b) = (tensor.shape(), partner.shape());
    // The embedding's pair is stored the other way round.
    let rank_fits = if base.ends_with("token_embd.weight") {
        a[0] == b[0]
    } else {
        a[1] == b[0]
    };
    if !rank_fits || a[2..] != b[2..] {
        return Err(invalid(format!(
            "tensors {name} {:?} and {} {:?} do not fit together",
            tensor.dims(),
            partner.name(),
            partner.dims()
        )));
    }
    Ok(())
}
