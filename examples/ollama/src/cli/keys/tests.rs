//! What these commands write, the server reads.

use super::*;
use crate::server::key_file::KeyFile;
use crate::server::keys::Access;

fn args(name: &str, scopes: &[Scope]) -> AddKeyArgs {
    AddKeyArgs {
        name: name.to_owned(),
        scopes: scopes.to_vec(),
        parallel: None,
        per_minute: None,
    }
}

#[test]
fn the_server_knows_keys_that_were_added() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new folder/keys");
    let asks = make(&args("asks", &[Scope::Infer]), &path).unwrap();
    let manages = AddKeyArgs {
        parallel: Some(1),
        per_minute: Some(1),
        ..args("manages@home", &[Scope::Infer, Scope::Manage])
    };
    let manages = make(&manages, &path).unwrap();
    assert!(asks.starts_with("ollama-") && asks.len() > 40 && asks != manages);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        !text.contains(&asks[10..]) && !text.contains(&manages[10..]),
        "{text}"
    );

    let keys = KeyFile::open(&path).unwrap().keys();
    let key = keys.find(&asks).unwrap();
    assert_eq!(&*key.name, "asks");
    assert!(key.may(Access::Infer) && !key.may(Access::Manage));
    let key = keys.find(&manages).unwrap();
    assert!(key.may(Access::Infer) && key.may(Access::Manage));
    let running = key.enter().unwrap();
    assert!(key.enter().is_err(), "one at a time");
    drop(running);
    assert!(key.enter().is_err(), "one a minute");

    let names = RemoveKeysArgs {
        names: vec!["asks".to_owned()],
    };
    remove(&names, &path).unwrap();
    let keys = KeyFile::open(&path).unwrap().keys();
    assert!(keys.find(&asks).is_none() && keys.find(&manages).is_some());
}

#[test]
fn what_people_wrote_into_the_file_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let line = |name: &str| format!("{name}  {}  infer", Digest::of_bytes(name.as_bytes()));
    let before = format!("# ours\r\n\r\n{} # old\r\n{}", line("a"), line("b"));
    std::fs::write(&path, &before).unwrap();
    make(&args("c", &[Scope::Manage]), &path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let added = text.strip_prefix(&before).unwrap();
    assert!(
        added.starts_with("\nc sha256:") && added.ends_with(" manage\n"),
        "{added:?}"
    );
    let names = RemoveKeysArgs {
        names: vec!["c".to_owned(), "a".to_owned()],
    };
    remove(&names, &path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("# ours\r\n\r\n{}\n", line("b")));
}

#[test]
fn mistakes_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    make(&args("a", &[Scope::Infer]), &path).unwrap();
    let before = std::fs::read(&path).unwrap();
    for name in ["a", "", "a b", "a#b", "a\nb", &"x".repeat(65)] {
        assert!(
            make(&args(name, &[Scope::Infer]), &path).is_err(),
            "{name:?}"
        );
    }
    for number in [0, 1_000_001] {
        let args = AddKeyArgs {
            parallel: Some(number),
            ..args("b", &[Scope::Infer])
        };
        assert!(
            make(&args, &path)
                .unwrap_err()
                .to_string()
                .contains("--parallel")
        );
    }
    let names = RemoveKeysArgs {
        names: vec!["a".to_owned(), "b".to_owned()],
    };
    assert_eq!(remove(&names, &path).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    // A file that can't be understood is not written over.
    std::fs::write(&path, "nonsense\n").unwrap();
    let error = make(&args("b", &[Scope::Infer]), &path).unwrap_err();
    assert!(error.to_string().contains("line 1"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"nonsense\n");
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn two_at_a_time_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    std::thread::scope(|threads| {
        for n in 0..8 {
            let path = &path;
            threads.spawn(move || make(&args(&format!("k{n}"), &[Scope::Infer]), path).unwrap());
        }
    });
    assert_eq!(keys::lines(&file::read(&path).unwrap()).unwrap().len(), 8);
}

#[cfg(unix)]
#[test]
fn nobody_else_reads_the_file() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let set =
        |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    make(&args("a", &[Scope::Infer]), &path).unwrap();
    assert_eq!(mode(), 0o600);
    set(0o644);
    make(&args("b", &[Scope::Infer]), &path).unwrap();
    assert_eq!(mode(), 0o600);
    // Somebody let the server's group read it.
    set(0o640);
    let link = dir.path().join("link");
    symlink(&path, &link).unwrap();
    make(&args("c", &[Scope::Infer]), &link).unwrap();
    assert_eq!(mode(), 0o640);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
}
