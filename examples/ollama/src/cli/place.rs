//! Where the models of a command are: in this user's own store, or with a server that has another one.

use std::net::TcpStream;

use axum::http::Method;
use serde::Deserialize;

use super::client::Client;
use crate::error::Result;
use crate::settings::Settings;
use crate::store::Store;

/// Where models are looked for and put.
pub(super) enum Place {
    /// In the store of the settings: nobody listens, or who does uses the same store.
    Here,
    /// With the server of OLLAMA_HOST.
    Server(Client),
}

/// What `/api/version` tells.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Version {
    store: Option<String>,
}

impl Place {
    /// Asks the server of the settings, if there is one.
    ///
    /// # Errors
    /// When another machine's server can't be reached, or what listens is none.
    pub(super) fn find(settings: &Settings) -> Result<Self> {
        let Some(client) = listening(settings)? else {
            return Ok(Self::Here);
        };
        let version: Version = client.ask(Method::GET, "/api/version", &())?;
        let own = Store::open(&settings.models)?.identity();
        if own.is_some() && version.store == own {
            return Ok(Self::Here);
        }
        Ok(Self::Server(client))
    }
}

/// The server of the settings. `None`: nobody listens on this machine.
pub(super) fn listening(settings: &Settings) -> Result<Option<Client>> {
    let host = settings.host.connectable();
    if host.is_loopback() && TcpStream::connect((host.host.as_str(), host.port)).is_err() {
        return Ok(None);
    }
    Client::new(settings).map(Some)
}
