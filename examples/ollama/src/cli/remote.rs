//! Work that a server does and tells the progress of: pulls, pushes, creates.

use serde::{Deserialize, Serialize};

use super::client::{Client, End};
use crate::error::{Error, Kind, Result};
use crate::progress::{Progress, Report};

/// A line of the reply.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    status: String,
    digest: Option<String>,
    total: Option<u64>,
    completed: Option<u64>,
}

/// Asks for work and reports how far it is until it is done.
///
/// # Errors
/// What the server says; [`Kind::Cancelled`] by Ctrl-C, which ends the work; [`Kind::Network`] when it breaks off.
pub(super) fn work(
    client: &Client,
    path: &str,
    request: &impl Serialize,
    report: Report<'_>,
) -> Result<()> {
    let mut done = false;
    let each = |line: Line| {
        done |= line.status == "success";
        report(Progress {
            status: line.status,
            digest: line.digest,
            total: line.total,
            completed: line.completed,
        });
        Ok(())
    };
    match client.stream(path, request, each)? {
        End::Stopped => Err(Error::new(Kind::Cancelled, "stopped")),
        End::Whole if !done => Err(Error::new(Kind::Network, "the server's reply broke off")),
        End::Whole => Ok(()),
    }
}
