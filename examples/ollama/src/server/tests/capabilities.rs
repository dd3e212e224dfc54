//! What a model can do: what show says is what routes do, whatever the model.

use super::*;

fn put(bench: &Bench, name: &str, tiny: &Tiny, template: Option<&str>, config: &Config) {
    let put = |kind: &str, bytes: &[u8]| {
        let (digest, size) = bench.store.put_bytes(bytes).unwrap();
        Layer::new(kind, digest, size)
    };
    let mut layers = vec![put(media::MODEL, &tiny.bytes())];
    layers.extend(template.map(|text| put(media::TEMPLATE, text.as_bytes())));
    let config = put(media::CONFIG, &config.to_bytes().unwrap());
    let manifest = Manifest::new(config, layers);
    let name = Name::parse(name).unwrap();
    bench.store.put_manifest(&name, &manifest).unwrap();
}

const BOTH: &str = "{% if tools %}{{ tools }}{% endif %}{% for m in messages %}{{ m.content }}\
    {% for c in m.tool_calls or [] %}<tool_call>{{ c.function }}</tool_call>{% endfor %}{% endfor %}<think></think>";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_accept_what_show_says() {
    let bench = Bench::new();
    let jinja = |source: &str| tiny::llama().with("tokenizer.chat_template", source);
    let gaps = |tiny: Tiny| {
        tiny.with("tokenizer.ggml.fim_pre_token_id", 5_u32)
            .with("tokenizer.ggml.fim_suf_token_id", 6_u32)
            .with("tokenizer.ggml.fim_mid_token_id", 7_u32)
    };
    let parser = |parser: &str| Config {
        parser: parser.to_owned(),
        ..Config::default()
    };
    let none = Config::default();
    let all = ["completion", "tools", "thinking", "insert"];
    for (name, tiny, template, config, can) in [
        ("nothing", tiny::llama(), Some(PLAIN), &none, &all[..1]),
        ("full", tiny::llama(), Some(FULL), &none, &all[..3]),
        ("embeds", tiny::bert(), None, &none, &[]),
        ("bare", tiny::llama(), None, &none, &all[..1]),
        // The one in the weights can do more.
        ("both", jinja(BOTH), Some("{{ .Prompt }}"), &none, &all[..3]),
        // It speaks of tools and prints none.
        (
            "speaks",
            tiny::llama(),
            Some("{{/* tools .Tools .Suffix */}}{{ .Prompt }}"),
            &none,
            &all[..1],
        ),
        // Thinking is switched without tags.
        (
            "switch",
            jinja(
                "{% for m in messages %}{{ m.content }}{% endfor %}{% if enable_thinking %}T{% endif %}",
            ),
            None,
            &none,
            &["completion", "thinking"],
        ),
        (
            "fills",
            tiny::llama(),
            Some("{{ .Prompt }}<fim>{{ .Suffix }}"),
            &none,
            &["completion", "insert"],
        ),
        // The vocabulary knows how, and no template of the layers says otherwise.
        (
            "gap",
            gaps(tiny::llama()),
            None,
            &none,
            &["completion", "insert"],
        ),
        ("no gap", gaps(tiny::llama()), Some(PLAIN), &none, &all[..1]),
        // Its settings say so.
        (
            "parsed",
            tiny::llama(),
            Some("{{ .Prompt }}"),
            &parser("qwen3-thinking"),
            &all[..3],
        ),
    ] {
        let name = name.replace(' ', "-");
        put(&bench, &name, &tiny, template, config);
        let shown = bench
            .post("/api/show", json!({"model": name}))
            .await
            .ok()
            .json();
        for capability in all {
            let user = json!([{"role": "user", "content": "say:x"}]);
            let (path, request) = match capability {
                "completion" => ("/api/chat", json!({"messages": user})),
                "tools" => ("/api/chat", json!({"messages": user, "tools": [weather()]})),
                "thinking" => ("/api/chat", json!({"messages": user, "think": true})),
                _ => ("/api/generate", json!({"prompt": "say:x", "suffix": "y"})),
            };
            let mut request = request;
            request["model"] = json!(name);
            request["stream"] = json!(false);
            let reply = bench.post(path, request).await;
            let said = shown["capabilities"]
                .as_array()
                .unwrap()
                .contains(&json!(capability));
            assert_eq!(
                said,
                can.contains(&capability),
                "{name} {capability}: {shown}"
            );
            assert_eq!(said, reply.status == 200, "{name} {capability}: {reply:?}");
            if !said {
                assert_eq!(reply.status, 400, "{name} {capability}: {reply:?}");
                assert!(
                    reply.error().contains("does not support"),
                    "{name}: {reply:?}"
                );
            }
        }
    }
    // A model that is not told of the tools, which programs have built in that know its parser.
    let request = json!({"model": "parsed", "messages": [{"role": "user", "content": "say:x"}], "tools": [weather()], "stream": false});
    let reply = bench.post("/api/chat", request).await.ok().json();
    let warning = reply["warnings"][0].as_str().unwrap();
    assert!(warning.contains("has no place for them"), "{reply}");
}
