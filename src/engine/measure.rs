//! What an engine would take, before anything is loaded.

use std::ops::ControlFlow;
use std::path::Path;

use super::budget::taken;
use super::generator::new_context;
use super::metrics::Memory;
use super::params::EngineParams;
use super::shared::Shared;
use crate::error::Result;
use crate::model::Model;
use crate::model_params::ModelParams;

pub(super) fn measure(
    paths: &[impl AsRef<Path>],
    model: &ModelParams,
    params: &EngineParams,
) -> Result<Memory> {
    let mut plan = model.clone();
    plan.plan_only = true;
    // This model must not leave the function: its tensors point nowhere.
    let progress = |_| ControlFlow::Continue(());
    let model = match paths {
        [path] => Model::load_with_progress(path, &plan, progress)?,
        paths => Model::load_shards(paths, &plan, progress)?,
    };
    if !model.has_decoder() || model.has_encoder() || model.is_diffusion() {
        return Ok(Memory {
            weights: model.size(),
            ..Memory::default()
        });
    }
    // Who asks decides what is too much.
    let params = params.clone().memory_budget(u64::MAX);
    let shared = Shared::new(&model, &params)?;
    let context = new_context(&shared, shared.resolved.pool, 0)?;
    taken(&context)
}
