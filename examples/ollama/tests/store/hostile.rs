//! What was used against Ollama's store, and must come to nothing: no path out of the store, no
//! deletion but of its own blobs, no crash, and never an end for the other models.

use std::fs;

use ollama::show::Info;
use ollama::store::Manifest;
use ollama::{Digest, Kind};

use crate::fixture::*;

const GOOD: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const MEDIA: [&str; 9] = [
    MODEL, TEMPLATE, SYSTEM, PARAMS, LICENSE, MESSAGES, PROJECTOR, ADAPTER, CONFIG,
];

fn layer(media: &str, digest: &str, size: &str) -> String {
    format!(r#"{{"mediaType":"{media}","digest":"{digest}","size":{size}}}"#)
}

fn manifest(config: &str, layers: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{config},"layers":{layers}}}"#
    )
}

/// A store with one good model and, under `evil:latest`, this.
fn with_evil(json: &[u8]) -> Fixture {
    let fixture = Fixture::new();
    fixture.model(
        &format!("{LIBRARY}/good/latest"),
        SETTINGS,
        &[(MODEL, b"weights")],
    );
    fixture.write_manifest(&format!("{LIBRARY}/evil/latest"), json);
    fixture
}

fn refused(json: &[u8]) {
    let shown = String::from_utf8_lossy(&json[..json.len().min(300)]).into_owned();
    assert_eq!(
        Manifest::parse(json).unwrap_err().kind(),
        Kind::Damaged,
        "{shown}"
    );
    let fixture = with_evil(json);
    let store = fixture.store();
    let listing = store.list().unwrap();
    assert_eq!(listing.models.len(), 1, "{shown}");
    assert_eq!(listing.broken[0].what, "evil:latest", "{shown}");
    let root = fixture.root().display().to_string();
    for error in [
        listing.broken[0].error.clone(),
        store.manifest(&name("evil")).unwrap_err(),
        store.model(&name("evil")).unwrap_err(),
        Info::read(&store, &name("evil")).unwrap_err(),
        store.copy(&name("evil"), &name("x")).unwrap_err(),
        store.put_manifest_bytes(&name("x"), json).unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Damaged, "{shown}");
        assert!(!error.to_string().contains(&root), "{error}");
        assert!(error.to_string().len() < 1000, "{error}");
    }
    store.prune().unwrap();
    store.remove(&name("evil")).unwrap();
    assert!(store.list().unwrap().broken.is_empty());
    store.model(&name("good")).unwrap();
}

// CVE-2024-37032, CVE-2026-7020: a digest that is none, in every kind of layer.
#[test]
fn digests_lead_nowhere() {
    let hex = &GOOD[7..];
    let digests = [
        "sha256:../../x".to_owned(),
        "sha256-../../x".to_owned(),
        "../../../../etc/passwd".to_owned(),
        format!("sha256:{}", &hex[1..]),
        format!("sha256:{hex}0"),
        format!("sha256:{hex}/../../x"),
        format!("sha256:{}", hex.to_uppercase()),
        format!("sha256-{hex}"),
        String::new(),
    ];
    for digest in &digests {
        for media in MEDIA {
            let (evil, good) = (layer(media, digest, "1"), layer(media, GOOD, "0"));
            refused(manifest(&good, &format!("[{good},{evil}]")).as_bytes());
            refused(manifest(&evil, &format!("[{good}]")).as_bytes());
        }
    }
}

// CVE-2025-1975 and #7802: manifests that lack what readers take for granted.
#[test]
fn manifests_are_refused_whole() {
    let good = layer(MODEL, GOOD, "0");
    let layers = format!("[{good}]");
    let many = vec![good.as_str(); 16_385].join(",");
    let big = format!("{}{}", manifest(&good, &layers), " ".repeat(4 << 20));
    let whole = manifest(&good, &layers);
    let utf16: Vec<u8> = whole.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for json in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "\"sha256\"".to_owned(),
        "\0".to_owned(),
        manifest(&good, "[]"),
        manifest(&good, "null"),
        manifest(&good, "{}"),
        manifest(&good, "[null]"),
        manifest(&good, "[[]]"),
        manifest(&good, "[{}]"),
        manifest("null", &layers),
        manifest("{}", &layers),
        manifest("[]", &layers),
        manifest(r#"{"mediaType":"x","digest":"","size":0}"#, &layers),
        whole.replace("\"schemaVersion\":2,", ""),
        whole.replace("\"schemaVersion\":2", "\"schemaVersion\":1"),
        whole.replace("\"schemaVersion\":2", "\"schemaVersion\":-2"),
        whole.replace("\"schemaVersion\":2", "\"schemaVersion\":\"2\""),
        whole.replace("\"schemaVersion\":2", "\"schemaVersion\":null"),
        whole.replacen(
            "\"mediaType\":\"application",
            "\"mediaType\":7,\"m\":\"application",
            1,
        ),
        manifest(&good, &format!("[{}]", layer(MODEL, GOOD, "-1"))),
        manifest(&good, &format!("[{}]", layer(MODEL, GOOD, "0.5"))),
        manifest(&good, &format!("[{}]", layer(MODEL, GOOD, "\"0\""))),
        manifest(&good, &format!("[{}]", layer(MODEL, GOOD, "null"))),
        manifest(&good, &format!("[{}]", layer(MODEL, GOOD, "1e30"))),
        manifest(
            &good,
            &format!("[{}]", layer(MODEL, GOOD, "18446744073709551616")),
        ),
        manifest(&layer(MODEL, GOOD, "18446744073709551615"), &layers),
        manifest(
            &layer(MODEL, GOOD, "9223372036854775808"),
            &format!("[{}]", layer(MODEL, GOOD, "9223372036854775808")),
        ),
        // The same blob in two sizes.
        manifest(&good, &format!("[{}]", layer(MODEL, GOOD, "7"))),
        manifest(&good, &format!("[{}]", layer("", GOOD, "0"))),
        manifest(
            &good,
            &format!("[{}]", good.replace("\"size\"", "\"Size\"")),
        ),
        manifest(&good, &format!("[{}]", good.replace("{", "{\"size\":1,"))),
        manifest(&good, &format!("[{many}]")),
        whole.replace(
            "\"layers\"",
            &format!("\"x\":{}{},\"layers\"", "[".repeat(5000), "]".repeat(5000)),
        ),
        format!("{whole} x"),
        whole[..whole.len() - 1].to_owned(),
        big,
    ] {
        refused(json.as_bytes());
    }
    refused(&utf16);
    refused(b"{\"schemaVersion\":2,\"mediaType\":\"\xff\"}");
    // Two sizes whose sum is none.
    let other = Digest::of_bytes(b"other").to_string();
    let half = (1_u64 << 62).to_string();
    let sum = manifest(
        &layer(CONFIG, GOOD, &half),
        &format!("[{}]", layer(MODEL, &other, &half)),
    );
    refused(sum.as_bytes());
}

// CVE-2025-44779: nothing outside the store is ever deleted.
#[test]
fn removing_reaches_nothing_outside() {
    let fixture = Fixture::new();
    let victim = fixture.outside().join("victim");
    fs::write(&victim, "precious").unwrap();
    let evil = layer(MODEL, "sha256:../../../victim", "8");
    let good = layer(CONFIG, GOOD, "0");
    fixture.blob(b"");
    fixture.write_manifest(
        &format!("{LIBRARY}/evil/latest"),
        manifest(&good, &format!("[{evil}]")).as_bytes(),
    );
    let store = fixture.store();
    store.remove(&name("evil")).unwrap();
    store.prune().unwrap();
    assert!(victim.exists());
    for text in [
        "../../victim",
        "../victim:latest",
        "x/../../victim",
        "..:..",
        "m:../../../victim",
    ] {
        assert!(ollama::Name::parse(text).is_err(), "{text}");
    }
}

// A blob that is a link, as users make them to another disk: the link goes, not what it leads to.
#[cfg(unix)]
#[test]
fn a_linked_blob_is_only_unlinked() {
    let fixture = Fixture::new();
    let victim = fixture.outside().join("elsewhere");
    fs::write(&victim, "weights").unwrap();
    fixture.model(
        &format!("{LIBRARY}/m/latest"),
        SETTINGS,
        &[(MODEL, b"weights")],
    );
    let blob = fixture.blob_path(&Digest::of_bytes(b"weights").to_string());
    fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink(&victim, &blob).unwrap();
    let store = fixture.store();
    assert!(store.list().unwrap().broken.is_empty());
    store.remove(&name("m")).unwrap();
    assert!(victim.exists() && !blob.exists());
}

#[test]
fn what_is_no_manifest_is_named_and_stops_nothing() {
    let fixture = with_evil(b"junk");
    let manifests = fixture.root().join("manifests");
    for place in [
        "file",
        "registry.ollama.ai/file",
        "registry.ollama.ai/library/file",
        "registry.ollama.ai/library/good/-x",
        "registry.ollama.ai/library/good/a b",
        "registry.ollama.ai/n.s/m/latest",
        "registry.ollama.ai/library/deep/er/and/deeper",
    ] {
        fixture.write_manifest(place, b"{}");
    }
    // What desktops leave is nothing to report.
    fs::write(manifests.join(".DS_Store"), "x").unwrap();
    fixture.write_manifest("registry.ollama.ai/library/good/.DS_Store", b"x");
    let listing = fixture.store().list().unwrap();
    assert_eq!(listing.models.len(), 1);
    let mut broken: Vec<&str> = listing.broken.iter().map(|one| one.what.as_str()).collect();
    broken.sort_unstable();
    assert_eq!(
        broken,
        [
            "evil:latest",
            "file",
            "registry.ollama.ai/file",
            "registry.ollama.ai/library/deep/er",
            "registry.ollama.ai/library/file",
            "registry.ollama.ai/library/good/-x",
            "registry.ollama.ai/library/good/a b",
            "registry.ollama.ai/n.s/m/latest",
        ]
    );
}

#[test]
fn damaged_blobs_are_named_and_stop_nothing() {
    let fixture = Fixture::new();
    for (model, weights) in [
        ("whole", "1"),
        ("missing", "22"),
        ("short", "333"),
        ("folder", "4444"),
    ] {
        fixture.model(
            &format!("{LIBRARY}/{model}/latest"),
            SETTINGS,
            &[(MODEL, weights.as_bytes())],
        );
    }
    let path = |weights: &str| fixture.blob_path(&Digest::of_bytes(weights.as_bytes()).to_string());
    fs::remove_file(path("22")).unwrap();
    fs::write(path("333"), "3").unwrap();
    fs::remove_file(path("4444")).unwrap();
    fs::create_dir(path("4444")).unwrap();
    let store = fixture.store();
    let listing = store.list().unwrap();
    assert_eq!(listing.models.len(), 4);
    let mut broken: Vec<String> = listing
        .broken
        .iter()
        .map(|one| format!("{}: {}", one.what, one.error))
        .collect();
    broken.sort();
    let digest = |weights: &str| Digest::of_bytes(weights.as_bytes());
    assert_eq!(
        broken,
        [
            format!(
                "folder:latest: blob {} is not a regular file",
                digest("4444")
            ),
            format!("missing:latest: blob {} is missing", digest("22")),
            format!(
                "short:latest: blob {} has 1 bytes instead of 3",
                digest("333")
            ),
        ]
    );
    store.model(&name("whole")).unwrap();
    for model in ["missing", "short", "folder"] {
        let error = store.model(&name(model)).unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged);
        assert!(error.to_string().contains("sha256:"), "{error}");
        assert!(!error.to_string().contains("/models"), "{error}");
    }
}

// CVE-2024-39720, CVE-2024-12055, CVE-2025-0312, CVE-2025-0315, CVE-2025-0317, CVE-2024-8063, #17032,
// #16175, #4393: headers that crashed readers or made them take all memory.
#[test]
fn hostile_weights_are_named_and_stop_nothing() {
    let head = |tensors: u64, keys: u64| {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(keys.to_le_bytes());
        bytes
    };
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    let key = |name: &str, kind: u32, value: &[u8]| {
        let mut bytes = head(0, 1);
        text(&mut bytes, name);
        bytes.extend(kind.to_le_bytes());
        bytes.extend(value);
        bytes
    };
    let mut long = head(0, 1);
    long.extend((i64::MAX as u64).to_le_bytes());
    long.extend([0; 4]);
    let mut past = head(1, 0);
    text(&mut past, "w");
    past.extend(1_u32.to_le_bytes());
    past.extend((1_u64 << 40).to_le_bytes());
    past.extend([0; 12]);
    let evil = [
        b"GGUF".to_vec(),
        Vec::new(),
        b"not a model".to_vec(),
        head(0, u64::MAX),
        head(u64::MAX, 0),
        head(1 << 60, 1 << 60),
        long,
        past,
        key("general.alignment", 4, &0_u32.to_le_bytes()),
        key(
            "x",
            9,
            &[8, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ),
        key("x", 99, &[0; 8]),
    ];
    let strange = [
        head(0, 0),
        key("general.architecture", 4, &7_u32.to_le_bytes()),
        key("tokenizer.chat_template", 4, &7_u32.to_le_bytes()),
        key("general.file_type", 8, &[1, 0, 0, 0, 0, 0, 0, 0, b'x']),
    ];
    let fixture = Fixture::new();
    for (n, bytes) in evil.iter().chain(&strange).enumerate() {
        fixture.model(&format!("{LIBRARY}/evil/{n}"), SETTINGS, &[(MODEL, bytes)]);
    }
    let store = fixture.store();
    let listing = store.list().unwrap();
    assert_eq!(
        (listing.models.len(), listing.broken.len()),
        (evil.len() + strange.len(), 0)
    );
    for n in 0..evil.len() {
        let error = Info::read(&store, &name(&format!("evil:{n}"))).unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{n}");
        let error = error.to_string();
        assert!(error.contains("sha256:"), "{n}: {error}");
        assert!(
            !error.contains(&fixture.root().display().to_string()),
            "{n}: {error}"
        );
    }
    for n in evil.len()..evil.len() + strange.len() {
        Info::read(&store, &name(&format!("evil:{n}"))).unwrap();
    }
}

#[test]
fn hostile_small_layers_are_named() {
    for (media, bytes) in [
        (PARAMS, &b"[]"[..]),
        (PARAMS, b"{"),
        (MESSAGES, b"{}"),
        (MESSAGES, b"[{}]"),
        (SYSTEM, b"\xff\xfe"),
        (TEMPLATE, b"\xff"),
    ] {
        let fixture = Fixture::new();
        fixture.model(
            &format!("{LIBRARY}/m/latest"),
            SETTINGS,
            &[(MODEL, b"w"), (media, bytes)],
        );
        let error = fixture.store().model(&name("m")).unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged);
        assert!(
            error
                .to_string()
                .contains(&Digest::of_bytes(bytes).to_string()),
            "{error}"
        );
    }
    for settings in ["", "[]", "{\"model_format\":7}", "{\"model_families\":{}}"] {
        let fixture = Fixture::new();
        fixture.model(&format!("{LIBRARY}/m/latest"), settings, &[(MODEL, b"w")]);
        let error = fixture.store().model(&name("m")).unwrap_err();
        assert!(error.to_string().contains("config"), "{error}");
        assert_eq!(fixture.store().list().unwrap().models.len(), 1);
    }
}
