//! `ollama create` as a program.

use std::process::{Command, Output, Stdio};

use super::*;

impl Kit {
    /// Runs the program in a folder of the user's.
    fn ollama(&self, args: &[&str]) -> Output {
        let folder = self.folder.path().join("user");
        fs::create_dir_all(&folder).unwrap();
        Command::new(env!("CARGO_BIN_EXE_ollama"))
            .args(args)
            .current_dir(folder)
            // No server listens there, whatever this machine runs.
            .env("OLLAMA_HOST", "127.0.0.1:1")
            .env("OLLAMA_MODELS", self.store.root())
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn succeeds(&self, args: &[&str]) -> String {
        let output = self.ollama(args);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{args:?}: {told}");
        assert!(output.stdout.is_empty());
        assert!(!told.contains(['\r', '\u{1b}']), "{told:?}");
        told
    }

    fn fails(&self, args: &[&str]) -> String {
        let output = self.ollama(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        told.lines().last().unwrap_or_default().to_owned()
    }

    fn user_file(&self, name: &str, bytes: &[u8]) {
        let folder = self.folder.path().join("user");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    }
}

#[test]
fn a_modelfile_becomes_a_model_that_others_can_be_made_from() {
    let kit = Kit::new();
    kit.user_file("tiny.gguf", &plain().bytes());
    kit.user_file(
        "Modelfile",
        b"FROM ./tiny.gguf\nSYSTEM Be brief.\nPARAMETER mirostat 1\n",
    );
    let told = kit.succeeds(&["create", "first"]);
    let expected = [
        "gathering model components",
        "warning: parameter mirostat is deprecated",
        "parsing GGUF",
    ];
    for line in expected.iter().chain(&["writing manifest", "success"]) {
        assert!(told.lines().any(|found| found == *line), "{line}: {told}");
    }
    kit.user_file("other", b"from FIRST\nparameter stop \"<|end|>\"\n");
    kit.succeeds(&["create", "second", "-f", "other"]);
    assert_eq!(
        kit.layers("second"),
        [
            layer("model", ""),
            layer("system", "Be brief."),
            layer("params", "{\"stop\":[\"\\u003c|end|\\u003e\"]}\n"),
        ]
    );

    // What show prints makes the same model again.
    let shown = kit.ollama(&["show", "--modelfile", "second"]);
    kit.user_file("shown", &shown.stdout);
    kit.succeeds(&["create", "third", "--file=shown"]);
    assert_eq!(kit.layers("third"), kit.layers("second"));
    let digests = |model: &str| {
        kit.manifest(model)
            .layers
            .iter()
            .map(|one| one.digest)
            .collect::<Vec<_>>()
    };
    assert_eq!(digests("third"), digests("second"));
}

#[test]
fn a_folder_with_a_model_needs_no_modelfile() {
    let kit = Kit::new();
    kit.user_file("tiny.gguf", &plain().bytes());
    kit.succeeds(&["create", "m"]);
    assert_eq!(kit.layers("m"), [layer("model", "")]);
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let kit = Kit::new();
    kit.user_file("bad", b"FROM x\nPARAMETER temperature hot\n");
    kit.user_file("from", b"FROM nowhere\n");
    for (args, text) in [
        (&["create", "../m"][..], "Error: invalid model name"),
        (
            &["create", "m", "-f", "missing"],
            "Error: specified Modelfile wasn't found",
        ),
        (
            &["create", "m"],
            "Error: FROM .: no Modelfile or GGUF files found",
        ),
        (
            &["create", "m", "-f", "bad"],
            "Error: (line 2): parameter temperature must be a finite number",
        ),
        // What is not in the store would be pulled.
        (
            &["create", "m", "-f", "from", "--offline"],
            "Error: offline: nothing is fetched",
        ),
    ] {
        let told = kit.fails(args);
        assert!(told.starts_with(text), "{args:?}: {told}");
    }
    assert!(kit.store.list().unwrap().models.is_empty());
}
