//! Reads what a request asks for.

use axum::body::Body;
use serde::Deserialize;

use crate::api::{DeleteRequest, ShowRequest, TransferRequest};
use crate::create;
use crate::server::app::{Caller, Heard, blocking, hear};
use crate::server::body;
use crate::server::error::ApiError;

/// Bytes of a body that are understood in no time.
const SHORT: usize = 128 << 10;

/// A request, and what of it was not understood.
pub(super) async fn read<T: for<'de> Deserialize<'de> + Send + 'static>(
    request: Body,
    caller: &Caller,
) -> Result<(T, Heard), ApiError> {
    let body = body::read(request, body::JSON).await?;
    if body.len() <= SHORT {
        return hear(&body, caller);
    }
    // All other connections would wait.
    let caller = caller.clone();
    blocking(move || hear(&body, &caller)).await
}

/// A request whose reply has no place for warnings.
pub(super) async fn read_silently<T: for<'de> Deserialize<'de> + Send + 'static>(
    request: Body,
    caller: &Caller,
) -> Result<T, ApiError> {
    let (request, heard) = read(request, caller).await?;
    heard.check()?;
    Ok(request)
}

/// A request about a model, which older clients write as `name`.
pub(super) trait AboutModel: for<'de> Deserialize<'de> + Send + 'static {
    /// Its fields `model` and `name`.
    fn names(&mut self) -> (&mut String, &mut String);
}

macro_rules! about_model {
    ($($request:ty),* $(,)?) => {$(
        impl AboutModel for $request {
            fn names(&mut self) -> (&mut String, &mut String) {
                (&mut self.model, &mut self.name)
            }
        }
    )*};
}

about_model!(TransferRequest, create::Request, ShowRequest, DeleteRequest);

/// A request whose `model` says which model it is about, as older clients wrote it or not.
pub(super) async fn read_about<T: AboutModel>(
    request: Body,
    caller: &Caller,
) -> Result<T, ApiError> {
    let mut request: T = read_silently(request, caller).await?;
    let (model, name) = request.names();
    if model.is_empty() {
        *model = std::mem::take(name);
    }
    if model.is_empty() {
        return Err(ApiError::bad("model is required"));
    }
    Ok(request)
}
