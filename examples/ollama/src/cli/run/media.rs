//! Files of images and sounds that a prompt names.

use std::path::Path;

use crate::cli::shown::Shown;
use crate::error::{Error, Kind, Result};

/// The endings of the files that Ollama sends along.
const ENDINGS: [&str; 5] = ["jpg", "jpeg", "png", "webp", "wav"];
/// What a shell or a file manager writes before a sign that means something to a shell.
const ESCAPE: char = '\\';

/// Refuses to take the path of an image as words where the model would look at the image.
pub(super) fn refuse(shown: &Shown, prompt: &str) -> Result<()> {
    let looks = shown.can("vision") || shown.can("audio");
    match file(prompt).filter(|_| looks) {
        None => Ok(()),
        Some(file) => Err(Error::new(
            Kind::Unsupported,
            format!("{file} can't be sent: this program gives models no images and no sounds"),
        )),
    }
}

/// The first such file that is there.
pub(super) fn file(prompt: &str) -> Option<String> {
    let lower = prompt.to_ascii_lowercase();
    let starts = prompt.char_indices().filter(|&(_, c)| c == '/' || c == '.');
    for (start, _) in starts {
        let rest = lower.get(start..)?;
        let mut ends: Vec<usize> = ENDINGS
            .iter()
            .filter_map(|ending| Some(rest.find(&format!(".{ending}"))? + 1 + ending.len()))
            .collect();
        ends.sort_unstable();
        for end in ends {
            let path: String = prompt
                .get(start..start + end)?
                .chars()
                .filter(|&c| c != ESCAPE)
                .collect();
            // Names of files have no line breaks, and a long text names few files.
            if !path.contains('\n') && path.len() < 4096 && Path::new(&path).is_file() {
                return Some(path);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_are_there_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("my cat.PNG");
        std::fs::write(&path, b"x").unwrap();
        let path = path.to_str().unwrap();
        for prompt in [
            format!("What is in {path}?"),
            format!("'{path}' what is it?"),
            path.replace(' ', "\\ "),
            format!("{path}, and {path}"),
        ] {
            assert_eq!(file(&prompt).as_deref(), Some(path), "{prompt}");
        }
        assert_eq!(file("What is in /nowhere/cat.png or ./dog.jpg?"), None);
        let sees = Shown {
            capabilities: vec!["vision".to_owned()],
            ..Shown::default()
        };
        assert!(
            refuse(&sees, path)
                .unwrap_err()
                .to_string()
                .contains("my cat.PNG")
        );
        assert!(refuse(&Shown::default(), path).is_ok());
    }
}
