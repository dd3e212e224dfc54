//! From Modelfiles to requests.

use std::path::PathBuf;

use ollama::Kind;
use ollama::modelfile::Modelfile;
use serde_json::json;

use super::*;

impl Kit {
    /// A file in a folder of the user's.
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join("user").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn gather(&self, modelfile: &str) -> Result<Request> {
        let modelfile = Modelfile::parse(modelfile.as_bytes()).unwrap();
        let folder = self.folder.path().join("user");
        Request::from_modelfile(&self.store, "m", &modelfile, &folder, &|_| {})
    }

    fn not_gathered(&self, modelfile: &str) -> ollama::Error {
        let error = self.gather(modelfile).unwrap_err();
        assert!(
            self.blobs().iter().all(|name| !name.starts_with("sha256-")),
            "{error}"
        );
        error
    }
}

#[test]
fn everything_that_a_modelfile_says() {
    let kit = Kit::new();
    let tiny = plain();
    let lora = tiny::lora(&tiny, 4, "a").bytes();
    let absolute = kit.file("elsewhere/lora.gguf", &lora);
    kit.file("draft.gguf", &tiny.bytes());
    let request = kit
        .gather(&format!(
            "FROM llama3.2\nADAPTER {}\nDRAFT ./draft.gguf\nPARAMETER stop a\nPARAMETER stop \"b c\"\n\
             PARAMETER temperature 1\nPARAMETER temperature 0.5\nPARAMETER use_mmap true\nPARAMETER seed 7\n\
             PARAMETER mirostat 2\nSYSTEM one\nSYSTEM two\nTEMPLATE {{{{ .Prompt }}}}\nLICENSE A\nLICENSE B\n\
             MESSAGE user Hello\nMESSAGE assistant \"\"\"Hi\n\"\"\"\nRENDERER r\nPARSER p\nREQUIRES v0.1.0\n",
            absolute.display()
        ))
        .unwrap();
    assert_eq!(
        serde_json::to_value(&request).unwrap(),
        json!({
            "model": "m",
            "from": "llama3.2",
            "draft_files": {"draft.gguf": digest(&tiny.bytes())},
            "adapters": {"lora.gguf": digest(&lora)},
            "template": "{{ .Prompt }}",
            "license": ["A", "B"],
            "system": "two",
            "parameters": {
                "stop": ["a", "b c"], "temperature": 0.5, "use_mmap": true, "seed": 7, "mirostat": "2",
            },
            "messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi\n"}],
            "renderer": "r",
            "parser": "p",
            "requires": "0.1.0",
        })
    );
}

#[test]
fn a_file_is_shared_with_the_store_and_stays_the_users() {
    let kit = Kit::new();
    let bytes = plain().bytes();
    let path = kit.file("my model.gguf", &bytes);
    let request = kit.gather("FROM \"my model.gguf\"").unwrap();
    assert_eq!(request.files["my model.gguf"], digest(&bytes));
    kit.create(&request).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let blob = kit.store.layer(&kit.manifest("m").layers[0]).unwrap();
        let (file, blob) = (fs::metadata(&path).unwrap(), fs::metadata(blob).unwrap());
        // One file with two names, or else a clone that shares its bytes.
        assert!(file.ino() == blob.ino() || file.nlink() == 1);
    }
    kit.store.remove(&Name::parse("m").unwrap()).unwrap();
    assert!(kit.blobs().is_empty());
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn folders_and_any_file_of_a_split_model_give_all_files() {
    let kit = Kit::new();
    for (path, number) in plain().shards(2).iter().zip(1..) {
        kit.file(
            &format!("split/x-{number:05}-of-00002.gguf"),
            &fs::read(path).unwrap(),
        );
    }
    kit.file("split/README.md", b"not a model");
    for from in [
        "FROM split",
        "FROM ./split/",
        "FROM split/x-00002-of-00002.gguf",
    ] {
        let request = kit.gather(from).unwrap();
        let names: Vec<&String> = request.files.keys().collect();
        assert_eq!(
            names,
            ["x-00001-of-00002.gguf", "x-00002-of-00002.gguf"],
            "{from}"
        );
        kit.create(&request).unwrap();
    }
    fs::remove_file(kit.folder.path().join("user/split/x-00001-of-00002.gguf")).unwrap();
    let request = kit.gather("FROM split").unwrap();
    assert!(
        kit.refused(&request)
            .to_string()
            .contains("is one of 2 files")
    );
}

#[test]
fn files_of_one_name_are_both_there() {
    let kit = Kit::new();
    kit.file("a/x.gguf", &plain().bytes());
    kit.file("b/x.gguf", &tiny::llama_spm().bytes());
    let request = kit
        .gather("FROM a/x.gguf\nFROM b/x.gguf\nFROM a/x.gguf")
        .unwrap();
    let names: Vec<&String> = request.files.keys().collect();
    assert_eq!(names, ["2/x.gguf", "x.gguf"]);
}

#[test]
fn what_is_no_gguf_does_not_come_into_the_store() {
    let kit = Kit::new();
    kit.file("text.gguf", b"not a model");
    kit.file("empty.gguf", b"");
    kit.file("m.safetensors", b"whatever");
    kit.file("hf/model-00001-of-00002.safetensors", b"whatever");
    kit.file("hf/config.json", b"{}");
    kit.file("nothing/README.md", b"");
    for (modelfile, kind, text) in [
        (
            "FROM ./missing.gguf",
            Kind::NotFound,
            "FROM ./missing.gguf: no such file",
        ),
        ("FROM missing.gguf", Kind::NotFound, "no such file"),
        ("FROM ~/no/such/model.gguf", Kind::NotFound, "no such file"),
        (
            "FROM m\nADAPTER lora",
            Kind::NotFound,
            "ADAPTER lora: no such file",
        ),
        ("FROM text.gguf", Kind::Invalid, "not in GGUF format"),
        ("FROM empty.gguf", Kind::Invalid, "not in GGUF format"),
        (
            "FROM m.safetensors",
            Kind::Unsupported,
            "convert_hf_to_gguf.py",
        ),
        ("FROM hf", Kind::Unsupported, "convert_hf_to_gguf.py"),
        (
            "FROM nothing",
            Kind::NotFound,
            "no Modelfile or GGUF files found",
        ),
        ("FROM /dev/zero", Kind::Invalid, "not a regular file"),
    ] {
        let error = kit.not_gathered(modelfile);
        assert_eq!(error.kind(), kind, "{modelfile}: {error}");
        assert!(error.to_string().contains(text), "{modelfile}: {error}");
    }
    #[cfg(unix)]
    {
        let link = kit.folder.path().join("user/link.gguf");
        std::os::unix::fs::symlink("/etc/passwd", link).unwrap();
        assert_eq!(kit.not_gathered("FROM link.gguf").kind(), Kind::Invalid);
    }
}

#[test]
fn what_is_no_file_is_a_name() {
    let kit = Kit::new();
    fs::create_dir_all(kit.folder.path().join("user")).unwrap();
    for name in [
        "llama3.2",
        "user/model:7b",
        "hf.co/user/repo:Q4_K_M",
        "pypi.org/project/x",
    ] {
        let request = kit.gather(&format!("FROM {name}")).unwrap();
        assert_eq!(request.from, name);
        assert!(request.files.is_empty());
    }
}
