//! What the machine has, and how much of it this program may use.

use serde::Serialize;

use crate::server::memory;
use crate::settings::Settings;

#[derive(Debug, Serialize)]
pub(super) struct Machine {
    pub system: String,
    pub architecture: &'static str,
    pub cpu: String,
    pub cores: Option<usize>,
    /// As the system counts them: two for each core that computes two threads.
    pub cpus: usize,
    /// Those that this process may run on, by affinity and quota.
    pub cpus_allowed: Option<usize>,
    /// CPUs that the control group's quota gives.
    pub cgroup_cpus: Option<f64>,
    pub memory_total: u64,
    pub memory_available: u64,
    pub cgroup_memory_limit: Option<u64>,
    pub cgroup_memory_left: Option<u64>,
    /// Bytes that all models together may take.
    pub memory_budget: u64,
    /// Whether OLLAMA_MEMORY_BUDGET says so.
    pub memory_budget_set: bool,
}

pub(super) fn look(settings: &Settings) -> Machine {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    let limits = llamakit::cgroup_limits();
    let name = sysinfo::System::long_os_version().unwrap_or_default();
    Machine {
        system: if name.is_empty() {
            std::env::consts::OS.to_owned()
        } else {
            name
        },
        architecture: std::env::consts::ARCH,
        cpu: system
            .cpus()
            .first()
            .map_or_else(String::new, |cpu| cpu.brand().trim().to_owned()),
        cores: sysinfo::System::physical_core_count(),
        cpus: system.cpus().len(),
        cpus_allowed: std::thread::available_parallelism()
            .ok()
            .map(std::num::NonZero::get),
        cgroup_cpus: limits.cpus,
        memory_total: system.total_memory(),
        memory_available: system.available_memory(),
        cgroup_memory_limit: limits.memory.map(|memory| memory.limit),
        cgroup_memory_left: limits.memory.map(|memory| memory.left),
        memory_budget: settings.memory_budget.unwrap_or_else(memory::budget),
        memory_budget_set: settings.memory_budget.is_some(),
    }
}
