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
