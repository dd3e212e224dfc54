//! GGUF files from any address, and split models.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use llamakit::gguf::{TensorType, Writer};
use ollama::registry::{Mirror, Source};
use ollama::{Digest, Kind};

use crate::models::{Here, registry, shelf, statuses};
use crate::server::{Reply, Server};

/// A file that is a GGUF file as far as anybody looks here.
pub(crate) fn gguf(part: Option<(u16, u16)>) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.set("general.architecture", "llama").unwrap();
    writer.set("general.file_type", 3_u32).unwrap();
    if let Some((number, count)) = part {
        writer.set("split.no", number).unwrap();
        writer.set("split.count", count).unwrap();
    }
    let name = format!("t{}", part.map_or(0, |(number, _)| number));
    writer
        .tensor(name, &[32, 40], TensorType::F32, vec![1; 32 * 40 * 4])
        .unwrap();
    writer.to_bytes()
}

type Files = Arc<Mutex<HashMap<String, (Vec<u8>, &'static str)>>>;

fn files(files: &[(&str, Vec<u8>)]) -> (Files, Server) {
    let files = files
        .iter()
        .map(|(path, bytes)| ((*path).to_owned(), (bytes.clone(), "\"v1\"")));
    let files: Files = Arc::new(Mutex::new(files.collect()));
    let shared = Arc::clone(&files);
    let server = Server::start(
        move |request| match shared.lock().unwrap().get(&request.path) {
            Some((bytes, version)) => {
                Reply::file(request, &Arc::new(bytes.clone())).with("ETag", *version)
            }
            None => Reply::new(404, ""),
        },
    );
    (files, server)
}

#[test]
fn a_file_becomes_a_model_and_is_fetched_again_when_it_changed() {
    let (shared, server) = files(&[("/a/m.gguf", gguf(None))]);
    let here = Here::new();
    let url = server.url("/a/m.gguf");
    let (result, told) = here.pull(&url);
    result.unwrap();
    assert!(
        statuses(&told).contains(&"pulling m.gguf".to_owned()),
        "{:?}",
        statuses(&told)
    );
    let name = Source::parse(&url).unwrap();
    assert_eq!(
        name.name().to_string(),
        format!("{}/a/m:latest", server.address)
    );
    let (manifest, _) = here.store.manifest(name.name()).unwrap();
    let config = here.store.config(&manifest).unwrap();
    assert_eq!(
        (config.model_family.as_str(), config.file_type.as_str()),
        ("llama", "Q4_1")
    );
    assert_eq!(config.model_type, "1K");
    assert_eq!(manifest.layers[0].digest, Digest::of_bytes(&gguf(None)));
    assert!(!here.files().iter().any(|file| file.starts_with("partial")));

    let before = server.sent();
    here.pull(&url).0.unwrap();
    assert!(
        server.sent() - before < 10,
        "only a byte to see that it is the same"
    );
    let mut changed = gguf(None);
    *changed.last_mut().unwrap() ^= 1;
    shared
        .lock()
        .unwrap()
        .insert("/a/m.gguf".to_owned(), (changed.clone(), "\"v2\""));
    here.pull(&url).0.unwrap();
    let (manifest, _) = here.store.manifest(name.name()).unwrap();
    assert_eq!(manifest.layers[0].digest, Digest::of_bytes(&changed));
    assert!(
        here.store.blob(&Digest::of_bytes(&gguf(None))).is_err(),
        "the old one is gone"
    );
}

#[test]
fn what_is_no_gguf_file_leaves_nothing() {
    let bodies: [&[u8]; 5] = [
        b"",
        b"GGUF",
        b"<html>",
        &gguf(None)[..100],
        &gguf(Some((1, 2))),
    ];
    for (n, body) in bodies.into_iter().enumerate() {
        let (_, server) = files(&[("/m.gguf", body.to_vec())]);
        let here = Here::new();
        let error = here.pull(&server.url("/m.gguf")).0.unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{n}: {error}");
        assert!(
            !error
                .to_string()
                .contains(here.dir.path().to_str().unwrap()),
            "{error}"
        );
        assert_eq!(here.files(), [] as [&str; 0], "{n}");
    }
    let (_, server) = files(&[]);
    let error = Here::new().pull(&server.url("/m.gguf")).0.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[test]
fn all_parts_of_a_split_file_become_layers_in_order() {
    let parts = [1, 2, 3].map(|n| gguf(Some((n - 1, 3))));
    let paths = [1, 2, 3].map(|n| format!("/x/m-0000{n}-of-00003.gguf"));
    let all: Vec<(&str, Vec<u8>)> = paths
        .iter()
        .map(String::as_str)
        .zip(parts.clone())
        .collect();
    let (_, server) = files(&all);
    let here = Here::new();
    let url = server.url(&paths[1]);
    here.pull(&url).0.unwrap();
    let (manifest, _) = here
        .store
        .manifest(Source::parse(&url).unwrap().name())
        .unwrap();
    let digests: Vec<Digest> = manifest.layers.iter().map(|layer| layer.digest).collect();
    assert_eq!(digests, parts.each_ref().map(|part| Digest::of_bytes(part)));
    assert_eq!(here.store.config(&manifest).unwrap().model_type, "4K");

    let (_, server) = files(&all[..2]);
    let here = Here::new();
    assert_eq!(
        here.pull(&server.url(&paths[0])).0.unwrap_err().kind(),
        Kind::NotFound
    );
    // Parts in each other's places.
    let (_, server) = files(&[
        (&paths[0], parts[1].clone()),
        (&paths[1], parts[0].clone()),
        (&paths[2], parts[2].clone()),
    ]);
    let error = here.pull(&server.url(&paths[0])).0.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    assert_eq!(here.files(), [] as [&str; 0]);
}

#[test]
fn a_split_model_of_hugging_face_is_found_in_its_list_of_files() {
    let parts = [0, 1].map(|n| gguf(Some((n, 2))));
    let paths = [1, 2].map(|n| format!("Q4_1/m-Q4_1-0000{n}-of-00002.gguf"));
    let entries = paths.iter().zip(&parts).map(|(path, bytes)| {
        let lfs = serde_json::json!({"oid": Digest::of_bytes(bytes).hex(), "size": bytes.len()});
        serde_json::json!({"type": "file", "path": path, "oid": "x", "size": 1, "lfs": lfs})
    });
    let list = serde_json::Value::from_iter(entries).to_string();
    let bodies = [Arc::new(parts[0].clone()), Arc::new(parts[1].clone())];
    let server = Server::start(move |request| {
        let file = request.path.strip_prefix("/user/repo/resolve/main/");
        let place = file.and_then(|file| paths.iter().position(|path| path == file));
        match (request.path.as_str(), place) {
            (_, Some(place)) => Reply::file(request, &bodies[place]),
            ("/v2/user/repo/manifests/Q4_1", _) => {
                Reply::new(400, r#"{"error":"The specified tag is a sharded GGUF."}"#)
            }
            ("/api/models/user/repo/tree/main", _) => Reply::new(200, list.clone()),
            _ => Reply::new(404, ""),
        }
    });
    let mut here = Here::new();
    here.config.mirrors = vec![Mirror {
        host: "huggingface.co".to_owned(),
        url: server.url("/").parse().unwrap(),
    }];
    here.pull("hf.co/user/repo:Q4_1").0.unwrap();
    let name = Source::parse("hf.co/user/repo:Q4_1").unwrap();
    let (manifest, _) = here.store.manifest(name.name()).unwrap();
    let digests: Vec<Digest> = manifest.layers.iter().map(|layer| layer.digest).collect();
    assert_eq!(digests, parts.each_ref().map(|part| Digest::of_bytes(part)));
}

#[test]
fn split_models_of_registries_are_layers_like_any_others() {
    let parts = [0, 1].map(|n| gguf(Some((n, 2))));
    let shelf = shelf("library/m:latest", &[&parts[0], &parts[1]]);
    let server = registry(&shelf);
    let here = Here::new();
    let name = format!("{}/library/m", server.address);
    here.pull(&name).0.unwrap();
    let (manifest, _) = here
        .store
        .manifest(Source::parse(&name).unwrap().name())
        .unwrap();
    assert_eq!(manifest.layers.len(), 2);
}
