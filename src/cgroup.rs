//! Limits of the control groups that the process is in: memory and CPU time.
//! A group's limit holds for the groups in it, so all on the way to the root are asked.

use std::path::{Path, PathBuf};

/// What the control groups (cgroups) that a process is in let it have: the limits of its container,
/// service or user. `None` where there is no limit, or the system has no such groups.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct CgroupLimits {
    /// The memory limit that leaves the least.
    pub memory: Option<CgroupMemory>,
    /// CPUs that the tightest quota gives in the long run; 0.5 is half the time of one.
    pub cpus: Option<f64>,
}

/// A limit of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CgroupMemory {
    /// Bytes that the group may take.
    pub limit: u64,
    /// Bytes of it that could still be taken. What the kernel only keeps of files, and has not used
    /// of late, counts as free.
    pub left: u64,
}

/// The limits of this process.
///
/// Engines and contexts of this library stay within them by themselves; this is for programs that
/// divide memory between several models or processes.
#[must_use]
pub fn cgroup_limits() -> CgroupLimits {
    match std::fs::read_to_string("/proc/self/cgroup") {
        Ok(membership) => limits(Path::new("/sys/fs/cgroup"), &membership),
        Err(_) => CgroupLimits::default(),
    }
}

/// `membership` is what the kernel lists in `/proc/self/cgroup`.
fn limits(root: &Path, membership: &str) -> CgroupLimits {
    let memory = groups(root, membership, "memory").into_iter();
    let cpus = groups(root, membership, "cpu").into_iter();
    CgroupLimits {
        memory: memory
            .filter_map(|group| group.memory())
            .min_by_key(|memory| memory.left),
        cpus: cpus.filter_map(|group| group.cpus()).min_by(f64::total_cmp),
    }
}

/// A control group's folder, by the version of its hierarchy.
enum Group {
    V1(PathBuf),
    V2(PathBuf),
}

impl Group {
    fn memory(&self) -> Option<CgroupMemory> {
        let (folder, limit, used, cached) = match self {
            Self::V1(folder) => (
                folder,
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            ),
            Self::V2(folder) => (folder, "memory.max", "memory.current", "inactive_file"),
        };
        // Version 2 has a word for no limit.
        let limit: u64 = text(folder, limit)?.parse().ok()?;
        // What version 1 has for none is close to the largest number.
        if limit > i64::MAX as u64 / 2 {
            return None;
        }
        let used: u64 = text(folder, used)?.parse().ok()?;
        let stat = text(folder, "memory.stat").unwrap_or_default();
        let cached = stat.lines().find_map(|line| {
            let (name, bytes) = line.split_once(' ')?;
            (name == cached).then(|| bytes.parse::<u64>().ok())?
        });
        let used = used.saturating_sub(cached.unwrap_or(0));
        Some(CgroupMemory {
            limit,
            left: limit.saturating_sub(used),
        })
    }

    fn cpus(&self) -> Option<f64> {
        let (quota, period): (f64, f64) = match self {
            Self::V1(folder) => (
                text(folder, "cpu.cfs_quota_us")?.parse().ok()?,
                text(folder, "cpu.cfs_period_us")?.parse().ok()?,
            ),
            Self::V2(folder) => {
                let both = text(folder, "cpu.max")?;
                let (quota, period) = both.split_once(' ')?;
                (quota.parse().ok()?, period.parse().ok()?)
            }
        };
        // Version 1 says -1 for none.
        (quota > 0.0 && period > 0.0).then_some(quota / period)
    }
}

fn text(folder: &Path, file: &str) -> Option<String> {
    let text = std::fs::read_to_string(folder.join(file)).ok()?;
    Some(text.trim().to_owned())
}

/// The groups that the process is in and in which `controller` may limit it, up to the roots.
fn groups(root: &Path, membership: &str, controller: &str) -> Vec<Group> {
    let mut groups = Vec::new();
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (base, group): (PathBuf, fn(PathBuf) -> Group) = if controllers.is_empty() {
            (root.to_owned(), Group::V2)
        } else if controllers.split(',').any(|name| name == controller) {
            (root.join(controller), Group::V1)
        } else {
            continue;
        };
        // In a container the path may be the host's; the container's own group is then the root.
        let mut folder = base.join(path.trim_start_matches('/'));
        loop {
            groups.push(group(folder.clone()));
            if folder == base || !folder.pop() {
                break;
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::{CgroupMemory, limits};
    use std::fs;
    use std::path::{Path, PathBuf};

    /// A tree of files as the kernel would show it, removed at the end.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("llamakit-{name}-{}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(root)
        }

        fn root(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn memory(tree: &Tree, membership: &str) -> Option<CgroupMemory> {
        limits(tree.root(), membership).memory
    }

    fn cpus(tree: &Tree, membership: &str) -> Option<f64> {
        limits(tree.root(), membership).cpus
    }

    #[test]
    fn the_memory_limit_that_leaves_the_least_counts() {
        let tree = Tree::new(
            "memory",
            &[
                ("outer/inner/memory.max", "5000\n"),
                ("outer/inner/memory.current", "10\n"),
                ("outer/memory.max", "1000\n"),
                ("outer/memory.current", "400\n"),
                ("outer/free/memory.max", "max\n"),
                ("outer/free/memory.current", "10\n"),
            ],
        );
        let outer = CgroupMemory {
            limit: 1000,
            left: 600,
        };
        assert_eq!(memory(&tree, "0::/outer/inner\n"), Some(outer));
        assert_eq!(memory(&tree, "0::/outer/free\n"), Some(outer));
        assert_eq!(memory(&tree, "0::/\n"), None);
    }

    #[test]
    fn what_is_only_kept_of_files_counts_as_free() {
        let tree = Tree::new(
            "cached",
            &[
                ("a/memory.max", "1000\n"),
                ("a/memory.current", "900\n"),
                ("a/memory.stat", "anon 100\ninactive_file 500\n"),
            ],
        );
        let left = memory(&tree, "0::/a\n").map(|memory| memory.left);
        assert_eq!(left, Some(600));
    }

    #[test]
    fn memory_limits_of_version_1_count_too() {
        let tree = Tree::new(
            "memory-v1",
            &[
                ("memory/c/memory.limit_in_bytes", "4096\n"),
                ("memory/c/memory.usage_in_bytes", "8192\n"),
                ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory/memory.usage_in_bytes", "1\n"),
            ],
        );
        let full = CgroupMemory {
            limit: 4096,
            left: 0,
        };
        let membership = "5:memory:/c\n1:name=systemd:/c\nnonsense\n";
        assert_eq!(memory(&tree, membership), Some(full));
        assert_eq!(memory(&tree, "5:memory:/\n"), None);
    }

    #[test]
    fn the_tightest_quota_counts() {
        let tree = Tree::new(
            "quota",
            &[
                ("outer/inner/cpu.max", "max 100000\n"),
                ("outer/cpu.max", "150000 100000\n"),
                ("outer/small/cpu.max", "20000 100000\n"),
                ("outer/large/cpu.max", "1600000 100000\n"),
                ("free/cpu.max", "max 100000\n"),
            ],
        );
        let in_group = |path: &str| cpus(&tree, &format!("0::{path}\n"));
        assert_eq!(in_group("/outer/inner"), Some(1.5));
        assert_eq!(in_group("/outer/small"), Some(0.2));
        assert_eq!(in_group("/outer/large"), Some(1.5));
        assert_eq!(in_group("/free"), None);
        assert_eq!(in_group("/"), None);
    }

    #[test]
    fn quotas_of_version_1_count_too() {
        let tree = Tree::new(
            "quota-v1",
            &[
                ("cpu/box/cpu.cfs_quota_us", "250000\n"),
                ("cpu/box/cpu.cfs_period_us", "100000\n"),
                ("cpu/box/inner/cpu.cfs_quota_us", "-1\n"),
                ("cpu/box/inner/cpu.cfs_period_us", "100000\n"),
                ("unified/cpu.max", "100000 100000\n"),
            ],
        );
        let both = "4:memory:/other\n1:cpu,cpuacct:/box/inner\n0::/\n";
        assert_eq!(cpus(&tree, both), Some(2.5));
        assert_eq!(cpus(&tree, "4:cpuset:/box\n"), None);
    }

    #[test]
    fn a_containers_own_group_is_the_root_that_it_sees() {
        let tree = Tree::new("container", &[("cpu.max", "200000 100000\n")]);
        assert_eq!(cpus(&tree, "0::/docker/0123abcd\n"), Some(2.0));
        let tree = Tree::new(
            "container-v1",
            &[
                ("cpu/cpu.cfs_quota_us", "50000\n"),
                ("cpu/cpu.cfs_period_us", "100000\n"),
            ],
        );
        assert_eq!(cpus(&tree, "3:cpu,cpuacct:/docker/01\n"), Some(0.5));
    }

    #[test]
    fn files_that_make_no_sense_are_no_limits() {
        let tree = Tree::new("nonsense", &[("cpu.max", "fast\n"), ("a/cpu.max", "1 0\n")]);
        assert_eq!(cpus(&tree, "0::/a\n"), None);
        assert_eq!(cpus(&tree, "no colons\n"), None);
    }
}
