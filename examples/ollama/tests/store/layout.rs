//! What Ollama wrote is read; what is written here is what Ollama writes.

use std::fs;
use std::io::Write;

use ollama::store::{Config, Layer, Manifest};
use ollama::{Digest, Kind};

use crate::fixture::*;

/// A store as it looks after years: models of several registries, layers in common, a model that was
/// pulled (no line break at the end, members that Ollama ignores), one that was made from another one.
fn old_store() -> Fixture {
    let fixture = Fixture::new();
    let weights = b"weights of two models";
    fixture.model(
        &format!("{LIBRARY}/llama3.2/latest"),
        SETTINGS,
        &[
            (MODEL, weights),
            (TEMPLATE, b"{{ .Prompt }}"),
            (LICENSE, b"free"),
            (LICENSE, b"free"),
        ],
    );
    let digest = Digest::of_bytes(weights);
    let settings = fixture.blob(br#"{"model_format":"gguf","os":"linux"}"#);
    let made = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{{"mediaType":"{CONFIG}","digest":"{settings}","size":36}},"layers":[{{"mediaType":"{MODEL}","digest":"{digest}","size":21,"from":"llama3.2:latest"}}]}}"#
    );
    fixture.write_manifest(
        "registry.ollama.ai/me/mine/v1.0",
        format!("{made}\n").as_bytes(),
    );
    let pulled = made.replace(
        r#","from":"llama3.2:latest""#,
        r#","annotations":{"a":[1.50,null]}"#,
    );
    let pulled = pulled.replace("2+json\",", "2+json\", \"x\" : 1,");
    fixture.write_manifest("hf.co/user/repo-GGUF/Q4_K_M", pulled.as_bytes());
    fixture.write_manifest("registry.example:5000/n/m/latest", made.as_bytes());
    fixture
}

#[test]
fn a_store_of_ollama_is_read_and_written_back_unchanged() {
    let fixture = old_store();
    let (store, before) = (fixture.store(), fixture.files());
    let listing = store.list().unwrap();
    assert!(listing.broken.is_empty(), "{:?}", listing.broken);
    let mut names: Vec<String> = listing.models.iter().map(|m| m.name.to_string()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "hf.co/user/repo-GGUF:Q4_K_M",
            "llama3.2:latest",
            "me/mine:v1.0",
            "registry.example:5000/n/m:latest"
        ]
    );
    for entry in &listing.models {
        let bytes = store.manifest_bytes(&entry.name).unwrap();
        assert_eq!(entry.digest, Digest::of_bytes(&bytes));
        let (manifest, digest) = store.manifest(&entry.name).unwrap();
        assert_eq!((digest, manifest.size()), (entry.digest, entry.size));
        // As it came, and from what was understood of it.
        assert_eq!(
            store.put_manifest_bytes(&entry.name, &bytes).unwrap(),
            entry.digest
        );
        if bytes.ends_with(b"\n") {
            assert_eq!(
                store.put_manifest(&entry.name, &manifest).unwrap(),
                entry.digest
            );
        }
        let config = store.config(&manifest).unwrap();
        let written = config.to_bytes().unwrap();
        if entry.name.to_string() == "llama3.2:latest" {
            assert_eq!(Digest::of_bytes(&written), manifest.config.digest);
            assert_eq!(store.put_bytes(&written).unwrap().0, manifest.config.digest);
        }
        let again = Config::parse(&written).unwrap();
        assert_eq!(again, config);
    }
    assert_eq!(fixture.files(), before);
    // A copy has the same bytes, and removing it leaves no trace.
    store.copy(&name("llama3.2"), &name("copy:x")).unwrap();
    let copied = fixture.manifest_path(&format!("{LIBRARY}/copy/x"));
    assert_eq!(
        fs::read(copied).unwrap(),
        before[std::path::Path::new(&format!("manifests/{LIBRARY}/llama3.2/latest"))]
    );
    store.remove(&name("copy:x")).unwrap();
    assert_eq!(fixture.files(), before);
    assert!(!fixture.manifest_path(&format!("{LIBRARY}/copy")).exists());
}

#[test]
fn members_that_nobody_knows_survive() {
    let fixture = old_store();
    let (manifest, _) = fixture
        .store()
        .manifest(&name("hf.co/user/repo-GGUF:Q4_K_M"))
        .unwrap();
    let json = String::from_utf8(manifest.to_bytes().unwrap()).unwrap();
    assert!(json.contains(r#""annotations":{"a":[1.5,null]}"#), "{json}");
    assert!(json.contains(r#""x":1"#), "{json}");
    let config = r#"{"model_format":"gguf","model_family":"","model_families":null,"model_type":"","file_type":"","renderer":"r","architecture":"","os":"","context_length":4096,"draft":{"config":"c"}}"#;
    let parsed = Config::parse(config.as_bytes()).unwrap();
    assert_eq!(parsed.to_bytes().unwrap(), config.as_bytes());
    let nulls = r#"{"model_format":null,"capabilities":null,"os":null}"#;
    assert_eq!(Config::parse(nulls.as_bytes()).unwrap(), Config::default());
}

#[test]
fn an_empty_or_missing_store_has_no_models() {
    let fixture = Fixture::new();
    assert!(fixture.store().list().unwrap().models.is_empty());
    let missing = ollama::Store::open(fixture.root().join("missing")).unwrap();
    assert!(missing.list().unwrap().models.is_empty());
    assert_eq!(
        missing.manifest(&name("m")).unwrap_err().kind(),
        Kind::NotFound
    );
    assert!(missing.available().unwrap() > 0);
    assert!(!fixture.root().join("missing").exists());
    // What is put into it makes it.
    let (digest, size) = missing.put_bytes(b"x").unwrap();
    let config = Layer::new(CONFIG, digest, size);
    let manifest = Manifest::new(config.clone(), vec![config]);
    missing.put_manifest(&name("m"), &manifest).unwrap();
    assert_eq!(missing.list().unwrap().models.len(), 1);
    fs::write(fixture.outside().join("file"), "x").unwrap();
    let file = ollama::Store::open(fixture.outside().join("file"));
    assert_eq!(file.unwrap_err().kind(), Kind::Storage);
}

#[test]
fn the_case_of_a_name_makes_no_difference() {
    let fixture = Fixture::new();
    fixture.model(
        "registry.ollama.ai/library/Llama3/Latest",
        SETTINGS,
        &[(MODEL, b"w")],
    );
    let store = fixture.store();
    for given in [
        "llama3:latest",
        "LLAMA3:LATEST",
        "Registry.Ollama.AI/Library/llama3:Latest",
    ] {
        assert_eq!(
            store.resolve(&name(given)).unwrap().to_string(),
            "Llama3:Latest"
        );
    }
    let bytes = store.manifest_bytes(&name("llama3")).unwrap();
    store.put_manifest_bytes(&name("LLAMA3"), &bytes).unwrap();
    store.copy(&name("llama3"), &name("llama3:other")).unwrap();
    let listing = store.list().unwrap();
    let mut names: Vec<String> = listing.models.iter().map(|m| m.name.to_string()).collect();
    names.sort();
    assert_eq!(names, ["Llama3:Latest", "Llama3:other"]);
    store.remove(&name("lLAMA3:OTHER")).unwrap();
    store.remove(&name("llama3:latest")).unwrap();
    assert!(fixture.files().is_empty(), "{:?}", fixture.files().keys());
}

#[test]
fn an_unfinished_blob_leaves_nothing() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let mut writer = store.writer().unwrap();
    writer.write_all(b"half").unwrap();
    drop(writer);
    assert_eq!(fixture.blobs(), 0);
    let mut writer = store.writer().unwrap();
    writer.write_all(b"other").unwrap();
    let error = writer.finish(Some(&Digest::of_bytes(b"half"))).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert_eq!(fixture.blobs(), 0);
    let mut writer = store.writer().unwrap();
    writer.write_all(b"ab").unwrap();
    writer.write_all(b"c").unwrap();
    assert_eq!(writer.digest(), Digest::of_bytes(b"abc"));
    let (digest, size) = writer.finish(None).unwrap();
    assert_eq!((digest, size), (Digest::of_bytes(b"abc"), 3));
    assert_eq!(fs::read(store.blob(&digest).unwrap()).unwrap(), b"abc");
    assert_eq!(fixture.blobs(), 1);
}

#[test]
fn a_manifest_needs_its_blobs() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let (digest, size) = store.put_bytes(b"weights").unwrap();
    let there = Layer::new(CONFIG, digest, size);
    let missing = Layer::new(MODEL, Digest::of_bytes(b"gone"), 4);
    let manifest = Manifest::new(there.clone(), vec![missing]);
    let error = store.put_manifest(&name("m"), &manifest).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let short = Layer::new(MODEL, digest, size + 1);
    let manifest = Manifest::new(short.clone(), vec![short]);
    assert_eq!(
        store
            .put_manifest(&name("m"), &manifest)
            .unwrap_err()
            .kind(),
        Kind::Damaged
    );
    assert_eq!(
        store
            .put_manifest(&name("m"), &Manifest::new(there, Vec::new()))
            .unwrap_err()
            .kind(),
        Kind::Invalid
    );
    assert!(store.list().unwrap().models.is_empty());
}

#[test]
fn a_file_of_the_user_becomes_a_blob_without_a_copy() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let file = fixture.outside().join("my model.gguf");
    let bytes: Vec<u8> = (0..4_000_000_u32).map(|n| (n % 251) as u8).collect();
    fs::write(&file, &bytes).unwrap();
    let before = fs::metadata(&file).unwrap();
    let (digest, size) = store.adopt(&file).unwrap();
    assert_eq!(
        (digest, size),
        (Digest::of_bytes(&bytes), bytes.len() as u64)
    );
    let blob = store.blob(&digest).unwrap();
    assert_eq!(fs::read(&blob).unwrap(), bytes);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let linked = fs::metadata(&blob).unwrap().ino() == before.ino();
        let clone = fixture.outside().join("clone");
        assert!(linked || reflink_copy::reflink(&file, clone).is_ok());
        assert_eq!(before.mode(), fs::metadata(&file).unwrap().mode());
    }
    // A second time, and through a link, it is the same blob.
    #[cfg(unix)]
    {
        let link = fixture.outside().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(store.adopt(&link).unwrap(), (digest, size));
        assert!(fs::symlink_metadata(&blob).unwrap().is_file());
    }
    assert_eq!(fixture.blobs(), 1);
    let layer = Layer::new(MODEL, digest, size);
    let config = Layer::new(CONFIG, digest, size);
    store
        .put_manifest(&name("m"), &Manifest::new(config, vec![layer]))
        .unwrap();
    assert_eq!(store.remove(&name("m")).unwrap().blobs, 1);
    assert_eq!(fixture.blobs(), 0);
    let after = fs::metadata(&file).unwrap();
    assert_eq!(fs::read(&file).unwrap(), bytes);
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
}

#[test]
fn what_cannot_be_adopted_is_named() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let missing = fixture.outside().join("missing.gguf");
    let error = store.adopt(&missing).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("missing.gguf"));
    assert_eq!(
        store.adopt(fixture.outside()).unwrap_err().kind(),
        Kind::Invalid
    );
    assert_eq!(fixture.blobs(), 0);
}

#[test]
fn a_blob_is_what_its_name_says_or_damaged() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let digest: Digest = fixture.blob(b"bytes").parse().unwrap();
    store.verify(&digest).unwrap();
    fs::write(fixture.blob_path(&digest.to_string()), b"bytez").unwrap();
    assert_eq!(store.verify(&digest).unwrap_err().kind(), Kind::Damaged);
    // Written again, it is sound again.
    store.put_bytes(b"bytes").unwrap();
    store.verify(&digest).unwrap();
}

#[test]
fn the_names_of_blobs_before_version_0_1_29() {
    let fixture = Fixture::new();
    let digest = fixture.blob(b"old");
    let colon = fixture.root().join("blobs").join(&digest);
    fs::rename(fixture.blob_path(&digest), &colon).unwrap();
    let store = fixture.store();
    store.rename_old_blobs().unwrap();
    assert_eq!(
        fs::read(store.blob(&digest.parse().unwrap()).unwrap()).unwrap(),
        b"old"
    );
    assert!(!colon.exists());
}
