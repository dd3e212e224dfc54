//! Commands where a server listens: on its models if it has another store, on the same ones otherwise.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use llamakit_testkit::tiny;
use ollama::Store;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ollama");

fn program(home: &Path, host: &str, words: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(words).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OLLAMA_") {
            command.env_remove(name);
        }
    }
    command
        .env("OLLAMA_HOST", host)
        .env("HOME", home)
        .env("USERPROFILE", home);
    command
}

fn run(home: &Path, host: &str, words: &[&str]) -> Output {
    program(home, host, words).output().unwrap()
}

fn succeeds(home: &Path, host: &str, words: &[&str]) -> String {
    let output = run(home, host, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

struct Server(Child);

impl Server {
    fn start(home: &Path) -> (Self, String) {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = free.local_addr().unwrap().to_string();
        drop(free);
        let mut command = program(home, &host, &["serve"]);
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(&host).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        (Self(child), host)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn models(home: &Path) -> usize {
    let store = Store::open(home.join(".ollama/models")).unwrap();
    store.list().unwrap().models.len()
}

#[test]
fn a_server_with_another_store_is_asked() {
    let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_server, host) = Server::start(theirs.path());
    let (home, file) = (ours.path(), ours.path().join("Modelfile"));
    std::fs::write(home.join("tiny.gguf"), tiny::llama().bytes()).unwrap();
    std::fs::write(&file, "FROM ./tiny.gguf\nSYSTEM Be brief.\n").unwrap();
    let file = file.to_str().unwrap();
    succeeds(home, &host, &["create", "m", "-f", file]);
    // What the server has is not sent again.
    succeeds(home, &host, &["create", "again", "-f", file]);
    assert_eq!((models(theirs.path()), models(home)), (2, 0));
    assert!(
        !home.join(".ollama/models/blobs").exists(),
        "nothing is kept here"
    );
    assert_eq!(
        succeeds(home, &host, &["show", "m", "--system"]),
        "Be brief."
    );
    let shown = succeeds(home, &host, &["show", "m", "--verbose"]);
    assert!(shown.contains("general.architecture"), "{shown}");
    succeeds(home, &host, &["cp", "m", "n"]);
    succeeds(home, &host, &["rm", "again"]);
    let listed = succeeds(home, &host, &["list"]);
    assert!(
        listed.contains("m:latest") && listed.contains("n:latest"),
        "{listed}"
    );
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let missing = run(home, &host, &["show", "nothere"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("model 'nothere' not found"));
}

#[test]
fn a_server_of_the_same_store_sees_what_commands_do() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir_all(home.join(".ollama/models")).unwrap();
    let (_server, host) = Server::start(home);
    std::fs::write(home.join("tiny.gguf"), tiny::llama().bytes()).unwrap();
    std::fs::write(home.join("Modelfile"), "FROM ./tiny.gguf\n").unwrap();
    let file = home.join("Modelfile");
    succeeds(home, &host, &["create", "m", "-f", file.to_str().unwrap()]);
    assert!(succeeds(home, &host, &["list"]).contains("m:latest"));
    succeeds(home, &host, &["rm", "m"]);
    assert_eq!(models(home), 0);
}
