//! A frame: one message to viewers, encoded once and shared.
//!
//! ```text
//! event: rollups\n            the name for EventSource
//! id: 1f-42\n                 only data frames: others don't move what a viewer knows
//! data: {"type":...}\n        the JSON, which holds no line break
//! \n
//! ```
//! The JSON alone, for WebSocket, is a part of the same bytes. For bodies that are compressed the JSON is
//! deflated once (`gzip`). A subscription of programs has frames of protobuf instead.

use super::cursor::Cursor;
use super::gzip::{Block, Gzip};
use super::protobuf::messages as pb;
use bytes::Bytes;
use prost::Message as _;
use std::ops::Range;
use std::sync::OnceLock;
use tokio_tungstenite::tungstenite::Message;

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
    body: Body,
    /// The form for the subscription that almost everybody calls 1.
    first_sub: OnceLock<Message>,
}

#[derive(Debug)]
enum Body {
    Json {
        sse: Bytes,
        json: Range<usize>,
        /// The JSON, for those who take gzip.
        deflated: OnceLock<Block>,
    },
    Protobuf(Bytes),
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
        let json = begin..out.len();
        out.extend_from_slice(b"\n\n");
        out.shrink_to_fit();
        let body = Body::Json { sse: out.into(), json, deflated: OnceLock::new() };
        Frame { kind, id, body, first_sub: OnceLock::new() }
    }

    /// The same for programs.
    pub(super) fn protobuf(
        kind: FrameKind,
        id: Option<Cursor>,
        now_ms: i64,
        data: pb::frame::Data,
    ) -> Frame {
        let id_text = id.map(|id| id.to_string()).unwrap_or_default();
        let frame = pb::Frame { sub: None, id: id_text, time: now_ms, data: Some(data) };
        let body = Body::Protobuf(frame.encode_to_vec().into());
        Frame { kind, id, body, first_sub: OnceLock::new() }
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

    /// The event for an SSE body; empty if it is not JSON.
    #[must_use]
    pub fn sse(&self) -> Bytes {
        match &self.body {
            Body::Json { sse, .. } => sse.clone(),
            Body::Protobuf(_) => Bytes::new(),
        }
    }

    /// The JSON object; empty if it is none.
    #[must_use]
    pub fn json(&self) -> Bytes {
        match &self.body {
            Body::Json { sse, json, .. } => sse.slice(json.clone()),
            Body::Protobuf(_) => Bytes::new(),
        }
    }

    /// The JSON object, deflated once for all who ask.
    pub(super) fn deflated(&self) -> Option<&Block> {
        match &self.body {
            Body::Json { sse, json, deflated } => {
                Some(deflated.get_or_init(|| Block::new(&sse[json.clone()])))
            }
            Body::Protobuf(_) => None,
        }
    }

    /// Appends the event to a body that is compressed.
    pub(super) fn gzip(&self, gzip: &mut Gzip, out: &mut Vec<u8>) {
        if let (Body::Json { sse, json, .. }, Some(block)) = (&self.body, self.deflated()) {
            gzip.stored(&sse[..json.start], out);
            gzip.block(block, out);
            gzip.stored(&sse[json.end..], out);
        }
    }

    /// The WebSocket message, with the number of the subscription that it belongs to; that of a frame
    /// that belongs to none, without.
    #[must_use]
    pub fn message(&self, sub: Option<u32>) -> Message {
        match sub {
            Some(1) => self.first_sub.get_or_init(|| self.with_sub(1)).clone(),
            Some(sub) => self.with_sub(sub),
            None => match &self.body {
                // It was written as JSON, so that nothing is replaced here.
                Body::Json { .. } => {
                    Message::Text(String::from_utf8_lossy(&self.json()).into_owned().into())
                }
                Body::Protobuf(bytes) => Message::Binary(bytes.clone()),
            },
        }
    }

    fn with_sub(&self, sub: u32) -> Message {
        match &self.body {
            Body::Json { sse, json, .. } => {
                let mut text = format!("{{\"sub\":{sub},");
                text.push_str(&String::from_utf8_lossy(&sse[json.start + 1..json.end]));
                Message::Text(text.into())
            }
            // Messages that stand one after the other are one message with the fields of both.
            Body::Protobuf(bytes) => {
                let mut whole = pb::Frame { sub: Some(sub), ..Default::default() }.encode_to_vec();
                whole.extend_from_slice(bytes);
                Message::Binary(whole.into())
            }
        }
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let body = match &self.body {
            Body::Json { sse, deflated, .. } => sse.len() + deflated.get().map_or(0, Block::len),
            Body::Protobuf(bytes) => bytes.len(),
        };
        body + self.first_sub.get().map_or(0, Message::len)
    }

    /// Bytes of its plain form.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.body {
            Body::Json { sse, .. } => sse.len(),
            Body::Protobuf(bytes) => bytes.len(),
        }
    }

    /// Never: every frame says at least what it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Position;

    #[test]
    fn a_frame_is_the_same_in_every_form() {
        let id = Cursor::new(0x1f, Position(42));
        let frame =
            Frame::new(FrameKind::Rollups, Some(id), 5, |out| out.extend_from_slice(b"{\"x\":1}"));
        let json = r#"{"type":"rollups","id":"1f-42","time":5,"data":{"x":1}}"#;
        assert_eq!(frame.json(), json);
        assert_eq!(frame.sse(), format!("event: rollups\nid: 1f-42\ndata: {json}\n\n"));
        let text = |sub| frame.message(sub).into_text().unwrap().to_string();
        assert_eq!(text(Some(1)), json.replacen('{', "{\"sub\":1,", 1));
        assert_eq!(text(Some(7)), json.replacen('{', "{\"sub\":7,", 1));
        assert_eq!(text(None), json);
    }

    #[test]
    fn a_control_frame_has_no_id() {
        let frame = Frame::new(FrameKind::Status, None, 5, |out| out.extend_from_slice(b"{}"));
        assert_eq!(
            frame.sse(),
            "event: status\ndata: {\"type\":\"status\",\"time\":5,\"data\":{}}\n\n"
        );
    }

    #[test]
    fn a_frame_of_protobuf_gets_its_subscription_put_before_it() {
        let id = Cursor::new(0x1f, Position(42));
        let data = || pb::frame::Data::Status(pb::Status { json: "{}".to_owned() });
        let frame = Frame::protobuf(FrameKind::Status, Some(id), 5, data());
        for sub in [None, Some(0), Some(1), Some(7)] {
            let bytes = frame.message(sub).into_data();
            let expected = pb::Frame { sub, id: "1f-42".to_owned(), time: 5, data: Some(data()) };
            assert_eq!(pb::Frame::decode(bytes).unwrap(), expected);
        }
    }
}
