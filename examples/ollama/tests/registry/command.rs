//! The program itself: what it prints, and that it goes on after it was killed.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use ollama::{Digest, Store};

use crate::models::{Fault, MIB, noise, registry, shelf};

/// A home for one test.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The program with this home and nothing else of the environment that could matter.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ollama"));
        command
            .args(args)
            .env_clear()
            // No server listens there, whatever this machine runs.
            .env("OLLAMA_HOST", "127.0.0.1:1")
            .env("HOME", self.0.path())
            .env("USERPROFILE", self.0.path());
        for kept in ["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "SystemRoot"] {
            command.envs(std::env::var_os(kept).map(|value| (kept, value)));
        }
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(self.0.path().join(".ollama/models")).unwrap()
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// All files, relative to the home.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut dirs = vec![self.0.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => dirs.push(path),
                    false => files.push(
                        path.strip_prefix(self.0.path())
                            .unwrap()
                            .to_str()
                            .unwrap()
                            .to_owned(),
                    ),
                }
            }
        }
        files.sort();
        files
    }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_killed_pull_goes_on_where_it_was() {
    const LENGTH: usize = 48 * MIB + 3;
    let weights = noise(LENGTH, 11);
    let shelf = shelf("library/m:latest", &[&weights]);
    {
        let mut shelf = shelf.lock().unwrap();
        shelf.pause = Duration::from_millis(2);
        shelf.faults = (0..8).map(|n| Fault::Cut(MIB * 2 + n * 777)).collect();
    }
    let server = registry(&shelf);
    let home = Home::new();
    let name = format!("{}/library/m", server.address);
    for part in [1, 2] {
        let mut child = home
            .command(&["pull", "--insecure", &name])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while server.sent() < (part * LENGTH / 3) as u64 {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::sleep(Duration::from_millis(1));
        }
        // SIGKILL: nothing is told to the process.
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = home
        .command(&["pull", "--insecure", &name])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    home.store().verify(&Digest::of_bytes(&weights)).unwrap();
    let most = (LENGTH + 10 * 8 * MIB) as u64;
    assert!(
        server.sent() <= most,
        "{} bytes were sent, {most} are enough",
        server.sent()
    );
}

#[test]
fn two_processes_share_one_download() {
    let weights = noise(24 * MIB, 12);
    let shelf = shelf("library/m:latest", &[&weights]);
    shelf.lock().unwrap().pause = Duration::from_millis(1);
    let server = registry(&shelf);
    let home = Home::new();
    let name = format!("{}/library/m", server.address);
    let start = || {
        home.command(&["pull", "--insecure", &name])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (first, second) = (start(), start());
    for child in [first, second] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).ends_with("success\n"));
    }
    assert!(
        server.sent() < (weights.len() + MIB) as u64,
        "{}",
        server.sent()
    );
}

#[test]
fn who_waits_takes_over_from_who_was_killed() {
    let weights = noise(24 * MIB, 13);
    let shelf = shelf("library/m:latest", &[&weights]);
    shelf.lock().unwrap().pause = Duration::from_millis(2);
    let server = registry(&shelf);
    let home = Home::new();
    let name = format!("{}/library/m", server.address);
    let start = || {
        home.command(&["pull", "--insecure", &name])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut first = start();
    while server.sent() < 4 * MIB as u64 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let second = start();
    while server.sent() < 8 * MIB as u64 {
        std::thread::sleep(Duration::from_millis(1));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let output = second.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    home.store().verify(&Digest::of_bytes(&weights)).unwrap();
}

#[test]
fn without_a_terminal_there_are_plain_lines() {
    let weights = noise(3 * MIB, 14);
    let server = registry(&shelf("library/m:latest", &[&weights]));
    let home = Home::new();
    let name = format!("{}/library/m", server.address);
    let output = home
        .command(&["pull", "--insecure", &name])
        .output()
        .unwrap();
    let text = stderr(&output);
    let blob = format!(
        "pulling {}: 100% of 3.1 MB\n",
        Digest::of_bytes(&weights).short()
    );
    assert!(
        text.starts_with("pulling manifest\n") && text.contains(&blob),
        "{text}"
    );
    assert!(
        text.ends_with("verifying sha256 digest\nwriting manifest\nsuccess\n"),
        "{text}"
    );
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
    assert!(output.stdout.is_empty());

    let output = home
        .command(&[
            "pull",
            "--offline",
            &format!("{}/library/other", server.address),
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).starts_with("Error: offline"),
        "{}",
        stderr(&output)
    );
    let output = home
        .command(&[
            "pull",
            "--insecure",
            &format!("{}/library/other", server.address),
        ])
        .output()
        .unwrap();
    assert!(
        stderr(&output).ends_with("Error: pull model manifest: file does not exist\n"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_model_travels_as_a_file() {
    let weights = noise(3 * MIB, 15);
    let server = registry(&shelf("library/m:latest", &[&weights]));
    let (home, other) = (Home::new(), Home::new());
    let name = format!("{}/library/m", server.address);
    assert!(
        home.command(&["pull", "--insecure", &name])
            .status()
            .unwrap()
            .success()
    );
    let file = home.path("m.tar");
    let path = file.to_str().unwrap();
    let output = home.command(&["export", &name, path]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let output = other
        .command(&["import", "--offline", path])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("{name}:latest\n")
    );
    let (a, b) = (home.store().list().unwrap(), other.store().list().unwrap());
    assert_eq!(
        (a.models[0].digest, &a.models[0].name),
        (b.models[0].digest, &b.models[0].name)
    );
    other.store().verify(&Digest::of_bytes(&weights)).unwrap();

    let output = other
        .command(&["import", path, "renamed"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "renamed:latest\n"
    );
    // By way of pipes.
    let mut exported = home
        .command(&["export", &name, "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = other
        .command(&["import", "-", "piped"])
        .stdin(exported.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(
        output.status.success() && exported.wait().unwrap().success(),
        "{}",
        stderr(&output)
    );
    assert_eq!(other.store().list().unwrap().models.len(), 3);
    let missing = home.command(&["export", "nothing", path]).output().unwrap();
    assert!(
        stderr(&missing).contains("not found"),
        "{}",
        stderr(&missing)
    );
    assert!(file.exists(), "what is there stays when the export fails");
}

#[test]
fn proxies_of_the_environment_are_used() {
    let shelf = shelf("library/m:latest", &[b"weights"]);
    let proxy = registry(&shelf);
    let home = Home::new();
    let name = "registry.invalid/library/m";
    let pull = || home.command(&["pull", "--insecure", name]);
    let output = pull().env("http_proxy", proxy.url("/")).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        proxy
            .log()
            .iter()
            .all(|request| request.header("host") == "registry.invalid")
    );
    let before = proxy.connections();
    let direct = pull()
        .env("http_proxy", proxy.url("/"))
        .env("no_proxy", "registry.invalid")
        .output()
        .unwrap();
    assert!(!direct.status.success());
    assert_eq!(proxy.connections(), before);
}
