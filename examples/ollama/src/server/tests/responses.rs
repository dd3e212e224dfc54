//! OpenAI's Responses API.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_come_whole() {
    let bench = Bench::new();
    let request = json!({"model": "plain", "input": "say:hello world", "instructions": "I", "metadata": {"k": "v"}});
    let reply = bench.post("/v1/responses", request).await.ok().json();
    assert_eq!(
        (&reply["object"], &reply["status"], &reply["metadata"]),
        (&json!("response"), &json!("completed"), &json!({"k": "v"}))
    );
    assert_eq!(reply["output"][0]["content"][0]["text"], "hello world");
    assert_eq!(reply["usage"]["output_tokens"], 3);
    let reply = bench
        .post(
            "/v1/responses",
            json!({"model": "plain", "input": "count:9", "max_output_tokens": 2}),
        )
        .await
        .ok()
        .json();
    assert_eq!(
        (&reply["status"], &reply["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_stream_items_in_order() {
    let bench = Bench::new();
    let said = "say:<think>Hm.</think>Then:<tool_call>\\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\\n</tool_call>";
    let tool = json!({"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}});
    let request = json!({"model": "m", "input": [{"role": "user", "content": said}], "tools": [tool], "stream": true});
    let events = bench.post("/v1/responses", request).await.ok().events();
    assert_eq!(
        (events[0].0.as_str(), events[1].0.as_str()),
        ("response.created", "response.in_progress")
    );
    for (number, (name, data)) in events.iter().enumerate() {
        assert_eq!(
            (&data["sequence_number"], &data["type"]),
            (&json!(number), &json!(name))
        );
    }
    let done: Vec<&Value> = events
        .iter()
        .filter(|(name, _)| name == "response.output_item.done")
        .map(|(_, data)| &data["item"])
        .collect();
    let kinds: Vec<&str> = done
        .iter()
        .map(|item| item["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call"]);
    assert_eq!(done[2]["arguments"], "{\"city\":\"Paris\"}");
    let (name, last) = events.last().unwrap();
    assert_eq!(name, "response.completed");
    assert_eq!(json!(done), last["response"]["output"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_cut_says_so() {
    let bench = Bench::new();
    let mut request = json!({"model": "plain", "input": "count:9", "max_output_tokens": 2});
    let reply = bench.post("/v1/responses", request.clone()).await.ok();
    assert_eq!(reply.json()["output"][0]["status"], "incomplete");
    request["stream"] = json!(true);
    let events = bench.post("/v1/responses", request).await.ok().events();
    let item = |name: &str| events.iter().rfind(|(kind, _)| kind == name);
    let (_, done) = item("response.output_item.done").unwrap();
    assert_eq!(done["item"]["status"], "incomplete");
    let (_, last) = item("response.incomplete").unwrap();
    assert_eq!(last["response"]["output"][0], done["item"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_probabilities_of_what_is_said() {
    let bench = Bench::new();
    let said = "say:<think>Hm.</think>Then";
    for (more, top) in [
        (json!({"top_logprobs": 2}), 2),
        (json!({"include": ["message.output_text.logprobs"]}), 0),
    ] {
        let mut request = json!({"model": "m", "input": said});
        request
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let reply = bench.post("/v1/responses", request.clone()).await.ok();
        let reply = reply.json();
        let whole = &reply["output"][1]["content"][0];
        assert_eq!(whole["text"], "Then");
        let tokens = whole["logprobs"].as_array().unwrap();
        let text: String = tokens
            .iter()
            .map(|token| token["token"].as_str().unwrap())
            .collect();
        assert!(text.ends_with("Then") && !text.contains("Hm"), "{tokens:?}");
        let tops = tokens[0].get("top_logprobs").and_then(Value::as_array);
        assert_eq!(tops.map_or(0, Vec::len), top);
        request["stream"] = json!(true);
        let events = bench.post("/v1/responses", request).await.ok().events();
        let told: Vec<&Value> = events
            .iter()
            .filter(|(name, _)| name == "response.output_text.delta")
            .flat_map(|(_, data)| data["logprobs"].as_array().unwrap())
            .collect();
        assert_eq!(json!(told), whole["logprobs"], "streamed and not, the same");
    }
    let reply = bench
        .post("/v1/responses", json!({"model": "m", "input": said}))
        .await
        .ok()
        .json();
    assert_eq!(reply["output"][1]["content"][0]["logprobs"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_and_what_is_refused() {
    let bench = Bench::new();
    let input = json!([
        {"role": "user", "content": [{"type": "input_text", "text": "U"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "T"}]},
        {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{\"city\": \"Paris\"}"},
        {"type": "function_call_output", "call_id": "c", "output": "11"},
        {"role": "user", "content": "say:ok"},
    ]);
    let reply = bench
        .post("/v1/responses", json!({"model": "m", "input": input}))
        .await
        .ok()
        .json();
    assert_eq!(reply["output"][0]["content"][0]["text"], "ok");
    let crate::runner::wire::Prompt::Segments(pieces) = bench.asked().prompt else {
        panic!()
    };
    let text: String = pieces.iter().map(|piece| piece.t.as_str()).collect();
    assert!(
        text.contains("<think>T</think><tool_call>") && text.contains("<|tool|>11"),
        "{text}"
    );
    for (more, error) in [
        (
            json!({"previous_response_id": "r"}),
            "previous_response_id: ",
        ),
        (json!({"background": true}), "background: "),
        (
            json!({"input": 5}),
            "input: it must be a text or a list of items",
        ),
        (
            json!({"input": [{"type": "dance"}]}),
            "input[0].type: \"dance\" is not supported",
        ),
        (json!({"truncation": "some"}), "truncation: "),
    ] {
        let mut request = json!({"model": "m", "input": "x"});
        request
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let reply = bench.post("/v1/responses", request).await;
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
