//! Starts a server where none listens.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::Value;

use super::client::Client;
use super::output;
use crate::error::{Error, Kind, Result};
use crate::settings::Settings;

/// A log of more bytes is put aside before another server writes to it.
const LOG: u64 = 16 << 20;
/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(60);
/// Between two looks whether it does.
const PAUSE: Duration = Duration::from_millis(10);
/// Bytes at the end of the log that are searched for the cause of a failed start.
const TAIL: u64 = 4096;

/// Starts a server when OLLAMA_HOST is this machine's own and nobody listens there, and says so.
/// Whoever listens is taken for a server; what it answers tells who it is.
///
/// # Errors
/// When it can't be started or does not answer.
pub(super) fn ensure(settings: &Settings) -> Result<()> {
    let host = settings.host.connectable();
    // Others must be started by somebody who knows who may use them.
    if !settings.host.is_loopback() || TcpStream::connect((host.host.as_str(), host.port)).is_ok() {
        return Ok(());
    }
    let (log, path) = open_log(settings)?;
    let began = log.metadata().map_or(0, |log| log.len());
    let cannot =
        |error: io::Error| Error::new(Kind::Storage, format!("cannot start a server: {error}"));
    let child = spawn(settings, log).map_err(cannot)?;
    let process = child.id();
    if wait(settings, child, &path, began)? {
        let (at, path) = (host.authority(), path.display());
        output::note(format_args!(
            "Started a server at {at}, log in {path} (process {process})"
        ));
    }
    Ok(())
}

fn spawn(settings: &Settings, log: File) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("serve");
    if settings.offline {
        command.arg("--offline");
    }
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    apart(&mut command);
    command.spawn()
}

/// Neither Ctrl-C nor the end of the terminal is for the server.
#[cfg(unix)]
fn apart(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(windows)]
fn apart(command: &mut Command) {
    const DETACHED_PROCESS: u32 = 0x8;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    std::os::windows::process::CommandExt::creation_flags(
        command,
        DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP,
    );
}

/// The log beside the store, or with the user's keys where that can't be written.
fn open_log(settings: &Settings) -> Result<(File, PathBuf)> {
    let beside = settings.models.parent().unwrap_or(&settings.models);
    let mut last = None;
    for folder in [beside, &settings.home] {
        let path = folder.join("logs").join("server.log");
        match open(&path) {
            Ok(log) => return Ok((log, path)),
            Err(error) => {
                last = Some(format!(
                    "cannot write the server's log {}: {error}",
                    path.display()
                ))
            }
        }
    }
    Err(Error::new(Kind::Storage, last.unwrap_or_default()))
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if path.metadata().is_ok_and(|log| log.len() > LOG) {
        std::fs::rename(path, path.with_extension("log.old"))?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Whether it is this server that answers; another one may have been quicker.
fn wait(settings: &Settings, mut child: Child, log: &Path, began: u64) -> Result<bool> {
    let until = Instant::now() + START;
    let client = Client::new(settings)?;
    let answers = || client.ask::<Value>(Method::GET, "/api/version", &Value::Null);
    loop {
        let ended = child.try_wait().ok().flatten();
        match answers() {
            Ok(_) => return Ok(ended.is_none()),
            Err(error) if error.kind() == Kind::Network => {}
            Err(error) => return Err(error),
        }
        let why = match ended {
            Some(_) => last_line(log, began),
            None if Instant::now() > until => {
                format!("it does not answer after {} seconds", START.as_secs())
            }
            None => {
                std::thread::sleep(PAUSE);
                continue;
            }
        };
        let message = format!(
            "the server that was started fails: {why}; log in {}",
            log.display()
        );
        return Err(Error::new(Kind::Network, message));
    }
}

/// What a server that ended said last.
fn last_line(log: &Path, began: u64) -> String {
    let read = || -> io::Result<String> {
        let mut log = File::open(log)?;
        let end = log.metadata()?.len();
        log.seek(SeekFrom::Start(end.saturating_sub(TAIL).max(began)))?;
        let mut tail = Vec::new();
        log.read_to_end(&mut tail)?;
        Ok(String::from_utf8_lossy(&tail).into_owned())
    };
    let tail = read().unwrap_or_default();
    let last = tail
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty());
    let last = last.map(|line| line.strip_prefix("Error: ").unwrap_or(line).to_owned());
    last.unwrap_or_else(|| "it ended without a word".to_owned())
}
