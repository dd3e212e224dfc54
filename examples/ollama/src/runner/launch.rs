//! Starts runners and ends them: the server's end of their pipes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader, Split};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::wire::{Failure, FailureKind, Go, Hello, Report, Spec};

use crate::tasks;

/// After the pipe was closed, how long a runner may take to leave before it is killed.
const LEAVE: Duration = Duration::from_millis(500);
/// Bytes of a line of its log that are kept.
const LOG_LINE: usize = 2048;

/// Starts runners.
pub(crate) trait Launcher: Send + Sync + 'static {
    fn launch(&self, spec: Spec) -> BoxFuture<'static, Result<Launched, Failure>>;
}

/// A runner that was started.
pub(crate) struct Launched {
    /// What it reports; the end of this is its end.
    pub reports: mpsc::UnboundedReceiver<Report>,
    /// What it is told; the end of this ends it.
    pub control: Control,
    /// What requests to it must carry.
    pub token: Arc<str>,
    /// The process, where it is one.
    pub pid: Option<u32>,
}

/// Tells a runner to go on, or ends it.
#[derive(Debug, Clone)]
pub(crate) struct Control(mpsc::UnboundedSender<Order>);

#[derive(Debug)]
pub(crate) enum Order {
    Go(Go),
    End,
}

impl Control {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Order>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    pub(crate) fn go(&self, go: Go) {
        // A runner that is gone needs no orders.
        let _ = self.0.send(Order::Go(go));
    }

    pub(crate) fn end(&self) {
        let _ = self.0.send(Order::End);
    }
}

/// A token that nobody can guess.
pub(crate) fn new_token() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|_| Failure::new(FailureKind::Internal, "the system gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Starts each runner as a process of its own.
#[derive(Debug, Clone)]
pub(crate) struct ProcessLauncher {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(OsString, OsString)>,
}

impl ProcessLauncher {
    /// This program's hidden command.
    pub(crate) fn own() -> std::io::Result<Self> {
        // Also when the file was replaced by another version meanwhile.
        let running = PathBuf::from("/proc/self/exe");
        let program = match cfg!(target_os = "linux") && running.exists() {
            true => running,
            false => std::env::current_exe()?,
        };
        Ok(Self {
            program,
            arguments: vec!["runner".into()],
            environment: Vec::new(),
        })
    }
}

impl Launcher for ProcessLauncher {
    fn launch(&self, spec: Spec) -> BoxFuture<'static, Result<Launched, Failure>> {
        let this = self.clone();
        Box::pin(async move {
            let token = new_token()?;
            let mut command = Command::new(&this.program);
            command
                .args(&this.arguments)
                .envs(this.environment)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true);
            // What lists of processes show.
            #[cfg(unix)]
            command.arg0("ollama");
            // It needs no secrets, so it gets none.
            for secret in ["OLLAMA_API_KEY", "OLLAMA_API_KEYS", "HF_TOKEN"] {
                command.env_remove(secret);
            }
            let child = command.spawn().map_err(|error| {
                tracing::error!(%error, "cannot start a runner");
                Failure::new(FailureKind::Internal, "a runner can't be started")
            })?;
            let pid = child.id();
            let (control, orders) = Control::new();
            let (sender, reports) = mpsc::unbounded_channel();
            let hello = Hello {
                token: token.clone(),
                spec,
            };
            tasks::spawn(attend(child, hello, orders, sender));
            Ok(Launched {
                reports,
                control,
                token: token.into(),
                pid,
            })
        })
    }
}

/// Attends to a runner until it is gone.
async fn attend(
    mut child: Child,
    hello: Hello,
    mut orders: mpsc::UnboundedReceiver<Order>,
    reports: mpsc::UnboundedSender<Report>,
) {
    let pid = child.id().unwrap_or(0);
    let mut stdin = child.stdin.take();
    if let Some(stderr) = child.stderr.take() {
        tasks::spawn(async move {
            let mut lines = lines(stderr);
            while let Some(line) = next_line(&mut lines).await {
                tracing::debug!(pid, "runner: {}", cut(&line));
            }
        });
    }
    let mut out = child.stdout.take().map(lines);
    let mut settled = false;
    let mut ordered = false;
    // A process that reads nothing can be told to end all the same.
    let told = tokio::select! {
        told = write(&mut stdin, &hello) => told.is_ok(),
        _ = orders.recv() => {
            ordered = true;
            false
        }
    };
    if told {
        loop {
            tokio::select! {
                line = async { next_line(out.as_mut()?).await } => match line {
                    // What a library prints is no report.
                    Some(line) if !line.starts_with('{') => {
                        tracing::debug!(pid, "runner: {}", cut(&line));
                    }
                    Some(line) => match serde_json::from_str::<Report>(&line) {
                        Ok(report) => {
                            settled |= matches!(report, Report::Ready(_) | Report::Failed(_));
                            if reports.send(report).is_err() {
                                break;
                            }
                        }
                        Err(error) => tracing::warn!(pid, %error, "a runner's report can't be read"),
                    },
                    None => break,
                },
                order = orders.recv() => match order {
                    Some(Order::Go(go)) => {
                        if write(&mut stdin, &go).await.is_err() {
                            break;
                        }
                    }
                    Some(Order::End) | None => {
                        ordered = true;
                        break;
                    }
                },
            }
        }
    }
    drop(stdin);
    let status = match tokio::time::timeout(LEAVE, child.wait()).await {
        Ok(status) => status,
        Err(_) => {
            // It is waited for, so that its memory is free when its end is reported.
            let _ = child.start_kill();
            child.wait().await
        }
    };
    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    match ordered {
        true => tracing::debug!(pid, status, "a runner left"),
        false => tracing::error!(pid, status, "a runner stopped unexpectedly"),
    }
    if !settled && !ordered {
        let message = format!("the model's runner stopped while it was loading ({status})");
        let _ = reports.send(Report::Failed(Failure::new(FailureKind::Stopped, message)));
    }
}

/// Lines of any bytes: what a library prints need not be text.
fn lines<R: AsyncRead + Unpin>(pipe: R) -> Split<BufReader<R>> {
    BufReader::new(pipe).split(b'\n')
}

async fn next_line<R: AsyncRead + Unpin>(lines: &mut Split<BufReader<R>>) -> Option<String> {
    let line = lines.next_segment().await.ok().flatten()?;
    Some(String::from_utf8_lossy(&line).into_owned())
}

async fn write<T: serde::Serialize>(
    stdin: &mut Option<tokio::process::ChildStdin>,
    message: &T,
) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let stdin = stdin.as_mut().ok_or(std::io::ErrorKind::BrokenPipe)?;
    stdin.write_all(&line).await?;
    stdin.flush().await
}

fn cut(line: &str) -> &str {
    let mut end = line.len().min(LOG_LINE);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.get(..end).unwrap_or_default()
}
