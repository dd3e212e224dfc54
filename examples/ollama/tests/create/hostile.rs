//! Requests and files that were reported to harm servers.

use llamakit::gguf::Value as Meta;
use ollama::Kind;

use super::*;

#[test]
fn names_of_files_lead_nowhere() {
    let kit = Kit::new();
    let secret = kit.folder.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let outside = secret.to_string_lossy().into_owned();
    for name in [
        "",
        "/etc/passwd",
        "../secret",
        "a/../../secret",
        "a//b",
        "./a",
        "..\\secret",
        "a\0",
        &outside,
    ] {
        let request = kit.of_file("m", name, &plain().bytes());
        let mut adapter = Request::new("m");
        adapter.from = "base".to_owned();
        adapter.adapters = request.files.clone();
        let mut draft = Request::new("m");
        draft.from = "base".to_owned();
        draft.draft_files = request.files.clone();
        for request in [request, adapter, draft] {
            let before = kit.store.list().unwrap().models.len();
            let error = kit.create(&request).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{name:?}: {error}");
            assert!(
                error.to_string().contains("file path must be relative"),
                "{error}"
            );
            assert_eq!(kit.store.list().unwrap().models.len(), before);
        }
    }
}

#[test]
fn digests_are_digests() {
    // CVE-2024-37032 and CVE-2024-39719.
    let kit = Kit::new();
    let hex = "0".repeat(64);
    for text in [
        "",
        "sha256:",
        "sha256:../../x",
        &format!("sha256:{}", &hex[1..]),
        &format!("sha256:{hex}0"),
        &format!("sha256-{hex}"),
        &format!("sha512:{hex}"),
        "/etc/passwd",
    ] {
        let mut request = Request::new("m");
        request.files.insert("0.gguf".to_owned(), text.to_owned());
        let error = kit.refused(&request);
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(
            error
                .to_string()
                .starts_with("files[\"0.gguf\"]: invalid digest"),
            "{error}"
        );
    }
    let mut request = Request::new("m");
    request
        .files
        .insert("0.gguf".to_owned(), format!("sha256:{hex}"));
    let error = kit.refused(&request);
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(
        error.to_string(),
        format!("0.gguf: blob sha256:{hex} is missing")
    );
}

#[test]
fn damaged_files_are_refused_with_their_names() {
    let kit = Kit::new();
    let whole = plain().bytes();
    let with = |key: &str, value: Meta| plain().with(key, value).bytes();
    let mut huge_keys = whole.clone();
    huge_keys[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut huge_tensors = whole.clone();
    huge_tensors[8..16].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
    let mut alignment = with("general.alignment", Meta::from(64_u32));
    let key = b"general.alignment";
    let at = alignment
        .windows(key.len())
        .position(|bytes| bytes == key)
        .unwrap();
    alignment[at + key.len() + 4..][..4].fill(0);
    // A first key whose length is near 2^63, in a file of 36 bytes (ollama #17032).
    let mut short = whole[..36].to_vec();
    short[24..32].copy_from_slice(&(i64::MAX as u64).to_le_bytes());
    for (what, bytes) in [
        // CVE-2024-39720
        ("the magic alone", b"GGUF".to_vec()),
        ("the header alone", whole[..24].to_vec()),
        // CVE-2026-7482: tensors past the end of the file
        ("half of it", whole[..whole.len() / 2].to_vec()),
        ("all but the end", whole[..whole.len() - 64].to_vec()),
        // CVE-2025-0315, CVE-2024-12055, ollama #16175
        ("keys without number", huge_keys),
        ("tensors without number", huge_tensors),
        ("a length near 2^63", short),
        // CVE-2025-0317
        ("alignment 0", alignment),
        // CVE-2024-8063
        (
            "a text for block_count",
            with("llama.block_count", Meta::from("1")),
        ),
        // CVE-2025-0312
        (
            "no block_count",
            plain().without("llama.block_count").bytes(),
        ),
        (
            "no architecture",
            plain().without("general.architecture").bytes(),
        ),
        // ollama #4393
        (
            "no vocabulary",
            plain().without("tokenizer.ggml.tokens").bytes(),
        ),
    ] {
        let error = kit.refused(&kit.of_file("m", "evil.gguf", &bytes));
        assert_eq!(error.kind(), Kind::Damaged, "{what}: {error}");
        assert!(
            error.to_string().starts_with("evil.gguf: "),
            "{what}: {error}"
        );
    }
    for bytes in [&b""[..], b"GGU", b"PK\x03\x04 zip", b"#!/bin/sh\n"] {
        let error = kit.refused(&kit.of_file("m", "evil.gguf", bytes));
        assert_eq!(
            error.to_string(),
            "evil.gguf: supplied file was not in GGUF format"
        );
    }
}

#[test]
fn damaged_adapters_and_drafts_are_refused() {
    let kit = Kit::new();
    let base = kit.base();
    let lora = tiny::lora(&base, 4, "a").bytes();
    for bytes in [&lora[..lora.len() - 32], b"GGUF", &lora[..200]] {
        let mut request = Request::new("m");
        request.from = "base".to_owned();
        request
            .adapters
            .insert("evil.gguf".to_owned(), kit.put(bytes));
        assert_eq!(kit.refused(&request).kind(), Kind::Damaged);
        request.draft_files = std::mem::take(&mut request.adapters);
        assert_eq!(kit.refused(&request).kind(), Kind::Damaged);
    }
}

#[test]
fn templates_that_would_take_for_ever_are_refused_or_left_alone() {
    let kit = Kit::new();
    kit.base();
    let mut request = Request::new("m");
    request.from = "base".to_owned();
    request.template = format!(
        "{}{}",
        "{{ if true }}".repeat(100_000),
        "{{ end }}".repeat(100_000)
    );
    assert_eq!(kit.refused(&request).kind(), Kind::Invalid);
    // lc PR #19085: a macro that calls itself.
    for template in [
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ (((((((((((((((((((((((((((((((",
    ] {
        let tiny = tiny::llama().with("tokenizer.chat_template", template);
        kit.create(&kit.of_file("t", "t.gguf", &tiny.bytes()))
            .unwrap();
        assert_eq!(kit.layers("t"), [layer("model", "")], "{template}");
    }
}

#[test]
fn a_model_with_a_damaged_manifest_can_be_made_anew() {
    let kit = Kit::new();
    kit.base();
    let manifests = kit
        .store
        .root()
        .join("manifests/registry.ollama.ai/library/base/latest");
    fs::write(&manifests, "{\"layers\": null}").unwrap();
    let mut request = Request::new("m");
    request.from = "base".to_owned();
    assert_eq!(kit.refused(&request).kind(), Kind::Damaged);
    kit.base();
    kit.create(&request).unwrap();
}

#[test]
fn settings_and_parameters_of_the_model_before_may_be_anything() {
    let kit = Kit::new();
    kit.base();
    let name = Name::parse("base").unwrap();
    let manifest = kit.manifest("base");
    let mut request = Request::new("m");
    request.from = "base".to_owned();
    request.parameters.insert("seed".to_owned(), 1.into());
    for bytes in ["[]", "{", "\"x\"", "null"] {
        let (digest, size) = kit.store.put_bytes(bytes.as_bytes()).unwrap();
        let mut evil = manifest.clone();
        evil.config = Layer::new(manifest.config.media_type.clone(), digest, size);
        kit.store.put_manifest(&name, &evil).unwrap();
        assert_eq!(kit.refused(&request).kind(), Kind::Damaged, "{bytes}");
        let mut evil = manifest.clone();
        evil.layers.push(Layer::new(
            "application/vnd.ollama.image.params",
            digest,
            size,
        ));
        kit.store.put_manifest(&name, &evil).unwrap();
        assert_eq!(kit.refused(&request).kind(), Kind::Damaged, "{bytes}");
    }
}
