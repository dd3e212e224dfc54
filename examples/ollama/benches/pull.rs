//! Pulls 256 MB from a registry on this machine: with faults, and as fast as it goes beside curl and sha256sum.
//!
//!     cargo bench --package ollama --bench pull

#![allow(clippy::print_stdout, reason = "it prints what it measured")]
#![allow(dead_code, reason = "the tests use more of the server")]
#![allow(
    clippy::unwrap_used,
    reason = "a measurement that fails shall say where"
)]

#[path = "../tests/registry/models.rs"]
mod models;
#[path = "../tests/registry/server.rs"]
mod server;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use models::{Fault, MIB, noise, registry, shelf};
use ollama::{Digest, Store};

const LENGTH: usize = 256_000_000;
const CHUNK: usize = 8 * MIB;
const FAULTS: usize = 8;
const KILLS: usize = 2;
const ROUNDS: usize = 5;
const BAR: f64 = 0.8;

fn main() {
    let weights = noise(LENGTH, 1);
    let faults = with_faults(&weights);
    let speed = speed(&weights);
    assert!(faults && speed, "a bar is missed");
}

fn pull(home: &Path, name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ollama"));
    command
        .args(["pull", "--insecure", name])
        .env("OLLAMA_HOST", "127.0.0.1:1")
        .env("HOME", home)
        .env("USERPROFILE", home);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// Eight connections cut and two processes killed: the digest, and how many bytes were sent.
fn with_faults(weights: &[u8]) -> bool {
    let shelf = shelf("library/m:latest", &[weights]);
    {
        let mut shelf = shelf.lock().unwrap();
        let cuts = [
            Fault::Cut(1),
            Fault::Cut(3 * MIB),
            Fault::Cut(CHUNK - 1),
            Fault::Status(500),
        ];
        shelf.faults = cuts.iter().cycle().take(FAULTS).cloned().collect();
        shelf.pause = Duration::from_millis(1);
    }
    let server = registry(&shelf);
    let name = format!("{}/library/m", server.address);
    let home = tempfile::tempdir().unwrap();
    for part in 1..=KILLS {
        let mut child = pull(home.path(), &name).spawn().unwrap();
        while server.sent() < (part * LENGTH / (KILLS + 1)) as u64 {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let ended = pull(home.path(), &name).status().unwrap().success();
    let store = Store::open(home.path().join(".ollama/models")).unwrap();
    let right = ended && store.verify(&Digest::of_bytes(weights)).is_ok();
    let left = shelf.lock().unwrap().faults.len();
    let most = LENGTH + (FAULTS + KILLS) * CHUNK;
    let sent = server.sent();
    println!(
        "{LENGTH} bytes, {} faults, {KILLS} kill -9: digest {}; {sent} bytes sent, {} more than the blob \
         (allowed {})",
        FAULTS - left,
        if right { "right" } else { "WRONG" },
        sent.saturating_sub(LENGTH as u64),
        most - LENGTH,
    );
    right && left == 0 && sent <= most as u64
}

/// The median of both, in turn.
fn speed(weights: &[u8]) -> bool {
    let server = registry(&shelf("library/m:latest", &[weights]));
    let name = format!("{}/library/m", server.address);
    let digest = Digest::of_bytes(weights);
    let url = server.url(&format!("/v2/library/m/blobs/{digest}"));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let home = tempfile::tempdir().unwrap();
        let start = Instant::now();
        assert!(pull(home.path(), &name).status().unwrap().success());
        let pulled = start.elapsed();
        let start = Instant::now();
        let curl = Command::new("sh")
            .args(["-c", &format!("curl -s '{url}' | sha256sum")])
            .output()
            .unwrap();
        let curled = start.elapsed();
        assert!(
            String::from_utf8_lossy(&curl.stdout).starts_with(&digest.hex()),
            "is curl installed?"
        );
        // The first round warms up.
        if round > 0 {
            ours.push(pulled);
            theirs.push(curled);
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    let rate = |time: Duration| LENGTH as f64 / 1e6 / time.as_secs_f64();
    println!(
        "pull, stored and verified: {:.0} MB/s; curl | sha256sum: {:.0} MB/s; {ratio:.2} of it (at least {BAR})",
        rate(ours),
        rate(theirs),
    );
    ratio >= BAR
}
