//! What viewers say over WebSocket, and what they are answered besides frames.

use super::cursor::Cursor;
use super::subscription::{Subscription, SubscriptionError};
use crate::aggregate::Windows;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use thiserror::Error;

/// The longest message of a viewer, in bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// A message as it is written.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Written {
    Subscribe {
        sub: u32,
        #[serde(default)]
        device: Vec<String>,
        #[serde(default)]
        metric: Vec<String>,
        #[serde(default)]
        tags: BTreeMap<String, String>,
        window: Option<String>,
        max_hz: Option<f64>,
        max_points: Option<usize>,
        cursor: Option<String>,
    },
    Unsubscribe {
        sub: u32,
    },
    Ping {},
    Echo {
        #[serde(default)]
        data: Value,
    },
}

/// A message of a viewer.
#[derive(Debug, PartialEq)]
pub(super) enum Request {
    Subscribe { sub: u32, subscription: Subscription, cursor: Option<Cursor> },
    Unsubscribe { sub: u32 },
    Ping,
    Echo { data: Value },
}

/// Why a message means nothing. For the viewer to mend.
#[derive(Debug, Error)]
pub(super) enum RequestError {
    #[error("the message has {bytes} bytes, {MESSAGE_BYTES_MAX} are allowed")]
    TooLong { bytes: usize },
    #[error("the message is not understood: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{cause}")]
    Subscription { sub: u32, cause: SubscriptionError },
}

impl RequestError {
    /// The subscription that it is about, as far as it could be read.
    pub fn sub(&self) -> Option<u32> {
        match self {
            RequestError::Subscription { sub, .. } => Some(*sub),
            RequestError::TooLong { .. } | RequestError::Json(_) => None,
        }
    }
}

impl Request {
    pub fn parse(text: &str, windows: &Windows) -> Result<Request, RequestError> {
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(RequestError::TooLong { bytes: text.len() });
        }
        Ok(match serde_json::from_str(text)? {
            Written::Subscribe {
                sub,
                device,
                metric,
                tags,
                window,
                max_hz,
                max_points,
                cursor,
            } => {
                let wrong = |cause| RequestError::Subscription { sub, cause };
                let tags = tags.into_iter().collect();
                let subscription =
                    Subscription::new(device, metric, tags, window.as_deref(), windows)
                        .and_then(|subscription| subscription.limited(max_hz, max_points))
                        .map_err(wrong)?;
                let cursor = cursor
                    .map(|cursor| cursor.parse())
                    .transpose()
                    .map_err(|cause| wrong(SubscriptionError::Cursor(cause)))?;
                Request::Subscribe { sub, subscription, cursor }
            }
            Written::Unsubscribe { sub } => Request::Unsubscribe { sub },
            Written::Ping {} => Request::Ping,
            Written::Echo { data } => Request::Echo { data },
        })
    }
}

pub(super) fn pong() -> String {
    serde_json::json!({"type": "pong"}).to_string()
}

pub(super) fn echo(data: &Value) -> String {
    serde_json::json!({"type": "echo", "data": data}).to_string()
}

pub(super) fn error(sub: Option<u32>, message: &str) -> String {
    match sub {
        Some(sub) => serde_json::json!({"type": "error", "sub": sub, "message": message}),
        None => serde_json::json!({"type": "error", "message": message}),
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Position;

    fn parse(text: &str) -> Result<Request, RequestError> {
        Request::parse(text, &Windows::default())
    }

    #[test]
    fn a_message_says_what_is_wanted() {
        let text = r#"{"type":"subscribe","sub":7,"device":["pump-*"],"metric":["*"],
            "tags":{"site":"a"},"window":"10s","max_hz":0.5,"max_points":500,"cursor":"1f-42"}"#;
        let Request::Subscribe { sub, subscription, cursor } = parse(text).unwrap() else {
            panic!("not a subscription")
        };
        assert_eq!((sub, subscription.level()), (7, 1));
        assert_eq!(subscription.points_max(), 500);
        assert_eq!(subscription.beat(std::time::Duration::from_millis(250)), 8);
        assert_eq!(cursor, Some(Cursor::new(0x1f, Position(42))));
        assert_eq!(
            parse(r#"{"type":"unsubscribe","sub":7}"#).unwrap(),
            Request::Unsubscribe { sub: 7 }
        );
        assert_eq!(parse(r#"{"type":"ping"}"#).unwrap(), Request::Ping);
        let data = serde_json::json!({"x": [1]});
        assert_eq!(parse(r#"{"type":"echo","data":{"x":[1]}}"#).unwrap(), Request::Echo { data });
    }

    #[test]
    fn what_is_not_understood_is_an_error_that_says_why() {
        let check = |text: &str, sub, message: &str| {
            let error = parse(text).unwrap_err();
            assert_eq!(error.sub(), sub, "{text}");
            assert!(error.to_string().contains(message), "{error}");
        };
        check("", None, "not understood");
        check("[]", None, "not understood");
        check(r#"{"type":"shout"}"#, None, "unknown variant `shout`");
        check(r#"{"type":"subscribe"}"#, None, "missing field `sub`");
        check(r#"{"type":"subscribe","sub":-1}"#, None, "invalid value");
        check(r#"{"type":"subscribe","sub":1,"devise":[]}"#, None, "unknown field `devise`");
        check(r#"{"type":"ping","x":1}"#, None, "unknown field `x`");
        check(r#"{"type":"subscribe","sub":1,"window":"5s"}"#, Some(1), "no window `5s`");
        check(r#"{"type":"subscribe","sub":1,"max_hz":0}"#, Some(1), "max_hz");
        check(r#"{"type":"subscribe","sub":1,"device":["["]}"#, Some(1), "not a glob");
        check(r#"{"type":"subscribe","sub":1,"cursor":"x"}"#, Some(1), "epoch-offset");
        check(&" ".repeat(MESSAGE_BYTES_MAX + 1), None, "65537 bytes");
    }
}
