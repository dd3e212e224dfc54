//! `ollama run` as a program: who answers it, and what it starts where nobody does.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use llamakit_testkit::tiny;
use ollama::Store;
use ollama::store::manifest::media;
use ollama::store::{Config, Layer, Manifest};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ollama");

fn run(home: &Path, host: &str, words: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("run").args(words).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OLLAMA_") {
            command.env_remove(name);
        }
    }
    command
        .env("OLLAMA_HOST", host)
        .env("HOME", home)
        .env("USERPROFILE", home);
    command.output().unwrap()
}

fn notes(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A port that nobody listens at.
fn free() -> String {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    format!("127.0.0.1:{port}")
}

/// Somebody who answers every request in this way.
fn stranger(reply: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            if stream.read(&mut request).unwrap() > 0 {
                stream.write_all(reply.as_bytes()).unwrap();
            }
        }
    });
    host
}

fn add(home: &Path, name: &str) {
    let store = Store::open(home.join(".ollama/models")).unwrap();
    let put = |kind: &str, bytes: &[u8]| {
        let (digest, size) = store.put_bytes(bytes).unwrap();
        Layer::new(kind, digest, size)
    };
    let weights = put(media::MODEL, &tiny::llama().bytes());
    let template = put(media::TEMPLATE, b"{{ .Prompt }}");
    let config = Config {
        model_format: "gguf".to_owned(),
        ..Config::default()
    };
    let config = put(media::CONFIG, &config.to_bytes().unwrap());
    let manifest = Manifest::new(config, vec![weights, template]);
    store
        .put_manifest(&ollama::Name::parse(name).unwrap(), &manifest)
        .unwrap();
}

/// Ends a server that was started, by the process that the note names.
struct Started(u32);

impl Started {
    fn of(notes: &str) -> Self {
        let process = notes
            .split("(process ")
            .nth(1)
            .unwrap_or_else(|| panic!("{notes}"));
        Self(process.split(')').next().unwrap().parse().unwrap())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let id = self.0.to_string();
        let _ = match cfg!(windows) {
            true => Command::new("taskkill").args(["/F", "/PID", &id]).status(),
            false => Command::new("kill").arg(&id).status(),
        };
    }
}

#[test]
fn who_listens_and_is_no_server_is_named() {
    let home = tempfile::tempdir().unwrap();
    for (reply, parts) in [
        (
            "HTTP/1.1 404 Not Found\r\nServer: nginx/1.2\r\nContent-Length: 19\r\n\r\n<html>\nlost\n</html>",
            ["no server of Ollama's API", "\"nginx/1.2\"", "\"<html>\""],
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            ["no server of Ollama's API", "no name", "\"hello\""],
        ),
        ("SSH-2.0-OpenSSH_9.6\r\n", ["speaks no HTTP", "", ""]),
    ] {
        let host = stranger(reply);
        let output = run(home.path(), &host, &["m", "Hello"]);
        assert_eq!(output.status.code(), Some(1));
        let notes = notes(&output);
        assert!(
            notes.starts_with(&format!("Error: what listens at {host} ")),
            "{notes}"
        );
        for part in parts {
            assert!(notes.contains(part), "{part}: {notes}");
        }
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn where_nobody_listens_a_server_is_started_once() {
    let home = tempfile::tempdir().unwrap();
    add(home.path(), "m");
    let host = free();
    let first = run(home.path(), &host, &["m"]);
    let said = notes(&first);
    let started = Started::of(&said);
    let log = home.path().join(".ollama/logs/server.log");
    let note = format!(
        "Started a server at {host}, log in {} (process ",
        log.display()
    );
    assert!(said.starts_with(&note), "{said}");
    let logged = std::fs::read_to_string(&log).unwrap();
    assert!(logged.contains(&format!("Listening on {host}")), "{logged}");
    // It outlives who started it.
    let second = run(home.path(), &host, &["m"]);
    assert!(!notes(&second).contains("Started"), "{}", notes(&second));
    for output in [first, second] {
        let expected = if cfg!(feature = "inference") { 0 } else { 1 };
        assert_eq!(output.status.code(), Some(expected), "{}", notes(&output));
        assert!(output.stdout.is_empty());
    }
    drop(started);
}

#[test]
fn why_a_server_cannot_be_started_is_told() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".ollama"), "in the way").unwrap();
    let output = run(home.path(), &free(), &["m", "Hello"]);
    assert_eq!(output.status.code(), Some(1));
    let said = notes(&output);
    assert!(
        said.starts_with("Error: cannot write the server's log "),
        "{said}"
    );

    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join(".ollama")).unwrap();
    std::fs::write(home.path().join(".ollama/models"), "in the way").unwrap();
    let output = run(home.path(), &free(), &["m", "Hello"]);
    assert_eq!(output.status.code(), Some(1));
    let said = notes(&output);
    assert!(
        said.starts_with("Error: the server that was started fails: "),
        "{said}"
    );
    assert!(said.contains("server.log"), "{said}");
    assert_eq!(said.matches("Error: ").count(), 1, "{said}");
}

#[test]
fn elsewhere_no_server_is_started() {
    let home = tempfile::tempdir().unwrap();
    // An address that no packet reaches.
    let output = run(home.path(), "0.0.0.0:1", &["m", "Hello"]);
    assert_eq!(output.status.code(), Some(1));
    let said = notes(&output);
    assert!(
        said.starts_with("Error: no server answers at 127.0.0.1:1: "),
        "{said}"
    );
    assert!(!home.path().join(".ollama/logs").exists());
}

#[test]
fn what_is_typed_wrong_is_told_before_anything_is_done() {
    let home = tempfile::tempdir().unwrap();
    for (words, part) in [
        (
            &["m", "--think=much", "Hello"][..],
            "invalid value for --think",
        ),
        (&["m", "--format", "xml", "Hello"], "invalid format"),
        (&["m", "-o", "foo=1", "Hello"], "unknown parameter 'foo'"),
        (&["no*name", "Hello"], "name"),
    ] {
        let output = run(home.path(), &free(), words);
        assert_eq!(output.status.code(), Some(1));
        let said = notes(&output);
        assert!(said.starts_with("Error: ") && said.contains(part), "{said}");
        assert!(!home.path().join(".ollama").exists(), "{said}");
    }
}
