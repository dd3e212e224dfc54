//! Writes a prompt in the user's own editor.

use std::io::Write;
use std::process::Command;

use crate::error::{Error, Kind, Result};

/// Where nobody says which one.
const EDITOR: &str = if cfg!(windows) { "edit" } else { "vi" };

/// The text as the user leaves it. `program` is what OLLAMA_EDITOR says.
pub(super) fn edit(program: Option<&str>, text: &str) -> Result<String> {
    let variable = |name: &str| {
        std::env::var(name)
            .ok()
            .filter(|value| !value.trim().is_empty())
    };
    let program = program
        .map(str::to_owned)
        .or_else(|| variable("VISUAL"))
        .or_else(|| variable("EDITOR"));
    let program = program.unwrap_or_else(|| EDITOR.to_owned());
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Error::new(Kind::Storage, format!("{what}: {error}"))
    };
    let file = tempfile::Builder::new()
        .prefix("ollama-prompt-")
        .suffix(".txt")
        .tempfile();
    let mut file = file.map_err(|error| failed("cannot keep the prompt in a file", &error))?;
    file.write_all(text.as_bytes())
        .map_err(|error| failed("cannot keep the prompt in a file", &error))?;
    // Editors may put another file in its place.
    let path = file.into_temp_path();
    let mut words = program.split_whitespace();
    let status = Command::new(words.next().unwrap_or(EDITOR))
        .args(words)
        .arg(&path)
        .status();
    let status = status.map_err(|error| {
        failed(
            &format!("editor {program:?} can't be started (OLLAMA_EDITOR names another)"),
            &error,
        )
    })?;
    if !status.success() {
        return Err(failed(&format!("editor {program:?} failed"), &status));
    }
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|error| failed("the prompt can't be read again", &error))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_the_editor_leaves() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("editor");
        std::fs::write(&script, "printf 'more\\n\\n' >> \"$2\"\nexit $1\n").unwrap();
        let editor = |code: u8| format!("sh {} {code}", script.display());
        assert_eq!(edit(Some(&editor(0)), "some ").unwrap(), "some more");
        let error = edit(Some(&editor(3)), "some").unwrap_err();
        assert!(error.to_string().contains("failed"), "{error}");
        let error = edit(Some("/no/such/editor"), "some").unwrap_err();
        assert!(error.to_string().contains("OLLAMA_EDITOR"), "{error}");
    }
}
