//! Request bodies, read with a cap and a deadline.

use super::problem::Problem;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use std::pin::pin;
use std::time::Duration;
use warp::http::StatusCode;

/// Reads a body of at most `max` bytes within `deadline`.
///
/// # Errors
/// 413, 408, or 400 when the client broke off.
pub async fn read(
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
    max: usize,
    deadline: Duration,
) -> Result<Bytes, Problem> {
    let read = async {
        let mut body = pin!(body);
        let mut all = BytesMut::new();
        while let Some(chunk) = body.next().await {
            let mut chunk = chunk
                .map_err(|error| Problem::bad_request(format!("the body broke off: {error}")))?;
            if all.len() + chunk.remaining() > max {
                return Err(Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    format!("the body is larger than {max} bytes (limits.message_bytes)"),
                ));
            }
            all.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
        }
        Ok(all.freeze())
    };
    tokio::time::timeout(deadline, read).await.unwrap_or_else(|_| {
        Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not arrive within {deadline:?} (limits.body_timeout)"),
        ))
    })
}
