//! Keeps what the engine takes within its memory budget.

use super::metrics::Memory;
use super::params::EngineParams;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::machine;
use crate::model::Model;

/// The budget in bytes; without one of the caller's, most of what the machine has to give.
pub(super) fn budget(params: &EngineParams, model: &Model) -> u64 {
    params.memory_budget.unwrap_or_else(|| {
        let free = machine::available_memory().unwrap_or(u64::MAX / 2);
        // The weights are there already.
        (free / 5 * 4).saturating_add(model.size())
    })
}

/// What a context and its model take.
pub(super) fn taken(context: &Context) -> Result<Memory> {
    let mut memory = Memory::default();
    for entry in context.memory()? {
        memory.weights += entry.model;
        memory.context += entry.context;
        memory.compute += entry.compute;
    }
    Ok(memory)
}

/// Refuses a new context that takes more than the budget leaves beside the weights and the `others`.
pub(super) fn within(context: Context, others: u64, budget: u64) -> Result<Context> {
    let memory = taken(&context)?;
    let total = memory.total().saturating_add(others);
    if total <= budget {
        return Ok(context);
    }
    Err(Error::new(
        ErrorKind::OutOfMemory,
        format!(
            "memory_budget: a context of {} tokens takes {} MiB beside {} MiB of weights and {} MiB \
             of other contexts, more than the budget of {} MiB",
            context.kv_cache().capacity(),
            (memory.context + memory.compute) >> 20,
            memory.weights >> 20,
            others >> 20,
            budget >> 20
        ),
    ))
}
