//! What nobody uses goes; what somebody uses or may still need stays.

use std::fs;
use std::io::Write;
use std::time::{Duration, SystemTime};

use ollama::Kind;

use crate::fixture::*;

fn soon() -> SystemTime {
    SystemTime::now() + Duration::from_secs(5)
}

fn two_models() -> Fixture {
    let fixture = Fixture::new();
    fixture.model(
        &format!("{LIBRARY}/a/latest"),
        SETTINGS,
        &[(MODEL, b"both"), (SYSTEM, b"only a")],
    );
    fixture.model(
        &format!("{LIBRARY}/b/latest"),
        SETTINGS,
        &[(MODEL, b"both"), (SYSTEM, b"only b")],
    );
    fixture
}

#[test]
fn removing_a_model_leaves_what_others_use() {
    let fixture = two_models();
    let store = fixture.store();
    let removed = store.remove(&name("a")).unwrap();
    assert_eq!((removed.blobs, removed.bytes, removed.left), (1, 6, None));
    assert!(store.list().unwrap().broken.is_empty());
    assert_eq!(store.remove(&name("a")).unwrap_err().kind(), Kind::NotFound);
    let removed = store.remove(&name("b")).unwrap();
    assert_eq!(removed.blobs, 3);
    assert!(fixture.files().is_empty());
}

#[test]
fn a_damaged_model_can_be_removed() {
    let fixture = two_models();
    let path = fixture.manifest_path(&format!("{LIBRARY}/a/latest"));
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    let store = fixture.store();
    assert_eq!(
        store.manifest(&name("a")).unwrap_err().kind(),
        Kind::Damaged
    );
    assert_eq!(store.remove(&name("a")).unwrap().blobs, 1);
    assert!(!path.exists());
    // One that is too long to be read.
    fixture.write_manifest(&format!("{LIBRARY}/c/latest"), &vec![b' '; 5 << 20]);
    store.remove(&name("c")).unwrap();
    assert_eq!(store.list().unwrap().models.len(), 1);
}

#[test]
fn blobs_stay_while_a_manifest_cannot_be_read() {
    let fixture = two_models();
    fixture.write_manifest(
        &format!("{LIBRARY}/broken/latest"),
        br#"{"schemaVersion":2"#,
    );
    let (store, files) = (fixture.store(), fixture.files());
    let unused = fixture.blob(b"nobody's");
    let pruned = store.prune_before(soon()).unwrap();
    assert!(pruned.skipped.unwrap().contains("broken:latest"));
    assert!(fixture.blob_path(&unused).exists());
    let removed = store.remove(&name("a")).unwrap();
    assert!(removed.left.unwrap().contains("broken:latest"));
    assert_eq!(fixture.files().len(), files.len());
    // Once it is gone, they go as well.
    store.remove(&name("broken")).unwrap();
    let pruned = store.prune_before(soon()).unwrap();
    assert_eq!((pruned.blobs, pruned.skipped), (2, None));
    assert!(store.list().unwrap().broken.is_empty());
}

#[test]
fn a_manifest_that_is_refused_still_keeps_its_blobs() {
    let fixture = two_models();
    let path = fixture.manifest_path(&format!("{LIBRARY}/a/latest"));
    let json = fs::read_to_string(&path)
        .unwrap()
        .replace("\"schemaVersion\":2", "\"schemaVersion\":1");
    fs::write(&path, json).unwrap();
    let store = fixture.store();
    assert_eq!(store.list().unwrap().broken.len(), 1);
    assert_eq!(store.prune_before(soon()).unwrap().blobs, 0);
    assert_eq!(store.remove(&name("b")).unwrap().blobs, 1);
    assert_eq!(fixture.blobs(), 3);
}

#[test]
fn pruning_takes_the_unused_and_never_partial_downloads() {
    let fixture = two_models();
    let store = fixture.store();
    let unused = fixture.blob(b"unused");
    let blobs = fixture.root().join("blobs");
    let digits = &unused[7..];
    let kept = [
        format!("sha256-{digits}-partial"),
        format!("sha256-{digits}-partial-0"),
        format!("sha256-{digits}.journal"),
        "sha256-".to_owned(),
        "README".to_owned(),
        "sha256-123x".to_owned(),
    ];
    for name in kept
        .iter()
        .map(String::as_str)
        .chain(["sha256-1234567", ".tmp-dead"])
    {
        fs::write(blobs.join(name), "x").unwrap();
    }
    let mut writer = store.writer().unwrap();
    writer.write_all(b"still written").unwrap();
    // Nothing that is young.
    let files = fixture.files();
    assert_eq!(store.prune().unwrap().blobs, 0);
    assert_eq!(fixture.files(), files);
    let pruned = store.prune_before(soon()).unwrap();
    assert_eq!((pruned.blobs, pruned.bytes), (3, 8));
    for name in &kept {
        assert!(blobs.join(name).exists(), "{name}");
    }
    for name in ["sha256-1234567", ".tmp-dead"] {
        assert!(!blobs.join(name).exists(), "{name}");
    }
    assert!(!fixture.blob_path(&unused).exists());
    let (digest, _) = writer.finish(None).unwrap();
    assert_eq!(
        fs::read(store.blob(&digest).unwrap()).unwrap(),
        b"still written"
    );
    assert!(store.list().unwrap().broken.is_empty());
}

#[test]
fn layers_of_a_replaced_model_go_when_nobody_else_has_them() {
    let fixture = two_models();
    let store = fixture.store();
    let (old, _) = store.manifest(&name("a")).unwrap();
    let new = store.manifest_bytes(&name("b")).unwrap();
    store.put_manifest_bytes(&name("a"), &new).unwrap();
    let digests: Vec<_> = old.blobs().map(|layer| layer.digest).collect();
    assert_eq!(store.remove_unused(&digests).unwrap().blobs, 1);
    assert!(store.list().unwrap().broken.is_empty());
}
