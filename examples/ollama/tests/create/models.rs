//! Models from models, and what the request adds.

use ollama::Kind;
use ollama::create::Request;
use serde_json::json;

use super::*;

fn request(value: serde_json::Value) -> Request {
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_model_from_a_model_has_its_layers_and_more() {
    let kit = Kit::new();
    let tiny = kit.base();
    let told = kit
        .create(&request(json!({
            "model": "Mario",
            "from": "base",
            "system": "You are Mario.",
            "template": "{{ .System }} {{ .Prompt }}",
            "license": ["MIT", "Apache-2.0"],
            "parameters": {"temperature": 0.5, "num_ctx": 4096.0, "stop": "<end>", "mirostat": 1},
            "messages": [{"role": "User", "content": "Hi <b>"}, {"role": "assistant", "content": "Mamma mia!"}],
            "renderer": "r", "parser": "p", "requires": "v0.14.0",
            "stream": null,
        })))
        .unwrap();
    assert_eq!(
        kit.layers("mario"),
        [
            layer("model", ""),
            layer("template", "{{ .System }} {{ .Prompt }}"),
            layer("system", "You are Mario."),
            layer("license", "MIT"),
            layer("license", "Apache-2.0"),
            // To the byte what Ollama stores, so that its blobs and these are the same.
            layer(
                "params",
                "{\"num_ctx\":4096,\"stop\":[\"\\u003cend\\u003e\"],\"temperature\":0.5}\n"
            ),
            layer(
                "messages",
                "[{\"role\":\"user\",\"content\":\"Hi \\u003cb\\u003e\"},\
                 {\"role\":\"assistant\",\"content\":\"Mamma mia!\"}]\n"
            ),
        ]
    );
    let manifest = kit.manifest("mario");
    assert_eq!(
        manifest.layers[0].media_type,
        "application/vnd.ollama.image.model"
    );
    assert_eq!(manifest.layers[0].digest.to_string(), digest(&tiny.bytes()));
    assert_eq!(manifest.layers[0].from.as_deref(), Some("base:latest"));
    assert_eq!(
        manifest.config.media_type,
        "application/vnd.docker.container.image.v1+json"
    );
    let parameters = tiny
        .tensors()
        .iter()
        .map(|t| t.dims.iter().product::<u64>())
        .sum::<u64>();
    assert_eq!(
        kit.text(&manifest.config),
        format!(
            "{{\"model_format\":\"gguf\",\"model_family\":\"llama\",\"model_families\":[\"llama\"],\
             \"model_type\":\"{:.0}K\",\"file_type\":\"F16\",\"renderer\":\"r\",\"parser\":\"p\",\
             \"requires\":\"0.14.0\",\"architecture\":\"amd64\",\"os\":\"linux\"}}\n",
            parameters as f64 / 1000.0
        )
    );
    assert_eq!(told[0], "warning: parameter mirostat is deprecated");
    assert_eq!(
        told[1],
        format!("using existing layer {}", digest(&tiny.bytes()))
    );
    assert_eq!(
        told[2],
        format!(
            "creating new layer {}",
            digest(b"{{ .System }} {{ .Prompt }}")
        )
    );
    assert_eq!(told[told.len() - 2..], ["writing manifest", "success"]);
}

#[test]
fn what_is_said_anew_takes_the_place_of_what_was_there() {
    let kit = Kit::new();
    kit.base();
    let first = request(json!({
        "model": "first", "from": "base", "system": "one", "license": "A", "template": "{{ .Prompt }}",
        "parameters": {"seed": 1, "top_k": 2}, "messages": [{"role": "user", "content": "x"}],
        "renderer": "r",
    }));
    kit.create(&first).unwrap();
    let second = request(json!({
        "model": "second", "from": "first", "system": "two", "license": "B", "parameters": {"top_k": 3},
    }));
    kit.create(&second).unwrap();
    assert_eq!(
        kit.layers("second"),
        [
            layer("model", ""),
            layer("template", "{{ .Prompt }}"),
            layer("license", "A"),
            layer("messages", "[{\"role\":\"user\",\"content\":\"x\"}]\n"),
            layer("system", "two"),
            layer("license", "B"),
            layer("params", "{\"seed\":1,\"top_k\":3}\n"),
        ]
    );
    assert_eq!(kit.config("second")["renderer"], "r");
    // Nothing said, nothing changed.
    kit.create(&request(json!({"model": "third", "from": "second"})))
        .unwrap();
    assert_eq!(kit.layers("third"), kit.layers("second"));
    assert_eq!(kit.config("third"), kit.config("second"));
}

#[test]
fn a_model_can_be_made_anew_of_itself_and_leaves_nothing_behind() {
    let kit = Kit::new();
    kit.base();
    let system = |text: &str| request(json!({"model": "base", "from": "base", "system": text}));
    kit.create(&system("one")).unwrap();
    let blobs = kit.blobs();
    kit.create(&system("two")).unwrap();
    assert_eq!(kit.blobs().len(), blobs.len());
    assert!(!kit.blobs().contains(&digest(b"one").replace(':', "-")));
    assert_eq!(
        kit.layers("base"),
        [layer("model", ""), layer("system", "two")]
    );
}

#[test]
fn members_of_the_settings_that_nobody_knows_stay() {
    let kit = Kit::new();
    kit.base();
    let info = json!({"context_length": 7, "capabilities": ["tools"], "parameter_size": "1B", "base_name": "b"});
    kit.create(&request(
        json!({"model": "a", "from": "base", "info": info}),
    ))
    .unwrap();
    kit.create(&request(json!({"model": "b", "from": "a"})))
        .unwrap();
    let config = kit.config("b");
    assert_eq!(config["context_length"], 7);
    assert_eq!(config["capabilities"], json!(["tools"]));
    assert_eq!(config["model_type"], "1B");
    assert_eq!(config["base_name"], "b");
}

#[test]
fn what_is_wrong_is_said_with_its_field() {
    let kit = Kit::new();
    kit.base();
    let long = "x".repeat(1000);
    for (value, kind, text) in [
        (json!({}), Kind::Invalid, "model: "),
        (
            json!({"model": "../x", "from": "base"}),
            Kind::Invalid,
            "model: ",
        ),
        (
            json!({"name": "a:b:c", "from": "base"}),
            Kind::Invalid,
            "name: ",
        ),
        (
            json!({"model": "m"}),
            Kind::Invalid,
            "neither 'from' or 'files' was specified",
        ),
        (
            json!({"model": "m", "from": "no such"}),
            Kind::Invalid,
            "from: ",
        ),
        (
            json!({"model": "m", "from": "missing"}),
            Kind::NotFound,
            "model 'missing:latest' not found",
        ),
        (
            json!({"model": "m", "from": "base", "remote_host": "h"}),
            Kind::Unsupported,
            "remote_host: ",
        ),
        (
            json!({"model": "m", "from": "base", "files": {"a": digest(b"a")}}),
            Kind::Invalid,
            "both 'from' and 'files'",
        ),
        (
            json!({"model": "m", "from": "base", "template": "{{ .Prompt "}),
            Kind::Invalid,
            "template error: ",
        ),
        (
            json!({"model": "m", "from": "base", "requires": "soon"}),
            Kind::Invalid,
            "requires must be",
        ),
        (
            json!({"model": "m", "from": "base", "parameters": {"num_ctx": "4096"}}),
            Kind::Invalid,
            "parameter num_ctx must be an integer",
        ),
        (
            json!({"model": "m", "from": "base", "parameters": {long.clone(): 1}}),
            Kind::Invalid,
            "unknown parameter 'xxx",
        ),
        (
            json!({"model": "m", "from": "base", "messages": [{"role": "user"}, {"content": "x"}]}),
            Kind::Invalid,
            "messages[1].role must be",
        ),
        (
            json!({"model": "m", "from": "base", "quantize": "q5"}),
            Kind::Invalid,
            "quantize: unsupported",
        ),
        (
            json!({"model": "m", "from": "base", "draft_quantize": "q8_0"}),
            Kind::Invalid,
            "draft_quantize: ",
        ),
        (
            json!({"model": "m", "from": "base", "info": {"x": 1}}),
            Kind::Invalid,
            "info has no field",
        ),
        (
            json!({"model": "m", "from": "base", "info": {"parameter_size": 1}}),
            Kind::Invalid,
            "info field \"parameter_size\" must be a string",
        ),
    ] {
        let error = kit.refused(&request(value));
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().starts_with(text), "{error}");
    }
    for (value, text) in [
        (
            json!({"license": 1}),
            "license must be a text or a list of texts",
        ),
        (
            json!({"license": ["a", 1]}),
            "license must be a text or a list of texts",
        ),
        (json!({"files": ["a"]}), "expected a map"),
        (json!({"parameters": []}), "expected a map"),
    ] {
        let error = serde_json::from_value::<Request>(value).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn clients_in_go_send_null_for_nothing() {
    let value = json!({
        "model": "m", "from": "base", "files": null, "adapters": null, "license": null, "parameters": null,
        "messages": null, "template": null, "system": null, "quantize": null, "info": null,
    });
    let mut expected = Request::new("m");
    expected.from = "base".to_owned();
    assert_eq!(request(value), expected);
    // What is empty is not sent at all.
    assert_eq!(
        serde_json::to_value(expected).unwrap(),
        json!({"model": "m", "from": "base"})
    );
}

#[test]
fn whoever_asked_can_stop_it() {
    let kit = Kit::new();
    kit.base();
    let mut request = Request::new("m");
    request.from = "base".to_owned();
    request.system = "s".to_owned();
    let stop = AtomicBool::new(true);
    let control = Control {
        stop: &stop,
        prune: true,
    };
    let error = create(&kit.store, &request, &|_| {}, control).unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert_eq!(kit.store.list().unwrap().models.len(), 1);
}
