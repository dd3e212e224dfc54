//! Rules over all files of a model: what a key or another tensor promises must be there. Upstream
//! calls these tensors optional, then uses them.

use super::meta::Meta;
use crate::error::Result;
use crate::gguf::File;
use crate::gguf::cursor::invalid;

/// `meta` is that of the first file.
pub(super) fn check(files: &[File], meta: Meta<'_>, architecture: &str) -> Result<()> {
    let has = |name: &str| files.iter().any(|file| file.tensor(name).is_some());
    check_relative_bias(&has, architecture)?;
    check_experts_used(&has, meta, architecture)
}

/// Every layer without a relative bias takes that of the first one.
fn check_relative_bias(has: &impl Fn(&str) -> bool, architecture: &str) -> Result<()> {
    let sides: &[&str] = match architecture {
        "t5" => &["enc", "dec"],
        "t5encoder" => &["enc"],
        _ => &[],
    };
    for side in sides {
        let name = format!("{side}.blk.0.attn_rel_b.weight");
        if !has(&name) {
            return Err(invalid(format!("tensor {name} is missing")));
        }
    }
    Ok(())
}

/// A layer with experts uses at least one.
fn check_experts_used(
    has: &impl Fn(&str) -> bool,
    meta: Meta<'_>,
    architecture: &str,
) -> Result<()> {
    let key = format!("{architecture}.expert_used_count");
    let layers = meta.u32(&format!("{architecture}.block_count"))?;
    let used = meta.per_layer(&key, layers.unwrap_or(0))?;
    for (layer, used) in used.into_iter().flatten().enumerate() {
        if used == 0 && has(&format!("blk.{layer}.ffn_gate_inp.weight")) {
            return Err(invalid(format!(
                "{key} is 0 for layer {layer}, which has experts"
            )));
        }
    }
    Ok(())
}
