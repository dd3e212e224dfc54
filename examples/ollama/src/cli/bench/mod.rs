//! `ollama bench`: how fast a model is, for one client or several at once.

mod measure;
mod prompt;
mod summary;
#[cfg(test)]
mod tests;

use std::sync::Barrier;
use std::time::Instant;

use super::args::BenchArgs;
use super::client::Client;
use super::{output, server};
use crate::error::{Error, Kind, Result};
use crate::settings::Settings;
use measure::{Plan, Sample};
use summary::Summary;

/// Tokens of the answer that is not counted.
const WARM_UP: u32 = 8;

pub(super) fn run(args: &BenchArgs, settings: &Settings) -> Result<()> {
    server::ensure(settings)?;
    let summary = measure(args, settings)?;
    if args.json {
        return output::json(&summary);
    }
    output::print(&summary.table())
}

fn measure(args: &BenchArgs, settings: &Settings) -> Result<Summary> {
    let plan = Plan {
        model: args.model.clone(),
        words: args.words,
        tokens: args.tokens,
    };
    let run = number_of_run()?;
    // Loads the model, and brings its weights into memory.
    let warm_up = Plan {
        tokens: plan.tokens.min(WARM_UP),
        ..plan.clone()
    };
    let warmed = warm_up.run(&Client::new(settings)?, run)?;
    for warning in warmed.warnings {
        output::note(format_args!("Warning: {warning}"));
    }
    let together = Barrier::new(args.clients as usize + 1);
    let (results, seconds) = std::thread::scope(|threads| {
        let clients: Vec<_> = (0..args.clients)
            .map(|client| {
                let (plan, together) = (&plan, &together);
                threads.spawn(move || {
                    let connected = Client::new(settings);
                    together.wait();
                    ask(plan, &connected?, args.rounds, run, client)
                })
            })
            .collect();
        together.wait();
        let began = Instant::now();
        let results: Vec<Result<Vec<Sample>>> = clients
            .into_iter()
            .map(|client| {
                let failed = |_| Err(Error::new(Kind::Storage, "a client failed"));
                client.join().unwrap_or_else(failed)
            })
            .collect();
        (results, began.elapsed().as_secs_f64())
    });
    let samples: Vec<Vec<Sample>> = results.into_iter().collect::<Result<_>>()?;
    Ok(Summary::new(
        &plan,
        args.clients,
        &samples.concat(),
        seconds,
    ))
}

/// One client's requests, one after the other.
fn ask(plan: &Plan, client: &Client, rounds: u32, run: u64, number: u32) -> Result<Vec<Sample>> {
    let of = |round: u32| run ^ (u64::from(number) + 1) << 48 ^ (u64::from(round) + 1) << 24;
    (0..rounds)
        .map(|round| plan.run(client, of(round)))
        .collect()
}

/// So that no prompt is one of an earlier run's.
fn number_of_run() -> Result<u64> {
    getrandom::u64().map_err(|_| Error::new(Kind::Storage, "the system gives no random numbers"))
}
