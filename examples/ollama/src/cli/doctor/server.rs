//! Whether a server listens where clients would connect, and which one.

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::Duration;

use axum::http::Method;
use serde::Serialize;
use serde_json::Value;

use super::Findings;
use crate::cli::ask;
use crate::error::{Error, Kind, Result};
use crate::settings::Settings;

/// How long a server may take to answer. One that is busy answers these questions at once.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Serialize)]
pub(super) struct Server {
    pub address: String,
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Names of the models that are loaded.
    pub loaded: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// Nobody listens.
    None,
    /// This program.
    Ours,
    /// The original, or another one that speaks its language.
    Other,
    /// Something that is no such server, or does not answer.
    Unknown,
    /// It was not asked.
    NotAsked,
}

pub(super) fn look(settings: &Settings, findings: &mut Findings) -> Server {
    let host = settings.host.connectable();
    let mut server = Server {
        address: host.url(),
        state: State::NotAsked,
        version: None,
        loaded: Vec::new(),
    };
    if settings.offline && !host.is_loopback() {
        return server;
    }
    if !connects(&host.host, host.port) {
        server.state = State::None;
        return server;
    }
    match ask(settings, "/api/version") {
        Ok(reply) => server.version = reply["version"].as_str().map(str::to_owned),
        Err(error) if error.kind() == Kind::Unsupported => return server,
        Err(error) => {
            server.state = State::Unknown;
            findings.problem(format!(
                "what listens at {} is no server of this kind: {error}; OLLAMA_HOST can name another address",
                server.address
            ));
            return server;
        }
    }
    // The original tells no budget, and knows no keys.
    server.state = State::Other;
    match ask(settings, "/api/ps") {
        Ok(reply) => {
            if reply["memory_budget"].is_u64() {
                server.state = State::Ours;
            }
            let models = reply["models"].as_array().into_iter().flatten();
            let names = models.filter_map(|model| model["name"].as_str().map(str::to_owned));
            server.loaded = names.collect();
        }
        Err(error) if error.kind() == Kind::Unauthorized => {
            server.state = State::Ours;
            findings.warn(format!("the server at {}: {error}", server.address));
        }
        Err(error) => findings.warn(format!("the server at {}: {error}", server.address)),
    }
    server
}

fn connects(host: &str, port: u16) -> bool {
    let addresses = (host, port).to_socket_addrs().into_iter().flatten();
    addresses
        .take(4)
        .any(|address| TcpStream::connect_timeout(&address, PATIENCE).is_ok())
}

/// Asks, and does not wait for ever.
fn ask(settings: &Settings, path: &'static str) -> Result<Value> {
    let (sender, receiver) = mpsc::channel();
    let settings = settings.clone();
    // It ends with the program if it gets no answer.
    std::thread::spawn(move || {
        let _ = sender.send(ask::ask(&settings, Method::GET, path, &Value::Null));
    });
    receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let message = format!("no answer within {} s", PATIENCE.as_secs());
        Err(Error::new(Kind::Network, message))
    })
}
