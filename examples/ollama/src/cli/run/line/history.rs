//! The lines of earlier conversations, in the file that Ollama keeps them in: one a line.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Lines that can be gone back to.
pub(super) const MOST: usize = 1000;
/// Bytes of the file that are read.
const BYTES: u64 = 16 << 20;

/// Adds what is typed to the file. Nothing of a conversation depends on it, so failures are not told.
pub(super) struct History {
    path: PathBuf,
    keep: bool,
}

impl History {
    /// The file in the folder `home`, and its lines if they are kept.
    pub(super) fn open(home: &Path, keep: bool) -> (Self, Vec<String>) {
        let history = Self {
            path: home.join("history"),
            keep,
        };
        let lines = match keep {
            true => history.read().unwrap_or_default(),
            false => Vec::new(),
        };
        (history, lines)
    }

    /// Whether what is typed from here on is kept.
    pub(super) fn keep(&mut self, keep: bool) {
        self.keep = keep;
    }

    /// Adds what was typed.
    pub(super) fn add(&self, typed: &str) {
        if self.keep {
            let _ = self.append(typed);
        }
    }

    fn append(&self, typed: &str) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // At once: another conversation may be adding as well.
        options
            .open(&self.path)?
            .write_all(format!("{typed}\n").as_bytes())
    }

    fn read(&self) -> io::Result<Vec<String>> {
        let mut bytes = Vec::new();
        std::fs::File::open(&self.path)?
            .take(BYTES)
            .read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        let older = lines.len().saturating_sub(MOST);
        lines.drain(..older);
        // It is shortened seldom, as lines that others add meanwhile are lost then.
        if older > MOST {
            self.replace(&lines)?;
        }
        Ok(lines)
    }

    fn replace(&self, lines: &[String]) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all((lines.join("\n") + "\n").as_bytes())?;
        file.persist(&self.path)
            .map(|_| ())
            .map_err(|error| error.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join(".ollama");
        let (mut history, lines) = History::open(&home, true);
        assert!(lines.is_empty());
        history.add("first");
        history.keep(false);
        history.add("secret");
        history.keep(true);
        history.add("two\nlines");
        assert_eq!(History::open(&home, true).1, ["first", "two", "lines"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = home
                .join("history")
                .metadata()
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn without_history_nothing_is_read_or_written() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("history"), "old\n").unwrap();
        let (history, lines) = History::open(dir.path(), false);
        history.add("new");
        assert!(lines.is_empty());
        assert_eq!(
            std::fs::read_to_string(dir.path().join("history")).unwrap(),
            "old\n"
        );
    }

    #[test]
    fn only_so_many_lines_stay() {
        let dir = tempfile::tempdir().unwrap();
        let all: Vec<String> = (0..=2 * MOST).map(|n| n.to_string()).collect();
        std::fs::write(dir.path().join("history"), all.join("\n")).unwrap();
        let (_, lines) = History::open(dir.path(), true);
        assert_eq!((lines.len(), lines[MOST - 1].as_str()), (MOST, "2000"));
        let file = std::fs::read_to_string(dir.path().join("history")).unwrap();
        assert_eq!(file.lines().count(), MOST);
    }
}
