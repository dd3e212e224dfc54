//! Models as files: what goes in comes out, and nothing else does anything.

use std::collections::HashMap;

use ollama::archive::{export, import};
use ollama::{Digest, Kind, Name, Store};
use tar::{Builder, EntryType, Header};

use crate::models::{Here, model, noise};

fn filled(here: &Here, name: &str, layers: &[&[u8]]) -> Name {
    let (manifest, blobs) = model(layers);
    for bytes in blobs.values() {
        here.store.put_bytes(bytes).unwrap();
    }
    let name = Name::parse(name).unwrap();
    here.store.put_manifest_bytes(&name, &manifest).unwrap();
    name
}

fn exported(store: &Store, name: &Name) -> Vec<u8> {
    let mut out = Vec::new();
    export(store, name, &mut out, &|_| {}).unwrap();
    out
}

#[test]
fn what_goes_in_comes_out() {
    let weights = noise(5 << 20, 1);
    let here = Here::new();
    let name = filled(
        &here,
        "h.example/user/m:7b",
        &[&weights, b"license", b"", b"license"],
    );
    let bytes = exported(&here.store, &name);
    assert_eq!(bytes, exported(&here.store, &name), "always the same bytes");
    let there = Here::new();
    assert_eq!(
        import(&there.store, &bytes[..], None, &|_| {}).unwrap(),
        std::slice::from_ref(&name)
    );
    assert_eq!(
        there.store.manifest_bytes(&name).unwrap(),
        here.store.manifest_bytes(&name).unwrap()
    );
    there.store.verify(&Digest::of_bytes(&weights)).unwrap();
    let blobs = |here: &Here| {
        here.files()
            .iter()
            .filter(|file| file.starts_with("blobs"))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(blobs(&here), blobs(&there));
    let other = Name::parse("other").unwrap();
    assert_eq!(
        import(&there.store, &bytes[..], Some(&other), &|_| {}).unwrap(),
        [other]
    );
    assert_eq!(there.store.list().unwrap().models.len(), 2);
}

#[test]
fn an_archive_that_is_cut_off_leaves_nothing() {
    let here = Here::new();
    let name = filled(&here, "m", &[&noise(3000, 2), b"license"]);
    let bytes = exported(&here.store, &name);
    // The two blocks at the end say nothing.
    for end in (0..bytes.len() - 1024).step_by(256) {
        let there = Here::new();
        let error = import(&there.store, &bytes[..end], None, &|_| {}).unwrap_err();
        assert!(
            matches!(error.kind(), Kind::Invalid | Kind::NotFound | Kind::Damaged),
            "{end}: {error}"
        );
        assert_eq!(there.files(), [] as [&str; 0], "{end}");
    }
}

#[test]
fn a_damaged_blob_is_neither_exported_nor_imported() {
    let here = Here::new();
    let weights = noise(3000, 3);
    let name = filled(&here, "m", &[&weights]);
    let bytes = exported(&here.store, &name);
    let at = bytes
        .windows(100)
        .position(|window| *window == weights[..100])
        .unwrap();
    let mut flipped = bytes.clone();
    flipped[at + 50] ^= 1;
    let there = Here::new();
    assert_eq!(
        import(&there.store, &flipped[..], None, &|_| {})
            .unwrap_err()
            .kind(),
        Kind::Damaged
    );
    assert_eq!(there.files(), [] as [&str; 0]);
    let blob = here.store.blob(&Digest::of_bytes(&weights)).unwrap();
    std::fs::write(blob, noise(3000, 4)).unwrap();
    assert_eq!(
        export(&here.store, &name, &mut Vec::new(), &|_| {})
            .unwrap_err()
            .kind(),
        Kind::Damaged
    );
}

/// An archive with one more entry of any name, kind and link before what makes a whole model.
fn with_entry(path: &[u8], kind: EntryType, link: &str, data: &[u8]) -> Vec<u8> {
    let here = Here::new();
    let name = filled(&here, "m", &[b"weights"]);
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let mut archive = Builder::new(Vec::new());
    archive.append(&header, data).unwrap();
    let mut bytes = archive.into_inner().unwrap();
    bytes.truncate(bytes.len() - 1024);
    bytes.extend(exported(&here.store, &name));
    bytes
}

// CVE-2024-45436: names in archives that led out of the store.
#[test]
fn no_name_in_an_archive_becomes_a_path() {
    let digest = Digest::of_bytes(b"x").hex();
    for path in [
        "../../x",
        "/tmp/ollama-import-test",
        "blobs/../../../x",
        "./x",
        "manifests/h/n/m/t",
        "blobs/sha256-x",
        "\\..\\x",
        "C:\\x",
    ] {
        let there = Here::new();
        let result = import(
            &there.store,
            &with_entry(path.as_bytes(), EntryType::Regular, "", b"x")[..],
            None,
            &|_| {},
        );
        assert!(result.is_ok(), "{path}: {result:?}");
        assert_eq!(there.files().len(), 3, "{path}: {:?}", there.files());
    }
    let there = Here::new();
    for path in [
        "blobs/sha256/../../../x".to_owned(),
        format!("blobs/sha256/{}", &digest[1..]),
        format!("blobs/sha256/{}", digest.to_uppercase()),
        format!("blobs/sha256/{digest}/x"),
        "blobs/sha256/".to_owned(),
    ] {
        let bytes = with_entry(path.as_bytes(), EntryType::Regular, "", b"x");
        assert_eq!(
            import(&there.store, &bytes[..], None, &|_| {})
                .unwrap_err()
                .kind(),
            Kind::Invalid,
            "{path}"
        );
    }
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Fifo,
        EntryType::Char,
        EntryType::Block,
    ] {
        let path = format!("blobs/sha256/{digest}");
        let bytes = with_entry(path.as_bytes(), kind, "/etc/passwd", b"");
        assert_eq!(
            import(&there.store, &bytes[..], None, &|_| {})
                .unwrap_err()
                .kind(),
            Kind::Invalid,
            "{kind:?}"
        );
    }
    assert_eq!(there.files(), [] as [&str; 0]);
    assert!(!std::path::Path::new("/tmp/ollama-import-test").exists());
}

#[test]
fn what_is_no_archive_of_a_model_is_an_error() {
    let tar = |files: &[(&str, &str)]| {
        let mut archive = Builder::new(Vec::new());
        for (path, text) in files {
            let mut header = Header::new_gnu();
            header.set_size(text.len() as u64);
            archive
                .append_data(&mut header, path, text.as_bytes())
                .unwrap();
        }
        archive.into_inner().unwrap()
    };
    let digest = Digest::of_bytes(b"{}");
    let blob = format!("blobs/sha256/{}", digest.hex());
    let descriptor = |name: &str| {
        format!(
            r#"{{"mediaType":"x","digest":"{digest}","size":2,"annotations":{{"org.opencontainers.image.ref.name":"{name}"}}}}"#
        )
    };
    let index = |manifests: &str| format!(r#"{{"schemaVersion":2,"manifests":[{manifests}]}}"#);
    let there = Here::new();
    for (n, bytes) in [
        Vec::new(),
        b"no tar file at all".repeat(100),
        tar(&[]),
        tar(&[("index.json", "")]),
        tar(&[("index.json", "null")]),
        tar(&[("index.json", &index(""))]),
        tar(&[("index.json", &index(&descriptor("m")))]),
        tar(&[("index.json", &index(&descriptor("m"))), (&blob, "{}")]),
        tar(&[
            ("index.json", &index(&descriptor("../../m"))),
            (&blob, "{}"),
        ]),
        tar(&[
            (
                "index.json",
                &index(&descriptor("m").replace("sha256:", "sha256:../")),
            ),
            (&blob, "{}"),
        ]),
        tar(&[
            (
                "index.json",
                &index(&descriptor("m").replace("\"size\":2", "\"size\":3")),
            ),
            (&blob, "{}"),
        ]),
        tar(&[("index.json", &"[".repeat(5 << 20))]),
    ]
    .into_iter()
    .enumerate()
    {
        let error = import(&there.store, &bytes[..], None, &|_| {}).unwrap_err();
        assert!(
            matches!(error.kind(), Kind::Invalid | Kind::NotFound | Kind::Damaged),
            "{n}: {error}"
        );
        assert_eq!(there.files(), [] as [&str; 0], "{n}");
    }
}

#[test]
fn archives_of_other_tools_in_any_order() {
    let here = Here::new();
    let name = filled(&here, "m", &[b"weights", b"license"]);
    let bytes = exported(&here.store, &name);
    let mut archive = tar::Archive::new(&bytes[..]);
    let entries: HashMap<String, Vec<u8>> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut data = Vec::new();
            std::io::copy(&mut entry, &mut data).unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), data)
        })
        .collect();
    let mut paths: Vec<&String> = entries.keys().collect();
    paths.sort();
    let mut mixed = Builder::new(Vec::new());
    for path in paths {
        let mut header = Header::new_ustar();
        header.set_size(entries[path].len() as u64);
        mixed
            .append_data(&mut header, format!("./{path}"), &entries[path][..])
            .unwrap();
    }
    let there = Here::new();
    assert_eq!(
        import(
            &there.store,
            &mixed.into_inner().unwrap()[..],
            None,
            &|_| {}
        )
        .unwrap(),
        [name]
    );
}
