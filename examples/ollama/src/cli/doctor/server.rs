//! Whether a server listens where clients would connect, and which one.

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::Duration;

use axum::http::Method;
use serde::Serialize;
use serde_json::Value;

use super::Findings;
use crate::cli::client::Client;
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
    // What is far away is not asked offline.
    if settings.offline && !host.is_loopback() {
        return server;
    }
    if !connects(&host.host, host.port) {
        server.state = State::None;
        return server;
    }
    let version = match ask(settings, "/api/version") {
        Ok(version) => version,
        Err(error) => {
            server.state = State::Unknown;
            findings.problem(format!("{error}; OLLAMA_HOST can name another address"));
            return server;
        }
    };
    server.version = version.json["version"].as_str().map(str::to_owned);
    server.state = match version.ours {
        true => State::Ours,
        false => State::Other,
    };
    match ask(settings, "/api/ps") {
        Ok(loaded) => {
            let models = loaded.json["models"].as_array().into_iter().flatten();
            let names = models.filter_map(|model| model["name"].as_str().map(str::to_owned));
            server.loaded = names.collect();
        }
        // It works; OLLAMA_API_KEY is missing here, or wrong.
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

struct Answer {
    json: Value,
    /// Whether a server of this program gave it.
    ours: bool,
}

/// Asks, and does not wait for ever.
fn ask(settings: &Settings, path: &'static str) -> Result<Answer> {
    let (sender, receiver) = mpsc::channel();
    let of_thread = settings.clone();
    // It ends with the program if it gets no answer.
    std::thread::spawn(move || {
        let asked = || {
            let client = Client::new(&of_thread)?;
            let json = client.ask(Method::GET, path, &Value::Null)?;
            let ours = client.ours();
            Ok(Answer { json, ours })
        };
        let _ = sender.send(asked());
    });
    receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let at = settings.host.connectable().authority();
        let message = format!(
            "what listens at {at} gives no answer within {} s",
            PATIENCE.as_secs()
        );
        Err(Error::new(Kind::Network, message))
    })
}
