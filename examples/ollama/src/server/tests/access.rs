//! Who may do what: every route with every key and from everywhere.

use super::*;
use crate::digest::Digest;
use crate::server::keys::Access;
use crate::server::routes::TABLE;

/// A path that a route serves.
fn path_of_route(route: &str) -> String {
    route.replace('*', "x")
}

fn from(peer: &str, mut request: Request<Body>) -> Request<Body> {
    request
        .extensions_mut()
        .insert(Peer(peer.parse::<SocketAddr>().unwrap()));
    request
}

fn with(name: &'static str, value: &str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

const METHODS: [Method; 6] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::DELETE,
    Method::PUT,
    Method::PATCH,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_and_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let line = |name: &str, scopes: &str| {
        format!("{name} {} {scopes}\n", Digest::of_bytes(name.as_bytes()))
    };
    std::fs::write(&file, line("asks", "infer") + &line("manages", "manage")).unwrap();
    let bench = Bench::with(&[("OLLAMA_API_KEYS", file.to_str().unwrap())]);
    let mut tried = 0;
    for &(route, access) in TABLE {
        for method in METHODS {
            for key in [None, Some("wrong"), Some("asks"), Some("manages")] {
                for header in ["authorization", "x-api-key"] {
                    let mut request = request(method.clone(), &path_of_route(route), "{}");
                    if let Some(key) = key {
                        let value = if header == "authorization" {
                            format!("Bearer {key}")
                        } else {
                            key.to_owned()
                        };
                        request = with(header, &value, request);
                    }
                    let reply = bench.send(request).await;
                    let expected = match (access, key) {
                        (Access::Open, _)
                        | (_, Some("manages"))
                        | (Access::Infer, Some("asks")) => None,
                        (Access::Manage, Some("asks")) => Some(403),
                        _ => Some(401),
                    };
                    let status = reply.status.as_u16();
                    let scheme = reply.headers.get("www-authenticate");
                    assert_eq!(scheme.is_some(), status == 401, "{method} {route} {key:?}");
                    match expected {
                        Some(expected) => assert_eq!(status, expected, "{method} {route} {key:?}"),
                        None => assert!(
                            status != 401 && status != 403,
                            "{method} {route} {key:?}: {status}"
                        ),
                    }
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 1000);
    // What is no route is closed too, and tells nobody so.
    for path in [
        "/nothing",
        "/api",
        "/api/pull/",
        "//api/pull",
        "/api/%70ull",
        "/v1",
    ] {
        assert_eq!(bench.get(path).await.status, 401, "{path}");
    }
    assert_eq!(bench.launches(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_other_machines_may_ask_and_not_manage() {
    for (setting, closed) in [("0", true), ("1", false)] {
        let bench = Bench::with(&[("OLLAMA_INSECURE_MANAGE", setting)]);
        for &(route, access) in TABLE {
            for peer in [
                "127.0.0.1:1",
                "[::1]:1",
                "[::ffff:127.0.0.1]:1",
                "192.168.1.7:1",
                "[2001:db8::1]:1",
            ] {
                let local =
                    peer.contains("127.0.0.1") || peer.contains("::1]:1") && !peer.contains("db8");
                let request = from(peer, request(Method::POST, &path_of_route(route), "{}"));
                let refused = bench.send(request).await.status == 403;
                let expected = access == Access::Manage && !local && closed;
                assert_eq!(refused, expected, "{route} from {peer}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_of_strangers_are_refused_on_every_route_and_method() {
    let bench = Bench::new();
    for host in [
        "evil.example",
        "evil.example:11434",
        ":11434",
        "localhost.evil.example",
        "evil.example.",
        "[evil]",
        "a@evil.example",
    ] {
        for &(route, _) in TABLE {
            for method in METHODS {
                let request = with(
                    "host",
                    host,
                    request(method.clone(), &path_of_route(route), "{}"),
                );
                assert_eq!(
                    bench.send(request).await.status,
                    403,
                    "{host} {method} {route}"
                );
            }
        }
        let preflight = with("host", host, request(Method::OPTIONS, "/api/chat", ""));
        assert_eq!(bench.send(preflight).await.status, 403, "{host}");
    }
    for host in [
        "localhost",
        "localhost:1",
        "127.0.0.1:11434",
        "[::1]:11434",
        "192.168.1.5",
        "ollama",
        "box.local",
        "x.internal",
        "LOCALHOST",
        "[fe80::1%eth0]:11434",
        "[fe80::1%25eth0]",
    ] {
        let reply = bench
            .send(with("host", host, request(Method::GET, "/api/tags", "")))
            .await;
        assert_eq!(reply.status, 200, "{host}");
    }
    let mut bare = request(Method::GET, "/api/tags", "");
    bare.headers_mut().insert("host", "".parse().unwrap());
    assert_eq!(bench.send(bare).await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn further_names_of_the_server_can_be_allowed() {
    let named = [
        ("OLLAMA_ALLOWED_HOSTS", "AI.example.com, *.example.org"),
        ("OLLAMA_HOST", "models.example.net:1"),
    ];
    let bench = Bench::with(&named);
    for (host, allowed) in [
        ("ai.example.com", true),
        ("ai.example.com:11434", true),
        ("AI.EXAMPLE.COM.", true),
        ("x.example.org:443", true),
        ("models.example.net", true),
        ("localhost", true),
        ("example.org", false),
        ("b.ai.example.com", false),
        ("ai.example.com.evil.example", false),
        ("evil.example", false),
    ] {
        let reply = bench
            .send(with("host", host, request(Method::GET, "/api/tags", "")))
            .await;
        assert_eq!(reply.status == 200, allowed, "{host}: {reply:?}");
    }
    let open = Bench::with(&[("OLLAMA_ALLOWED_HOSTS", "*")]);
    assert_eq!(
        open.send(with(
            "host",
            "any.example",
            request(Method::GET, "/api/tags", "")
        ))
        .await
        .status,
        200
    );
    assert_eq!(
        open.send(with(
            "host",
            "any.example:x",
            request(Method::GET, "/api/tags", "")
        ))
        .await
        .status,
        403
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_strangers_are_refused() {
    let bench = Bench::with(&[(
        "OLLAMA_ORIGINS",
        "https://app.example.com,https://*.example.org",
    )]);
    for (origin, allowed) in [
        ("http://localhost", true),
        ("http://localhost:3000", true),
        ("https://127.0.0.1:8443", true),
        ("app://obsidian.md", true),
        ("vscode-webview://abc", true),
        ("https://app.example.com", true),
        ("https://a.example.org", true),
        ("null", false),
        ("https://evil.example", false),
        ("http://localhost.evil.example", false),
        ("http://localhost:80.evil.example", false),
        ("https://example.com", false),
    ] {
        for method in [Method::GET, Method::OPTIONS] {
            let reply = bench
                .send(with(
                    "origin",
                    origin,
                    request(method.clone(), "/api/tags", ""),
                ))
                .await;
            assert_eq!(reply.status != 403, allowed, "{method} {origin}");
            let told = reply.headers.get("access-control-allow-origin");
            assert_eq!(told.is_some(), allowed, "{method} {origin}");
            if allowed && method == Method::OPTIONS {
                assert_eq!(reply.status, 204);
                let headers = reply.headers["access-control-allow-headers"]
                    .to_str()
                    .unwrap();
                assert!(headers.contains("Authorization") && headers.contains("X-Stainless-Arch"));
            }
        }
        // A page can't do what it can't read either.
        let reply = bench
            .send(with(
                "origin",
                origin,
                request(Method::DELETE, "/api/delete", r#"{"model": "m"}"#),
            ))
            .await;
        if !allowed {
            assert_eq!(reply.status, 403);
            assert!(bench.store.manifest(&Name::parse("m").unwrap()).is_ok());
            continue;
        }
        add(&bench.store, "m", &tiny::llama(), Some(FULL));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_share_no_prefixes_and_have_limits() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let line = |name: &str, rest: &str| {
        format!(
            "{name} {} infer {rest}\n",
            Digest::of_bytes(name.as_bytes())
        )
    };
    std::fs::write(
        &file,
        line("a", "") + &line("b", "parallel=1") + &line("c", "per-minute=2"),
    )
    .unwrap();
    let bench = Arc::new(Bench::with(&[("OLLAMA_API_KEYS", file.to_str().unwrap())]));
    let ask = |key: &str, prompt: &str| {
        let body = json!({"model": "plain", "prompt": prompt, "stream": false}).to_string();
        with(
            "authorization",
            &format!("Bearer {key}"),
            request(Method::POST, "/api/generate", body),
        )
    };
    for key in ["a", "b"] {
        bench.send(ask(key, "say:x")).await.ok();
        assert_eq!(bench.asked().namespace, key);
    }
    // One at a time.
    let hanging = {
        let (bench, request) = (Arc::clone(&bench), ask("b", "hang"));
        tokio::spawn(async move { bench.send(request).await })
    };
    while bench.app.scheduler.granted() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let reply = bench.send(ask("b", "say:x")).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.headers["retry-after"]),
        (429, &"1".parse().unwrap())
    );
    bench.send(ask("a", "say:x")).await.ok();
    hanging.abort();
    let _ = hanging.await;
    bench.send(ask("b", "say:x")).await.ok();
    // Two a minute.
    bench.send(ask("c", "say:x")).await.ok();
    bench.send(ask("c", "say:x")).await.ok();
    let reply = bench.send(ask("c", "say:x")).await;
    assert_eq!(reply.status, 429);
    assert!(
        reply.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_count_all_that_is_done_with_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let hash = Digest::of_bytes(b"k");
    std::fs::write(&file, format!("k {hash} manage per-minute=1\n")).unwrap();
    let bench = Bench::with(&[("OLLAMA_API_KEYS", file.to_str().unwrap())]);
    let send = |method: Method, path: &str, body: &str| {
        let request = with("x-api-key", "k", request(method, path, body));
        bench.send(request)
    };
    let copy = r#"{"source": "m", "destination": "n"}"#;
    assert_eq!(send(Method::POST, "/api/copy", copy).await.status, 200);
    for (method, path) in [
        (Method::POST, "/api/copy"),
        (Method::DELETE, "/api/delete"),
        (Method::POST, "/api/generate"),
        (Method::POST, "/api/nothing"),
    ] {
        assert_eq!(send(method, path, "{}").await.status, 429, "{path}");
    }
    // To look is free.
    assert_eq!(send(Method::GET, "/api/tags", "").await.status, 200);
}
