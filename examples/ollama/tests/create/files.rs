//! Models from GGUF files: whole, split, with adapters, projectors and drafts.

use llamakit::gguf::{TensorType, Writer};
use ollama::Kind;

use super::*;

fn projector() -> Vec<u8> {
    let mut writer = Writer::new();
    writer.set("general.architecture", "clip").unwrap();
    writer.set("clip.has_vision_encoder", true).unwrap();
    writer.set("clip.vision.block_count", 1_u32).unwrap();
    writer
        .tensor("v.x", &[2], TensorType::F32, vec![0; 8])
        .unwrap();
    writer.to_bytes()
}

#[test]
fn a_file_becomes_the_layer_as_it_is() {
    let kit = Kit::new();
    let bytes = plain().bytes();
    let told = kit
        .create(&kit.of_file("m", "dir/tiny.gguf", &bytes))
        .unwrap();
    let digest = digest(&bytes);
    assert_eq!(
        told,
        [
            "parsing GGUF".to_owned(),
            format!("using existing layer {digest}"),
            "writing manifest".to_owned(),
            "success".to_owned(),
        ]
    );
    let manifest = kit.manifest("m");
    assert_eq!(manifest.layers.len(), 1);
    assert_eq!(manifest.layers[0].digest.to_string(), digest);
    assert_eq!(manifest.layers[0].size, bytes.len() as u64);
    assert_eq!(manifest.layers[0].from.as_deref(), Some("dir/tiny.gguf"));
    assert_eq!(kit.config("m")["file_type"], "unknown");
}

#[test]
fn the_name_of_a_file_does_not_matter() {
    let kit = Kit::new();
    let bytes = plain().bytes();
    kit.create(&kit.of_file("m", "weights", &bytes)).unwrap();
    assert_eq!(kit.layers("m"), [layer("model", "")]);
}

#[test]
fn a_template_that_is_a_known_format_is_stored_in_gos_language() {
    let kit = Kit::new();
    let chatml = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}\
        {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    let tiny = tiny::llama().with("tokenizer.chat_template", chatml);
    let told = kit
        .create(&kit.of_file("m", "m.gguf", &tiny.bytes()))
        .unwrap();
    assert_eq!(told[2], "using autodetected template chatml");
    let layers = kit.layers("m");
    assert_eq!(layers[1].0, "template");
    assert!(layers[1].1.contains("range .Messages"));
    assert_eq!(
        layers[2],
        layer(
            "params",
            "{\"stop\":[\"\\u003c|im_start|\\u003e\",\"\\u003c|im_end|\\u003e\"]}\n"
        )
    );

    // One's own template and parameters come first.
    let mut request = kit.of_file("n", "m.gguf", &tiny.bytes());
    request.template = "{{ .Prompt }}".to_owned();
    kit.create(&request).unwrap();
    assert_eq!(
        kit.layers("n"),
        [layer("model", ""), layer("template", "{{ .Prompt }}")]
    );
    let mut request = kit.of_file("o", "m.gguf", &tiny.bytes());
    request.parameters.insert("stop".to_owned(), "x".into());
    kit.create(&request).unwrap();
    assert_eq!(kit.layers("o")[2], layer("params", "{\"stop\":[\"x\"]}\n"));
}

#[test]
fn a_projector_comes_behind_its_model() {
    let kit = Kit::new();
    let mut request = kit.of_file("m", "model.gguf", &plain().bytes());
    request
        .files
        .insert("a-mmproj.gguf".to_owned(), kit.put(&projector()));
    kit.create(&request).unwrap();
    assert_eq!(
        kit.layers("m"),
        [layer("model", ""), layer("projector", "")]
    );
    let error = kit.refused(&kit.of_file("n", "p.gguf", &projector()));
    assert_eq!(error.to_string(), "there is no model among the files");
}

#[test]
fn files_of_a_split_model_become_one() {
    let kit = Kit::new();
    let tiny = plain();
    let mut request = Request::new("m");
    for (path, number) in tiny.shards(3).iter().zip(1..) {
        let digest = kit.put(&fs::read(path).unwrap());
        request
            .files
            .insert(format!("tiny-{number:05}-of-00003.gguf"), digest);
    }
    let told = kit.create(&request).unwrap();
    assert!(told.contains(&"joining 3 files".to_owned()), "{told:?}");
    let manifest = kit.manifest("m");
    assert_eq!(manifest.layers.len(), 1);
    let file = llamakit::gguf::File::open(kit.store.layer(&manifest.layers[0]).unwrap()).unwrap();
    assert_eq!(file.tensors().len(), tiny.tensors().len());
    assert!(file.get("split.count").is_none());

    let mut missing = request.clone();
    missing.files.remove("tiny-00002-of-00003.gguf");
    let text = kit.refused(&missing).to_string();
    assert_eq!(
        text,
        "tiny-00001-of-00003.gguf is one of 3 files of a split model, but there are 2"
    );
    let mut other = request.clone();
    let digest = other.files.remove("tiny-00002-of-00003.gguf").unwrap();
    other
        .files
        .insert("other-00002-of-00003.gguf".to_owned(), digest);
    assert!(
        kit.refused(&other)
            .to_string()
            .contains("are not files of one split model")
    );
    let mut twice = request.clone();
    let first = request.files["tiny-00001-of-00003.gguf"].clone();
    twice
        .files
        .insert("tiny-00002-of-00003.gguf".to_owned(), first);
    assert!(kit.refused(&twice).to_string().contains("split.no"));
}

#[test]
fn adapters_and_drafts_are_layers_of_their_own() {
    let kit = Kit::new();
    let base = kit.base();
    let lora = tiny::lora(&base, 4, "a").bytes();
    let mut request = Request::new("m");
    request.from = "base".to_owned();
    request
        .adapters
        .insert("lora.gguf".to_owned(), kit.put(&lora));
    request
        .draft_files
        .insert("draft.gguf".to_owned(), kit.put(&tiny::llama_spm().bytes()));
    kit.create(&request).unwrap();
    assert_eq!(
        kit.layers("m"),
        [layer("model", ""), layer("adapter", ""), layer("draft", "")]
    );
    assert_eq!(
        kit.manifest("m").layers[1].digest.to_string(),
        digest(&lora)
    );
    let draft = serde_json::json!({"model_format": "gguf", "architecture": "llama"});
    assert_eq!(kit.config("m")["draft"], draft);

    request
        .adapters
        .insert("second.gguf".to_owned(), digest(&lora));
    assert_eq!(
        kit.refused(&request).to_string(),
        "only one adapter is currently supported"
    );
    request.adapters.clear();
    request
        .adapters
        .insert("model.gguf".to_owned(), kit.put(&base.bytes()));
    assert!(
        kit.refused(&request)
            .to_string()
            .starts_with("model.gguf: ")
    );
    assert!(
        kit.refused(&kit.of_file("n", "l.gguf", &lora))
            .to_string()
            .contains("an adapter, not a model")
    );
}

#[test]
fn several_models_are_not_one() {
    let kit = Kit::new();
    let mut request = kit.of_file("m", "a.gguf", &plain().bytes());
    request
        .files
        .insert("b.gguf".to_owned(), kit.put(&tiny::llama_spm().bytes()));
    let text = kit.refused(&request).to_string();
    assert_eq!(
        text,
        "a.gguf and b.gguf are models of their own: a model is made from one"
    );
}

#[test]
fn other_formats_are_named() {
    let kit = Kit::new();
    for name in [
        "model-00001-of-00002.safetensors",
        "pytorch_model.bin",
        "consolidated.00.pth",
    ] {
        let mut request = kit.of_file("m", name, b"whatever");
        request
            .files
            .insert("config.json".to_owned(), kit.put(b"{}"));
        let error = kit.refused(&request);
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(
            error.to_string().contains("convert_hf_to_gguf.py"),
            "{error}"
        );
    }
    let mut request = Request::new("m");
    request
        .files
        .insert("config.json".to_owned(), kit.put(b"{}"));
    assert_eq!(
        kit.refused(&request).to_string(),
        "none of the files is in GGUF format"
    );
}
