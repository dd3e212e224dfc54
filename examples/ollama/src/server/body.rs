//! Reads request bodies within limits of size and time.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use super::error::ApiError;

/// Bytes of a JSON body at most: long conversations, images in base64.
pub(crate) const JSON: usize = 64 << 20;
/// How long a client may send nothing in the middle of a body.
const STALL: Duration = Duration::from_secs(30);

/// The whole body.
pub(crate) async fn read(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let mut body = body;
    let mut whole = BytesMut::new();
    while let Some(data) = next(&mut body).await? {
        if whole.len() + data.len() > limit {
            return Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the request body is longer than {limit} bytes"),
            ));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// The next piece of a body.
pub(crate) async fn next(body: &mut Body) -> Result<Option<Bytes>, ApiError> {
    loop {
        let frame = tokio::time::timeout(STALL, body.frame()).await;
        let stalled = |_| {
            let message = "the request body did not come to its end in time";
            ApiError::new(StatusCode::REQUEST_TIMEOUT, message)
        };
        match frame.map_err(stalled)? {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(_)) => return Err(ApiError::bad("the request body broke off")),
        }
    }
}
