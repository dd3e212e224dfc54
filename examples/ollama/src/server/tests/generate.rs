//! `POST /api/generate`

use serde_json::json;

use super::*;
use crate::runner::wire::{ConstraintKind, Overflow, Piece, Prompt};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_lines_as_ollama_frames_them() {
    let bench = Bench::new();
    let reply = bench
        .post(
            "/api/generate",
            json!({"model": "plain", "prompt": "say:hello world"}),
        )
        .await
        .ok();
    assert_eq!(reply.headers["content-type"], "application/x-ndjson");
    let lines = reply.lines();
    let text: String = lines
        .iter()
        .map(|line| line["response"].as_str().unwrap())
        .collect();
    assert_eq!(text, "hello world");
    for line in &lines[..lines.len() - 1] {
        assert_eq!(
            (&line["model"], &line["done"]),
            (&json!("plain"), &json!(false))
        );
        let members: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(members, ["model", "created_at", "response", "done"]);
        assert!(line["created_at"].as_str().unwrap().ends_with('Z'));
    }
    let last = &lines[lines.len() - 1];
    assert_eq!(
        (&last["response"], &last["done"]),
        (&json!(""), &json!(true))
    );
    assert_eq!(last["done_reason"], "stop");
    for number in [
        "total_duration",
        "load_duration",
        "prompt_eval_count",
        "prompt_eval_duration",
        "eval_count",
        "eval_duration",
    ] {
        assert!(last[number].as_u64().unwrap() > 0, "{number}: {last}");
    }
    assert!(!last["context"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comes_whole_when_asked() {
    let bench = Bench::new();
    let request = json!({"model": "plain", "prompt": "say:hello world", "stream": false});
    let reply = bench.post("/api/generate", request).await.ok();
    assert_eq!(
        reply.headers["content-type"],
        "application/json; charset=utf-8"
    );
    let whole = reply.json();
    assert_eq!(
        (&whole["response"], &whole["done"]),
        (&json!("hello world"), &json!(true))
    );
    assert_eq!(
        bench.asked().prompt,
        Prompt::Segments(vec![
            Piece {
                t: "<|user|>".into(),
                m: false,
                g: None
            },
            Piece {
                t: "say:hello world".into(),
                m: true,
                g: None
            },
            Piece {
                t: "<|end|>\n<|assistant|>".into(),
                m: false,
                g: None
            },
        ])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_prompt_loads_and_unloads() {
    let bench = Bench::new();
    let loaded = bench
        .post("/api/generate", json!({"model": "m"}))
        .await
        .ok()
        .json();
    assert_eq!(
        (&loaded["done_reason"], &loaded["response"], &loaded["done"]),
        (&json!("load"), &json!(""), &json!(true))
    );
    assert_eq!(
        bench.get("/api/ps").await.json()["models"][0]["name"],
        "m:latest"
    );
    let unloaded = bench
        .post("/api/generate", json!({"model": "m", "keep_alive": 0}))
        .await
        .ok()
        .json();
    assert_eq!(unloaded["done_reason"], "unload");
    assert_eq!(bench.get("/api/ps").await.json()["models"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_prompts_go_as_they_are() {
    let bench = Bench::new();
    let request = json!({"model": "m", "prompt": "<think>|say:x", "raw": true, "stream": false});
    bench.post("/api/generate", request).await.ok();
    assert_eq!(
        bench.asked().prompt,
        Prompt::Text("<think>|say:x".to_owned())
    );
    for field in [
        json!({"template": "x"}),
        json!({"system": "x"}),
        json!({"context": [1]}),
    ] {
        let mut request = json!({"model": "m", "prompt": "x", "raw": true});
        request
            .as_object_mut()
            .unwrap()
            .extend(field.as_object().unwrap().clone());
        let reply = bench.post("/api/generate", request).await;
        assert_eq!(reply.status, 400);
        assert_eq!(
            reply.error(),
            "raw mode does not support template, system, or context"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn formats_constrain_and_bad_ones_are_refused() {
    let bench = Bench::new();
    let request = json!({"model": "plain", "prompt": "go", "format": "json", "stream": false});
    let reply = bench.post("/api/generate", request).await.ok().json();
    assert_eq!(reply["response"], "{\"a\": 1}");
    assert_eq!(
        bench.asked().constraint.unwrap().kind,
        ConstraintKind::JsonObject
    );
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    let request = json!({"model": "plain", "prompt": "go", "format": schema, "options": {"num_predict": 1}, "stream": false});
    let reply = bench.post("/api/generate", request).await.ok().json();
    assert!(
        reply["warnings"][0]
            .as_str()
            .unwrap()
            .contains("not complete"),
        "{reply}"
    );
    assert_eq!(
        bench.asked().constraint.unwrap().kind,
        ConstraintKind::JsonSchema(
            json!({"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": false})
        ),
        "objects have the members that are named"
    );
    for format in [json!("yaml"), json!(5), json!([]), json!(true)] {
        let reply = bench
            .post(
                "/api/generate",
                json!({"model": "plain", "prompt": "x", "format": format}),
            )
            .await;
        assert_eq!(reply.status, 400);
        assert!(reply.error().starts_with("format: "), "{reply:?}");
    }
    let request = json!({"model": "plain", "prompt": "x", "format": {"uniqueItems": true}});
    let reply = bench.post("/api/generate", request).await;
    assert_eq!(
        (
            reply.status.as_u16(),
            reply.error().contains("/uniqueItems")
        ),
        (400, true),
        "{reply:?}"
    );
    // Where the model thinks first, only what comes behind is constrained.
    let request = json!({"model": "m", "prompt": "go", "format": "json", "stream": false});
    bench.post("/api/generate", request).await.ok();
    let asked = bench.asked();
    assert_eq!(asked.constraint.unwrap().after.as_deref(), Some("</think>"));
    let Prompt::Segments(pieces) = asked.prompt else {
        panic!()
    };
    assert_eq!(pieces.last().unwrap().t, "<think>");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_probabilities_come_with_the_text() {
    let bench = Bench::new();
    let request = json!({"model": "plain", "prompt": "say:abcdef", "logprobs": true, "top_logprobs": 2, "stream": false});
    let reply = bench.post("/api/generate", request).await.ok().json();
    let tokens = reply["logprobs"].as_array().unwrap();
    assert_eq!((tokens.len(), &tokens[0]["token"]), (2, &json!("abcd")));
    assert_eq!(tokens[0]["bytes"], json!([97, 98, 99, 100]));
    assert_eq!(tokens[0]["top_logprobs"].as_array().unwrap().len(), 2);
    for top in [-1, 21] {
        let reply = bench
            .post(
                "/api/generate",
                json!({"model": "plain", "prompt": "x", "top_logprobs": top}),
            )
            .await;
        assert_eq!(
            (reply.status.as_u16(), reply.error()),
            (400, "top_logprobs must be between 0 and 20".to_owned())
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_context_goes_on_where_it_ended() {
    let bench = Bench::new();
    let request = json!({"model": "plain", "prompt": "say:one", "stream": false});
    let first = bench.post("/api/generate", request).await.ok().json();
    let request = json!({"model": "plain", "prompt": "say:two", "context": first["context"], "stream": false});
    let second = bench.post("/api/generate", request).await.ok().json();
    assert_eq!(json!(bench.asked().before), first["context"]);
    let (first, second) = (
        first["context"].as_array().unwrap(),
        second["context"].as_array().unwrap(),
    );
    assert!(second.starts_with(first) && second.len() > first.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gaps_are_filled_by_the_template_or_refused() {
    let bench = Bench::new();
    add(
        &bench.store,
        "code",
        &tiny::llama(),
        Some("<PRE>{{ .Prompt }}<SUF>{{ .Suffix }}<MID>"),
    );
    let request =
        json!({"model": "code", "prompt": "a = ", "suffix": "\nb", "_debug_render_only": true});
    let reply = bench.post("/api/generate", request).await.ok().json();
    assert_eq!(
        reply["_debug_info"]["rendered_template"],
        "<PRE>a = <SUF>\nb<MID>"
    );
    let reply = bench
        .post(
            "/api/generate",
            json!({"model": "plain", "prompt": "a", "suffix": "b"}),
        )
        .await;
    assert_eq!(reply.status, 400);
    assert!(reply.error().contains("does not support insert"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_that_are_too_long_are_refused_with_both_counts() {
    let bench = Bench::new();
    for truncate in [true, false] {
        let prompt = "x".repeat(300);
        let request = json!({"model": "plain", "prompt": prompt, "truncate": truncate, "options": {"num_ctx": 128}});
        let reply = bench.post("/api/generate", request).await;
        assert_eq!(reply.status, 400);
        let error = reply.json();
        assert_eq!(error["context_length"], 128);
        let tokens = error["prompt_tokens"].as_u64().unwrap();
        assert!(tokens > 300);
        assert!(
            reply.error().contains(&format!("{tokens} tokens")),
            "{reply:?}"
        );
    }
    let request =
        json!({"model": "plain", "prompt": "say:x", "shift": true, "options": {"num_keep": 9}});
    bench.post("/api/generate", request).await.ok();
    assert_eq!(bench.asked().overflow, Overflow::Shift { keep: 9 });
    assert_eq!(
        bench.asked().max_tokens,
        Some(512),
        "a window that moves on has an end all the same"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_that_are_not_there_or_can_not() {
    let bench = Bench::new();
    for (request, status, error) in [
        (
            json!({"model": "nothere", "prompt": "x"}),
            404,
            "model 'nothere' not found",
        ),
        (
            json!({"model": "", "prompt": "x"}),
            400,
            "model is required",
        ),
        (json!({"prompt": "x"}), 400, "model is required"),
        (
            json!({"model": "embed", "prompt": "x"}),
            400,
            "\"embed\" does not support generate",
        ),
        (
            json!({"model": "plain", "prompt": "x", "think": true}),
            400,
            "\"plain\" does not support thinking",
        ),
        (
            json!({"model": "plain", "prompt": "x", "images": ["aGk="]}),
            400,
            "images: this server can't see images",
        ),
        (
            json!({"model": "gpt-oss:120b-cloud", "prompt": "x"}),
            400,
            "model \"gpt-oss:120b-cloud\": models of ollama.com's cloud are not supported",
        ),
    ] {
        let reply = bench.post("/api/generate", request).await;
        assert_eq!(
            (reply.status.as_u16(), reply.error().as_str()),
            (status, error)
        );
    }
    assert_eq!(bench.launches(), 0, "nothing was loaded for them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thoughts_are_told_apart() {
    let bench = Bench::new();
    let request = json!({"model": "m", "prompt": "say:<think>Easy.</think>Blue.", "stream": false});
    let reply = bench.post("/api/generate", request).await.ok().json();
    assert_eq!(
        (&reply["thinking"], &reply["response"]),
        (&json!("Easy."), &json!("Blue."))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_have_a_status_before_the_first_part_and_a_line_after_it() {
    let bench = Bench::new();
    let reply = bench
        .post(
            "/api/generate",
            json!({"model": "plain", "prompt": "bad:it broke"}),
        )
        .await;
    assert_eq!(
        (reply.status.as_u16(), reply.error()),
        (500, "it broke".to_owned())
    );
    let reply = bench
        .post("/api/generate", json!({"model": "plain", "prompt": "die"}))
        .await
        .ok();
    let lines = reply.lines();
    assert_eq!(lines[0]["response"], "last ");
    assert!(
        lines[1]["error"]
            .as_str()
            .unwrap()
            .contains("stopped unexpectedly"),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 2);
    // The server lives, and the next request gets a new runner.
    bench
        .post(
            "/api/generate",
            json!({"model": "plain", "prompt": "say:again"}),
        )
        .await
        .ok();
    assert_eq!(bench.launches(), 2);
}
