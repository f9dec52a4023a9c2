//! A frame: one message to viewers, encoded once and shared.
//!
//! ```text
//! event: rollups\n            the name for EventSource
//! id: 1f-42\n                 only data frames: others don't move what a viewer knows
//! data: {"type":...}\n        the JSON, which holds no line break
//! \n
//! ```
//! The JSON alone, for WebSocket, is a part of the same bytes.

use super::cursor::Cursor;
use bytes::Bytes;
use std::ops::Range;
use std::sync::OnceLock;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// What a frame tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// The state of all that is subscribed.
    Snapshot,
    /// What changed.
    Rollups,
    /// Devices whose state changed.
    Device,
    /// Alerts that changed; the first one after a snapshot, or after coming back: all open ones.
    Alert,
    /// The state of the daemon.
    Status,
    /// The viewer is slow, or is so no longer.
    Degraded,
}

impl FrameKind {
    /// All of them, in the order of [`FrameKind::index`].
    pub const ALL: [FrameKind; 6] = [
        FrameKind::Snapshot,
        FrameKind::Rollups,
        FrameKind::Device,
        FrameKind::Alert,
        FrameKind::Status,
        FrameKind::Degraded,
    ];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FrameKind::Snapshot => "snapshot",
            FrameKind::Rollups => "rollups",
            FrameKind::Device => "device",
            FrameKind::Alert => "alert",
            FrameKind::Status => "status",
            FrameKind::Degraded => "degraded",
        }
    }

    /// Its place in [`FrameKind::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// One message, in the forms in which it is sent.
#[derive(Debug)]
pub struct Frame {
    kind: FrameKind,
    id: Option<Cursor>,
    sse: Bytes,
    json: Range<usize>,
    /// The form for the subscription that almost everybody calls 1.
    first_sub: OnceLock<Utf8Bytes>,
}

impl Frame {
    /// A frame whose `data` is written by `data`, as JSON without line breaks.
    pub(super) fn new(
        kind: FrameKind,
        id: Option<Cursor>,
        now_ms: i64,
        data: impl FnOnce(&mut Vec<u8>),
    ) -> Frame {
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(kind.name().as_bytes());
        if let Some(id) = id {
            out.extend_from_slice(format!("\nid: {id}").as_bytes());
        }
        out.extend_from_slice(b"\ndata: ");
        let begin = out.len();
        out.extend_from_slice(format!("{{\"type\":\"{}\",", kind.name()).as_bytes());
        if let Some(id) = id {
            out.extend_from_slice(format!("\"id\":\"{id}\",").as_bytes());
        }
        out.extend_from_slice(format!("\"time\":{now_ms},\"data\":").as_bytes());
        data(&mut out);
        out.push(b'}');
        let end = out.len();
        out.extend_from_slice(b"\n\n");
        out.shrink_to_fit();
        Frame { kind, id, sse: out.into(), json: begin..end, first_sub: OnceLock::new() }
    }

    /// What it tells.
    #[must_use]
    pub fn kind(&self) -> FrameKind {
        self.kind
    }

    /// What a viewer knows who has it; `None` for control frames, which don't change that.
    #[must_use]
    pub fn id(&self) -> Option<Cursor> {
        self.id
    }

    /// The event for an SSE body.
    #[must_use]
    pub fn sse(&self) -> Bytes {
        self.sse.clone()
    }

    /// The JSON object.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.sse.slice(self.json.clone())
    }

    /// The JSON object with the number of the subscription that it belongs to.
    #[must_use]
    pub fn json_for(&self, sub: u32) -> Utf8Bytes {
        if sub == 1 {
            return self.first_sub.get_or_init(|| self.with_sub(1)).clone();
        }
        self.with_sub(sub)
    }

    fn with_sub(&self, sub: u32) -> Utf8Bytes {
        let json = &self.sse[self.json.clone()];
        let mut text = format!("{{\"sub\":{sub},");
        // It was written as JSON, so that nothing is replaced here.
        text.push_str(&String::from_utf8_lossy(&json[1..]));
        text.into()
    }

    /// The JSON object, for frames that belong to no subscription.
    #[must_use]
    pub fn json_text(&self) -> Utf8Bytes {
        String::from_utf8_lossy(&self.sse[self.json.clone()]).into_owned().into()
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.sse.len() + self.first_sub.get().map_or(0, |text| text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Position;

    #[test]
    fn a_frame_is_the_same_in_every_form() {
        let id = Cursor { epoch: 0x1f, position: Position(42) };
        let frame =
            Frame::new(FrameKind::Rollups, Some(id), 5, |out| out.extend_from_slice(b"{\"x\":1}"));
        let json = r#"{"type":"rollups","id":"1f-42","time":5,"data":{"x":1}}"#;
        assert_eq!(frame.json(), json);
        assert_eq!(frame.sse(), format!("event: rollups\nid: 1f-42\ndata: {json}\n\n"));
        assert_eq!(frame.json_for(1).as_str(), json.replacen('{', "{\"sub\":1,", 1));
        assert_eq!(frame.json_for(7).as_str(), json.replacen('{', "{\"sub\":7,", 1));
        assert_eq!(frame.json_text().as_str(), json);
    }

    #[test]
    fn a_control_frame_has_no_id() {
        let frame = Frame::new(FrameKind::Status, None, 5, |out| out.extend_from_slice(b"{}"));
        assert_eq!(
            frame.sse(),
            "event: status\ndata: {\"type\":\"status\",\"time\":5,\"data\":{}}\n\n"
        );
    }
}
