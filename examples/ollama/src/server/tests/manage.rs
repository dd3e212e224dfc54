//! Models come and go.

use super::*;
use crate::error::{Error, Kind};
use crate::progress::Progress;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_and_deletes() {
    let bench = Bench::new();
    assert_eq!(
        bench
            .post(
                "/api/copy",
                json!({"source": "m", "destination": "user/m2:x"})
            )
            .await
            .status,
        200
    );
    bench
        .post("/api/generate", json!({"model": "user/m2:x"}))
        .await
        .ok();
    for (request, status, error) in [
        (
            json!({"source": "nothere", "destination": "y"}),
            404,
            "model \"nothere\" not found",
        ),
        (
            json!({"source": "../x", "destination": "y"}),
            400,
            "source \"../x\" is invalid",
        ),
        (
            json!({"source": "m", "destination": "a b"}),
            400,
            "destination \"a b\" is invalid",
        ),
    ] {
        let reply = bench.post("/api/copy", request).await;
        assert_eq!(
            (reply.status.as_u16(), reply.error().as_str()),
            (status, error)
        );
    }
    let delete = |name: &str| {
        request(
            Method::DELETE,
            "/api/delete",
            json!({"model": name}).to_string(),
        )
    };
    assert_eq!(
        bench.send(delete("nothere")).await.error(),
        "model 'nothere' not found"
    );
    assert_eq!(bench.send(delete("m")).await.status, 200);
    // The other name keeps the same weights loaded.
    assert_eq!(
        bench.get("/api/ps").await.json()["models"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(bench.send(delete("user/m2:x")).await.status, 200);
    assert_eq!(bench.get("/api/ps").await.json()["models"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_are_written_once_and_checked() {
    let bench = Bench::new();
    let digest = crate::digest::Digest::of_bytes(b"hello");
    let path = format!("/api/blobs/{digest}");
    let send = |method: Method, path: &str, body: &str| bench.send(request(method, path, body));
    assert_eq!(send(Method::HEAD, &path, "").await.status, 404);
    assert_eq!(send(Method::POST, &path, "hullo").await.status, 400);
    assert_eq!(
        send(Method::HEAD, &path, "").await.status,
        404,
        "nothing remains"
    );
    assert_eq!(send(Method::POST, &path, "hello").await.status, 201);
    assert_eq!(send(Method::POST, &path, "hello").await.status, 200);
    assert_eq!(send(Method::HEAD, &path, "").await.status, 200);
}

/// Pulls that do what their model is called.
fn transfer() -> Transfer {
    let pull = |_: Store,
                request: crate::api::TransferRequest,
                tell: crate::server::transfer::Tell,
                remote: bool| {
        let work: crate::server::transfer::Work = Box::pin(async move {
            if request.model == "missing" {
                return Err(Error::new(
                    Kind::NotFound,
                    "pull model manifest: file does not exist",
                ));
            }
            tell(Progress::status("pulling manifest"));
            for completed in [10, 50, 100] {
                tell(Progress {
                    status: "pulling abc".to_owned(),
                    digest: Some("sha256:abc".to_owned()),
                    total: Some(100),
                    completed: Some(completed),
                });
            }
            if request.model == "broken" {
                return Err(Error::new(Kind::Network, "the registry broke off"));
            }
            if request.model == "asks" {
                tell(Progress::status(if remote { "remote" } else { "local" }));
            }
            tell(Progress::status("success"));
            Ok(())
        });
        work
    };
    Transfer {
        pull: Box::new(pull),
        ..Transfer::unavailable()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pulls_tell_how_far_they_are() {
    let bench = Bench::made(
        FakeLauncher::default(),
        transfer(),
        &[("OLLAMA_INSECURE_MANAGE", "1")],
    );
    let reply = bench.post("/api/pull", json!({"model": "x"})).await.ok();
    assert_eq!(reply.headers["content-type"], "application/x-ndjson");
    let lines = reply.lines();
    assert_eq!(lines[0], json!({"status": "pulling manifest"}));
    assert_eq!(
        lines[3],
        json!({"status": "pulling abc", "digest": "sha256:abc", "total": 100, "completed": 100})
    );
    assert_eq!(
        (lines.len(), lines.last().unwrap()),
        (5, &json!({"status": "success"}))
    );
    let whole = bench
        .post("/api/pull", json!({"name": "x", "stream": false}))
        .await
        .ok()
        .json();
    assert_eq!(whole, json!({"status": "success"}));
    let reply = bench.post("/api/pull", json!({"model": "missing"})).await;
    assert_eq!(
        (reply.status.as_u16(), reply.error()),
        (404, "pull model manifest: file does not exist".to_owned())
    );
    let lines = bench
        .post("/api/pull", json!({"model": "broken"}))
        .await
        .ok()
        .lines();
    assert_eq!(
        lines.last().unwrap(),
        &json!({"error": "the registry broke off"})
    );
    // Who asks from elsewhere is told apart, for direct URLs.
    for (peer, told) in [("127.0.0.1:1", "local"), ("10.0.0.9:1", "remote")] {
        let mut request = request(Method::POST, "/api/pull", r#"{"model": "asks"}"#);
        request
            .extensions_mut()
            .insert(Peer(peer.parse::<SocketAddr>().unwrap()));
        let lines = bench.send(request).await.ok().lines();
        assert!(lines.contains(&json!({"status": told})), "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creates_check_their_digests_first() {
    let bench = Bench::new();
    for digest in [json!(""), json!("sha256:../../x"), json!("sha256:12")] {
        let reply = bench
            .post(
                "/api/create",
                json!({"model": "x", "files": {"0.gguf": digest}}),
            )
            .await;
        assert_eq!(reply.status, 400);
        assert!(
            reply.error().starts_with("files.0.gguf: invalid digest"),
            "{reply:?}"
        );
    }
}
