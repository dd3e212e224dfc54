//! Limits of the control groups that the process is in: memory and CPU time.
//! A group's limit holds for the groups in it, so all on the way to the root are asked.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where the kernel's hierarchies are mounted.
#[cfg(target_os = "linux")]
pub(super) const ROOT: &str = "/sys/fs/cgroup";

/// The groups that the process is in, as the kernel lists them.
#[cfg(target_os = "linux")]
pub(super) fn membership() -> Option<String> {
    std::fs::read_to_string("/proc/self/cgroup").ok()
}

/// Bytes that the tightest memory limit leaves. `None` without a limit.
pub(super) fn memory(root: &Path, membership: &str) -> Option<u64> {
    let left = |folder: &Path, limit, used| -> Option<u64> {
        Some(number::<u64>(folder, limit)?.saturating_sub(number(folder, used)?))
    };
    let groups = groups(root, membership, "memory").into_iter();
    groups
        .filter_map(|group| match group {
            Group::V2(folder) => left(&folder, "memory.max", "memory.current"),
            Group::V1(folder) => left(&folder, "memory.limit_in_bytes", "memory.usage_in_bytes"),
        })
        .min()
}

/// CPUs that the tightest quota gives in the long run, rounded up. `None` without a quota.
pub(super) fn cpus(root: &Path, membership: &str) -> Option<usize> {
    let groups = groups(root, membership, "cpu").into_iter();
    groups
        .filter_map(|group| {
            let (quota, period): (u64, u64) = match group {
                Group::V2(folder) => {
                    let text = std::fs::read_to_string(folder.join("cpu.max")).ok()?;
                    let (quota, period) = text.trim().split_once(' ')?;
                    (quota.parse().ok()?, period.parse().ok()?)
                }
                Group::V1(folder) => (
                    number(&folder, "cpu.cfs_quota_us")?,
                    number(&folder, "cpu.cfs_period_us")?,
                ),
            };
            (period > 0).then(|| quota.div_ceil(period).max(1))
        })
        .min()
        .map(|cpus| usize::try_from(cpus).unwrap_or(usize::MAX))
}

/// A control group's folder, by the version of its hierarchy.
enum Group {
    V1(PathBuf),
    V2(PathBuf),
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

/// The number in a file; `None` for words such as `max` and for what has another sign.
fn number<T: FromStr>(folder: &Path, name: &str) -> Option<T> {
    let text = std::fs::read_to_string(folder.join(name)).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{cpus, memory};
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

    #[test]
    fn the_tightest_memory_limit_counts() {
        let tree = Tree::new(
            "memory",
            &[
                ("outer/inner/memory.max", "max\n"),
                ("outer/inner/memory.current", "10\n"),
                ("outer/memory.max", "1000\n"),
                ("outer/memory.current", "400\n"),
            ],
        );
        assert_eq!(memory(tree.root(), "0::/outer/inner\n"), Some(600));
        assert_eq!(memory(tree.root(), "0::/\n"), None);
    }

    #[test]
    fn the_tightest_quota_counts_rounded_up() {
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
        let in_group = |path: &str| cpus(tree.root(), &format!("0::{path}\n"));
        assert_eq!(in_group("/outer/inner"), Some(2));
        assert_eq!(in_group("/outer/small"), Some(1));
        assert_eq!(in_group("/outer/large"), Some(2));
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
        assert_eq!(cpus(tree.root(), both), Some(3));
        assert_eq!(cpus(tree.root(), "4:cpuset:/box\n"), None);
    }

    #[test]
    fn a_containers_own_group_is_the_root_that_it_sees() {
        let tree = Tree::new("container", &[("cpu.max", "200000 100000\n")]);
        assert_eq!(cpus(tree.root(), "0::/docker/0123abcd\n"), Some(2));
        let tree = Tree::new(
            "container-v1",
            &[
                ("cpu/cpu.cfs_quota_us", "50000\n"),
                ("cpu/cpu.cfs_period_us", "100000\n"),
            ],
        );
        assert_eq!(cpus(tree.root(), "3:cpu,cpuacct:/docker/01\n"), Some(1));
    }

    #[test]
    fn files_that_make_no_sense_are_no_limits() {
        let tree = Tree::new("nonsense", &[("cpu.max", "fast\n"), ("a/cpu.max", "1 0\n")]);
        assert_eq!(cpus(tree.root(), "0::/a\n"), None);
        assert_eq!(cpus(tree.root(), "no colons\n"), None);
    }
}
