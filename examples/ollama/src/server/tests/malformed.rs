//! Ten thousand malformed requests: each is answered by a 4xx, or done; the server goes on.

use std::time::Duration;

use super::*;

/// A small generator of numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides
    }

    fn pick<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        &items[self.roll(items.len())]
    }
}

/// Sound requests with every field that there is.
fn sound() -> Vec<(Method, &'static str, Value)> {
    let options = json!({
        "num_ctx": 512, "num_batch": 64, "num_gpu": 0, "main_gpu": 0, "use_mmap": true, "use_mlock": false,
        "num_thread": 1, "draft_num_predict": 0, "num_keep": 1, "seed": 1, "num_predict": 2, "top_k": 1,
        "top_p": 0.5, "min_p": 0.1, "typical_p": 1.0, "repeat_last_n": 1, "temperature": 0.5,
        "repeat_penalty": 1.1, "presence_penalty": 0.1, "frequency_penalty": 0.1, "mirostat": 0,
        "mirostat_tau": 5.0, "mirostat_eta": 0.1, "stop": ["x"], "ignore_eos": false,
    });
    let message = json!({"role": "user", "content": "say:x", "thinking": "", "images": [], "tool_calls": [
        {"id": "1", "function": {"index": 0, "name": "weather", "arguments": {"city": "x"}}}], "tool_name": "", "tool_call_id": ""});
    vec![
        (
            Method::POST,
            "/api/generate",
            json!({
            "model": "plain", "prompt": "say:x", "suffix": "", "system": "s", "template": "", "context": [1],
            "stream": false, "raw": false, "format": null, "keep_alive": "5m", "images": [], "options": options,
            "think": false, "truncate": true, "shift": false, "logprobs": true, "top_logprobs": 1, "_debug_render_only": false}),
        ),
        (
            Method::POST,
            "/api/chat",
            json!({
            "model": "m", "messages": [message], "tools": [weather()], "stream": false, "format": null,
            "keep_alive": 300, "options": options, "think": true, "truncate": true, "shift": false,
            "logprobs": false, "top_logprobs": 0, "_debug_render_only": false}),
        ),
        (
            Method::POST,
            "/api/embed",
            json!({
            "model": "embed", "input": ["a", "b"], "truncate": true, "dimensions": 2, "keep_alive": 1, "options": {"num_ctx": 64}}),
        ),
        (
            Method::POST,
            "/api/embeddings",
            json!({"model": "embed", "prompt": "a", "keep_alive": 1, "options": {}}),
        ),
        (
            Method::POST,
            "/api/tokenize",
            json!({"model": "m", "content": "a", "add_special": true, "parse_special": false, "keep_alive": 1}),
        ),
        (
            Method::POST,
            "/api/detokenize",
            json!({"model": "m", "tokens": [97], "keep_alive": 1}),
        ),
        (
            Method::POST,
            "/api/rerank",
            json!({
            "model": "embed", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1, "return_documents": true, "keep_alive": 1, "options": {}}),
        ),
        (
            Method::POST,
            "/api/show",
            json!({"model": "m", "name": "", "system": "", "template": "", "verbose": false, "options": {}}),
        ),
        (
            Method::POST,
            "/api/copy",
            json!({"source": "m", "destination": "m2"}),
        ),
        (
            Method::DELETE,
            "/api/delete",
            json!({"model": "nothere", "name": ""}),
        ),
        (
            Method::POST,
            "/api/pull",
            json!({"model": "x", "name": "", "insecure": false, "username": "", "password": "", "stream": false}),
        ),
        (
            Method::POST,
            "/api/push",
            json!({"model": "x", "name": "", "insecure": false, "stream": false}),
        ),
        (
            Method::POST,
            "/api/create",
            json!({
            "model": "x", "name": "", "stream": false, "quantize": "", "from": "m", "files": {}, "adapters": {}, "template": "t",
            "license": ["l"], "system": "s", "parameters": {"seed": 1}, "messages": [], "renderer": "", "parser": "",
            "requires": "", "info": {}, "modelfile": ""}),
        ),
        (
            Method::POST,
            "/v1/chat/completions",
            json!({
            "model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "say:x"}], "name": "n", "tool_call_id": "1",
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}], "reasoning": "r"}],
            "tools": [weather()], "tool_choice": "auto", "parallel_tool_calls": true, "response_format": {"type": "text"},
            "reasoning": {"effort": "low"}, "reasoning_effort": "low", "logprobs": true, "top_logprobs": 1,
            "max_completion_tokens": 2, "stream": false, "stream_options": {"include_usage": true}, "max_tokens": 2, "n": 2,
            "seed": 1, "stop": ["x"], "temperature": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0,
            "logit_bias": {"5": 1}, "num_ctx": 512, "top_k": 1, "min_p": 0, "repeat_penalty": 1, "ignore_eos": false,
            "options": {}, "keep_alive": 1, "truncate": true, "user": "u"}),
        ),
        (
            Method::POST,
            "/v1/completions",
            json!({
            "model": "plain", "prompt": ["say:x"], "suffix": "", "echo": true, "logprobs": 1, "stream": false, "max_tokens": 2,
            "n": 1, "stop": "x", "seed": 1, "temperature": 1, "top_p": 1}),
        ),
        (
            Method::POST,
            "/v1/embeddings",
            json!({"model": "embed", "input": "a", "dimensions": 2, "encoding_format": "float"}),
        ),
        (
            Method::POST,
            "/v1/responses",
            json!({
            "model": "m", "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "say:x"}]},
                {"type": "function_call", "call_id": "1", "name": "weather", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "1", "output": "x"}, {"type": "reasoning", "summary": []}],
            "instructions": "i", "max_output_tokens": 2, "reasoning": {"effort": "low"}, "temperature": 1, "top_p": 1,
            "text": {"format": {"type": "text"}}, "truncation": "auto", "tools": [{"type": "function", "name": "f", "parameters": {}}],
            "tool_choice": "auto", "parallel_tool_calls": true, "stream": false, "top_logprobs": 0, "metadata": {}}),
        ),
        (
            Method::POST,
            "/v1/messages",
            json!({
            "model": "m", "max_tokens": 2, "messages": [{"role": "user", "content": [{"type": "text", "text": "say:x"}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "weather", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "x", "is_error": false}]}],
            "system": [{"type": "text", "text": "s"}], "stream": false, "temperature": 1, "top_p": 1, "top_k": 1,
            "stop_sequences": ["x"], "tools": [{"name": "weather", "description": "d", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "auto"}, "thinking": {"type": "enabled", "budget_tokens": 1}}),
        ),
        (
            Method::POST,
            "/v1/messages/count_tokens",
            json!({"model": "m", "messages": [{"role": "user", "content": "x"}]}),
        ),
        (
            Method::POST,
            "/v1/rerank",
            json!({"model": "embed", "query": "q", "documents": ["a"]}),
        ),
    ]
}

/// All places in a value.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                out.push(at.clone());
                places(value, &at, out);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                let at = format!("{at}/{index}");
                out.push(at.clone());
                places(value, &at, out);
            }
        }
        _ => {}
    }
}

fn odd_values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(1),
        json!(2.5),
        json!(-0.0),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(-1e308),
        json!(""),
        json!("x"),
        json!("\u{0}"),
        json!("../../etc/passwd"),
        json!("\u{1F600}\u{202E}"),
        json!("<|end|><|system|>"),
        json!([]),
        json!({}),
        json!([[]]),
        json!([null]),
        json!([{}]),
        json!({"": null}),
        json!({"type": 5}),
        json!([1, "x", {}]),
        json!("9".repeat(400)),
        json!("x".repeat(70_000)),
        json!(vec![0; 3000]),
        json!(vec!["x"; 70]),
        json!(["say:x"]),
        json!({"a": {"b": {"c": {"d": {}}}}}),
        json!("sha256:../../x"),
        json!("{{"),
    ]
}

async fn check(bench: &Bench, request: Request<Body>, what: &str) -> u16 {
    let reply = tokio::time::timeout(Duration::from_secs(60), bench.send(request)).await;
    let reply = reply.unwrap_or_else(|_| panic!("it hangs: {what}"));
    let status = reply.status.as_u16();
    // What is not built in says so with 501; nothing else of the server's own fails.
    let fine = (200..300).contains(&status) || (400..500).contains(&status) || status == 501;
    assert!(fine, "{what}: {reply:?}");
    let dir = path_of(&bench.dir);
    // What show prints as Modelfile has the paths that a create with it needs, as Ollama's has.
    let shown = status == 200 && reply.body.starts_with("{\"modelfile\"");
    let local = reply.body.contains(dir.to_str().unwrap());
    assert!(shown || !local, "a local path: {what}: {reply:?}");
    if status >= 400 && !reply.body.is_empty() {
        let error = reply.json();
        let message = error["error"]["message"]
            .as_str()
            .or(error["error"].as_str());
        let message = message.unwrap_or_else(|| panic!("no message: {what}: {reply:?}"));
        assert!(
            !message.is_empty() && message.len() < 2000,
            "{what}: {message}"
        );
    }
    status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_with_every_odd_value() {
    let bench = Bench::new();
    let mut count = 0;
    for (method, path, sound) in sound() {
        let status = check(
            &bench,
            request(method.clone(), path, sound.to_string()),
            path,
        )
        .await;
        let known = [
            "/api/delete",
            "/api/pull",
            "/api/push",
            "/api/create",
            "/v1/messages",
            "/v1/completions",
        ];
        assert!(
            status < 300 || known.contains(&path),
            "the sound request: {path}: {status}"
        );
        let mut all = Vec::new();
        places(&sound, "", &mut all);
        for place in all {
            for odd in odd_values() {
                let mut request = sound.clone();
                *request.pointer_mut(&place).unwrap() = odd.clone();
                let shown: String = odd.to_string().chars().take(60).collect();
                let what = format!("{path} {place} = {shown}");
                check(
                    &bench,
                    self::request(method.clone(), path, request.to_string()),
                    &what,
                )
                .await;
                count += 1;
            }
        }
    }
    assert!(count > 5_000, "{count}");
    assert_eq!(bench.get("/livez").await.status, 200);
    bench
        .post(
            "/api/generate",
            json!({"model": "plain", "prompt": "say:x"}),
        )
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_damaged_anywhere() {
    let bench = Bench::new();
    let mut dice = Dice(7);
    let sound = sound();
    for round in 0..5_000 {
        let (method, path, body) = dice.pick(&sound);
        let mut bytes = body.to_string().into_bytes();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(bytes.len());
            match dice.roll(5) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes[at] = dice.roll(256) as u8,
                2 => bytes.insert(at, *dice.pick(b"{}[]\",:\\0-e.\x00\xff")),
                3 => drop(bytes.remove(at)),
                _ => {
                    let copy = bytes[at..].to_vec();
                    bytes.extend(copy.iter().take(200));
                }
            }
            if bytes.is_empty() {
                bytes.push(b'{');
            }
        }
        let request = Request::builder()
            .method(method)
            .uri(*path)
            .body(Body::from(bytes))
            .unwrap();
        check(&bench, request, &format!("round {round} {path}")).await;
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
async fn long_deep_and_missing_bodies() {
    let bench = Bench::new();
    for (method, path, sound) in sound() {
        let long = "x".repeat(1 << 20);
        for key in sound.as_object().unwrap().keys() {
            let mut body = sound.clone();
            body[key] = json!(long);
            check(
                &bench,
                request(method.clone(), path, body.to_string()),
                &format!("{path} {key} of 1 MB"),
            )
            .await;
        }
        let deep = format!(
            "{{\"messages\": {}{}}}",
            "[".repeat(200_000),
            "]".repeat(200_000)
        );
        let many = format!(
            "{{{}}}",
            (0..20_000)
                .map(|i| format!("\"k{i}\":0"))
                .collect::<Vec<_>>()
                .join(",")
        );
        for body in [
            "", " ", "null", "[]", "5", "\"x\"", "{", "{}", "{}{}", &deep, &many,
        ] {
            let shown: String = body.chars().take(20).collect();
            let status = check(
                &bench,
                request(method.clone(), path, body),
                &format!("{path} {shown}"),
            )
            .await;
            assert!(status >= 400, "{path} {shown}: {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_that_are_none_and_methods_that_are_wrong() {
    let bench = Bench::new();
    for path in [
        "/nothing",
        "/api",
        "/api/",
        "/api/generate/",
        "/v1/nothing",
        "/v1/messages/x",
        "/api/blobs",
        "/api/blobs/",
        "/api/blobs/a/b",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE, Method::PUT] {
            let status = check(&bench, request(method.clone(), path, "{}"), path).await;
            assert!(status == 404 || status == 405, "{method} {path}: {status}");
        }
    }
    for (method, path) in [
        (Method::GET, "/api/generate"),
        (Method::POST, "/api/tags"),
        (Method::PUT, "/v1/models"),
        (Method::POST, "/api/delete"),
    ] {
        assert_eq!(check(&bench, request(method, path, "{}"), path).await, 405);
    }
    // HEAD where Ollama has it.
    for path in ["/", "/api/version", "/api/tags"] {
        let reply = bench.send(request(Method::HEAD, path, "")).await;
        assert_eq!(
            (reply.status.as_u16(), reply.body.as_str()),
            (200, ""),
            "{path}"
        );
    }
}
