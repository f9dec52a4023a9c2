//! One connection to a broker: a small trait over the clients of both versions.
//!
//! In: what to say ([`Link`]); none of it ever waits. Out: [`Event`]s, through a queue that is bounded
//! by the bytes of the messages in it (`room`). The future that [`open`] gives is the client's loop: it
//! runs in a task of its own, waits for nobody, and must not be dropped while it runs, because the
//! client forgets what it was about to send.
//!
//! A link is for one connection. What the clients offer for several (sending again, sessions of their
//! own) is not used: who connects again makes a new one, so that nothing of an old connection can
//! reach a new one.

mod stream;
mod trim;
mod v4;
mod v5;
mod window;

pub(super) use stream::{Target, TlsFiles};

use super::room::{Room, Taken};
use crate::clock;
use crate::config::{Broker, MqttVersion};
use crate::model::Timestamp;
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use trim::Mark;
use window::Window;

/// To connect, from the first packet to the broker's answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long what was published may wait for its acknowledgement before we disconnect.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The part of the keep-alive for which nothing is read while there is no room.
const BRAKE_PART: u32 = 4;
/// Packets read or written at once.
const PACKETS_AT_ONCE: usize = 128;

/// A message, as the broker delivered it.
#[derive(Debug)]
pub(super) struct Delivered {
    pub topic: Bytes,
    /// All of the payload, or its beginning.
    pub payload: Bytes,
    /// Length of the whole payload.
    pub bytes: usize,
    pub qos: u8,
    pub retained: bool,
    /// The broker sent it before, it believes.
    pub dup: bool,
    /// What it is acknowledged by; 0 = not at all.
    pub packet: u16,
    pub received_at: Timestamp,
    pub content_type: Option<String>,
    pub properties: Vec<(String, String)>,
    /// What it takes of the bridge's room, as long as it is there; what comes from elsewhere takes none.
    #[expect(dead_code, reason = "given back when it is dropped")]
    pub room: Option<Taken>,
}

impl Delivered {
    /// Stands for what no message told: the time that passed, a connection that was lost.
    pub fn nothing(received_at: Timestamp) -> Delivered {
        Delivered {
            topic: Bytes::new(),
            payload: Bytes::new(),
            bytes: 0,
            qos: 0,
            retained: false,
            dup: false,
            packet: 0,
            received_at,
            content_type: None,
            properties: Vec::new(),
            room: None,
        }
    }

    /// The topic; empty if it is no text, which no broker may let through.
    pub fn topic(&self) -> &str {
        std::str::from_utf8(&self.topic).unwrap_or_default()
    }
}

/// A message of ours.
#[derive(Debug, Clone)]
pub(super) struct Publication {
    pub topic: String,
    pub payload: Bytes,
    pub qos: u8,
    pub retain: bool,
}

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    Connected {
        /// The broker knows us: it kept what came meanwhile, and our subscriptions.
        session_present: bool,
    },
    Message(Delivered),
    /// One by one as subscribed: nothing, or why not.
    Subscribed(Vec<Option<String>>),
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// We disconnected.
    Closed,
    /// There is no room for a message of QoS 1.
    Full,
    /// The broker does not want us as we are: somebody has to mend something.
    Refused(String),
    /// It could not be reached, or is lost.
    Lost(String),
    /// The broker closed the connection without a word.
    Dropped,
}

/// What may be said on a connection. Nothing here waits; what comes after the end is dropped.
pub(super) trait Link: Send + Sync {
    /// Acknowledges a message; in the order of receipt. At most one per packet identifier is ever in
    /// the client's queue.
    fn ack(&self, packet: u16);
    /// Subscribes to filters, each with its QoS.
    fn subscribe(&self, filters: &[(String, u8)]);
    /// Publishes.
    fn publish(&self, publication: Publication);
    /// Publishes with QoS 1; tells whether the broker has acknowledged it. False when that can't come any
    /// more, or was refused.
    fn publish_tracked(
        &self,
        publication: Publication,
    ) -> Pin<Box<dyn Future<Output = bool> + Send>>;
    /// Publications that are not sent yet.
    fn queued(&self) -> usize;
    /// Disconnects when what was said before is sent.
    fn disconnect(&self);
}

/// How many publications are in the client's queue, which has no bound of its own.
#[derive(Debug, Clone, Default)]
struct Queued(Arc<AtomicUsize>);

impl Queued {
    fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn one_less(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// The client's loop.
pub(super) type Running = Pin<Box<dyn Future<Output = End> + Send>>;

/// Who connects, and how.
pub(super) struct Connect {
    pub broker: Arc<Broker>,
    pub target: Arc<Target>,
    /// `None` = without.
    pub password: Option<String>,
    pub will: Option<Publication>,
    pub inbox: Inbox,
}

/// Makes a link; it connects when its loop runs.
pub(super) fn open(connect: Connect) -> (Box<dyn Link>, Running) {
    match connect.broker.version {
        MqttVersion::V4 => v4::open(connect),
        MqttVersion::V5 => v5::open(connect),
    }
}

/// Where events go.
pub(super) struct Inbox {
    pub events: mpsc::UnboundedSender<Event>,
    pub room: Arc<Room>,
    /// Messages of QoS 0 that there was no room for.
    pub refused: Arc<AtomicU64>,
    pub keep_alive: Duration,
    /// There was no room for a while: what has no promise is refused until there is again.
    pub hopeless: bool,
    pub brake: Brake,
}

/// Nothing is read while too many messages of QoS 1 wait for our acknowledgement.
#[derive(Debug, Default)]
pub(super) struct Brake {
    window: Window,
    /// So many messages pass, so that our ping goes out in time.
    pass: usize,
}

impl Brake {
    async fn wait(&mut self, keep_alive: Duration) {
        if self.pass > 0 {
            self.pass -= 1;
        } else if timeout(keep_alive / BRAKE_PART, self.window.open()).await.is_err() {
            self.pass = PACKETS_AT_ONCE;
        }
        self.window.one_more();
    }
}

/// A message as the clients tell it.
struct Raw {
    topic: Bytes,
    payload: Bytes,
    qos: u8,
    retained: bool,
    dup: bool,
    packet: u16,
    content_type: Option<String>,
    properties: Vec<(String, String)>,
}

impl Inbox {
    fn tell(&self, event: Event) {
        // A bridge that has gone needs to hear nothing.
        drop(self.events.send(event));
    }

    /// Hands a message on. Waits for room, if there is none, for a part of the keep-alive.
    async fn deliver(&mut self, raw: Raw, mark: Mark) -> Result<(), End> {
        if raw.qos > 0 {
            self.brake.wait(self.keep_alive).await;
        }
        let received_at = clock::now();
        let (bytes, payload) = match mark.cut(&raw.payload) {
            Some(cut) => cut,
            None => (raw.payload.len(), raw.payload),
        };
        let properties: usize =
            raw.properties.iter().map(|(key, value)| key.len() + value.len()).sum();
        let size = raw.topic.len() + payload.len() + properties;
        let Some(room) = self.room_for(size).await else {
            if raw.qos > 0 {
                return Err(End::Full);
            }
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        self.tell(Event::Message(Delivered {
            topic: raw.topic,
            payload,
            bytes,
            qos: raw.qos,
            retained: raw.retained,
            dup: raw.dup,
            packet: raw.packet,
            received_at,
            content_type: raw.content_type,
            properties: raw.properties,
            room: Some(room),
        }));
        Ok(())
    }

    async fn room_for(&mut self, size: usize) -> Option<Taken> {
        if let Some(room) = self.room.take(size) {
            self.hopeless &= !self.room.is_roomy();
            return Some(room);
        }
        if !self.hopeless {
            // The broker's next words wait in the socket; our own ping must go out in time.
            let brake = Instant::now() + self.keep_alive / BRAKE_PART;
            self.hopeless = timeout_at(brake, self.room.roomy()).await.is_err();
        }
        self.room.take(size)
    }

    /// Longer than this a healthy connection is never silent: a ping goes out with every keep-alive,
    /// and is answered before the next.
    fn silence_max(&self) -> Duration {
        2 * self.keep_alive + CONNECT_TIMEOUT
    }

    /// What comes next, if anything does.
    async fn awaited<T>(&self, next: impl Future<Output = T>) -> Result<T, End> {
        let silence_max = self.silence_max();
        let stuck = |_| End::Lost(format!("nothing was heard for {} s", silence_max.as_secs()));
        timeout(silence_max, next).await.map_err(stuck)
    }
}
