//! Cuts messages that are too large while they are read from the socket.
//!
//! A client of MQTT has no good way to refuse one message. Over version 3.1.1 the broker sends it
//! whatever its size; over version 5 a client that tells its limit never hears of the message at all;
//! and a client that hangs up gets the same message again after it has connected again, for ever. So
//! what is larger than `message_bytes_max` is read and thrown away but for its beginning, and handed
//! on as a message that says so: it ends in the quarantine with its size, and is acknowledged.
//!
//! ```text
//!  PUBLISH  │ topic │ packet id │ properties │ payload ........................ │
//!  becomes  │ topic │ packet id │ none       │ mark 16 │ length 8 BE │ beginning │
//! ```
//!
//! The mark is random and of this connection only, so that no publisher can forge it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much of a payload that is too large is kept.
pub(super) const SAMPLE_BYTES: usize = 64 << 10;
/// Topic, packet identifier and properties may come beside the payload.
const BESIDE_BYTES: usize = 128 << 10;
/// No other packet of a broker is nearly as long.
const OTHER_BYTES_MAX: usize = 1 << 20;
const READ_BYTES: usize = 16 << 10;
const PUBLISH: u8 = 3;

/// Tells payloads that were cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark([u8; 16]);

impl Mark {
    pub fn new() -> Mark {
        Mark(rand::random())
    }

    /// Length and beginning of the payload that was cut, if this one was.
    pub fn cut(self, payload: &Bytes) -> Option<(usize, Bytes)> {
        let mut rest = payload.strip_prefix(&self.0)?;
        let length = rest.try_get_u64().ok()?;
        Some((usize::try_from(length).ok()?, payload.slice(24..)))
    }
}

/// What is read is cut; what is written passes.
pub(super) struct Trim<S> {
    inner: S,
    cutter: Cutter,
    read: Box<[u8]>,
}

impl<S> Trim<S> {
    /// Around a connection that speaks MQTT of this version.
    pub fn new(inner: S, version: u8, payload_bytes_max: usize, mark: Mark) -> Trim<S> {
        let read = vec![0; READ_BYTES].into_boxed_slice();
        Trim { inner, cutter: Cutter::new(version, payload_bytes_max, mark), read }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Trim<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.cutter.ready.is_empty() {
            let mut read = ReadBuf::new(&mut this.read);
            ready!(Pin::new(&mut this.inner).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.cutter.take(read.filled())?;
        }
        let count = this.cutter.ready.len().min(buffer.remaining());
        buffer.put_slice(&this.cutter.ready.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Trim<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Follows the packets in a stream of bytes.
#[derive(Debug)]
struct Cutter {
    version: u8,
    body_bytes_max: usize,
    mark: Mark,
    state: State,
    /// What may be read on.
    ready: BytesMut,
}

#[derive(Debug)]
enum State {
    /// Within a fixed header: its bytes so far.
    Header(Vec<u8>),
    /// So many bytes of a packet pass.
    Pass(usize),
    /// Within a message that is too large.
    Cut(Cut),
}

/// A message that is too large, as far as it has come.
#[derive(Debug)]
struct Cut {
    first: u8,
    /// Bytes of the packet that have not come.
    left: usize,
    part: Part,
    /// Length of the topic, topic and packet identifier, as they go on.
    head: Vec<u8>,
    payload_bytes: usize,
    sample: Vec<u8>,
}

/// What comes next of it.
#[derive(Debug, Clone, Copy)]
enum Part {
    TopicLength,
    /// So many bytes of topic and packet identifier.
    Head(usize),
    /// A number of several bytes: what it is so far, and the place of its next seven bits.
    PropertiesLength(usize, u32),
    Properties(usize),
    Payload,
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the broker sent {what}"))
}

impl Cutter {
    fn new(version: u8, payload_bytes_max: usize, mark: Mark) -> Cutter {
        let body_bytes_max = payload_bytes_max + BESIDE_BYTES;
        let (state, ready) = (State::Header(Vec::new()), BytesMut::new());
        Cutter { version, body_bytes_max, mark, state, ready }
    }

    /// Takes what was read.
    fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Pass(left) => {
                    let (pass, rest) = bytes.split_at(bytes.len().min(*left));
                    self.ready.put_slice(pass);
                    *left -= pass.len();
                    bytes = rest;
                    if *left == 0 {
                        self.state = State::Header(Vec::new());
                    }
                }
                State::Header(header) => {
                    header.push(bytes.get_u8());
                    let Some(length) = remaining_length(&header[1..])? else { continue };
                    let is_publish = header[0] >> 4 == PUBLISH;
                    if is_publish && length > self.body_bytes_max {
                        self.state = State::Cut(Cut::new(header[0], length));
                        continue;
                    }
                    if !is_publish && length > OTHER_BYTES_MAX {
                        return Err(malformed("a packet that is no message and is too long"));
                    }
                    self.ready.put_slice(header);
                    let next =
                        if length == 0 { State::Header(Vec::new()) } else { State::Pass(length) };
                    self.state = next;
                }
                State::Cut(cut) => {
                    bytes = cut.take(bytes, self.version)?;
                    if cut.left == 0 {
                        cut.write(&mut self.ready, self.version, self.mark);
                        self.state = State::Header(Vec::new());
                    }
                }
            }
        }
        Ok(())
    }
}

/// The length that these bytes tell, if they are all of it.
fn remaining_length(bytes: &[u8]) -> io::Result<Option<usize>> {
    match bytes {
        [] => Ok(None),
        [.., last] if *last < 0x80 => {
            let seven = |(place, byte): (usize, &u8)| usize::from(byte & 0x7f) << (7 * place);
            Ok(Some(bytes.iter().enumerate().map(seven).sum()))
        }
        [_, _, _, _] => Err(malformed("a packet without a length")),
        _ => Ok(None),
    }
}

impl Cut {
    fn new(first: u8, length: usize) -> Cut {
        let (head, sample) = (Vec::new(), Vec::new());
        Cut { first, left: length, part: Part::TopicLength, head, payload_bytes: 0, sample }
    }

    fn has_packet_id(&self) -> bool {
        self.first & 0b110 != 0
    }

    /// Takes what belongs to it, and gives what is left.
    fn take<'b>(&mut self, bytes: &'b [u8], version: u8) -> io::Result<&'b [u8]> {
        let (mut own, rest) = bytes.split_at(bytes.len().min(self.left));
        self.left -= own.len();
        while !own.is_empty() {
            match self.part {
                Part::TopicLength => {
                    self.head.push(own.get_u8());
                    if let [high, low] = self.head[..] {
                        let topic = usize::from(u16::from_be_bytes([high, low]));
                        self.part = Part::Head(topic + if self.has_packet_id() { 2 } else { 0 });
                    }
                }
                Part::Head(0) | Part::Properties(0) if version < 5 => self.part = Part::Payload,
                Part::Head(0) => self.part = Part::PropertiesLength(0, 0),
                Part::Head(wanted) => {
                    let count = own.len().min(wanted);
                    self.head.extend_from_slice(&own[..count]);
                    own.advance(count);
                    self.part = Part::Head(wanted - count);
                }
                Part::PropertiesLength(_, 28..) => {
                    return Err(malformed("properties without a length"));
                }
                Part::PropertiesLength(so_far, place) => {
                    let byte = own.get_u8();
                    let length = so_far | usize::from(byte & 0x7f) << place;
                    self.part = match byte < 0x80 {
                        true => Part::Properties(length),
                        false => Part::PropertiesLength(length, place + 7),
                    };
                }
                Part::Properties(0) => self.part = Part::Payload,
                Part::Properties(wanted) => {
                    let count = own.len().min(wanted);
                    own.advance(count);
                    self.part = Part::Properties(wanted - count);
                }
                Part::Payload => {
                    let keep = own.len().min(SAMPLE_BYTES - self.sample.len());
                    self.sample.extend_from_slice(&own[..keep]);
                    self.payload_bytes += own.len();
                    own = &[];
                }
            }
        }
        match (self.left, self.part) {
            (0, Part::Payload) | (0, Part::Properties(0)) | (1.., _) => Ok(rest),
            (0, _) => Err(malformed("a message that is shorter than its own topic and properties")),
        }
    }

    /// Writes it as a message that can be read.
    fn write(&self, out: &mut BytesMut, version: u8, mark: Mark) {
        let properties = usize::from(version >= 5);
        let mut length = self.head.len() + properties + mark.0.len() + 8 + self.sample.len();
        out.put_u8(self.first);
        loop {
            let seven = (length & 0x7f) as u8;
            length >>= 7;
            out.put_u8(if length > 0 { seven | 0x80 } else { seven });
            if length == 0 {
                break;
            }
        }
        out.put_slice(&self.head);
        out.put_bytes(0, properties);
        out.put_slice(&mark.0);
        out.put_u64(self.payload_bytes as u64);
        out.put_slice(&self.sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rumqttc_v5::mqttbytes::QoS;
    use rumqttc_v5::{Packet, Publish, PublishProperties};

    const MAX: usize = 1000;
    const MARK: Mark = Mark([7; 16]);

    /// What comes out, the stream being read in such pieces.
    fn trimmed(version: u8, stream: &[u8], pieces: &[usize]) -> BytesMut {
        let mut cutter = Cutter::new(version, MAX, MARK);
        let mut rest = stream;
        let mut pieces = pieces.iter().cycle();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*pieces.next().unwrap()).min(rest.len()));
            cutter.take(piece).unwrap();
            rest = after;
        }
        assert!(matches!(cutter.state, State::Header(ref header) if header.is_empty()));
        cutter.ready
    }

    fn packet(
        topic: &str,
        qos: QoS,
        payload: Vec<u8>,
        properties: Option<PublishProperties>,
    ) -> Publish {
        let mut publish = Publish::new(topic, qos, payload, properties);
        publish.pkid = u16::from(qos != QoS::AtMostOnce) * 77;
        publish
    }

    fn written(publish: &Publish) -> BytesMut {
        let mut bytes = BytesMut::new();
        publish.write(&mut bytes).unwrap();
        bytes
    }

    fn properties(bytes: usize) -> Option<PublishProperties> {
        let user_properties: Vec<_> =
            (0..bytes / 1000).map(|n| (n.to_string(), "x".repeat(1000))).collect();
        // None are not written, and read back as none.
        (!user_properties.is_empty())
            .then(|| PublishProperties { user_properties, ..PublishProperties::default() })
    }

    proptest! {
        #[test]
        fn small_messages_pass_and_large_ones_are_cut(
            sizes in prop::collection::vec((0..400_000_usize, any::<bool>(), 0..300_000_usize), 1..6),
            pieces in prop::collection::vec(1..70_000_usize, 1..5),
        ) {
            let sent: Vec<_> = sizes.iter().map(|&(size, is_acked, beside)| {
                let qos = if is_acked { QoS::AtLeastOnce } else { QoS::AtMostOnce };
                let payload = (0..size).map(|at| at as u8).collect();
                packet("a/topic", qos, payload, properties(beside))
            }).collect();
            let stream: Vec<u8> = sent.iter().flat_map(written).collect();
            let mut out = trimmed(5, &stream, &pieces);
            for sent in sent {
                let Packet::Publish(got) = Packet::read(&mut out, None).unwrap() else { panic!() };
                prop_assert_eq!((&got.topic, got.qos, got.pkid), (&sent.topic, sent.qos, sent.pkid));
                match MARK.cut(&got.payload) {
                    None => {
                        prop_assert_eq!(got.payload, sent.payload);
                        prop_assert_eq!(got.properties, sent.properties);
                    }
                    Some((length, sample)) => {
                        prop_assert!(written(&sent).len() > MAX + BESIDE_BYTES);
                        prop_assert_eq!(length, sent.payload.len());
                        prop_assert_eq!(&sample[..], &sent.payload[..length.min(SAMPLE_BYTES)]);
                    }
                }
            }
            prop_assert!(out.is_empty());
        }
    }

    #[test]
    fn over_version_4_there_are_no_properties() {
        let mut stream = BytesMut::new();
        let mut publish =
            rumqttc_v4::Publish::new("t", rumqttc_v4::QoS::AtLeastOnce, vec![1; 200_000]);
        publish.pkid = 5;
        publish.write(&mut stream).unwrap();
        stream.extend_from_slice(&[0xd0, 0]);
        let mut out = trimmed(4, &stream, &[999]);
        let read = rumqttc_v4::Packet::read(&mut out, usize::MAX).unwrap();
        let rumqttc_v4::Packet::Publish(got) = read else { panic!("{read:?}") };
        assert_eq!((&got.topic[..], got.pkid), (&b"t"[..], 5));
        let (length, sample) = MARK.cut(&got.payload).unwrap();
        assert_eq!((length, sample.len()), (200_000, SAMPLE_BYTES));
        assert_eq!(out[..], [0xd0, 0], "what follows passes");
    }

    #[test]
    fn what_is_no_packet_ends_the_connection() {
        for stream in [
            &[0x30, 0xff, 0xff, 0xff, 0xff][..],
            // Another packet of 2 MiB.
            &[0x90, 0x80, 0x80, 0x80, 0x01],
        ] {
            let mut cutter = Cutter::new(5, MAX, MARK);
            assert_eq!(cutter.take(stream).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_mark_can_not_be_forged() {
        let forged = Bytes::from(vec![7; 40]);
        assert!(Mark::new().cut(&forged).is_none());
        assert_ne!(Mark::new(), Mark::new());
    }
}
