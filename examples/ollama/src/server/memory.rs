//! How much memory models may take.

/// Four fifths of what the machine, or its control group, has available.
pub(crate) fn budget() -> u64 {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let machine = match system.available_memory() {
        0 => system.total_memory(),
        available => available,
    };
    let group = system.cgroup_limits().map(|limits| limits.free_memory);
    let available = group.map_or(machine, |group| group.min(machine));
    match available {
        // The system does not tell: then it refuses by itself.
        0 => u64::MAX / 2,
        available => available / 5 * 4,
    }
}
