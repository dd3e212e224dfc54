//! Finds servers of the original program that use the same store.

use std::path::{Path, PathBuf};

use super::Store;

/// Another program named `ollama` that serves from this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// Its process.
    pub pid: u32,
}

impl std::fmt::Display for Neighbour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "another Ollama server (process {}) uses the same models; \
             what it prunes or removes is gone here as well",
            self.pid
        )
    }
}

impl Store {
    /// Other programs named `ollama` that serve from this store, as far as the system shows them:
    /// on Linux, those of the same user.
    #[must_use]
    pub fn neighbours(&self) -> Vec<Neighbour> {
        let Ok(processes) = std::fs::read_dir("/proc") else {
            return Vec::new();
        };
        let own = std::env::current_exe().ok();
        let pids = processes.flatten().filter_map(|process| {
            let pid: u32 = process.file_name().to_str()?.parse().ok()?;
            let foreign = self.serves_from_here(&process.path(), own.as_deref());
            foreign.then_some(Neighbour { pid })
        });
        pids.collect()
    }

    /// Whether a folder of /proc is that of such a server.
    fn serves_from_here(&self, process: &Path, own: Option<&Path>) -> bool {
        let command = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let mut words = command.split(|&byte| byte == 0);
        let program = words.next().unwrap_or_default();
        let serves = matches!(words.next(), Some(b"serve" | b"start"));
        if !serves || !(program == b"ollama" || program.ends_with(b"/ollama")) {
            return false;
        }
        let Ok(exe) = std::fs::read_link(process.join("exe")) else {
            return false;
        };
        own != Some(exe.as_path()) && same(&self.root, &models_of(process))
    }
}

/// Where a process keeps its models, by its environment.
fn models_of(process: &Path) -> Option<PathBuf> {
    let environment = std::fs::read(process.join("environ")).ok()?;
    let variable = |name: &str| {
        environment.split(|&byte| byte == 0).find_map(|entry| {
            let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            let value = std::str::from_utf8(value).ok()?;
            Some(value.trim().trim_matches(['"', '\''])).filter(|value| !value.is_empty())
        })
    };
    match variable("OLLAMA_MODELS") {
        Some(models) => Some(models.into()),
        None => variable("HOME").map(|home| Path::new(home).join(".ollama/models")),
    }
}

fn same(here: &Path, there: &Option<PathBuf>) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    match there {
        Some(there) => here == there || real(here).is_some_and(|here| Some(here) == real(there)),
        None => false,
    }
}
