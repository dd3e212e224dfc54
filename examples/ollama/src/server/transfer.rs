//! Pulls, pushes and creates in the background of their requests' streams.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::api::{CreateRequest, TransferRequest};
use crate::error::Result;
use crate::progress::Progress;
use crate::store::Store;

/// Who is told how far it is.
pub(crate) type Tell = Arc<dyn Fn(Progress) + Send + Sync>;

/// A pull, push or create that runs until it is done or dropped.
pub(crate) type Work = BoxFuture<'static, Result<()>>;

/// How models come and go. Behind an interface, so that the server is tested without a network.
pub(crate) struct Transfer {
    pub pull: Box<dyn Fn(Store, TransferRequest, Tell, bool) -> Work + Send + Sync>,
    pub push: Box<dyn Fn(Store, TransferRequest, Tell, bool) -> Work + Send + Sync>,
    pub create: Box<dyn Fn(Store, CreateRequest, Tell, bool) -> Work + Send + Sync>,
}

impl Transfer {
    /// Refuses everything.
    pub(crate) fn unavailable() -> Self {
        fn refuse() -> Work {
            Box::pin(async {
                Err(crate::error::Error::new(
                    crate::error::Kind::Unsupported,
                    "this is not built into this program",
                ))
            })
        }
        Self {
            pull: Box::new(|_, _, _, _| refuse()),
            push: Box::new(|_, _, _, _| refuse()),
            create: Box::new(|_, _, _, _| refuse()),
        }
    }
}
