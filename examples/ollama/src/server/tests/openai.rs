//! OpenAI's chat completions.

use super::*;
use crate::runner::wire::{ConstraintKind, Prompt};

fn ask(more: Value) -> Value {
    let mut request =
        json!({"model": "plain", "messages": [{"role": "user", "content": "say:hello world"}]});
    request
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chats_come_whole() {
    let bench = Bench::new();
    let reply = bench
        .post("/v1/chat/completions", ask(json!({})))
        .await
        .ok()
        .json();
    assert_eq!(reply["object"], "chat.completion");
    assert!(reply["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(
        reply["choices"][0],
        json!({
            "index": 0, "message": {"role": "assistant", "content": "hello world"}, "finish_reason": "stop", "logprobs": null,
        })
    );
    let usage = &reply["usage"];
    let (prompt, completion) = (
        usage["prompt_tokens"].as_u64().unwrap(),
        usage["completion_tokens"].as_u64().unwrap(),
    );
    assert!(
        prompt > 0 && completion == 3 && usage["total_tokens"] == prompt + completion,
        "{usage}"
    );
    assert!(
        usage["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .unwrap()
            > 0
    );
    let asked = bench.asked();
    assert_eq!(
        (asked.sampling.temperature, asked.sampling.top_p),
        (Some(1.0), Some(1.0))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chats_stream_with_usage() {
    let bench = Bench::new();
    let request = ask(json!({"stream": true, "stream_options": {"include_usage": true}}));
    let reply = bench.post("/v1/chat/completions", request).await.ok();
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    let events: Vec<Value> = reply.events().into_iter().map(|(_, data)| data).collect();
    assert_eq!(events.last().unwrap(), "[DONE]");
    let pieces = &events[..events.len() - 1];
    assert_eq!(pieces[0]["choices"][0]["delta"]["role"], "assistant");
    assert!(pieces[1]["choices"][0]["delta"].get("role").is_none());
    let text: String = pieces
        .iter()
        .filter_map(|piece| piece["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, "hello world");
    let finish = &pieces[pieces.len() - 2];
    assert_eq!(
        (
            &finish["choices"][0]["delta"],
            &finish["choices"][0]["finish_reason"]
        ),
        (&json!({}), &json!("stop"))
    );
    let usage = pieces.last().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 3);
    assert!(
        pieces[..pieces.len() - 1]
            .iter()
            .all(|piece| piece["usage"].is_null())
    );
    // One id and one time for all.
    assert!(pieces.iter().all(|piece| piece["id"] == pieces[0]["id"] && piece["created"] == pieces[0]["created"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_tools() {
    let bench = Bench::new();
    let request = |stream: bool| json!({"model": "m", "messages": [{"role": "user", "content": CALL}], "tools": [weather()], "stream": stream, "reasoning_effort": "none"});
    let reply = bench
        .post("/v1/chat/completions", request(false))
        .await
        .ok()
        .json();
    let choice = &reply["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(
        (&call["type"], &call["function"]),
        (
            &json!("function"),
            &json!({"name": "weather", "arguments": "{\"city\":\"Paris\"}"})
        )
    );
    let events = bench
        .post("/v1/chat/completions", request(true))
        .await
        .ok()
        .events();
    let calls: Vec<&Value> = events
        .iter()
        .filter_map(|(_, data)| data["choices"][0]["delta"].get("tool_calls"))
        .collect();
    assert_eq!(calls[0][0]["function"], call["function"]);
    assert!(
        events
            .iter()
            .any(|(_, data)| data["choices"][0]["finish_reason"] == "tool_calls")
    );
    // A call that must be made is a grammar.
    for choice in [
        json!("required"),
        json!({"type": "function", "function": {"name": "weather"}}),
    ] {
        let mut request = request(false);
        request["tool_choice"] = choice;
        bench.post("/v1/chat/completions", request).await.ok();
        let constraint = bench.asked().constraint.unwrap();
        assert!(
            matches!(&constraint.kind, ConstraintKind::Lark(grammar) if grammar.contains("weather")),
            "{constraint:?}"
        );
    }
    for (choice, error) in [
        (json!("sometimes"), "tool_choice: it must be"),
        (
            json!({"type": "function", "function": {"name": "nothing"}}),
            "tool_choice: there is no tool `nothing`",
        ),
    ] {
        let mut request = request(false);
        request["tool_choice"] = choice;
        let reply = bench.post("/v1/chat/completions", request).await;
        assert_eq!(reply.status, 400);
        assert!(
            reply.json()["error"]["message"]
                .as_str()
                .unwrap()
                .starts_with(error),
            "{reply:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_all_kinds() {
    let bench = Bench::new();
    let messages = json!([
        {"role": "developer", "content": "D"},
        {"role": "user", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Paris\"}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "11"},
    ]);
    let request = json!({"model": "m", "messages": messages, "_debug_render_only": true});
    let reply = bench
        .post("/v1/chat/completions", request)
        .await
        .ok()
        .json();
    let rendered = reply["_debug_info"]["rendered_template"].as_str().unwrap();
    assert!(
        rendered.contains("<|system|>D<|end|>\n<|user|>A\nB<|end|>"),
        "{rendered}"
    );
    assert!(
        rendered
            .contains("<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\":\"Paris\"}}")
            && rendered.contains("<|tool|>11"),
        "{rendered}"
    );
    for (message, error) in [
        (
            json!({"role": "user", "content": 5}),
            "messages[0].content: it must be a text or a list of parts",
        ),
        (
            json!({"role": "user"}),
            "messages[0].content: it must be a text or a list of parts",
        ),
        (
            json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}]}),
            "messages[0].content[0]: this server can't see images",
        ),
        (
            json!({"role": "assistant", "tool_calls": [{"function": {"name": "x", "arguments": "[]"}}]}),
            "messages[0].tool_calls[0].function.arguments: it must be a text that holds a JSON object",
        ),
    ] {
        let reply = bench
            .post(
                "/v1/chat/completions",
                json!({"model": "m", "messages": [message]}),
            )
            .await;
        let error_json = reply.json();
        assert_eq!(
            (
                reply.status.as_u16(),
                &error_json["error"]["message"],
                &error_json["error"]["type"]
            ),
            (400, &json!(error), &json!("invalid_request_error"))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_limits_and_formats() {
    let bench = Bench::new();
    let request = ask(json!({
        "max_completion_tokens": 1, "seed": 3, "stop": "zzz", "num_ctx": 256, "top_k": 5, "ignore_eos": true,
        "logit_bias": {"7": -100}, "n": 2, "store": true, "unheard_of": 1,
    }));
    let reply = bench
        .post("/v1/chat/completions", request)
        .await
        .ok()
        .json();
    let choices = reply["choices"].as_array().unwrap();
    assert_eq!(
        (
            choices.len(),
            &choices[1]["index"],
            &choices[0]["finish_reason"]
        ),
        (2, &json!(1), &json!("length"))
    );
    assert_eq!(reply["usage"]["completion_tokens"], 2);
    assert_eq!(
        reply["warnings"],
        json!(["\"unheard_of\" is unknown and ignored"])
    );
    let seen = bench.launcher.seen.lock().unwrap().clone();
    let mut seeds: Vec<_> = seen.iter().map(|asked| asked.sampling.seed).collect();
    seeds.sort();
    assert_eq!(seeds, [Some(3), Some(4)]);
    let asked = &seen[0];
    assert_eq!(
        (
            asked.max_tokens,
            asked.num_ctx,
            asked.ignore_eos,
            asked.sampling.top_k
        ),
        (Some(1), Some(256), true, Some(5))
    );
    assert_eq!(
        (asked.stop.as_slice(), asked.sampling.logit_bias.as_slice()),
        (["zzz".to_owned()].as_slice(), [(7, -100.0)].as_slice())
    );
    let schema = json!({"type": "object"});
    for (format, kind) in [
        (
            json!({"type": "json_object"}),
            Some(ConstraintKind::JsonObject),
        ),
        (
            json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}}),
            Some(ConstraintKind::JsonSchema(schema)),
        ),
        (json!({"type": "text"}), None),
    ] {
        bench
            .post(
                "/v1/chat/completions",
                ask(json!({"response_format": format})),
            )
            .await
            .ok();
        assert_eq!(
            bench.asked().constraint.map(|constraint| constraint.kind),
            kind
        );
    }
    for wrong in [json!({"type": "xml"}), json!({"type": "json_schema"})] {
        let reply = bench
            .post(
                "/v1/chat/completions",
                ask(json!({"response_format": wrong})),
            )
            .await;
        assert!(
            reply.status == 400 && reply.body.contains("response_format"),
            "{reply:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_name_the_field_that_was_sent() {
    let bench = Bench::new();
    for (path, more, error) in [
        (
            "/v1/completions",
            json!({"prompt": "x", "logprobs": 21}),
            "logprobs: it must be a number from 0 to 20",
        ),
        (
            "/v1/chat/completions",
            json!({"reasoning_effort": "some"}),
            "reasoning_effort: it must be none",
        ),
        (
            "/v1/chat/completions",
            json!({"reasoning": {"effort": "some"}}),
            "reasoning.effort: it must be none",
        ),
        (
            "/v1/responses",
            json!({"input": "x", "reasoning": {"effort": "some"}}),
            "reasoning.effort: it must be none",
        ),
    ] {
        let reply = bench.post(path, ask(more)).await;
        let message = reply.json()["error"]["message"].to_string();
        assert_eq!(reply.status, 400, "{message}");
        assert!(message.starts_with(&format!("\"{error}")), "{message}");
    }
}

/// What a model sees of a conversation: roles, tools and texts.
const NAMED: &str = "{{ range .Messages }}[{{ .Role }} {{ .ToolName }} {{ .Content }}]{{ end }}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_belong_to_the_call_before_them() {
    let bench = Bench::new();
    add(&bench.store, "named", &tiny::llama(), Some(NAMED));
    // Ids that are used again, as by clients that count the calls of each answer.
    let call = |name: &str| json!({"role": "assistant", "tool_calls": [{"id": "0", "function": {"name": name}}]});
    let messages = json!([
        call("weather"),
        {"role": "tool", "tool_call_id": "0", "content": "A"},
        call("time"),
        {"role": "Tool", "tool_call_id": "0", "content": "B", "name": ""},
        {"role": "tool", "tool_call_id": "9", "content": "C"},
    ]);
    let request = json!({"model": "named", "messages": messages, "_debug_render_only": true});
    let reply = bench.post("/v1/chat/completions", request).await.ok();
    let reply = reply.json();
    let rendered = reply["_debug_info"]["rendered_template"].as_str().unwrap();
    for part in ["[tool weather A]", "[tool time B]", "[tool  C]"] {
        assert!(rendered.contains(part), "{part}: {rendered}");
    }
    let call = |name: &str| json!({"type": "function_call", "call_id": "0", "name": name});
    let result = |id: &str, output: &str| json!({"type": "function_call_output", "call_id": id, "output": output});
    let input = [
        call("weather"),
        result("0", "A"),
        call("time"),
        result("0", "B"),
        result("9", "C"),
    ];
    let request = json!({"model": "named", "input": input});
    bench.post("/v1/responses", request).await.ok();
    let Prompt::Segments(pieces) = bench.asked().prompt else {
        panic!()
    };
    let asked: String = pieces.iter().map(|piece| piece.t.as_str()).collect();
    assert_eq!(asked, rendered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_in_a_stream() {
    let bench = Bench::new();
    let request =
        json!({"model": "plain", "messages": [{"role": "user", "content": "die"}], "stream": true});
    let events = bench
        .post("/v1/chat/completions", request)
        .await
        .ok()
        .events();
    let last = &events.last().unwrap().1;
    assert!(
        last["error"]["message"]
            .as_str()
            .unwrap()
            .contains("stopped"),
        "{events:?}"
    );
    assert!(!events.iter().any(|(_, data)| data == "[DONE]"));
}
