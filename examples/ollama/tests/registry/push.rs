//! What a push sends, and how it goes on when it breaks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use ollama::registry::{Options, Registry};
use ollama::{Digest, Kind, Name, Progress, Result};

use crate::models::{Here, MIB, model, noise, statuses, wait};
use crate::server::{Reply, Request, Server};

/// A registry that can be pushed to.
#[derive(Default)]
struct Place {
    blobs: HashMap<String, Vec<u8>>,
    manifests: HashMap<String, Vec<u8>>,
    upload: Vec<u8>,
    /// How many answers to parts are still errors, and how much of such a part is kept.
    broken: usize,
    keeps: usize,
    /// Where parts are redirected to.
    storage: Option<String>,
}

fn place(state: &Arc<Mutex<Place>>) -> Server {
    let state = Arc::clone(state);
    Server::start(move |request| answer(&mut state.lock().unwrap(), request))
}

fn answer(place: &mut Place, request: &Request) -> Reply {
    let path = request.path.as_str();
    let last = path.rsplit('/').next().unwrap();
    match (request.method.as_str(), path.contains("/uploads/")) {
        ("HEAD", _) => Reply::new(
            if place.blobs.contains_key(last) {
                200
            } else {
                404
            },
            "",
        ),
        ("POST", true) => {
            place.upload.clear();
            Reply::new(202, "").with("Location", "/v2/me/m/blobs/uploads/1?state=a")
        }
        ("PATCH", true) => {
            let to = format!(
                "/v2/me/m/blobs/uploads/1?state={}",
                place.upload.len() + request.body.len()
            );
            if let Some(storage) = &place.storage {
                return Reply::new(307, "")
                    .with("Location", storage.clone())
                    .with("Docker-Upload-Location", to);
            }
            let start: usize = request
                .header("content-range")
                .split('-')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            if start != place.upload.len() {
                return Reply::new(416, "");
            }
            if place.broken > 0 {
                place.broken -= 1;
                place
                    .upload
                    .extend(&request.body[..place.keeps.min(request.body.len())]);
                return Reply::new(500, "it broke");
            }
            place.upload.extend(&request.body);
            Reply::new(202, "").with("Location", to)
        }
        ("GET", true) => Reply::new(204, "")
            .with("Location", "/v2/me/m/blobs/uploads/1?state=again")
            .with(
                "Range",
                format!("0-{}", place.upload.len().saturating_sub(1)),
            ),
        ("PUT", true) => {
            let digest = request
                .query
                .split('&')
                .find_map(|pair| pair.strip_prefix("digest="))
                .unwrap();
            let digest = digest.replace("%3A", ":");
            if Digest::of_bytes(&place.upload).to_string() != digest {
                return Reply::new(400, "digest invalid");
            }
            let bytes = std::mem::take(&mut place.upload);
            place.blobs.insert(digest, bytes);
            Reply::new(201, "")
        }
        ("PUT", false) => {
            place
                .manifests
                .insert(path.to_owned(), request.body.clone());
            Reply::new(201, "")
        }
        _ => Reply::new(404, ""),
    }
}

fn push(here: &Here, server: &Server) -> (Result<()>, Vec<Progress>) {
    let name = Name::parse(&format!("{}/me/m:7b", server.address)).unwrap();
    let (manifest, blobs) = model(&[&noise(2 * MIB, 1), b"license"]);
    for bytes in blobs.values() {
        here.store.put_bytes(bytes).unwrap();
    }
    here.store.put_manifest_bytes(&name, &manifest).unwrap();
    let told = Mutex::new(Vec::new());
    let report = |progress: Progress| told.lock().unwrap().push(progress);
    let client = Registry::new(here.config.clone());
    let options = Options {
        insecure: true,
        ..Options::default()
    };
    let result = wait(client.push(&here.store, &name, &options, &report));
    (result, told.into_inner().unwrap())
}

#[test]
fn everything_arrives_and_only_once() {
    let state = Arc::new(Mutex::new(Place::default()));
    let server = place(&state);
    let here = Here::new();
    let (result, told) = push(&here, &server);
    result.unwrap();
    let (manifest, blobs) = model(&[&noise(2 * MIB, 1), b"license"]);
    {
        let state = state.lock().unwrap();
        assert_eq!(state.manifests["/v2/me/m/manifests/7b"], manifest);
        assert_eq!(state.blobs.len(), blobs.len());
        assert!(
            blobs
                .iter()
                .all(|(digest, bytes)| state.blobs[digest] == **bytes)
        );
    }
    let said = statuses(&told);
    assert_eq!(
        (said[0].as_str(), said[1].starts_with("pushing ")),
        ("retrieving manifest", true)
    );
    assert_eq!(said[said.len() - 2..], ["pushing manifest", "success"]);
    let complete = told
        .iter()
        .filter(|p| p.completed.is_some() && p.completed == p.total)
        .count();
    assert!(complete >= blobs.len());

    let before = server
        .log()
        .iter()
        .filter(|request| request.method == "PATCH")
        .count();
    push(&here, &server).0.unwrap();
    assert_eq!(
        server
            .log()
            .iter()
            .filter(|request| request.method == "PATCH")
            .count(),
        before
    );
}

#[test]
fn a_part_that_broke_off_goes_on() {
    for keeps in [0, 2, MIB + 3, usize::MAX] {
        let state = Arc::new(Mutex::new(Place {
            broken: 2,
            keeps,
            ..Place::default()
        }));
        let server = place(&state);
        let (result, _) = push(&Here::new(), &server);
        result.unwrap_or_else(|e| panic!("{keeps}: {e}"));
        assert_eq!(state.lock().unwrap().blobs.len(), 3, "{keeps}");
    }
}

#[test]
fn parts_go_where_the_registry_redirects_them_without_its_token() {
    let stored: Arc<Mutex<Vec<u8>>> = Arc::default();
    let bytes = Arc::clone(&stored);
    let storage = Server::start(move |request| {
        bytes.lock().unwrap().extend(&request.body);
        Reply::new(200, "")
    });
    let state = Arc::new(Mutex::new(Place {
        storage: Some(storage.url("/part?signature=x")),
        ..Place::default()
    }));
    let inner = Arc::clone(&state);
    let shared = Arc::clone(&stored);
    let etags: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&etags);
    let server = Server::start(move |request| {
        if request.path == "/token" {
            return Reply::new(200, r#"{"token":"secret-token"}"#);
        }
        if request.header("authorization") != "Bearer secret-token" {
            let realm = format!("Bearer realm=\"http://{}/token\"", request.header("host"));
            return Reply::new(401, "").with("WWW-Authenticate", realm);
        }
        if request.method == "PUT" && request.path.contains("/uploads/") {
            seen.lock().unwrap().push(request.query.clone());
            inner.lock().unwrap().upload = std::mem::take(&mut *shared.lock().unwrap());
        }
        answer(&mut inner.lock().unwrap(), request)
    });
    push(&Here::new(), &server).0.unwrap();
    assert_eq!(state.lock().unwrap().blobs.len(), 3);
    assert!(
        storage
            .log()
            .iter()
            .all(|request| request.header("authorization").is_empty() && request.method == "PUT")
    );
    // MD5 of the MD5 of "license", as storages of this kind compute it.
    let etags = etags.lock().unwrap();
    assert!(
        etags
            .iter()
            .all(|query| query.contains("etag=") && query.ends_with("-1")),
        "{etags:?}"
    );
}

#[test]
fn refusals_are_said() {
    for (status, kind) in [
        (401, Kind::Unauthorized),
        (403, Kind::Unauthorized),
        (404, Kind::NotFound),
        (400, Kind::Network),
    ] {
        let server = Server::start(move |request| match request.method.as_str() {
            "HEAD" => Reply::new(404, ""),
            _ => Reply::new(status, "no"),
        });
        let error = push(&Here::new(), &server).0.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}: {error}");
    }
    let here = Here::new();
    let client = Registry::new(here.config.clone());
    let name = Name::parse("nothing").unwrap();
    let told = Mutex::new(Vec::new());
    let report = |progress: Progress| told.lock().unwrap().push(progress);
    let error = wait(client.push(&here.store, &name, &Options::default(), &report)).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(
        statuses(&told.into_inner().unwrap()),
        ["retrieving manifest", "couldn't retrieve manifest"]
    );
}
