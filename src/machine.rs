//! What this machine, or the container the process runs in, has to give: cores and memory.

/// Physical cores, or fewer where an affinity mask or a cgroup quota allows fewer.
///
/// Two threads of one core share its arithmetic units, so a second one per core slows a decode
/// down.
pub(crate) fn default_threads() -> u32 {
    let allowed = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cores = physical_cores().unwrap_or(allowed);
    u32::try_from(allowed.min(cores).max(1)).unwrap_or(1)
}

/// Counts distinct sets of sibling threads in sysfs.
#[cfg(target_os = "linux")]
fn physical_cores() -> Option<usize> {
    let mut cores = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir("/sys/devices/system/cpu").ok()? {
        let siblings = entry.ok()?.path().join("topology/thread_siblings_list");
        if let Ok(text) = std::fs::read_to_string(siblings) {
            cores.insert(text.trim().to_owned());
        }
    }
    (!cores.is_empty()).then_some(cores.len())
}

#[cfg(not(target_os = "linux"))]
fn physical_cores() -> Option<usize> {
    None
}

/// Bytes that could still be allocated without swapping: the system's or the cgroup's, whichever is
/// less. `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub(crate) fn available_memory() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let system = available_from_meminfo(&meminfo)?;
    let cgroup = std::fs::read_to_string("/proc/self/cgroup").ok();
    let cgroup =
        cgroup.and_then(|text| cgroup_memory(std::path::Path::new("/sys/fs/cgroup"), &text));
    Some(cgroup.map_or(system, |limit| limit.min(system)))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn available_memory() -> Option<u64> {
    None
}

#[cfg(any(target_os = "linux", test))]
fn available_from_meminfo(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// What the tightest memory limit on the way to the root leaves (cgroup v2, then v1).
#[cfg(any(target_os = "linux", test))]
fn cgroup_memory(root: &std::path::Path, membership: &str) -> Option<u64> {
    let left = |folder: &std::path::Path, limit: &str, used: &str| -> Option<u64> {
        let number = |name: &str| -> Option<u64> {
            std::fs::read_to_string(folder.join(name))
                .ok()?
                .trim()
                .parse()
                .ok()
        };
        Some(number(limit)?.saturating_sub(number(used)?))
    };
    let mut least: Option<u64> = None;
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (base, limit, used) = if controllers.is_empty() {
            (root.to_owned(), "memory.max", "memory.current")
        } else if controllers.split(',').any(|name| name == "memory") {
            (
                root.join("memory"),
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            )
        } else {
            continue;
        };
        let mut folder = base.join(path.trim_start_matches('/'));
        loop {
            if let Some(bytes) = left(&folder, limit, used) {
                least = Some(least.map_or(bytes, |known| known.min(bytes)));
            }
            if folder == base || !folder.pop() {
                break;
            }
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::{available_from_meminfo, cgroup_memory};

    #[test]
    fn reads_the_available_memory() {
        let text = "MemTotal:       100 kB\nMemAvailable:    40 kB\n";
        assert_eq!(available_from_meminfo(text), Some(40 * 1024));
        assert_eq!(available_from_meminfo("MemTotal: 100 kB\n"), None);
    }

    #[test]
    fn the_tightest_cgroup_limit_counts() {
        let root = std::env::temp_dir().join(format!("llamakit-cgroup-{}", std::process::id()));
        let inner = root.join("outer/inner");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join("memory.max"), "max\n").unwrap();
        std::fs::write(inner.join("memory.current"), "10\n").unwrap();
        std::fs::write(root.join("outer/memory.max"), "1000\n").unwrap();
        std::fs::write(root.join("outer/memory.current"), "400\n").unwrap();
        let found = cgroup_memory(&root, "0::/outer/inner\n");
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, Some(600));
    }

    #[test]
    fn at_least_one_and_never_more_than_the_process_may_use() {
        let threads = super::default_threads() as usize;
        let allowed = std::thread::available_parallelism().unwrap().get();
        assert!((1..=allowed).contains(&threads), "{threads} of {allowed}");
    }
}
