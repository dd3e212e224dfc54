//! What happens to the server while clients ask.

use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Request, Shape};
use super::random::Random;
use super::server::{children, signal};
use super::tally::Tally;
use super::{COPY, SMALL, SOURCE, TINY};

/// Kills runners, unloads models, removes and copies one, pulls.
pub fn run(address: &str, pid: u32, random: &mut Random, tally: &Tally, until: Instant) {
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(500 + random.below(2000) as u64));
        match random.below(8) {
            0..=2 => {
                let runners = children(pid);
                if !runners.is_empty() {
                    signal("-KILL", runners[random.below(runners.len())]);
                    tally.lock().kills += 1;
                }
            }
            3 | 4 => unload(address, [SMALL, TINY, COPY][random.below(3)], tally),
            5 | 6 => {
                let name = json!({"model": COPY});
                send("DELETE", "/api/delete", name, Shape::Whole, address, tally);
                std::thread::sleep(Duration::from_millis(random.below(300) as u64));
                let from = json!({"source": SMALL, "destination": COPY});
                send("POST", "/api/copy", from, Shape::Whole, address, tally);
            }
            _ => {
                let source = json!({"model": SOURCE});
                send("POST", "/api/pull", source, Shape::Lines, address, tally);
            }
        }
    }
}

/// What `ollama stop` asks for.
pub fn unload(address: &str, model: &str, tally: &Tally) {
    let body = json!({"model": model, "keep_alive": 0, "stream": false});
    send("POST", "/api/generate", body, Shape::Whole, address, tally);
}

fn send(
    method: &'static str,
    path: &'static str,
    body: serde_json::Value,
    shape: Shape,
    address: &str,
    tally: &Tally,
) {
    Request::manage(method, path, body, shape).send(address, tally);
}
