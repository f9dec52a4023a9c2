//! STATE: how a host says whether it is online.
//!
//! ```text
//! {"online":true,"timestamp":1668114759262}
//! ```
//!
//! Milliseconds since the epoch; in the message of a connection the same as in its will
//! (tck-id-host-topic-phid-birth-payload-timestamp).

use serde::Deserialize;

/// A STATE payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct State {
    pub(super) online: bool,
    pub(super) timestamp: i64,
}

impl State {
    pub(super) fn read(payload: &[u8]) -> Option<State> {
        serde_json::from_slice(payload).ok()
    }

    pub(super) fn write(self) -> Vec<u8> {
        format!("{{\"online\":{},\"timestamp\":{}}}", self.online, self.timestamp).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_json() {
        let state = State { online: true, timestamp: 1_668_114_759_262 };
        assert_eq!(state.write(), br#"{"online":true,"timestamp":1668114759262}"#);
        assert_eq!(State::read(&state.write()), Some(state));
        assert_eq!(State::read(b"ONLINE"), None);
        assert_eq!(State::read(br#"{"online":true}"#), None);
    }
}
