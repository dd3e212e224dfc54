//! OpenAI's older completions.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completions_of_texts() {
    let bench = Bench::new();
    let request =
        json!({"model": "plain", "prompt": ["say:one", "say:two"], "logprobs": 1, "echo": true});
    let reply = bench.post("/v1/completions", request).await.ok().json();
    assert_eq!(reply["object"], "text_completion");
    assert_eq!(
        (&reply["choices"][0]["text"], &reply["choices"][1]["text"]),
        (&json!("say:oneone"), &json!("say:twotwo"))
    );
    assert_eq!(reply["choices"][0]["logprobs"]["tokens"], json!(["one"]));
    let request = json!({"model": "plain", "prompt": "say:hello", "stream": true});
    let events = bench.post("/v1/completions", request).await.ok().events();
    let text: String = events
        .iter()
        .filter_map(|(_, data)| data["choices"][0]["text"].as_str())
        .collect();
    assert_eq!(
        (text.as_str(), &events.last().unwrap().1),
        ("hello", &json!("[DONE]"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completions_tell_the_same_streamed_and_not() {
    let bench = Bench::new();
    let request = |stream: bool| json!({"model": "plain", "prompt": ["say:hello", "say:on"], "echo": true, "logprobs": 1, "stream": stream});
    let whole = bench.post("/v1/completions", request(false)).await.ok();
    let whole = whole.json();
    // Where tokens are in the text, which begins with the prompt.
    assert_eq!(
        whole["choices"][0]["logprobs"]["text_offset"],
        json!([9, 13])
    );
    let events = bench.post("/v1/completions", request(true)).await.ok();
    let events = events.events();
    for at in 0..2 {
        let choices = events.iter().map(|(_, data)| &data["choices"][0]);
        let mine: Vec<&Value> = choices.filter(|choice| choice["index"] == at).collect();
        let text: String = mine
            .iter()
            .filter_map(|choice| choice["text"].as_str())
            .collect();
        let offsets: Vec<&Value> = mine
            .iter()
            .filter_map(|choice| choice["logprobs"]["text_offset"].as_array())
            .flatten()
            .collect();
        let whole = &whole["choices"][at];
        assert_eq!(
            (json!(text), json!(offsets)),
            (
                whole["text"].clone(),
                whole["logprobs"]["text_offset"].clone()
            )
        );
    }
}
