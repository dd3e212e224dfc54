//! Reports about servers of this kind, each with its hostile input.

use super::*;

fn hostile_digests() -> Vec<String> {
    let mut digests: Vec<String> = [
        "sha256:../../x",
        "sha256:..%2f..%2fx",
        "sha256-",
        "sha256:",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "..",
        "%2e%2e",
    ]
    .map(str::to_owned)
    .to_vec();
    digests.extend([63, 65, 4096].map(|length| format!("sha256:{}", "a".repeat(length))));
    digests.push(format!("sha256:{}", "A".repeat(64)));
    digests.push(format!("sha256:{}g", "a".repeat(63)));
    digests
}

/// CVE-2024-37032, CVE-2026-7020: what is no digest never becomes a path.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn digests_lead_nowhere() {
    let bench = Bench::new();
    for digest in hostile_digests() {
        for method in [Method::POST, Method::HEAD] {
            let reply = bench
                .send(request(
                    method.clone(),
                    &format!("/api/blobs/{digest}"),
                    "x",
                ))
                .await;
            assert!(
                matches!(reply.status.as_u16(), 400 | 404),
                "{method} {digest}: {reply:?}"
            );
        }
    }
    let names: Vec<_> = std::fs::read_dir(bench.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["models"], "nothing was written beside the store");
}

/// CVE-2025-44779 and its like: names lead nowhere either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_lead_nowhere() {
    let bench = Bench::new();
    std::fs::write(bench.dir.path().join("precious"), "x").unwrap();
    for name in [
        "../precious",
        "../../precious",
        "a/../../precious",
        "/etc/passwd",
        "m:../x",
        "a\0b",
        "..:..",
        "C:\\x",
        "http://x/../../y",
        "~",
        "-m",
    ] {
        for (method, path) in [
            (Method::DELETE, "/api/delete"),
            (Method::POST, "/api/show"),
            (Method::POST, "/api/generate"),
            (Method::POST, "/api/push"),
            (Method::POST, "/api/create"),
            (Method::POST, "/api/chat"),
        ] {
            let body = json!({"model": name, "prompt": "x"}).to_string();
            let reply = bench.send(request(method, path, body)).await;
            assert!(reply.status.is_client_error(), "{path} {name}: {reply:?}");
        }
    }
    assert!(bench.dir.path().join("precious").exists());
}

/// CVE-2024-39719, ollama#13223: errors reveal no path.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_name_no_path() {
    let bench = Bench::new();
    // A model whose weights are gone, and one whose weights are no model.
    add(&bench.store, "gone", &tiny::moe(), None);
    let (manifest, _) = bench.store.manifest(&Name::parse("gone").unwrap()).unwrap();
    let weights = bench
        .store
        .blob(&manifest.layer(media::MODEL).unwrap().digest)
        .unwrap();
    std::fs::remove_file(&weights).unwrap();
    let (config, _) = bench
        .store
        .manifest(&Name::parse("plain").unwrap())
        .unwrap();
    for (name, bytes) in [
        ("four", &b"GGUF"[..]),
        ("page", b"<html>not a model</html>"),
        ("empty", b""),
    ] {
        let (digest, size) = bench.store.put_bytes(bytes).unwrap();
        let layers = vec![Layer::new(media::MODEL, digest, size)];
        bench
            .store
            .put_manifest(
                &Name::parse(name).unwrap(),
                &Manifest::new(config.config.clone(), layers),
            )
            .unwrap();
    }
    let dir = path_of(&bench.dir);
    for name in ["gone", "four", "page", "empty"] {
        for path in [
            "/api/generate",
            "/api/chat",
            "/api/show",
            "/api/embed",
            "/v1/chat/completions",
        ] {
            let body = json!({"model": name, "prompt": "x", "input": "x", "messages": [{"role": "user", "content": "x"}]});
            let reply = bench.post(path, body).await;
            assert!(!reply.status.is_success(), "{path} {name}: {reply:?}");
            assert!(
                !reply.body.contains(dir.to_str().unwrap()),
                "{path} {name}: {reply:?}"
            );
            assert!(!reply.body.contains("/blobs/"), "{path} {name}: {reply:?}");
        }
    }
    assert_eq!(bench.get("/api/tags").await.status, 200);
}

/// CVE-2026-21869 and its like: every number has a range.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_have_ranges() {
    let bench = Bench::new();
    for (option, value) in [
        ("num_keep", -2),
        ("num_ctx", -1),
        ("num_ctx", 1),
        ("num_batch", 0),
        ("num_thread", -1),
        ("num_thread", 1 << 20),
        ("repeat_last_n", -2),
        ("num_predict", -3),
        ("top_k", -1),
        ("num_gpu", -2),
        ("draft_num_predict", -1),
    ] {
        let reply = bench
            .post(
                "/api/generate",
                json!({"model": "plain", "prompt": "x", "options": {option: value}}),
            )
            .await;
        assert_eq!(reply.status, 400, "{option} {value}");
        assert!(reply.error().contains(option), "{reply:?}");
    }
    assert_eq!(bench.launches(), 0);
}

/// CVE-2024-34359 and its like: templates of strangers are limited, those of requests too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_are_limited() {
    let bench = Bench::new();
    for template in [
        "{{ range $i := .Messages }}{{ template \"x\" }}{{ end }}".to_owned(),
        "{{ ".to_owned(),
        "{{".repeat(50_000),
        format!(
            "{}x{}",
            "{{ if true }}".repeat(500),
            "{{ end }}".repeat(500)
        ),
        "{{ define \"a\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}".to_owned(),
        "x".repeat(1 << 20),
    ] {
        let reply = bench
            .post(
                "/api/generate",
                json!({"model": "plain", "prompt": "x", "template": template}),
            )
            .await;
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(reply.error().starts_with("template: "), "{reply:?}");
    }
}

fn asking(method: Method, path: &str, headers: &[(&'static str, &str)]) -> Request<Body> {
    let mut request = request(method, path, r#"{"model": "m"}"#);
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

/// DNS rebinding: whichever name a proxy in between took for the host, none may be a stranger's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_names_one_host_and_one_key() {
    let bench = Bench::new();
    for (path, status) in [
        ("http://localhost:11434/api/tags", 200),
        ("http://evil.example/api/tags", 403),
        ("http://evil@localhost/api/tags", 403),
    ] {
        let request = asking(Method::GET, path, &[("host", "localhost")]);
        assert_eq!(bench.send(request).await.status, status, "{path}");
    }
    for (name, one, other) in [
        ("host", "localhost", "evil.example"),
        ("origin", "http://localhost", "https://evil.example"),
        ("authorization", "Bearer a", "Bearer b"),
        ("x-api-key", "a", "b"),
    ] {
        let request = asking(Method::GET, "/api/tags", &[(name, one), (name, other)]);
        let reply = bench.send(request).await;
        assert_eq!(reply.status, 400, "{name}");
        assert!(reply.error().contains(name), "{reply:?}");
    }
}

/// A proxy on this machine makes nobody sit here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_proxy_passed_on_is_not_from_here() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let hash = crate::digest::Digest::of_bytes(b"k");
    std::fs::write(&file, format!("k {hash} manage\n")).unwrap();
    let keys = [("OLLAMA_API_KEYS", file.to_str().unwrap())];
    let insecure = [("OLLAMA_INSECURE_MANAGE", "1")];
    for (settings, status) in [(&[][..], 403), (&insecure, 200), (&keys, 200)] {
        let bench = Bench::with(settings);
        for (name, value) in [
            ("x-forwarded-for", "203.0.113.7"),
            ("x-real-ip", "127.0.0.1"),
            ("forwarded", "for=203.0.113.7"),
        ] {
            let headers = [(name, value), ("x-api-key", "k")];
            let request = asking(Method::GET, "/api/tags", &headers);
            assert_eq!(bench.send(request).await.status, 200, "{name}");
            let request = asking(Method::DELETE, "/api/delete", &headers);
            assert_eq!(bench.send(request).await.status, status, "{name}");
            add(&bench.store, "m", &tiny::llama(), Some(FULL));
        }
    }
}

/// Another spelling of a path is not another rule for what it leads to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spellings_of_paths_open_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let hash = crate::digest::Digest::of_bytes(b"k");
    std::fs::write(&file, format!("k {hash} infer\n")).unwrap();
    let bench = Bench::with(&[("OLLAMA_API_KEYS", file.to_str().unwrap())]);
    for path in [
        "/api/delete",
        "/api/delete/",
        "//api/delete",
        "/api//delete",
        "/api/./delete",
        "/api/%64elete",
        "/api%2fdelete",
        "/API/delete",
        "/api/delete;x",
        "/api/delete?x",
        "/api/tags/../delete",
        "/v1/models/../../api/delete",
        "/v1/models/%2e%2e/%2e%2e/api/delete",
        "http://localhost/api/delete",
    ] {
        for method in [Method::DELETE, Method::POST, Method::PUT] {
            let request = asking(method.clone(), path, &[("x-api-key", "k")]);
            let status = bench.send(request).await.status.as_u16();
            // It is a name of a model there, which can only be looked at.
            let expected = if path.starts_with("/v1/models/") {
                405
            } else {
                403
            };
            assert_eq!(status, expected, "{method} {path}");
        }
    }
    assert!(bench.store.manifest(&Name::parse("m").unwrap()).is_ok());
}
