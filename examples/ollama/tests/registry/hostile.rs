//! Answers that are made to do harm.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use ollama::{Digest, Kind};

use crate::models::{Here, answer, model, shelf};
use crate::server::{Reply, Server};

fn pull_manifest(manifest: String) -> (ollama::Error, Vec<String>) {
    let server = Server::start(move |request| match request.path.contains("/manifests/") {
        true => Reply::new(200, manifest.clone()),
        false => Reply::new(200, "x".repeat(100)),
    });
    let here = Here::new();
    let error = here
        .pull(&format!("{}/library/m", server.address))
        .0
        .unwrap_err();
    (error, here.files())
}

// CVE-2024-37032, CVE-2026-7020: what is no digest became a path, in any kind of layer and at any size.
#[test]
fn digests_that_are_paths_are_refused_before_anything_is_fetched() {
    let (good, _) = model(&[b"weights"]);
    let good = String::from_utf8(good).unwrap();
    let digest = Digest::of_bytes(b"weights").to_string();
    let hex = &digest[7..];
    let kinds = [
        "model",
        "template",
        "license",
        "params",
        "adapter",
        "projector",
        "system",
        "tensor",
    ];
    for (n, bad) in [
        "../../../../tmp/x".to_owned(),
        "sha256:../../x".to_owned(),
        "sha256-../../x".to_owned(),
        format!("sha256:{}", &hex[1..]),
        format!("sha256:{hex}0"),
        format!("sha256:{}", hex.to_uppercase()),
        format!("sha512:{hex}"),
        format!("{digest}/../../x"),
        format!("{digest}\\u0000"),
        String::new(),
    ]
    .iter()
    .enumerate()
    {
        for size in [7_u64, 64 << 20] {
            let manifest = good
                .replace(&digest, bad)
                .replace("image.model", &format!("image.{}", kinds[n % kinds.len()]))
                .replace("\"size\": 7", &format!("\"size\": {size}"));
            let (error, files) = pull_manifest(manifest);
            assert_eq!(error.kind(), Kind::Damaged, "{bad}: {error}");
            assert_eq!(files, [] as [&str; 0], "{bad}");
        }
        let in_config = good.replacen("\"digest\": \"", &format!("\"digest\": \"{bad}"), 1);
        assert_eq!(pull_manifest(in_config).0.kind(), Kind::Damaged, "{bad}");
    }
}

// CVE-2025-1975: manifests that lack what every manifest has.
#[test]
fn manifests_that_are_none_are_errors() {
    let digest = Digest::of_bytes(b"");
    let layer = format!(
        r#"{{"mediaType":"application/vnd.ollama.image.model","digest":"{digest}","size":0}}"#
    );
    for manifest in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "<html>not a registry</html>".to_owned(),
        format!(r#"{{"schemaVersion":2,"config":{layer},"layers":[]}}"#),
        format!(r#"{{"schemaVersion":2,"config":{layer},"layers":null}}"#),
        format!(r#"{{"schemaVersion":2,"config":null,"layers":[{layer}]}}"#),
        format!(r#"{{"schemaVersion":2,"layers":[{layer}]}}"#),
        format!(r#"{{"schemaVersion":2,"config":{layer},"layers":[null]}}"#),
        format!(r#"{{"schemaVersion":2,"config":{layer},"layers":[{{}}]}}"#),
        format!(r#"{{"schemaVersion":2,"config":{layer},"layers":{layer}}}"#),
        format!(r#"{{"schemaVersion":"2","config":{layer},"layers":[{layer}]}}"#),
        format!(
            r#"{{"schemaVersion":2,"config":{layer},"layers":[{}]}}"#,
            layer.replace(":0}", ":-1}")
        ),
        format!(
            r#"{{"schemaVersion":2,"config":{layer},"layers":[{}]}}"#,
            layer.replace(":0}", ":1e300}")
        ),
        format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)),
        "\u{0}".repeat(1000),
    ] {
        let (error, files) = pull_manifest(manifest.clone());
        let start: String = manifest.chars().take(100).collect();
        assert_eq!(error.kind(), Kind::Damaged, "{start}: {error}");
        assert!(error.to_string().len() < 1000);
        assert_eq!(files, [] as [&str; 0], "{start}");
    }
}

#[test]
fn models_for_other_programs_are_refused() {
    let (manifest, _) = model(&[b"weights"]);
    let manifest = String::from_utf8(manifest)
        .unwrap()
        .replace("image.model", "image.tensor");
    let (error, files) = pull_manifest(manifest);
    assert_eq!(error.kind(), Kind::Unsupported);
    assert_eq!(files, [] as [&str; 0]);
}

// CVE-2024-12886: answers that grow when they are unpacked. Nothing is unpacked here.
#[test]
fn compressed_answers_are_refused() {
    let bomb = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..64 {
            encoder.write_all(&vec![b' '; 1 << 20]).unwrap();
        }
        encoder.finish().unwrap()
    };
    let body = bomb.clone();
    let server =
        Server::start(move |_| Reply::new(200, body.clone()).with("Content-Encoding", "gzip"));
    let here = Here::new();
    let error = here
        .pull(&format!("{}/library/m", server.address))
        .0
        .unwrap_err();
    assert!(error.to_string().contains("compressed"), "{error}");
    assert!(
        server
            .log()
            .iter()
            .all(|request| request.header("accept-encoding") == "identity")
    );

    let server = Server::start(move |request| match request.path.as_str() {
        "/token" => Reply::new(200, bomb.clone()).with("Content-Encoding", "gzip"),
        _ => {
            let realm = format!("Bearer realm=\"http://{}/token\"", request.header("host"));
            Reply::new(401, "").with("WWW-Authenticate", realm)
        }
    });
    let error = here
        .pull(&format!("{}/library/m", server.address))
        .0
        .unwrap_err();
    assert!(error.to_string().contains("compressed"), "{error}");
}

#[test]
fn answers_without_end_are_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut sent = 0_u64;
        for stream in listener.incoming().take(6) {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            let chunk = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
            // Sixteen times what a manifest may have.
            for _ in 0..1024 {
                if stream.write_all(&chunk).is_err() {
                    return sent;
                }
                sent += chunk.len() as u64;
            }
        }
        sent
    });
    let here = Here::new();
    let error = here.pull(&format!("{address}/library/m")).0.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(error.to_string().contains("longer than"), "{error}");
    assert!(thread.join().unwrap() < 60 << 20);
}

#[test]
fn errors_tell_nothing_of_this_machine() {
    let shelf = shelf("library/m:latest", &[b"weights"]);
    let inner = Arc::clone(&shelf);
    let server = Server::start(move |request| match request.path.contains("/blobs/") {
        true => Reply::new(404, ""),
        false => answer(&inner, request),
    });
    let here = Here::new();
    let error = here
        .pull(&format!("{}/library/m", server.address))
        .0
        .unwrap_err();
    let root = here.dir.path().to_str().unwrap();
    assert!(!error.to_string().contains(root), "{error}");
    // A folder in the place of the blobs.
    std::fs::remove_dir_all(here.root()).unwrap();
    std::fs::create_dir_all(here.root()).unwrap();
    std::fs::write(here.root().join("partial"), "").unwrap();
    let error = here
        .pull(&format!("{}/library/m", server.address))
        .0
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Storage);
    assert!(!error.to_string().contains(root), "{error}");
}
