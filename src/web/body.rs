//! Request bodies, read with a cap and a deadline.

use super::problem::Problem;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use serde::de::Error as _;
use serde_json::value::RawValue;
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

/// Things that are named in one request.
const NAMED_MAX: usize = 10_000;

/// The JSON object of a body. serde alone would take an array, too: the fields in their order.
///
/// # Errors
/// If it is no object of this shape.
pub fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, serde_json::Error> {
    match body.trim_ascii_start().first() {
        Some(b'{') | None => serde_json::from_slice(body),
        Some(_) => Err(serde_json::Error::custom("this is no object")),
    }
}

/// JSON that is kept as it was sent, for somebody else to read, and told again by us.
///
/// # Errors
/// 400, if it can't be told again: it is nested deeper than anybody reads, or has a number that is none.
pub fn readable(key: &str, json: &RawValue) -> Result<(), Problem> {
    let read = serde_json::from_str::<serde_json::Value>(json.get());
    read.map(drop).map_err(|error| Problem::bad_request(format!("{key}: {error}")))
}

/// Checks how many things a request names.
///
/// # Errors
/// 400, if they are too many for one transaction.
pub fn few<T>(ids: &[T]) -> Result<(), Problem> {
    if ids.len() <= NAMED_MAX {
        return Ok(());
    }
    let detail = format!("ids: {} are named, {NAMED_MAX} may be", ids.len());
    Err(Problem::bad_request(detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Shape {
        a: u8,
    }

    #[test]
    fn an_object_is_no_array_of_its_fields() {
        assert_eq!(object::<Shape>(b" {\"a\":1}").unwrap().a, 1);
        for body in ["[1]", " [1]", "[]", "", "null", "1", "{", "{\"a\":1}x"] {
            assert!(object::<Shape>(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn what_is_kept_can_be_told_again() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let is = |json: &str| {
            let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
            readable("arguments", &raw).is_ok()
        };
        assert!(is(&nested(100)) && is("1e300") && is("\"\\ud83d\\ude00\""));
        assert!(!is(&nested(200)) && !is("1e999") && !is("\"\\ud800\""));
    }
}
