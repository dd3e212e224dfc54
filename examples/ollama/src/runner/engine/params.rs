//! The library's parameters, from what is told over the wire.

use llamakit::engine::EngineParams;
use llamakit::sampler::{MirostatVersion, SamplerParams};
use llamakit::{FlashAttention, KvType, LoadMode, ModelParams, Sampler, Token as Id};

use super::failure::refused;
use crate::error::shown;
use crate::runner::wire::{Failure, FailureKind, Sampling, Spec};

pub(super) fn model_params(spec: &Spec) -> ModelParams {
    let load = &spec.load;
    let mut params = ModelParams::new();
    if let Some(layers) = load.num_gpu {
        params = params.gpu_layers(layers);
    }
    if let Some(gpu) = load.main_gpu {
        params = params.main_gpu(gpu);
    }
    params.load_mode(match (load.use_mmap, load.use_mlock) {
        (Some(false), Some(true)) => LoadMode::ReadLocked,
        (_, Some(true)) => LoadMode::MapLocked,
        (Some(false), _) => LoadMode::Read,
        (Some(true), _) => LoadMode::Map,
        (None, _) => LoadMode::Auto,
    })
}

pub(super) fn engine_params(spec: &Spec) -> Result<EngineParams, Failure> {
    let kv = kv_type(&spec.kv_cache)?;
    let mut params = EngineParams::new()
        .parallel(spec.parallel.clamp(1, 256))
        .queue(spec.queue)
        .kv_types(kv, kv)
        .deterministic(spec.deterministic)
        .flash_attention(match spec.flash_attention {
            None => FlashAttention::Auto,
            Some(true) => FlashAttention::On,
            Some(false) => FlashAttention::Off,
        });
    if spec.context_length > 0 {
        params = params.context_length(spec.context_length);
    }
    if let Some(threads) = spec.load.num_thread {
        params = params.threads(threads);
    }
    if let Some(batch) = spec.load.num_batch {
        params = params.micro_batch_size(batch.clamp(32, 4096));
    }
    Ok(params)
}

fn kv_type(name: &str) -> Result<KvType, Failure> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "" | "f16" => KvType::F16,
        "f32" => KvType::F32,
        "bf16" => KvType::Bf16,
        "q8_0" => KvType::Q8_0,
        "q5_1" => KvType::Q5_1,
        "q5_0" => KvType::Q5_0,
        "q4_1" => KvType::Q4_1,
        "q4_0" => KvType::Q4_0,
        "iq4_nl" => KvType::Iq4Nl,
        other => {
            let shown = shown(other, 20);
            return Err(Failure::new(
                FailureKind::Invalid,
                format!(
                    "OLLAMA_KV_CACHE_TYPE: there is no type {shown:?}; f16, q8_0 and q4_0 are common ones"
                ),
            ));
        }
    })
}

pub(super) fn sampler(sampling: &Sampling, window: u32) -> Result<Sampler, Failure> {
    let mut params = SamplerParams::ollama();
    fn set<T>(place: &mut T, given: Option<T>) {
        if let Some(given) = given {
            *place = given;
        }
    }
    params.seed = sampling.seed;
    set(&mut params.temperature, sampling.temperature);
    set(&mut params.top_k, sampling.top_k);
    set(&mut params.top_p, sampling.top_p);
    set(&mut params.min_p, sampling.min_p);
    set(&mut params.typical_p, sampling.typical_p);
    set(&mut params.repeat_penalty, sampling.repeat_penalty);
    set(&mut params.presence_penalty, sampling.presence_penalty);
    set(&mut params.frequency_penalty, sampling.frequency_penalty);
    set(&mut params.mirostat_tau, sampling.mirostat_tau);
    set(&mut params.mirostat_eta, sampling.mirostat_eta);
    set(
        &mut params.penalty_last_n,
        sampling
            .repeat_last_n
            .map(|last| u32::try_from(last).unwrap_or(window)),
    );
    params.mirostat = match sampling.mirostat {
        Some(1) => MirostatVersion::V1,
        Some(2) => MirostatVersion::V2,
        _ => MirostatVersion::Off,
    };
    params.logit_bias = sampling
        .logit_bias
        .iter()
        .map(|&(id, bias)| (Id(id), bias))
        .collect();
    params.build().map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::engine_params;
    use crate::runner::wire::Spec;

    #[test]
    fn the_engine_is_deterministic_where_the_spec_says_so() {
        for deterministic in [false, true] {
            let spec = Spec {
                deterministic,
                ..Spec::default()
            };
            let params = format!("{:?}", engine_params(&spec).unwrap());
            let set = format!("deterministic: {deterministic}");
            assert!(params.contains(&set), "{params}");
        }
    }
}
