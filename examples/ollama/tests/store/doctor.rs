//! What `ollama doctor` finds.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::fixture::*;

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn doctor_at(host: &str, fixture: &Fixture, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ollama"))
        .arg("doctor")
        .args(words)
        .env_clear()
        .env("HOME", fixture.outside())
        .env("OLLAMA_MODELS", fixture.root())
        .env("OLLAMA_HOST", host)
        .output()
        .unwrap()
}

fn doctor(fixture: &Fixture, words: &[&str]) -> (i32, Value) {
    let words = [words, &["--json"]].concat();
    let output = doctor_at(&nobody(), fixture, &words);
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code().unwrap(), json)
}

fn problems(report: &Value) -> Vec<&str> {
    let problems = report["problems"].as_array().unwrap().iter();
    problems.map(|problem| problem.as_str().unwrap()).collect()
}

#[test]
fn a_store_that_is_not_there_is_no_problem() {
    let fixture = Fixture::new();
    std::fs::remove_dir_all(fixture.root()).unwrap();
    let (code, report) = doctor(&fixture, &["--verify"]);
    assert_eq!((code, problems(&report)), (0, vec![]));
    assert_eq!(report["store"]["exists"], false);
    assert_eq!(report["server"]["state"], "none");
    assert!(report["machine"]["memory_budget"].as_u64().unwrap() > 1 << 20);
    assert!(report["machine"]["cpus"].as_u64().unwrap() > 0);
    assert!(!fixture.root().exists(), "it was not made either");
    std::fs::write(fixture.root(), "a file").unwrap();
    let (code, report) = doctor(&fixture, &[]);
    assert_eq!(code, 1);
    assert!(problems(&report)[0].contains("not a directory"), "{report}");
}

#[test]
fn what_is_wrong_with_the_store_is_named() {
    let fixture = Fixture::new();
    fixture.model(
        &format!("{LIBRARY}/whole/latest"),
        SETTINGS,
        &[(LICENSE, b"l")],
    );
    fixture.model(
        &format!("{LIBRARY}/holey/latest"),
        SETTINGS,
        &[(SYSTEM, b"gone")],
    );
    let gone = ollama::Digest::of_bytes(b"gone");
    std::fs::remove_file(fixture.blob_path(&gone.to_string())).unwrap();
    let (code, report) = doctor(&fixture, &[]);
    assert_eq!(code, 1);
    let found = problems(&report);
    assert_eq!(found, [format!("holey:latest: blob {gone} is missing")]);

    fixture.write_manifest(&format!("{LIBRARY}/broken/latest"), b"{");
    let (_, report) = doctor(&fixture, &[]);
    assert_eq!(problems(&report).len(), 2, "{report}");
    let warning = report["warnings"].to_string();
    assert!(
        warning.contains("nothing is pruned while broken:latest"),
        "{warning}"
    );
    assert_eq!(report["store"]["models"], 2);
}

#[test]
fn what_nobody_needs_is_counted() {
    let fixture = Fixture::new();
    fixture.model(&format!("{LIBRARY}/m/latest"), SETTINGS, &[(LICENSE, b"l")]);
    fixture.blob(b"12345");
    let half = ollama::Digest::of_bytes(b"half").file_name();
    let foreign = ollama::Digest::of_bytes(b"foreign").file_name();
    let blobs = fixture.root().join("blobs");
    std::fs::write(blobs.join(format!("{foreign}-partial")), vec![0; 5000]).unwrap();
    for (part, completed) in [(0, 700), (1, 300)] {
        let note = json!({"N": part, "Offset": part * 2500, "Size": 2500, "Completed": completed});
        let path = blobs.join(format!("{foreign}-partial-{part}"));
        std::fs::write(path, note.to_string()).unwrap();
    }
    let partial = fixture.root().join("partial");
    std::fs::create_dir(&partial).unwrap();
    let journal = "partial 1 3000000 1048576 \n00000000 0123456789abcdef\n";
    std::fs::write(partial.join(format!("{half}.journal")), journal).unwrap();
    std::fs::write(partial.join(&half), b"").unwrap();
    let (code, report) = doctor(&fixture, &[]);
    assert_eq!((code, problems(&report)), (0, vec![]));
    let store = &report["store"];
    assert_eq!(
        (&store["unused_blobs"], &store["unused_bytes"]),
        (&json!(1), &json!(5))
    );
    assert_eq!(
        store["partial_downloads"],
        json!([
            {"name": half, "completed": 1_048_576, "total": 3_000_000, "of": "this program"},
            {"name": foreign, "completed": 1000, "total": 5000, "of": "the original Ollama"},
        ])
    );
    // They are no models, and `list` shows nothing of them.
    let list = Command::new(env!("CARGO_BIN_EXE_ollama"))
        .arg("list")
        .env_clear()
        .env("OLLAMA_HOST", nobody())
        .env("OLLAMA_MODELS", fixture.root())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(list.stdout).unwrap().lines().count(), 2);
}

#[test]
fn only_reading_finds_bytes_that_changed() {
    let fixture = Fixture::new();
    fixture.model(
        &format!("{LIBRARY}/m/latest"),
        SETTINGS,
        &[(LICENSE, b"license")],
    );
    let digest = ollama::Digest::of_bytes(b"license");
    let (code, report) = doctor(&fixture, &["--verify"]);
    assert_eq!((code, &report["store"]["verified"]), (0, &json!(2)));
    std::fs::write(fixture.blob_path(&digest.to_string()), b"licensE").unwrap();
    assert_eq!(doctor(&fixture, &[]).0, 0);
    let (code, report) = doctor(&fixture, &["--verify"]);
    assert_eq!(code, 1);
    let found = problems(&report);
    assert!(
        found.len() == 1 && found[0].starts_with(&format!("blob {digest}: digest mismatch")),
        "{found:?}"
    );
}

#[test]
fn people_get_text_without_control_characters() {
    let fixture = Fixture::new();
    fixture.model(&format!("{LIBRARY}/m/latest"), SETTINGS, &[(LICENSE, b"l")]);
    let output = doctor_at(&nobody(), &fixture, &["--verify"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "Program\n",
        "Machine\n",
        "  models            1\n",
        "nobody listens",
        "OLLAMA_HOST=127.0.0.1:",
        "Nothing is broken.",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        !text.contains(|c: char| c.is_control() && c != '\n'),
        "{text}"
    );
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !said.contains(|c: char| c.is_control() && c != '\n'),
        "{said}"
    );
}

#[test]
fn wrong_settings_are_found() {
    let fixture = Fixture::new();
    let keys = fixture.outside().join("keys");
    std::fs::write(&keys, "someone sha256:12 infer\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ollama"))
        .args(["doctor", "--json"])
        .env_clear()
        .env("HOME", fixture.outside())
        .env("OLLAMA_HOST", nobody())
        .env("OLLAMA_API_KEYS", &keys)
        .env("OLLAMA_KEEPALIVE", "5m")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        problems(&report)[0].contains("line 1: the hash must be"),
        "{report}"
    );
    assert!(
        report["warnings"]
            .to_string()
            .contains("OLLAMA_KEEPALIVE is set, which means nothing"),
        "{report}"
    );
}

/// Answers every connection; gives its address.
fn server(answer: fn(&str) -> String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let _ = reader.read_line(&mut line);
            while reader
                .read_line(&mut String::new())
                .is_ok_and(|read| read > 2)
            {}
            let _ = stream.write_all(answer(line.split(' ').nth(1).unwrap_or("")).as_bytes());
        }
    });
    address
}

fn http(body: &str) -> String {
    http_with("Server: other", body)
}

fn http_with(header: &str, body: &str) -> String {
    let kind = match body.starts_with('{') {
        true => "application/json",
        false => "text/html",
    };
    let head = format!("HTTP/1.1 200 OK\r\n{header}\r\nContent-Type: {kind}\r\nConnection: close");
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn who_listens_is_told() {
    let fixture = Fixture::new();
    for (answer, state, code) in [
        (
            (|path: &str| match path {
                "/api/version" => http_with("X-Request-Id: req_1", r#"{"version":"0.33.0"}"#),
                _ => http(r#"{"models":[{"name":"m:latest"}]}"#),
            }) as fn(&str) -> String,
            "ours",
            0,
        ),
        (
            |path: &str| match path {
                "/api/version" => http(r#"{"version":"0.33.1"}"#),
                _ => http(r#"{"models":[]}"#),
            },
            "other",
            0,
        ),
        (|_: &str| http("<html>a page</html>"), "unknown", 1),
        (|_: &str| "SSH-2.0-OpenSSH_9.9\r\n".to_owned(), "unknown", 1),
        (
            |_: &str| loop {
                std::thread::park()
            },
            "unknown",
            1,
        ),
    ] {
        let output = doctor_at(&server(answer), &fixture, &["--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["server"]["state"], state, "{report}");
        assert_eq!(output.status.code(), Some(code), "{report}");
        if state == "ours" {
            assert_eq!(report["server"]["loaded"], json!(["m:latest"]));
        }
    }
}
