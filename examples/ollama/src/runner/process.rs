//! The runner as a process: what it is told through its standard input, what it reports on its standard
//! output, and that it leaves when the input ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use super::http::{Backend, serve};
use super::wire::{Failure, FailureKind, Go, Hello, Info, Report, Spec};
use crate::api::MemoryByKind;
use crate::tasks;

/// A line that the server writes at most.
const LINE: u64 = 16 << 20;
/// Between two reports of how much is loaded.
const PAUSE: Duration = Duration::from_millis(100);

/// Loads models.
pub(crate) trait Loader {
    /// What the model will take. Allocates next to nothing.
    fn measure(&mut self, spec: &Spec) -> Result<MemoryByKind, Failure>;

    /// Loads the model; tells `progress` the share that is loaded.
    fn load(
        &mut self,
        spec: &Spec,
        go: &Go,
        progress: &mut dyn FnMut(f32),
    ) -> Result<(Arc<dyn Backend>, Info), Failure>;
}

/// Runs until the standard input ends.
pub(crate) fn run(loader: &mut dyn Loader) -> ExitCode {
    let (sender, lines) = channel();
    // Whatever the process is doing when its server goes away, a decode too, this thread ends it.
    let reading = std::thread::Builder::new()
        .name("server".to_owned())
        .spawn(move || {
            read_lines(std::io::stdin(), &sender);
            leave();
        });
    if reading.is_err() {
        return ExitCode::FAILURE;
    }
    match start(loader, &lines) {
        Ok(never) => match never {},
        Err(failure) => {
            report(&Report::Failed(failure));
            ExitCode::FAILURE
        }
    }
}

fn start(
    loader: &mut dyn Loader,
    lines: &Receiver<String>,
) -> Result<std::convert::Infallible, Failure> {
    let broken = |what: String| Failure::new(FailureKind::Internal, what);
    let next = || {
        lines
            .recv()
            .map_err(|_| broken("the server went away".to_owned()))
    };
    let hello: Hello = serde_json::from_str(&next()?)
        .map_err(|error| broken(format!("the first line: {error}")))?;
    report(&Report::Measured(loader.measure(&hello.spec)?));
    let go: Go = serde_json::from_str(&next()?)
        .map_err(|error| broken(format!("the second line: {error}")))?;
    let mut last = Instant::now();
    let mut progress = |share: f32| {
        if last.elapsed() >= PAUSE {
            last = Instant::now();
            report(&Report::Loading(share));
        }
    };
    let (backend, mut info) = loader.load(&hello.spec, &go, &mut progress)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| broken(format!("no threads: {error}")))?;
    tasks::block_on(&runtime, async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.map_err(|error| broken(format!("cannot listen: {error}")))?;
        let address = listener.local_addr();
        info.port = address
            .map_err(|error| broken(format!("cannot listen: {error}")))?
            .port();
        report(&Report::Ready(Box::new(info)));
        serve(listener, backend, &hello.token).await;
        Err(broken("the listener broke".to_owned()))
    })
}

fn read_lines(input: impl Read, sender: &Sender<String>) {
    let mut input = BufReader::new(input);
    loop {
        let mut line = String::new();
        match (&mut input).take(LINE).read_line(&mut line) {
            Ok(1..) => {
                // Nobody listens once the model is loaded.
                let _ = sender.send(line);
            }
            Ok(0) | Err(_) => return,
        }
    }
}

fn report(report: &Report) {
    let Ok(mut line) = serde_json::to_string(report) else {
        return;
    };
    line.push('\n');
    let mut out = std::io::stdout().lock();
    // A server that reads no more has gone, and the end of the input says so.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

/// Ends the process at once: handlers that run at an orderly exit would take from under running threads what
/// they compute with.
fn leave() -> ! {
    #[cfg(unix)]
    {
        use rustix::process::{Signal, getpid, kill_process};
        let _ = kill_process(getpid(), Signal::KILL);
    }
    std::process::exit(0)
}
