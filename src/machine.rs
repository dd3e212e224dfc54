//! What this machine, or the container the process runs in, has to give: cores and memory.

#[cfg(any(target_os = "linux", test))]
use std::path::Path;

use crate::cgroup::cgroup_limits;

/// How many threads compute when nobody says: physical cores that the calling thread may run on, or
/// fewer where a cgroup's CPU quota, rounded up, is less.
///
/// Two threads of one core share its arithmetic units, so a second one per core slows a decode
/// down. Threads beyond the quota use it up sooner, and then they all stand still together.
#[must_use]
pub fn default_threads() -> u32 {
    let known = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cores = allowed_cores().unwrap_or_else(known);
    u32::try_from(threads(cores, cgroup_limits().cpus)).unwrap_or(1)
}

/// Threads on so many cores, where a quota may give fewer.
fn threads(cores: usize, quota: Option<f64>) -> usize {
    let cpus = quota.map_or(cores, |quota| cores.min(quota.ceil() as usize));
    cpus.max(1)
}

#[cfg(target_os = "linux")]
fn allowed_cores() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    let allowed = cpus_allowed(&status)?;
    Some(physical_cores(
        Path::new("/sys/devices/system/cpu"),
        &allowed,
    ))
}

#[cfg(not(target_os = "linux"))]
fn allowed_cores() -> Option<usize> {
    None
}

/// The affinity mask in `/proc/thread-self/status`, such as `0-3,8`. `None` where it is not there.
#[cfg(any(target_os = "linux", test))]
fn cpus_allowed(status: &str) -> Option<Vec<usize>> {
    let mut lines = status.lines();
    let list = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut cpus = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cpus.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(cpus)
}

/// Counts distinct sets of sibling threads in sysfs. A CPU that tells no siblings is a core.
#[cfg(any(target_os = "linux", test))]
fn physical_cores(sysfs: &Path, cpus: &[usize]) -> usize {
    let siblings = |cpu: &usize| {
        let file = sysfs.join(format!("cpu{cpu}/topology/thread_siblings_list"));
        std::fs::read_to_string(file).unwrap_or_else(|_| cpu.to_string())
    };
    let cores: std::collections::BTreeSet<String> = cpus
        .iter()
        .map(|cpu| siblings(cpu).trim().to_owned())
        .collect();
    cores.len()
}

/// Bytes that could still be allocated without swapping: the system's or the cgroup's, whichever is
/// less. `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub(crate) fn available_memory() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let system = available_from_meminfo(&meminfo)?;
    let cgroup = cgroup_limits().memory;
    Some(cgroup.map_or(system, |memory| memory.left.min(system)))
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

#[cfg(test)]
mod tests {
    use super::{available_from_meminfo, cpus_allowed, physical_cores, threads};

    #[test]
    fn reads_the_available_memory() {
        let text = "MemTotal:       100 kB\nMemAvailable:    40 kB\n";
        assert_eq!(available_from_meminfo(text), Some(40 * 1024));
        assert_eq!(available_from_meminfo("MemTotal: 100 kB\n"), None);
    }

    #[test]
    fn reads_the_affinity_mask() {
        let text = "Name:\tx\nCpus_allowed:\t10f\nCpus_allowed_list:\t0-3,8\n";
        assert_eq!(cpus_allowed(text), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(cpus_allowed("Name:\tx\n"), None);
        assert_eq!(cpus_allowed("Cpus_allowed_list:\tall\n"), None);
    }

    #[test]
    fn only_cores_that_the_mask_allows_count_and_siblings_once() {
        let sysfs = std::env::temp_dir().join(format!("llamakit-cores-{}", std::process::id()));
        for (cpu, siblings) in ["0,2", "1,3", "0,2", "1,3"].iter().enumerate() {
            let folder = sysfs.join(format!("cpu{cpu}/topology"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("thread_siblings_list"), format!("{siblings}\n")).unwrap();
        }
        let cores = |cpus: &[usize]| physical_cores(&sysfs, cpus);
        let found = [
            cores(&[0, 1, 2, 3]),
            cores(&[0, 2]),
            cores(&[1, 2]),
            cores(&[3, 7]),
        ];
        std::fs::remove_dir_all(&sysfs).unwrap();
        assert_eq!(found, [2, 1, 2, 2]);
    }

    #[test]
    fn quotas_are_rounded_up() {
        let rounded = [0.2, 1.5, 2.0, 16.0].map(|quota| threads(8, Some(quota)));
        assert_eq!(rounded, [1, 2, 2, 8]);
        assert_eq!((threads(8, None), threads(0, None)), (8, 1));
    }

    #[test]
    fn at_least_one_and_no_more_than_the_machine_has() {
        let threads = super::default_threads() as usize;
        let cpus = std::fs::read_to_string("/proc/cpuinfo")
            .map_or(usize::MAX, |text| text.matches("processor").count().max(1));
        assert!((1..=cpus).contains(&threads), "{threads} of {cpus}");
    }
}
