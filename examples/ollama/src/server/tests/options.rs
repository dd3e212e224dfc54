//! Options of requests and models, and what of them is not understood.

use serde_json::json;

use super::*;
use crate::runner::fake::Nature;
use crate::runner::wire::Prompt;
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_reach_the_runner_and_the_models_own_stand_behind() {
    let bench = Bench::new();
    let parameters = r#"{"temperature": 0.5, "top_k": 7, "stop": ["<end>"]}"#;
    add_with(
        &bench.store,
        "tuned",
        &tiny::llama(),
        Some(PLAIN),
        &[
            (media::PARAMS, parameters),
            (media::SYSTEM, "Be brief."),
            (
                media::MESSAGES,
                r#"[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]"#,
            ),
        ],
    );
    let options = json!({
        "temperature": 0.25, "seed": 42, "num_predict": 3, "num_ctx": 256, "min_p": 0.125,
        "repeat_last_n": -1, "ignore_eos": true, "num_thread": 2,
    });
    let request =
        json!({"model": "tuned", "prompt": "count:9", "options": options, "stream": false});
    let reply = bench.post("/api/generate", request).await.ok().json();
    assert_eq!(
        (&reply["response"], &reply["done_reason"]),
        (&json!("w0 w1 w2 "), &json!("length"))
    );
    assert_eq!(reply["seed"], 42);
    let asked = bench.asked();
    assert_eq!(
        (asked.sampling.temperature, asked.sampling.top_k),
        (Some(0.25), Some(7))
    );
    assert_eq!(
        (asked.sampling.seed, asked.sampling.min_p),
        (Some(42), Some(0.125))
    );
    assert_eq!(
        (asked.max_tokens, asked.num_ctx, asked.ignore_eos),
        (Some(3), Some(256), true)
    );
    assert_eq!(asked.sampling.repeat_last_n, Some(-1));
    assert_eq!(asked.stop, ["<end>"]);
    let Prompt::Segments(pieces) = &asked.prompt else {
        panic!("{asked:?}")
    };
    let text: String = pieces.iter().map(|piece| piece.t.as_str()).collect();
    assert!(
        text.starts_with("<|system|>Be brief.<|end|>\n<|user|>Hi<|end|>\n<|assistant|>Yo"),
        "{text}"
    );
    let spec = bench.launcher.specs.lock().unwrap().last().unwrap().clone();
    assert_eq!((spec.load.num_thread, spec.context_length), (Some(2), 256));
    // A system message of the request's own takes the place of the model's.
    let request =
        json!({"model": "tuned", "prompt": "x", "system": "Be long.", "_debug_render_only": true});
    let reply = bench.post("/api/generate", request).await.ok().json();
    let rendered = reply["_debug_info"]["rendered_template"].as_str().unwrap();
    assert!(
        rendered.starts_with("<|system|>Be long.<|end|>"),
        "{rendered}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runners_are_deterministic_where_the_environment_says_so() {
    for (value, expected) in [("", false), ("0", false), ("1", true)] {
        let bench = Bench::with(&[("OLLAMA_DETERMINISTIC", value)]);
        let request = json!({"model": "plain", "prompt": "say:x", "stream": false});
        bench.post("/api/generate", request).await.ok();
        let specs = bench.launcher.specs.lock().unwrap();
        assert_eq!(specs[0].deterministic, expected, "{value:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_understood_is_told() {
    let bench = Bench::new();
    let request = json!({
        "model": "plain", "prompt": "say:x", "stream": false, "seed": 1, "foo": 2,
        "options": {"temprature": 1, "keep_alive": 1, "low_vram": true},
    });
    let reply = bench
        .post("/api/generate", request.clone())
        .await
        .ok()
        .json();
    let warnings: Vec<&str> = reply["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w.as_str().unwrap())
        .collect();
    for part in [
        "\"seed\" is ignored: it belongs into",
        "\"foo\"",
        "did you mean \"temperature\"",
        "\"keep_alive\" is ignored: it belongs beside",
        "\"low_vram\"",
    ] {
        assert!(
            warnings.iter().any(|warning| warning.contains(part)),
            "{part}: {warnings:?}"
        );
    }
    let mut strict = self::request(Method::POST, "/api/generate", request.to_string());
    strict
        .headers_mut()
        .insert("x-ollama-strict", "1".parse().unwrap());
    let reply = bench.send(strict).await;
    assert_eq!(reply.status, 400);
    assert!(reply.error().contains("\"seed\""));
    // The server's administrator can want it of all; then everything is named.
    let bench = Bench::with(&[("OLLAMA_STRICT", "1")]);
    let reply = bench.post("/api/generate", request).await;
    assert_eq!(reply.status, 400);
    for name in [
        "\"seed\"",
        "\"foo\"",
        "\"temprature\"",
        "\"keep_alive\"",
        "\"low_vram\"",
    ] {
        assert!(reply.error().contains(name), "{name}: {reply:?}");
    }
    for (path, body) in [
        (
            "/api/chat",
            json!({"model": "plain", "messages": [{"role": "user", "content": "x"}], "options": {"foo": 1}}),
        ),
        (
            "/api/chat",
            json!({"model": "plain", "messages": [], "options": {"foo": 1}}),
        ),
        (
            "/api/embed",
            json!({"model": "embed", "input": "x", "foo": 1}),
        ),
        (
            "/api/tokenize",
            json!({"model": "plain", "content": "x", "foo": 1}),
        ),
        ("/api/show", json!({"model": "plain", "foo": 1})),
        (
            "/v1/chat/completions",
            json!({"model": "plain", "messages": [{"role": "user", "content": "x"}], "foo": 1}),
        ),
        (
            "/v1/completions",
            json!({"model": "plain", "prompt": "x", "foo": 1}),
        ),
        (
            "/v1/responses",
            json!({"model": "plain", "input": "x", "foo": 1}),
        ),
        (
            "/v1/messages",
            json!({"model": "plain", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}], "foo": 1}),
        ),
    ] {
        let reply = bench.post(path, body).await;
        assert_eq!(reply.status, 400, "{path}: {reply:?}");
        assert!(reply.body.contains("foo"), "{path}: {reply:?}");
    }
    assert_eq!(bench.launches(), 0);
    bench
        .post(
            "/api/generate",
            json!({"model": "plain", "prompt": "say:x", "options": {"seed": 1}}),
        )
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_stay_within_the_memory_that_is_set() {
    let launcher = FakeLauncher {
        nature: Arc::new(|_| Nature {
            memory: 600 << 20,
            ..Nature::default()
        }),
        ..FakeLauncher::default()
    };
    let ask = |model: &str| json!({"model": model, "prompt": "say:x", "stream": false});
    let bench = Bench::made(
        launcher.clone(),
        Transfer::unavailable(),
        &[("OLLAMA_MEMORY_BUDGET", "1GiB")],
    );
    add_with(&bench.store, "other", &tiny::moe(), Some(PLAIN), &[]);
    bench.post("/api/generate", ask("plain")).await.ok();
    bench.post("/api/generate", ask("other")).await.ok();
    let loaded = bench.get("/api/ps").await.json();
    assert_eq!(loaded["memory_budget"], 1_u64 << 30);
    let names: Vec<_> = loaded["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["name"])
        .collect();
    assert_eq!(names, ["other:latest"], "both do not fit");
    let bench = Bench::made(
        launcher,
        Transfer::unavailable(),
        &[("OLLAMA_MEMORY_BUDGET", "500MiB")],
    );
    let reply = bench.post("/api/generate", ask("plain")).await;
    assert!(reply.status.is_server_error(), "{reply:?}");
    assert!(
        reply
            .error()
            .contains("requires more memory (600.0 MiB) than may be used (500.0 MiB)"),
        "{reply:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_context_longer_than_trained_is_cut_and_told() {
    let bench = Bench::new();
    let request = json!({"model": "plain", "prompt": "say:x", "stream": false, "options": {"num_ctx": 1_000_000}});
    let reply = bench.post("/api/generate", request).await.ok().json();
    assert!(
        reply["warnings"][0]
            .as_str()
            .unwrap()
            .contains("num_ctx 1000000"),
        "{reply}"
    );
    assert!(bench.asked().num_ctx.unwrap() < 1_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strictly_nothing_is_loaded_with_less_than_was_asked() {
    let bench = Bench::with(&[("OLLAMA_STRICT", "1")]);
    for path in ["/api/generate", "/api/chat"] {
        let request = json!({"model": "m", "options": {"num_ctx": 1_000_000}});
        let reply = bench.post(path, request).await;
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(reply.error().starts_with("num_ctx 1000000"), "{reply:?}");
    }
    assert_eq!(bench.launches(), 0);
}
