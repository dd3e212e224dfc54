//! How much memory models may take when nobody says.

/// Four fifths of what the machine, or its control group, has available.
pub(crate) fn budget() -> u64 {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let machine = match system.available_memory() {
        0 => system.total_memory(),
        available => available,
    };
    let group = llamakit::cgroup_limits().memory;
    share(machine, group.map(|memory| memory.left))
}

fn share(machine: u64, group: Option<u64>) -> u64 {
    match group.map_or(machine, |group| group.min(machine)) {
        // The system does not tell: then it refuses by itself.
        0 => u64::MAX / 2,
        available => available / 5 * 4,
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn the_smaller_of_machine_and_group() {
        assert_eq!(share(1000, None), 800);
        assert_eq!(share(1000, Some(500)), 400);
        assert_eq!(share(500, Some(1000)), 400);
        assert!(share(0, None) > 1 << 60);
    }
}
