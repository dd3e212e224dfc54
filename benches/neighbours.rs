//! Decode speed beside other processes that compute, as a Markdown table.
//!
//! `neighbours MODEL.gguf [SECONDS [ROUNDS]]`. Each cell: tokens per second, median of the rounds;
//! every round measures each cell once, for SECONDS. Neighbours come and go with the program.

use std::error::Error;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use llamakit::{Batch, Context, ContextParams, Decoded, Model, ModelParams, Outputs, SeqId, Token};

#[path = "../src/engine/governor.rs"]
mod governor;

use governor::Governor;

/// Context that each measurement fills at most before it starts anew.
const LENGTH: u32 = 256;
const SEQ: SeqId = SeqId(0);
/// How this program is told to be a short-lived neighbour.
const BURN: &str = "--burn";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [BURN, rounds] = args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        burn(rounds.parse()?);
        return Ok(());
    }
    let path = args
        .first()
        .ok_or("usage: neighbours MODEL.gguf [SECONDS [ROUNDS]]")?;
    let seconds: f64 = args.get(1).map_or(Ok(5.0), |arg| arg.parse())?;
    let rounds: usize = args.get(2).map_or(Ok(5), |arg| arg.parse())?;

    let model = Model::load(path, &ModelParams::new())?;
    let mut context = Context::new(&model, &ContextParams::new().context_length(LENGTH))?;
    let most = context.threads().0;
    let mut counts = vec![1, most];
    counts.dedup();

    let burn = rounds_to_burn();
    let mut table = vec![vec![Vec::new(); counts.len() + 1]; Neighbour::ALL.len()];
    for _ in 0..rounds {
        for (row, neighbour) in Neighbour::ALL.into_iter().enumerate() {
            let running = neighbour.start(burn)?;
            let fixed = counts.iter().map(|&threads| Governor::fixed(threads));
            for (column, mut governor) in fixed.chain([Governor::new(most)]).enumerate() {
                let duration = Duration::from_secs_f64(seconds);
                table[row][column].push(speed(&mut context, &mut governor, duration)?);
            }
            drop(running);
        }
    }
    print(&counts, &mut table)
}

fn print(counts: &[u32], table: &mut [Vec<Vec<f64>>]) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    write!(out, "| neighbour |")?;
    for count in counts {
        write!(out, " {count} threads |")?;
    }
    writeln!(out, " governed |\n|---|{}---|", "---|".repeat(counts.len()))?;
    let best = table[0]
        .iter_mut()
        .map(|cell| median(cell))
        .fold(0.0, f64::max);
    for (neighbour, row) in Neighbour::ALL.into_iter().zip(table) {
        write!(out, "| {neighbour:?} |")?;
        for cell in row {
            let speed = median(cell);
            write!(out, " {speed:.1} ({:.2}) |", speed / best)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Processes that compute beside the measurement.
#[derive(Debug, Clone, Copy)]
enum Neighbour {
    Nobody,
    /// One that never rests.
    Busy,
    /// 20 new ones a second, each with work for 30 ms.
    Short,
}

impl Neighbour {
    const ALL: [Self; 3] = [Self::Nobody, Self::Busy, Self::Short];

    fn start(self, burn: u64) -> Result<Running, Box<dyn Error>> {
        let own = std::env::current_exe()?;
        let script = match self {
            Self::Nobody => return Ok(Running(None)),
            Self::Busy => "while :; do :; done".to_owned(),
            Self::Short => {
                let own = own.display();
                format!("while :; do '{own}' {BURN} {burn} & sleep 0.05; done")
            }
        };
        let child = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::null())
            .spawn()?;
        Ok(Running(Some(child)))
    }
}

/// Ends the neighbour.
struct Running(Option<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn burn(rounds: u64) {
    for round in 0..rounds {
        std::hint::black_box(round);
    }
}

/// Rounds of [`burn`] that take a CPU 30 ms.
fn rounds_to_burn() -> u64 {
    let rounds = 10_000_000;
    let start = Instant::now();
    burn(rounds);
    (rounds as f64 * 0.03 / start.elapsed().as_secs_f64()) as u64
}

/// Tokens per second, decoded one by one.
fn speed(
    context: &mut Context,
    governor: &mut Governor,
    duration: Duration,
) -> Result<f64, Box<dyn Error>> {
    let n_vocab = context.model().vocab().n_tokens() as i32;
    let mut batch = Batch::new();
    let mut tokens = 0;
    context.kv_cache_mut().clear()?;
    context.set_threads(governor.threads(), governor.threads())?;
    let start = Instant::now();
    while start.elapsed() < duration {
        if context.kv_cache().next_position(SEQ) >= LENGTH as i32 {
            context.kv_cache_mut().clear()?;
        }
        let token = Token((tokens * 7919) % n_vocab);
        batch.clear();
        let position = context.kv_cache().next_position(SEQ);
        batch.add_run(&[token], position, SEQ, Outputs::Last);
        let before = (Instant::now(), governor.threads());
        if context.decode(&batch)? != Decoded::Done {
            return Err("the decode was not done".into());
        }
        let threads = governor.after_step(before.0.elapsed());
        if threads != before.1 {
            context.set_threads(threads, threads)?;
        }
        tokens += 1;
    }
    Ok(f64::from(tokens) / start.elapsed().as_secs_f64())
}
