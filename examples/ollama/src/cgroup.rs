//! What the control groups that this process is in let it have. A group's limit holds for the groups in it, so
//! all on the way to the root are asked.

use std::fs;
use std::path::{Path, PathBuf};

/// Limits of memory and of CPU time; `None` where there is none, or the system has no such groups.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Limits {
    pub memory: Option<Memory>,
    /// CPUs that a quota gives in the long run.
    pub cpus: Option<f64>,
}

/// The limit that leaves the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Bytes.
    pub limit: u64,
    /// Bytes of it that could still be taken. What the kernel only keeps of files counts as free.
    pub left: u64,
}

/// Those of this process.
pub(crate) fn limits() -> Limits {
    match fs::read_to_string("/proc/self/cgroup") {
        Ok(membership) => read(Path::new("/sys/fs/cgroup"), &membership),
        Err(_) => Limits::default(),
    }
}

/// `membership` is what the kernel lists in `/proc/self/cgroup`.
fn read(root: &Path, membership: &str) -> Limits {
    let memory = groups(root, membership, "memory").into_iter();
    let cpus = groups(root, membership, "cpu").into_iter();
    Limits {
        memory: memory
            .filter_map(|group| group.memory())
            .min_by_key(|memory| memory.left),
        cpus: cpus.filter_map(|group| group.cpus()).min_by(f64::total_cmp),
    }
}

/// A group's folder, by the version of its hierarchy.
enum Group {
    V1(PathBuf),
    V2(PathBuf),
}

impl Group {
    fn memory(&self) -> Option<Memory> {
        let (folder, limit, used, cached) = match self {
            Self::V1(folder) => (
                folder,
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            ),
            Self::V2(folder) => (folder, "memory.max", "memory.current", "inactive_file"),
        };
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
        Some(Memory {
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
    let text = fs::read_to_string(folder.join(file)).ok()?;
    Some(text.trim().to_owned())
}

/// The groups in which `controller` may limit the process, up to the roots.
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
        // In a container the path may be the host's: then only the root is there, which is the container's own.
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
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn the_tightest_group_on_the_way_counts() {
        let dir = tree(&[
            ("a/memory.max", "1000\n"),
            ("a/memory.current", "900\n"),
            ("a/memory.stat", "anon 100\ninactive_file 500\n"),
            ("a/cpu.max", "max 100000\n"),
            ("a/b/memory.max", "5000\n"),
            ("a/b/memory.current", "5\n"),
            ("a/b/cpu.max", "150000 100000\n"),
        ]);
        let expected = Limits {
            memory: Some(Memory {
                limit: 1000,
                left: 600,
            }),
            cpus: Some(1.5),
        };
        assert_eq!(read(dir.path(), "0::/a/b\n"), expected);
        // Its own folder is not visible in a container.
        assert_eq!(read(dir.path(), "0::/x/y\n"), Limits::default());
    }

    #[test]
    fn version_1() {
        let dir = tree(&[
            ("memory/c/memory.limit_in_bytes", "4096\n"),
            ("memory/c/memory.usage_in_bytes", "8192\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/memory.usage_in_bytes", "1\n"),
            ("cpu/cpu.cfs_quota_us", "-1\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
            ("cpu/c/cpu.cfs_quota_us", "50000\n"),
            ("cpu/c/cpu.cfs_period_us", "100000\n"),
        ]);
        let membership = "5:memory:/c\n4:cpu:/c\n1:name=systemd:/c\nnonsense\n";
        let expected = Limits {
            memory: Some(Memory {
                limit: 4096,
                left: 0,
            }),
            cpus: Some(0.5),
        };
        assert_eq!(read(dir.path(), membership), expected);
    }
}
