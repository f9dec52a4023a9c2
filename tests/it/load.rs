//! Devices that measure all the time, keep what they measured until it is acknowledged, and know
//! afterwards exactly what a store must have.

use crate::daemon::{Daemon, PATIENCE};
use crate::store::{Store, Stored};
use crate::victoria::Victoria;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tidegate::clock;
use tidegate::decode;
use tidegate::model::{BatchBuilder, SessionId};
use tidegate::simulate::{Frame, Outbox};
use tidegate::wire::{Downstream, Hello, Retry, encode_hello};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

/// Batches that wait for their acknowledgement; then nothing more is measured.
const HELD_MAX: usize = 32;
const MS: i64 = 1_000_000;

/// The samples of devices by their times in milliseconds: sample `i` of a device has the value `i`.
pub type Samples = BTreeMap<String, BTreeMap<i64, i64>>;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub devices: usize,
    /// Of each device in a batch.
    pub rows: usize,
    /// Between two batches.
    pub every: Duration,
}

/// A gateway at work.
pub struct Load {
    shared: Arc<Shared>,
    thread: JoinHandle<Sent>,
}

#[derive(Default)]
struct Shared {
    acked: AtomicU64,
    stop: AtomicBool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Sent {
    pub client: String,
    /// Everything was: nothing is left behind.
    pub acked_batches: u64,
    pub connections: u64,
    pub refused_for_later: u64,
    /// How often it was told to slow down.
    pub throttled: u64,
    /// The least credit in batches that it had.
    pub credit_least: u32,
    devices: usize,
    rows: usize,
    start: i64,
}

impl Load {
    /// Begins; comes back by itself when the daemon was away.
    pub fn start(daemon: &Daemon, client: &str, pace: Pace) -> Load {
        let shared = Arc::new(Shared::default());
        let gateway = Gateway {
            address: daemon.address,
            pace,
            shared: shared.clone(),
            outbox: Outbox::new(2 * HELD_MAX),
            session: rand::random_range(1..u64::MAX),
            made: 0,
            due: clock::monotonic(),
            stop_by: None,
            sent: Sent {
                client: client.to_owned(),
                credit_least: u32::MAX,
                devices: pace.devices,
                rows: pace.rows,
                start: clock::now().as_millis() - 3_600_000,
                ..Sent::default()
            },
        };
        Load { shared, thread: std::thread::spawn(move || gateway.run()) }
    }

    /// So many batches, and waits for their acknowledgements.
    pub fn batches(daemon: &Daemon, client: &str, pace: Pace, batches: u64) -> Sent {
        let load = Load::start(daemon, client, pace);
        load.wait_for(batches);
        load.finish()
    }

    /// Batches that are acknowledged by now.
    pub fn acked(&self) -> u64 {
        self.shared.acked.load(Ordering::Relaxed)
    }

    /// Waits until so many batches are acknowledged.
    pub fn wait_for(&self, batches: u64) {
        let deadline = clock::monotonic() + PATIENCE;
        while self.acked() < batches {
            assert!(clock::monotonic() < deadline, "{} of {batches} batches", self.acked());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Measures no more, and waits until all is acknowledged.
    pub fn finish(self) -> Sent {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

impl Sent {
    pub fn samples(&self) -> u64 {
        self.acked_batches * (self.devices * self.rows) as u64
    }

    /// All that was acknowledged.
    pub fn all(&self) -> Samples {
        let rows = i64::try_from(self.acked_batches).unwrap() * self.rows as i64;
        let times: BTreeMap<i64, i64> = (0..rows).map(|row| (self.start + row, row)).collect();
        (0..self.devices).map(|device| (self.device(device), times.clone())).collect()
    }

    fn device(&self, number: usize) -> String {
        format!("{}-{number}", self.client)
    }
}

/// The end of every story: each sink has dealt with all that was acknowledged, the daemon is stopped in
/// order, and the books balance. Gives what status said of the sinks.
pub fn end_in_order(daemon: &mut Daemon, sinks: &[&str], sent: &[&Sent]) -> Vec<serde_json::Value> {
    let patience = PATIENCE.max(story_time("OUTAGE_S", 0) * 3);
    let samples: u64 = sent.iter().map(|sent| sent.samples()).sum();
    let told: Vec<_> = sinks
        .iter()
        .map(|name| {
            let told = daemon.until_sink_within(patience, name, |sink| {
                sink["lag_samples"] == 0 && sink["requests"]["under_way"] == 0
            });
            let count = |key: &str| told[key].as_u64().unwrap();
            let done = count("written") + count("dead_lettered") + count("skipped");
            assert_eq!((done, count("lost")), (samples, 0), "{told:#}");
            assert_eq!(told["imbalance"], 0, "{told:#}");
            told
        })
        .collect();
    assert_eq!(daemon.json("/api/v1/status")["ledger"]["accepted"], samples);
    daemon.stop_and_audit();
    told
}

/// How long something lasts: so many seconds, unless an environment variable says otherwise.
pub fn story_time(variable: &str, seconds: u64) -> Duration {
    let given = std::env::var(variable).map(|given| given.parse().unwrap());
    Duration::from_secs(given.unwrap_or(seconds))
}

/// The samples of the lines that a scripted store accepted; a line that came twice is one sample.
pub fn in_store(store: &Store) -> Samples {
    let mut samples = Samples::new();
    for Stored { line, .. } in &store.stored() {
        let parsed = (|| {
            let (device, rest) = line.strip_prefix("telemetry,device=")?.split_once(" n=")?;
            let (value, time) = rest.split_once("i ")?;
            Some((device, time.parse::<i64>().ok()? / MS, value.parse().ok()?))
        })();
        let (device, time, value) = parsed.unwrap_or_else(|| panic!("another line: {line}"));
        insert(&mut samples, device, time, value);
    }
    samples
}

/// The samples that a VictoriaMetrics has.
pub fn in_victoria(victoria: &Victoria) -> Samples {
    let mut samples = Samples::new();
    for series in victoria.series("{__name__=\"telemetry_n\"}") {
        for (&time, &value) in series.timestamps.iter().zip(&series.values) {
            insert(&mut samples, &series.labels["device"], time, value as i64);
        }
    }
    samples
}

fn insert(samples: &mut Samples, device: &str, time: i64, value: i64) {
    if !samples.contains_key(device) {
        samples.insert(device.to_owned(), BTreeMap::new());
    }
    let before = samples.get_mut(device).unwrap().insert(time, value);
    assert!(before.is_none_or(|before| before == value), "{device} at {time}: {before:?}, {value}");
}

/// That a store has exactly what was acknowledged, and says what it misses or has too much if not.
pub fn assert_same(found: &Samples, wanted: &Samples) {
    if found == wanted {
        return;
    }
    let none = BTreeMap::new();
    let mut problems = Vec::new();
    for device in found.keys().chain(wanted.keys()).collect::<std::collections::BTreeSet<_>>() {
        let found = found.get(device).unwrap_or(&none);
        let wanted = wanted.get(device).unwrap_or(&none);
        let missing: Vec<_> =
            wanted.iter().filter(|(time, _)| !found.contains_key(time)).map(|(_, v)| v).collect();
        let extra = found.keys().filter(|time| !wanted.contains_key(time)).count();
        if !missing.is_empty() || extra > 0 {
            let (first, last) = (missing.first(), missing.last());
            problems.push(format!(
                "{device}: {} of {} missing (from {first:?} to {last:?}), {extra} too many",
                missing.len(),
                wanted.len()
            ));
        }
    }
    panic!("the store has not what was acknowledged: {problems:#?}");
}

struct Gateway {
    address: SocketAddr,
    pace: Pace,
    shared: Arc<Shared>,
    outbox: Outbox,
    session: u64,
    made: u64,
    due: Instant,
    stop_by: Option<Instant>,
    sent: Sent,
}

impl Gateway {
    fn run(mut self) -> Sent {
        while !self.is_done() {
            match connect(self.address) {
                Some(mut socket) => {
                    self.sent.connections += 1;
                    self.converse(&mut socket);
                    self.outbox.disconnected();
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        self.sent.acked_batches = self.made;
        self.sent
    }

    fn is_done(&mut self) -> bool {
        if !self.shared.stop.load(Ordering::Relaxed) {
            return false;
        }
        let stop_by = *self.stop_by.get_or_insert_with(|| clock::monotonic() + PATIENCE);
        let left = self.outbox.len();
        assert!(clock::monotonic() < stop_by, "{left} batches were never acknowledged");
        left == 0
    }

    /// Until the connection ends or everything is done.
    fn converse(&mut self, socket: &mut WebSocket<TcpStream>) {
        let hello = Hello {
            client: self.sent.client.clone(),
            session: SessionId(self.session),
            resume: self.outbox.resume(),
            ..Hello::default()
        };
        if socket.send(Message::Binary(encode_hello(&hello).into())).is_err() {
            return;
        }
        while !self.is_done() {
            let now = clock::monotonic();
            let measures = !self.shared.stop.load(Ordering::Relaxed);
            if measures && self.due <= now && self.outbox.len() < HELD_MAX {
                self.measure();
                self.due = (self.due + self.pace.every).max(now - self.pace.every);
            }
            while let Some(frame) = self.outbox.next(now) {
                if socket.send(Message::Binary(frame.bytes)).is_err() {
                    return;
                }
            }
            let wait = self.due.saturating_duration_since(now);
            let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(20));
            socket.get_ref().set_read_timeout(Some(wait)).unwrap();
            match socket.read() {
                Ok(Message::Binary(bytes)) => self.hear(Downstream::decode(&bytes).unwrap()),
                Ok(Message::Close(_)) => return,
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    fn measure(&mut self) {
        let rows = self.pace.rows as i64;
        let first = i64::try_from(self.made).unwrap() * rows;
        let mut builder = BatchBuilder::new();
        for device in 0..self.pace.devices {
            let times = (first..first + rows).map(|row| (self.sent.start + row) * MS);
            builder.table(&self.sent.device(device), &mut [], times).unwrap();
            builder.ints("n", "", first..first + rows, &[]).unwrap();
        }
        let (seq, batch) = (self.outbox.next_seq(), builder.finish());
        let bytes = decode::encode(&batch, seq).into();
        self.outbox.push(Frame { seq, bytes, samples: batch.samples() });
        self.made += 1;
    }

    fn hear(&mut self, message: Downstream) {
        let now = clock::monotonic();
        let settled = match message {
            Downstream::Welcome(welcome) => self.outbox.welcome(welcome.last_seq, welcome.credit),
            Downstream::Ack { seq, credit } => {
                self.sent.credit_least = self.sent.credit_least.min(credit.batches);
                self.outbox.ack(seq, credit, now)
            }
            Downstream::Refusal { seq, retry: Retry::LaterAfterMs(ms), .. } => {
                self.sent.refused_for_later += 1;
                self.outbox.refused_for_now(seq, Duration::from_millis(ms.into()), now);
                return;
            }
            Downstream::Throttle { credit, min_interval_ms, .. } => {
                self.sent.throttled += 1;
                self.sent.credit_least = self.sent.credit_least.min(credit.batches);
                self.outbox.throttle(credit, Duration::from_millis(min_interval_ms.into()));
                return;
            }
            Downstream::Command(_) | Downstream::Desired(_) | Downstream::Goodbye { .. } => return,
            Downstream::Refusal { .. } => panic!("refused for good: {message:?}"),
        };
        self.shared.acked.fetch_add(settled.len() as u64, Ordering::Relaxed);
    }
}

/// Nothing if the daemon is away.
fn connect(address: SocketAddr) -> Option<WebSocket<TcpStream>> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut request = format!("ws://{address}/api/v1/ingest/ws").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "tidegate.v1".parse().unwrap());
    Some(tokio_tungstenite::tungstenite::client(request, stream).ok()?.0)
}
