//! Anthropic's API.

use super::*;

fn ask(more: Value) -> Value {
    let mut request = json!({"model": "plain", "max_tokens": 100, "messages": [{"role": "user", "content": "say:hello world"}]});
    request
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_whole() {
    let bench = Bench::new();
    let reply = bench
        .post("/v1/messages", ask(json!({"system": "S"})))
        .await
        .ok()
        .json();
    assert_eq!(
        (&reply["type"], &reply["role"], &reply["stop_reason"]),
        (&json!("message"), &json!("assistant"), &json!("end_turn"))
    );
    assert_eq!(
        reply["content"],
        json!([{"type": "text", "text": "hello world"}])
    );
    assert_eq!(reply["usage"]["output_tokens"], 3);
    assert!(reply["usage"]["cache_read_input_tokens"].as_u64().unwrap() > 0);
    assert_eq!(bench.asked().max_tokens, Some(100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_stream_block_by_block() {
    let bench = Bench::new();
    let said = "say:<think>Hm.</think>Then:<tool_call>\\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\\n</tool_call>";
    let tool = json!({"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}});
    let request = json!({"model": "m", "max_tokens": 100, "stream": true, "messages": [{"role": "user", "content": said}], "tools": [tool], "thinking": {"type": "enabled", "budget_tokens": 1024}});
    let events = bench.post("/v1/messages", request).await.ok().events();
    let mut names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert!(
        events
            .iter()
            .all(|(name, data)| data["type"] == name.as_str()),
        "{events:?}"
    );
    names.dedup();
    assert_eq!(
        names,
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
    let blocks: Vec<&str> = events
        .iter()
        .filter(|(name, _)| name == "content_block_start")
        .map(|(_, data)| data["content_block"]["type"].as_str().unwrap())
        .collect();
    assert_eq!(blocks, ["thinking", "text", "tool_use"]);
    let deltas = |kind: &str, field: &str| -> String {
        events
            .iter()
            .filter(|(_, data)| data["delta"]["type"] == kind)
            .filter_map(|(_, data)| data["delta"][field].as_str())
            .collect()
    };
    assert_eq!(
        (
            deltas("thinking_delta", "thinking").as_str(),
            deltas("text_delta", "text").as_str()
        ),
        ("Hm.", "Then:")
    );
    assert_eq!(
        deltas("input_json_delta", "partial_json"),
        "{\"city\":\"Paris\"}"
    );
    let last = &events[events.len() - 2].1;
    assert_eq!(
        (
            &last["delta"]["stop_reason"],
            last["usage"]["output_tokens"].as_u64().unwrap() > 0
        ),
        (&json!("tool_use"), true)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_it_stopped() {
    let bench = Bench::new();
    let reply = bench
        .post("/v1/messages", ask(json!({"max_tokens": 1})))
        .await
        .ok()
        .json();
    assert_eq!(reply["stop_reason"], "max_tokens");
    let reply = bench
        .post("/v1/messages", ask(json!({"stop_sequences": ["o w"]})))
        .await
        .ok()
        .json();
    assert_eq!(
        (&reply["stop_reason"], &reply["stop_sequence"]),
        (&json!("stop_sequence"), &json!("o w"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_with_tools_and_what_is_wrong() {
    let bench = Bench::new();
    let messages = json!([
        {"role": "user", "content": "U"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "T"}, {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Paris"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "11"}]}, {"type": "text", "text": "say:ok"}]},
    ]);
    let reply = bench
        .post(
            "/v1/messages",
            json!({"model": "m", "max_tokens": 9, "messages": messages}),
        )
        .await
        .ok()
        .json();
    assert_eq!(reply["content"][0]["text"], "ok");
    let crate::runner::wire::Prompt::Segments(pieces) = bench.asked().prompt else {
        panic!()
    };
    let text: String = pieces.iter().map(|piece| piece.t.as_str()).collect();
    assert!(text.contains("<|tool|>11<|end|>\n<|user|>say:ok"), "{text}");
    for (request, error) in [
        (
            json!({"model": "m", "messages": [{"role": "user", "content": "x"}]}),
            "max_tokens: it is required",
        ),
        (
            json!({"model": "m", "max_tokens": 1, "messages": []}),
            "messages: it must have at least one message",
        ),
        (
            json!({"model": "m", "max_tokens": 1, "messages": [{"role": "tool", "content": "x"}]}),
            "messages[0].role: it must be user or assistant",
        ),
        (
            json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "image"}]}]}),
            "messages[0].content[0]: this server can't see images or documents",
        ),
        (
            json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}], "tool_choice": {"type": "perhaps"}}),
            "tool_choice.type: it must be auto, any, tool or none",
        ),
    ] {
        let reply = bench.post("/v1/messages", request).await;
        let body = reply.json();
        assert_eq!(
            (
                reply.status.as_u16(),
                &body["type"],
                &body["error"]["type"],
                &body["error"]["message"]
            ),
            (
                400,
                &json!("error"),
                &json!("invalid_request_error"),
                &json!(error)
            )
        );
    }
    let missing = bench
        .post(
            "/v1/messages",
            json!({"model": "no", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}),
        )
        .await;
    assert_eq!(
        (missing.status.as_u16(), &missing.json()["error"]["type"]),
        (404, &json!("not_found_error"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_of_tools_are_read_whole_or_it_is_told() {
    let bench = Bench::new();
    let ask = |block: Value| {
        let messages = json!([
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "find", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [block]}]},
        ]);
        json!({"model": "plain", "max_tokens": 9, "messages": messages})
    };
    for kind in ["image", "document"] {
        let reply = bench.post("/v1/messages", ask(json!({"type": kind}))).await;
        assert_eq!(reply.status, 400);
        assert_eq!(
            reply.json()["error"]["message"],
            "messages[1].content[0].content[0]: this server can't see images or documents"
        );
    }
    let reply = bench.post("/v1/messages", ask(json!({"type": "dance"})));
    assert_eq!(
        reply.await.ok().json()["warnings"],
        json!(["messages[1].content[0].content[0]: \"dance\" is not known and is left out"])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_is_what_is_asked() {
    let bench = Bench::new();
    let template = "{{ if .Think }}Think first.{{ end }}{{ range .Messages }}<|{{ .Role }}|><think>{{ .Thinking }}</think>{{ .Content }}<|end|>\n{{ end }}<|assistant|>";
    let more = [
        (media::SYSTEM, "Be brief."),
        (
            media::MESSAGES,
            r#"[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]"#,
        ),
    ];
    add_with(&bench.store, "tuned", &tiny::llama(), Some(template), &more);
    for more in [
        json!({}),
        json!({"thinking": {"type": "disabled"}}),
        json!({"system": "S"}),
    ] {
        let mut request = ask(more);
        request["model"] = json!("tuned");
        let reply = bench.post("/v1/messages", request.clone()).await.ok();
        let usage = &reply.json()["usage"];
        let tokens = |name: &str| usage[name].as_u64().unwrap();
        let took = tokens("input_tokens") + tokens("cache_read_input_tokens");
        let counted = bench.post("/v1/messages/count_tokens", request).await.ok();
        // The fake puts one before where it only counts.
        assert_eq!(counted.json(), json!({"input_tokens": took + 1}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_counted_with_the_template() {
    let bench = Bench::new();
    let request = json!({"model": "plain", "messages": [{"role": "user", "content": "abc"}]});
    let reply = bench
        .post("/v1/messages/count_tokens", request)
        .await
        .ok()
        .json();
    // A byte is a token of the fake's, and it puts one before.
    let whole = "<|user|>abc<|end|>\n<|assistant|>".len() + 1;
    assert_eq!(reply, json!({"input_tokens": whole}));
}
