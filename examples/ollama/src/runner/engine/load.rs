//! From files to an engine, and what that takes.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use llamakit::engine::{Engine, Memory};
use llamakit::{DeviceKind, LoraAdapter, Model, ModelParams};

use super::EngineBackend;
use super::failure::loading;
use super::params::{engine_params, model_params};
use crate::api::MemoryByKind;
use crate::runner::http::Backend;
use crate::runner::process::Loader;
use crate::runner::wire::{Failure, Go, Info, Spec};

/// Loads models with llama.cpp.
#[derive(Debug)]
pub(crate) struct EngineLoader;

impl Loader for EngineLoader {
    fn measure(&mut self, spec: &Spec) -> Result<MemoryByKind, Failure> {
        let load = model_params(spec);
        let measured = Engine::measure(&spec.model, &load, &engine_params(spec)?);
        let mut memory = kinds(measured.map_err(loading)?, 0);
        if !spec.draft.is_empty() {
            let draft = Engine::measure(&spec.draft, &load, &engine_params(spec)?);
            let draft = kinds(draft.map_err(loading)?, 0);
            memory.weights += draft.weights;
            memory.context += draft.context;
            memory.compute += draft.compute;
        }
        for adapter in &spec.adapters {
            memory.weights += std::fs::metadata(adapter).map_or(0, |file| file.len());
        }
        Ok(memory)
    }

    fn load(
        &mut self,
        spec: &Spec,
        go: &Go,
        progress: &mut dyn FnMut(f32),
    ) -> Result<(Arc<dyn Backend>, Info), Failure> {
        let load = model_params(spec);
        let model = load_model(&spec.model, &load, progress)?;
        let mut params = engine_params(spec)?;
        if let Some(bytes) = go.memory_budget {
            params = params.memory_budget(bytes);
        }
        if !spec.draft.is_empty() {
            params = params.draft(&load_model(&spec.draft, &load, progress)?);
        }
        let adapters = spec
            .adapters
            .iter()
            .map(|path| LoraAdapter::load(&model, path));
        let adapters = adapters.collect::<Result<Vec<_>, _>>().map_err(loading)?;
        let engine = Engine::new(&model, &params).map_err(loading)?;
        let metrics = engine.metrics();
        let (gpu_memory, cpu_reason) = processors(&model, spec);
        let info = Info {
            port: 0,
            memory: kinds(metrics.memory, metrics.snapshot_bytes),
            gpu_memory,
            context_length: spec.context_length,
            trained_context: model.context_length(),
            threads: metrics.threads,
            cpu_reason,
        };
        let backend = EngineBackend {
            engine,
            adapters: adapters.into_iter().map(|adapter| (adapter, 1.0)).collect(),
            window: spec.context_length,
        };
        Ok((Arc::new(backend), info))
    }
}

fn load_model(
    paths: &[PathBuf],
    params: &ModelParams,
    progress: &mut dyn FnMut(f32),
) -> Result<Model, Failure> {
    let tell = |share| {
        progress(share);
        ControlFlow::Continue(())
    };
    let loaded = match paths {
        [path] => Model::load_with_progress(path, params, tell),
        paths => Model::load_shards(paths, params, tell),
    };
    loaded.map_err(loading)
}

/// Bytes on GPUs, and why the CPU computes where it does.
fn processors(model: &Model, spec: &Spec) -> (u64, String) {
    let is_gpu = |kind: DeviceKind| matches!(kind, DeviceKind::Gpu | DeviceKind::IntegratedGpu);
    let gpus = llamakit::devices().map_or(0, |devices| {
        devices.iter().filter(|device| is_gpu(device.kind)).count()
    });
    let backends = llamakit::build_info().backends;
    let only_cpu = backends
        .iter()
        .all(|backend| backend.to_ascii_lowercase().contains("cpu"));
    match (gpus, spec.load.num_gpu) {
        (_, Some(0)) => (0, "num_gpu is 0".to_owned()),
        (0, _) if only_cpu => (0, "this program was built for the CPU only".to_owned()),
        (0, _) => (0, "there is no GPU that this program can use".to_owned()),
        (_, None) => (model.size(), String::new()),
        (_, Some(layers)) => {
            // The output counts as a layer.
            let all = u64::from(model.n_layers()) + 1;
            let on_gpu = model.size() / all * u64::from(layers).min(all);
            let reason = match u64::from(layers) < all {
                true => format!("num_gpu puts {layers} of {all} layers on the GPU"),
                false => String::new(),
            };
            (on_gpu, reason)
        }
    }
}

pub(super) fn kinds(memory: Memory, snapshots: u64) -> MemoryByKind {
    MemoryByKind {
        weights: memory.weights,
        context: memory.context,
        compute: memory.compute,
        snapshots,
    }
}
