//! Embeddings, tokens, ranks, and what tells about the server.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embeddings_in_both_forms() {
    let bench = Bench::new();
    let reply = bench
        .post(
            "/api/embed",
            json!({"model": "embed", "input": ["a", "bb"]}),
        )
        .await
        .ok()
        .json();
    assert_eq!(
        reply["embeddings"],
        json!([[97.0, 1.0, 0.0, 0.0], [98.0, 1.0, 0.0, 0.0]])
    );
    assert_eq!(reply["prompt_eval_count"], 3);
    let reply = bench
        .post(
            "/api/embed",
            json!({"model": "embed", "input": "a", "dimensions": 1}),
        )
        .await
        .ok()
        .json();
    assert_eq!(reply["embeddings"], json!([[1.0]]));
    for empty in [json!(""), json!([])] {
        let reply = bench
            .post("/api/embed", json!({"model": "embed", "input": empty}))
            .await
            .ok()
            .json();
        assert_eq!(reply["embeddings"], json!([]));
    }
    let reply = bench
        .post("/api/embeddings", json!({"model": "embed", "prompt": "a"}))
        .await
        .ok()
        .json();
    assert_eq!(reply, json!({"embedding": [97.0, 1.0, 0.0, 0.0]}));
    let long = "x".repeat(5000);
    let reply = bench
        .post(
            "/api/embed",
            json!({"model": "embed", "input": ["a", long]}),
        )
        .await
        .ok()
        .json();
    assert_eq!(
        (
            &reply["truncated"],
            reply["warnings"].as_array().unwrap().len()
        ),
        (&json!([1]), 1)
    );
    let reply = bench
        .post(
            "/api/embed",
            json!({"model": "embed", "input": ["a", long], "truncate": false}),
        )
        .await;
    assert_eq!(reply.status, 400);
    assert!(
        reply.error().starts_with("input 1 has 5000 tokens"),
        "{reply:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openais_embeddings_and_models() {
    let bench = Bench::new();
    let request = json!({"model": "embed", "input": ["a", "bb"]});
    let reply = bench.post("/v1/embeddings", request).await.ok().json();
    assert_eq!(
        (&reply["object"], &reply["data"][1]["index"]),
        (&json!("list"), &json!(1))
    );
    assert_eq!(reply["data"][0]["embedding"], json!([97.0, 1.0, 0.0, 0.0]));
    assert_eq!(
        reply["usage"],
        json!({"prompt_tokens": 3, "total_tokens": 3})
    );
    let request = json!({"model": "embed", "input": "a", "encoding_format": "base64"});
    let reply = bench.post("/v1/embeddings", request).await.ok().json();
    assert_eq!(reply["data"][0]["embedding"], "AADCQgAAgD8AAAAAAAAAAA==");
    let list = bench.get("/v1/models").await.ok().json();
    let mut ids: Vec<&str> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, ["embed:latest", "m:latest", "plain:latest"]);
    let one = bench.get("/v1/models/m").await.ok().json();
    assert_eq!(
        (&one["id"], &one["object"], &one["owned_by"]),
        (&json!("m"), &json!("model"), &json!("library"))
    );
    let missing = bench.get("/v1/models/nothere").await;
    assert_eq!(
        (missing.status.as_u16(), &missing.json()["error"]["type"]),
        (404, &json!("not_found_error"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_and_ranks() {
    let bench = Bench::new();
    let reply = bench
        .post(
            "/api/tokenize",
            json!({"model": "m", "content": "ab", "add_special": false}),
        )
        .await
        .ok()
        .json();
    assert_eq!(reply, json!({"model": "m", "tokens": [97, 98], "count": 2}));
    let reply = bench
        .post("/api/detokenize", json!({"model": "m", "tokens": [97, 98]}))
        .await
        .ok()
        .json();
    assert_eq!(reply["content"], "ab");
    for tokens in [json!([-1]), json!([99999])] {
        let reply = bench
            .post("/api/detokenize", json!({"model": "m", "tokens": tokens}))
            .await;
        assert!(
            reply.status == 400 && reply.error().starts_with("tokens: "),
            "{reply:?}"
        );
    }
    let request = json!({"model": "embed", "query": "q", "documents": ["a", {"text": "cccc"}, "bb"], "top_n": 2, "return_documents": true});
    for path in ["/api/rerank", "/v1/rerank"] {
        let reply = bench.post(path, request.clone()).await.ok().json();
        assert_eq!(
            reply["results"],
            json!([
                {"index": 1, "relevance_score": 4.0, "document": "cccc"},
                {"index": 2, "relevance_score": 2.0, "document": "bb"},
            ])
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_show_and_ps() {
    let bench = Bench::new();
    let tags = bench.get("/api/tags").await.ok().json();
    let models = tags["models"].as_array().unwrap();
    assert_eq!(models.len(), 3);
    let model = models
        .iter()
        .find(|model| model["name"] == "m:latest")
        .unwrap();
    assert_eq!(
        (
            &model["model"],
            &model["details"]["family"],
            &model["details"]["format"]
        ),
        (&json!("m:latest"), &json!("llama"), &json!("gguf"))
    );
    assert!(
        model["digest"].as_str().unwrap().len() == 64 && model["size"].as_u64().unwrap() > 1000
    );
    let shown = bench
        .post("/api/show", json!({"model": "m"}))
        .await
        .ok()
        .json();
    assert_eq!(shown["details"]["family"], "llama");
    assert!(
        shown["capabilities"]
            .as_array()
            .unwrap()
            .contains(&json!("completion"))
    );
    assert_eq!(
        bench.post("/api/show", json!({"name": "m"})).await.status,
        200
    );
    assert_eq!(
        bench
            .post("/api/show", json!({"model": "nothere"}))
            .await
            .error(),
        "model 'nothere' not found"
    );
    bench
        .post("/api/generate", json!({"model": "m", "keep_alive": -1}))
        .await
        .ok();
    let ps = bench.get("/api/ps").await.ok().json();
    let model = &ps["models"][0];
    assert_eq!(
        (&model["name"], &model["size"], &model["size_vram"]),
        (&json!("m:latest"), &json!(1000), &json!(0))
    );
    assert_eq!(
        (
            &model["processor"],
            &model["processor_reason"],
            &model["state"]
        ),
        (&json!("100% CPU"), &json!("it is a fake"), &json!("ready"))
    );
    assert_eq!(
        (&model["memory"]["weights"], &model["context_length"]),
        (&json!(1000), &json!(512))
    );
    assert!(model["expires_at"].as_str().unwrap() > "2200", "{model}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_model_is_named_and_stops_nothing() {
    let bench = Bench::new();
    let manifests = bench
        .dir
        .path()
        .join("models/manifests/registry.ollama.ai/library/broken");
    std::fs::create_dir_all(&manifests).unwrap();
    for (tag, text) in [
        ("a", "null"),
        ("b", "{\"layers\": null}"),
        ("c", "{"),
        ("d", ""),
    ] {
        std::fs::write(manifests.join(tag), text).unwrap();
    }
    let tags = bench.get("/api/tags").await.ok().json();
    assert_eq!(
        (
            tags["models"].as_array().unwrap().len(),
            tags["broken"].as_array().unwrap().len()
        ),
        (3, 4)
    );
    for tag in ["a", "b", "c", "d"] {
        let reply = bench
            .post(
                "/api/generate",
                json!({"model": format!("broken:{tag}"), "prompt": "x"}),
            )
            .await;
        assert!(
            reply.status.is_server_error() && reply.error().contains("broken"),
            "{reply:?}"
        );
    }
    bench
        .post(
            "/api/generate",
            json!({"model": "plain", "prompt": "say:x"}),
        )
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_says_of_itself() {
    let bench = Bench::new();
    assert_eq!(bench.get("/").await.body, "Ollama is running");
    assert_eq!(
        bench.get("/api/version").await.json()["version"],
        crate::VERSION
    );
    assert_eq!(
        (
            bench.get("/livez").await.body,
            bench.get("/readyz").await.body
        ),
        ("ok".to_owned(), "ok".to_owned())
    );
    for path in ["/api/me", "/api/signout", "/api/experimental/web_search"] {
        let reply = bench.post(path, json!({})).await;
        assert!(
            reply.status == 501 && reply.error().contains("ollama.com"),
            "{reply:?}"
        );
    }
    let given = bench.send({
        let mut request = request(Method::GET, "/", "");
        request
            .headers_mut()
            .insert("x-request-id", "mine-1".parse().unwrap());
        request
    });
    assert_eq!(given.await.headers["x-request-id"], "mine-1");
    assert!(
        bench.get("/").await.headers["x-request-id"]
            .to_str()
            .unwrap()
            .starts_with("req_")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_are_what_clients_saw() {
    let bench = Bench::new();
    for _ in 0..3 {
        bench
            .post(
                "/api/generate",
                json!({"model": "plain", "prompt": "count:5"}),
            )
            .await
            .ok();
    }
    bench
        .post(
            "/api/generate",
            json!({"model": "plain", "prompt": "bad:x"}),
        )
        .await;
    bench
        .post("/api/generate", json!({"model": "nothere", "prompt": "x"}))
        .await;
    bench
        .post("/api/embed", json!({"model": "embed", "input": ["a", "b"]}))
        .await
        .ok();
    let text = bench.get("/metrics").await.ok().body;
    for line in [
        "ollama_requests_total{route=\"/api/generate\",status=\"200\"} 3",
        "ollama_requests_total{route=\"/api/generate\",status=\"404\"} 1",
        "ollama_requests_total{route=\"/api/generate\",status=\"500\"} 1",
        "ollama_answers_total 3",
        "ollama_answers_failed_total 1",
        "ollama_generated_tokens_total 15",
        "ollama_embedded_inputs_total 2",
        "ollama_model_loads_total 2",
        "ollama_runner_crashes_total 0",
        "ollama_models_loaded 2",
        "ollama_model_memory_bytes{model=\"plain:latest\",kind=\"weights\"} 1000",
        "ollama_requests_in_flight 1",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
}
