//! The program as a server, and what the system says of it.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Server {
    child: Child,
    pub address: String,
}

impl Server {
    /// Starts it and waits until it answers. What it logs goes to `server.log` in the folder.
    pub fn start(program: &Path, home: &Path, models: &Path) -> Result<Self, String> {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(|e| e.to_string())?.to_string();
        let log = File::create(home.join("server.log")).map_err(|e| e.to_string())?;
        let child = command(program, home, models)
            .arg("serve")
            .env("OLLAMA_HOST", &address)
            .env("OLLAMA_MAX_QUEUE", "8")
            .env("OLLAMA_NUM_PARALLEL", "4")
            .env("OLLAMA_CONTEXT_LENGTH", "2048")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| format!("{}: {e}", program.display()))?;
        let server = Self { child, address };
        let began = Instant::now();
        while TcpStream::connect(&server.address).is_err() {
            if began.elapsed() > Duration::from_secs(20) {
                return Err("the server does not listen after 20 s".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process that was started still runs.
    pub fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Resident memory in kB.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        number.unwrap_or(0)
    }

    /// Asks it to end; it must do so well and soon.
    pub fn end(mut self) -> Result<(), String> {
        signal("-TERM", self.pid());
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(15) {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    return Err(format!("after SIGTERM the server's end: {status}"));
                }
                Err(e) => return Err(e.to_string()),
            }
        }
        Err("15 s after SIGTERM the server still runs".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program with a home and a store of its own.
pub fn command(program: &Path, home: &Path, models: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OLLAMA_") {
            command.env_remove(name);
        }
    }
    command
        .env("HOME", home)
        .env("OLLAMA_MODELS", models)
        .stdin(Stdio::null());
    command
}

/// The processes that a process started and that have not ended.
pub fn children(of: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name before it is in brackets and can hold anything.
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let (state, parent) = (fields.next(), fields.next());
        state != Some("Z") && parent == Some(of.to_string().as_str())
    })
    .collect()
}

pub fn signal(signal: &str, pid: u32) {
    // The process may have ended meanwhile.
    let _ = Command::new("kill")
        .args([signal, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}
