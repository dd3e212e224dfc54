//! Rules for the hyper-parameters: the keys that start with the name of the architecture.

use super::meta::{Meta, integers};
use crate::error::Result;
use crate::gguf::cursor::{invalid, quote};
use crate::gguf::{OverrideValue, ValueRef};

/// `LLAMA_MAX_LAYERS`.
const MAX_LAYERS: u32 = 512;
/// `LLAMA_MAX_EXPERTS`.
const MAX_EXPERTS: u32 = 1024;
/// Longest context: far beyond real models, and far from where 32-bit positions wrap.
const MAX_CONTEXT: u32 = 1 << 28;
/// Widest embedding, feed-forward and head: products of two stay below what 32 bits hold.
const MAX_WIDTH: u32 = 1 << 20;
const MAX_HEADS: u32 = 1 << 15;
const MAX_HEAD_WIDTH: u32 = 1 << 15;
/// Widest sliding window of a model with a shorter context: upstream reserves memory by it.
const MAX_WINDOW: u32 = 1 << 20;

/// The architectures without rotary positions.
const NOT_ROTATING: [&str; 23] = [
    "clip",
    "gpt2",
    "gptj",
    "mpt",
    "refact",
    "bloom",
    "mamba",
    "mamba2",
    "jamba",
    "jina-bert-v2",
    "t5",
    "t5encoder",
    "jais",
    "rwkv6",
    "rwkv6qwen2",
    "rwkv7",
    "arwkv7",
    "wavtokenizer-dec",
    "nemotron_h",
    "nemotron_h_moe",
    "kimi-linear",
    "kimi-k3",
    "glm5-next",
];

/// What later checks need to know.
pub(super) struct Hparams {
    pub(super) n_expert: u32,
}

/// Checks all hyper-parameters; `n_tokens` is the size of the vocabulary.
pub(super) fn check(meta: Meta<'_>, architecture: &str, n_tokens: u32) -> Result<Hparams> {
    let params = Params { meta, architecture };
    let context = params.required("context_length", 1, MAX_CONTEXT)?;
    let width = params.required("embedding_length", 1, MAX_WIDTH)?;
    let layers = params.required("block_count", 1, MAX_LAYERS)?;
    params.within("nextn_predict_layers", 0, layers)?;
    params.check_scalars()?;
    let n_expert = params.check_experts(layers)?;
    params.check_heads(layers, width)?;
    params.check_rope()?;
    params.check_sliding_window(context)?;
    params.check_recurrent(width)?;
    params.check_ranges(layers)?;
    params.within("decoder_start_token_id", 0, n_tokens.saturating_sub(1))?;
    Ok(Hparams { n_expert })
}

struct Params<'a> {
    meta: Meta<'a>,
    architecture: &'a str,
}

impl Params<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    fn u32(&self, name: &str) -> Result<Option<u32>> {
        self.meta.u32(&self.key(name))
    }

    /// The value of an optional key, checked to lie between the bounds, both included.
    fn within(&self, name: &str, least: u32, most: u32) -> Result<Option<u32>> {
        let value = self.u32(name)?;
        match value {
            Some(value) if !(least..=most).contains(&value) => Err(invalid(format!(
                "{} is {value}; it must be {least} to {most}",
                self.key(name)
            ))),
            value => Ok(value),
        }
    }

    fn required(&self, name: &str, least: u32, most: u32) -> Result<u32> {
        self.within(name, least, most)?
            .ok_or_else(|| invalid(format!("key {} is missing", self.key(name))))
    }

    fn per_layer(&self, name: &str, layers: u32, most: u32) -> Result<Option<Vec<u32>>> {
        let values = self.meta.per_layer(&self.key(name), layers)?;
        match values.iter().flatten().find(|&&value| value > most) {
            Some(value) => Err(invalid(format!(
                "{} is {value}; at most {most} is possible",
                self.key(name)
            ))),
            None => Ok(values),
        }
    }

    /// Every float must be finite, epsilons not negative, and every integer fit `i32`: upstream
    /// asserts epsilons in its compute threads and converts integers to `int32_t`.
    fn check_scalars(&self) -> Result<()> {
        let prefix = self.key("");
        for key in self.meta.keys() {
            let epsilon = key.ends_with("epsilon") || key.ends_with(".eps");
            if !key.starts_with(&prefix) && !key.starts_with("xielu.") {
                continue;
            }
            match self.meta.file.get(key) {
                Some(ValueRef::Array(array)) => {
                    let mut floats = array.numbers::<f32>().into_iter().flatten();
                    if floats.any(|value| !value.is_finite()) {
                        return Err(invalid(format!("{key} has an element that is not finite")));
                    }
                }
                Some(ValueRef::U32(_)) => self.check_integer(key)?,
                Some(ValueRef::F32(_)) => self.check_float(key, epsilon)?,
                // Not in the file, so the override alone counts.
                None => match self.meta.overrides.get(key) {
                    Some(OverrideValue::Int(_)) if !epsilon => self.check_integer(key)?,
                    Some(OverrideValue::Float(_)) => self.check_float(key, epsilon)?,
                    _ if epsilon => self.check_float(key, epsilon)?,
                    _ => {}
                },
                _ if epsilon => self.check_float(key, epsilon)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn check_integer(&self, key: &str) -> Result<()> {
        let value = self.meta.u32(key)?.unwrap_or_default();
        if i32::try_from(value).is_err() {
            let most = i32::MAX;
            return Err(invalid(format!(
                "{key} is {value}; at most {most} is possible"
            )));
        }
        Ok(())
    }

    fn check_float(&self, key: &str, epsilon: bool) -> Result<()> {
        let value = self.meta.f32(key)?.unwrap_or_default();
        if !value.is_finite() || (epsilon && value < 0.0) {
            let rule = if epsilon {
                "finite and not negative"
            } else {
                "finite"
            };
            return Err(invalid(format!("{key} is {value}; it must be {rule}")));
        }
        Ok(())
    }

    fn check_experts(&self, layers: u32) -> Result<u32> {
        let mut experts = self.within("expert_count", 0, MAX_EXPERTS)?.unwrap_or(0);
        let used = self
            .per_layer("expert_used_count", layers, MAX_EXPERTS)?
            .unwrap_or_default();
        let mut used = used.into_iter().max().unwrap_or(0);
        if experts <= 1 && matches!(self.architecture, "hunyuan_vl" | "hunyuan-dense") {
            (experts, used) = (0, 0);
        }
        let groups = self.u32("expert_group_count")?.unwrap_or(0);
        let group_used = self.u32("expert_group_used_count")?.unwrap_or(0);
        let key = |name: &str| self.key(name);
        if used > experts || (experts > 0 && used == 0) {
            return Err(invalid(format!(
                "{} is {used} of {experts} experts",
                key("expert_used_count")
            )));
        }
        if groups > 0 && groups >= experts {
            return Err(invalid(format!(
                "{} is {groups}; it must be below the {experts} experts",
                key("expert_group_count")
            )));
        }
        if groups > 1 && (experts % groups != 0 || group_used == 0 || group_used >= groups) {
            return Err(invalid(format!(
                "{experts} experts cannot be split into {groups} groups with {group_used} in use"
            )));
        }
        self.within("expert_gating_func", 0, 4)?;
        Ok(experts)
    }

    fn check_heads(&self, layers: u32, width: u32) -> Result<()> {
        let heads = self.per_layer("attention.head_count", layers, MAX_HEADS)?;
        let kv = self.per_layer("attention.head_count_kv", layers, MAX_HEADS)?;
        let heads = heads.unwrap_or_default();
        if let Some(&first) = heads.first()
            && first > width
        {
            return Err(invalid(format!(
                "{} is {first}, more than {} ({width})",
                self.key("attention.head_count"),
                self.key("embedding_length")
            )));
        }
        let pairs = heads.iter().zip(kv.iter().flatten());
        if let Some((heads, kv)) = pairs.into_iter().find(|&(&h, &kv)| kv > 0 && h % kv != 0) {
            return Err(invalid(format!(
                "{} is {kv}, which does not divide the {heads} heads",
                self.key("attention.head_count_kv")
            )));
        }
        for name in [
            "attention.key_length",
            "attention.value_length",
            "attention.key_length_swa",
            "attention.value_length_swa",
            "attention.key_length_mla",
            "attention.value_length_mla",
        ] {
            self.within(name, 1, MAX_HEAD_WIDTH)?;
        }
        // The head width that upstream derives where the file states none.
        let derived = heads.first().map_or(0, |&heads| width / heads.max(1));
        let key_length = self.u32("attention.key_length")?.unwrap_or(derived);
        let key_length_swa = self.u32("attention.key_length_swa")?.unwrap_or(key_length);
        self.check_rotated("rope.dimension_count", key_length)?;
        self.check_rotated("rope.dimension_count_swa", key_length_swa)
    }

    /// Rotated dimensions come in pairs and lie within a head.
    fn check_rotated(&self, name: &str, key_length: u32) -> Result<()> {
        match self.u32(name)? {
            // Upstream's loop over what is left of a head never ends when it skips nothing.
            Some(0) if self.rotates()? => Err(invalid(format!(
                "{} is 0; the architecture rotates",
                self.key(name)
            ))),
            Some(rotated)
                if rotated % 2 != 0
                    || rotated > MAX_HEAD_WIDTH
                    || (key_length > 0 && rotated > key_length) =>
            {
                Err(invalid(format!(
                    "{} is {rotated}; it must be even and at most the head's {key_length}",
                    self.key(name)
                )))
            }
            // Upstream then rotates whole heads.
            None if !key_length.is_multiple_of(2) && self.rotates()? => Err(invalid(format!(
                "{} is absent and a head of {key_length} has no pairs to rotate",
                self.key(name)
            ))),
            _ => Ok(()),
        }
    }

    /// Whether positions are told by rotation (`llama_model_rope_type`); the Granite family has a
    /// switch for it.
    fn rotates(&self) -> Result<bool> {
        if self.architecture.starts_with("granite") {
            let switch = self.meta.bool(&self.key("rope.scaling.finetuned"))?;
            return Ok(switch.unwrap_or(true));
        }
        Ok(!NOT_ROTATING.contains(&self.architecture))
    }

    fn check_rope(&self) -> Result<()> {
        let key = self.key("rope.scaling.type");
        if let Some(scaling) = self.meta.str(&key)?
            && !matches!(scaling, b"none" | b"linear" | b"yarn" | b"longrope")
        {
            return Err(invalid(format!(
                "{key} is {}, which is unknown",
                quote(scaling)
            )));
        }
        self.within("rope.scaling.original_context_length", 0, MAX_CONTEXT)?;
        let key = self.key("rope.dimension_sections");
        let sections = match self.meta.file.get(&key) {
            Some(ValueRef::Array(array)) => integers(&array),
            Some(_) => self.meta.u32(&key)?.map(|value| vec![value]),
            None => return Ok(()),
        };
        // Upstream divides by the sum and asserts that one of the first three is not zero.
        let good = sections.is_some_and(|sections| {
            sections.len() <= 4
                && sections.iter().all(|&section| section <= MAX_HEAD_WIDTH)
                && sections.iter().take(3).any(|&section| section > 0)
        });
        if !good {
            return Err(invalid(format!(
                "{key} must be up to 4 numbers that are not all zero and not negative"
            )));
        }
        Ok(())
    }

    fn check_sliding_window(&self, context: u32) -> Result<()> {
        self.within("attention.sliding_window", 0, context.max(MAX_WINDOW))?;
        Ok(())
    }

    /// Sizes of recurrent states and convolutions; upstream divides by most of them.
    fn check_recurrent(&self, width: u32) -> Result<()> {
        self.within("ssm.conv_kernel", 2, 256)?;
        let inner = self.within("ssm.inner_size", 1, MAX_WIDTH)?;
        self.within("ssm.state_size", 1, 1 << 12)?;
        let rank = self.within("ssm.time_step_rank", 1, 1 << 16)?;
        // The first generation of Mamba has no groups, and there the rank divides nothing.
        let grouped = !matches!(self.architecture, "mamba" | "jamba" | "plamo2");
        let groups = self.within("ssm.group_count", u32::from(grouped), 1 << 12)?;
        if let (Some(inner), Some(rank), true) = (inner, rank, grouped) {
            let groups = groups.unwrap_or(1).max(1);
            if inner % rank != 0 || inner % groups != 0 || rank % groups != 0 {
                return Err(invalid(format!(
                    "{} of {inner} cannot be split into {rank} heads in {groups} groups",
                    self.key("ssm.inner_size")
                )));
            }
        }
        if let Some(size) = self.within("wkv.head_size", 1, MAX_HEAD_WIDTH)?
            && !width.is_multiple_of(size)
        {
            return Err(invalid(format!(
                "{} of {size} does not divide {width}",
                self.key("wkv.head_size")
            )));
        }
        self.within("token_shift_count", 1, 8)?;
        self.within("shortconv.l_cache", 2, 1 << 10)?;
        self.within("kda.head_dim", 1, 1 << 12)?;
        Ok(())
    }

    /// Keys with bounds of their own: divisors, and counts that index per-layer arrays.
    fn check_ranges(&self, layers: u32) -> Result<()> {
        self.within("pooling_type", 0, 4)?;
        self.within("classifier.pooling_type", 0, 4)?;
        self.within("embedding_length_out", 0, MAX_WIDTH)?;
        self.within("embedding_length_per_layer_input", 0, MAX_WIDTH)?;
        self.within("n_deepstack_layers", 0, 64)?;
        self.within("decoder_block_count", 1, MAX_LAYERS)?;
        self.within("posnet.block_count", 0, layers)?;
        self.within("convnext.block_count", 0, layers)?;
        self.within("leading_dense_block_count", 0, MAX_LAYERS)?;
        self.per_layer("feed_forward_length", layers, 1 << 24)?;
        // Fewer or more buckets make upstream's bucket number infinite, and then an index.
        self.within("attention.relative_buckets_count", 4, 255)?;
        self.within("attention.group_norm_groups", 1, MAX_WIDTH)?;
        let least_step = u32::from(self.architecture != "llama4");
        self.within("interleave_moe_layer_step", least_step, MAX_LAYERS)?;
        for divisor in [
            "full_attention_interval",
            "experts_per_group",
            "attn_res.block_size",
            "attention.indexer.block_size",
            "attention.output_group_count",
            "conv_group_size",
            "decision.head_count",
            "num_loops",
        ] {
            self.within(divisor, 1, i32::MAX as u32)?;
        }
        // The layers that share the cache of others point back at the last two of their own.
        if let Some(shared) = self.u32("attention.shared_kv_layers")?
            && shared > 0
            && shared.saturating_add(2) > layers
        {
            return Err(invalid(format!(
                "{} is {shared} of {layers} layers",
                self.key("attention.shared_kv_layers")
            )));
        }
        Ok(())
    }
}
