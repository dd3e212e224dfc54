//! LoRA adapters for tiny models.

use super::{Tiny, weights};

/// Matrices that the adapter changes in every layer that has them.
const TARGETS: [&str; 4] = [
    "attn_q.weight",
    "attn_v.weight",
    "ffn_down.weight",
    "ssm_in.weight",
];

/// An adapter of this rank for `model`, strong enough to change what it says. `seed` tells adapters apart.
///
/// # Panics
/// When the model has no matrix that the adapter could change.
#[must_use]
pub fn lora(model: &Tiny, rank: u64, seed: &str) -> Tiny {
    let mut tiny = Tiny::new(&format!("{}-lora-{seed}", model.name), &model.arch)
        .with("general.type", "adapter")
        .with("adapter.type", "lora")
        .with("adapter.lora.alpha", rank as f32);
    for target in &model.tensors {
        if TARGETS.iter().any(|name| target.name.ends_with(name)) {
            let [from, to] = target.dims[..] else {
                continue;
            };
            for (part, dims) in [("lora_a", [from, rank]), ("lora_b", [rank, to])] {
                let name = format!("{}.{part}", target.name);
                let scale = 1.0 / (dims[0] as f32).sqrt();
                let values = weights::random(&format!("{name} {seed}"), &dims, scale);
                tiny.tensor(name, &dims, values);
            }
        }
    }
    assert!(
        !tiny.tensors.is_empty(),
        "{} has nothing to adapt",
        model.name
    );
    tiny
}
