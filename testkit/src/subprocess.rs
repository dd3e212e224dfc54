//! Runs the body of a test in a child process, so that a signal is a failed test, not the end of the run.
//!
//! The child is the same test binary, asked for the same test; an environment variable tells it which body to run.

use std::fmt;
use std::io::{Read, Write, stderr, stdout};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const CASE: &str = "LLAMAKIT_SUBPROCESS_CASE";
/// Names the file that the child creates when its body has returned.
const DONE: &str = "LLAMAKIT_SUBPROCESS_DONE";
/// Separates what the test harness printed from what the body prints.
const BEGIN: &[u8] = b"\n=== body begins ===\n";
const TIME_LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(5);
/// Output beyond this is read and dropped.
const OUTPUT_LIMIT: usize = 16 << 20;

/// What became of a child process.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// The body returned, as opposed to panicking, exiting or dying.
    pub completed: bool,
    /// The child was killed because it exceeded the time limit.
    pub timed_out: bool,
    /// Bytes that the body, and whatever runs at exit, wrote to file descriptor 1.
    pub stdout: Vec<u8>,
    /// Bytes that the body, and whatever runs at exit, wrote to file descriptor 2.
    pub stderr: Vec<u8>,
    case: String,
}

/// Runs `body` in a child process with a limit of two minutes; see [`Case::run`].
pub fn run(case: &str, body: impl FnOnce()) -> Outcome {
    Case::new(case).run(body)
}

/// A body to run in a child process.
#[derive(Debug)]
pub struct Case {
    name: String,
    time_limit: Duration,
    env: Vec<(String, String)>,
}

impl Case {
    /// A case whose name is unique in its test.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            time_limit: TIME_LIMIT,
            env: Vec::new(),
        }
    }

    /// Kills the child after this time; two minutes unless set.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Sets an environment variable of the child.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Runs `body` in a child process and waits for it. Call it from the thread that runs the test.
    ///
    /// The child runs the test from its start up to this call, so what stands before it happens in both
    /// processes. In the child, calls for other cases return at once with an outcome that looks like
    /// success; a test that expects anything else of its cases gives each a test of its own.
    ///
    /// # Panics
    /// When the child cannot be started, or outside a test of the standard harness.
    pub fn run(self, body: impl FnOnce()) -> Outcome {
        match std::env::var(CASE) {
            Ok(wanted) if wanted == self.name => run_as_child(body),
            Ok(_) => Outcome {
                status: ExitStatus::default(),
                completed: true,
                timed_out: false,
                stdout: Vec::new(),
                stderr: Vec::new(),
                case: self.name,
            },
            Err(_) => self.spawn_and_wait(),
        }
    }

    fn spawn_and_wait(self) -> Outcome {
        let test = std::thread::current();
        let test = test.name().filter(|name| *name != "main");
        let test = test.expect("the standard test harness names the thread after the test");
        let done = done_file();
        let mut child = Command::new(std::env::current_exe().expect("own executable"))
            .args([
                test,
                "--exact",
                "--nocapture",
                "--include-ignored",
                "--test-threads=1",
            ])
            .env(CASE, &self.name)
            .env(DONE, &done)
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the test binary again");
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        let (status, timed_out) = wait(&mut child, self.time_limit);
        let outcome = Outcome {
            status,
            completed: done.exists(),
            timed_out,
            stdout: body_output(stdout.join().expect("reader of stdout")),
            stderr: body_output(stderr.join().expect("reader of stderr")),
            case: self.name,
        };
        // Absent unless the body completed.
        let _ = std::fs::remove_file(&done);
        outcome
    }
}

impl Outcome {
    /// The signal that ended the child, if one did; always `None` where there are no signals.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        #[cfg(unix)]
        return std::os::unix::process::ExitStatusExt::signal(&self.status);
        #[cfg(not(unix))]
        return None;
    }

    /// The body returned and the process left with exit code 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.completed && self.status.success()
    }

    /// Passes a success on.
    ///
    /// # Panics
    /// With everything known about the child when it did not succeed.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert!(self.succeeded(), "{self}");
        self
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.timed_out {
            "killed after its time limit"
        } else {
            "ended"
        };
        write!(
            f,
            "case {:?} {end}: {}, body {}\n--- stdout\n{}\n--- stderr\n{}",
            self.case,
            self.status,
            if self.completed {
                "completed"
            } else {
                "did not complete"
            },
            String::from_utf8_lossy(&self.stdout),
            String::from_utf8_lossy(&self.stderr),
        )
    }
}

/// Never returns to the harness, whose own output would follow the body's. `exit` runs the C library's
/// exit handlers, so bytes that C code left in a buffer come out as well.
fn run_as_child(body: impl FnOnce()) -> ! {
    for out in [&mut stdout() as &mut dyn Write, &mut stderr()] {
        out.write_all(BEGIN)
            .and_then(|()| out.flush())
            .expect("write to the parent");
    }
    let result = catch_unwind(AssertUnwindSafe(body));
    if result.is_ok() {
        let done = std::env::var_os(DONE).expect("the parent names the file");
        std::fs::write(done, []).expect("tell the parent that the body completed");
    }
    std::process::exit(if result.is_ok() { 0 } else { 101 })
}

fn done_file() -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("llamakit-done-{}-{unique}", std::process::id()))
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    let mut pipe = pipe.expect("the pipe was asked for");
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut buffer = [0; 8192];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            let room = OUTPUT_LIMIT.saturating_sub(kept.len());
            kept.extend_from_slice(&buffer[..n.min(room)]);
        }
        kept
    })
}

fn wait(child: &mut Child, limit: Duration) -> (ExitStatus, bool) {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("wait for the child") {
            return (status, false);
        }
        if start.elapsed() > limit {
            child.kill().expect("kill the child");
            return (child.wait().expect("wait for the killed child"), true);
        }
        std::thread::sleep(POLL);
    }
}

/// What follows the marker; everything when the child never got that far.
fn body_output(all: Vec<u8>) -> Vec<u8> {
    match all.windows(BEGIN.len()).position(|window| window == BEGIN) {
        Some(at) => all[at + BEGIN.len()..].to_vec(),
        None => all,
    }
}
