//! A whole sink over a real spool and a real book, against a store in memory that misbehaves.

use super::fold::Rules;
use super::round::Shape;
use super::transport::{Reply, Transport};
use super::{OpenError, Options, Rollups, answers::Unreached, names::Naming, open as open_sink};
use crate::clock;
use crate::decode::{self, Stamp, Upstream, encode};
use crate::ledger::{AcceptedBelow, Outcome};
use crate::model::{Batch, BatchBuilder, Timestamp};
use crate::sinks::book::{Book, Bounds, Filter, Standing};
use crate::sinks::breaker;
use crate::spool::{self, Kind, Protocol, Record, Spool, SpoolError};
use crate::wire::{Limits, inflate};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What a store does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Store,
    /// Takes it, and the answer is lost.
    StoreAndBreak,
    Break,
    SlowDown,
    Unwell,
    Forbid,
    TooLarge,
    /// The daemon is gone before the answer.
    Crash,
}

/// A store that refuses, as InfluxDB 2 does, a request with a line that contains `poison`.
#[derive(Clone)]
struct Memory(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    /// Every line, in the order in which they came.
    lines: Vec<String>,
    /// For the next requests; then all is well.
    script: Vec<Does>,
    crash: Option<CancellationToken>,
}

impl Transport for Memory {
    async fn write(&self, gzipped: Bytes) -> Result<Reply, Unreached> {
        match self.take(&gzipped) {
            Some(reply) => reply,
            None => std::future::pending().await,
        }
    }
}

impl Memory {
    /// Nothing if there will never be an answer.
    fn take(&self, gzipped: &[u8]) -> Option<Result<Reply, Unreached>> {
        let mut stored = self.0.lock().unwrap();
        let mut scratch = Vec::new();
        let text = inflate(gzipped, &Limits::READ_BACK, &mut scratch).unwrap();
        let lines: Vec<_> = std::str::from_utf8(text).unwrap().lines().map(str::to_owned).collect();
        let does = match stored.script.pop().unwrap_or(Does::Store) {
            // One line alone that is too large is refused for good.
            Does::TooLarge if lines.len() == 1 => Does::Store,
            does => does,
        };
        let reply = |status, body: &str| {
            Some(Ok(Reply { status, retry_after: None, body: body.as_bytes().to_vec() }))
        };
        match does {
            Does::Store | Does::StoreAndBreak => {
                if lines.iter().any(|line| line.contains("poison")) {
                    return reply(400, r#"{"code":"invalid","message":"unable to parse"}"#);
                }
                stored.lines.extend(lines);
                if does == Does::Store { reply(204, "") } else { Some(Err(Unreached::Reset)) }
            }
            Does::Break => Some(Err(Unreached::Refused)),
            Does::SlowDown => reply(429, ""),
            Does::Unwell => reply(500, "internal error"),
            Does::Forbid => {
                reply(401, r#"{"code":"unauthorized","message":"unauthorized access"}"#)
            }
            Does::TooLarge => reply(413, ""),
            Does::Crash => {
                // Two requests may be under way.
                if let Some(crash) = stored.crash.take() {
                    crash.cancel();
                }
                None
            }
        }
    }
}

/// A spool with these batches, closed; and what a sink must bring to the store of it: its lines for
/// each device, in order.
struct Log {
    directory: tempfile::TempDir,
    expected: BTreeMap<String, Vec<String>>,
    samples: u64,
    batches: i64,
}

/// One batch: rows of some devices, some of them poisonous.
type Rows = Vec<(u8, bool)>;

impl Log {
    fn new(batches: &[Rows]) -> Log {
        let directory = tempfile::tempdir().unwrap();
        let mut log = Log { directory, expected: BTreeMap::new(), samples: 0, batches: 0 };
        log.append(batches);
        log
    }

    fn append(&mut self, batches: &[Rows]) {
        let (mut writer, _, _) = self.open_spool();
        batches.iter().for_each(|rows| self.write(&mut writer, rows));
        writer.close(&mut Vec::new).unwrap();
    }

    fn write(&mut self, writer: &mut spool::Writer, rows: &Rows) {
        self.batches += 1;
        let at = self.batches;
        let mut builder = BatchBuilder::new();
        let mut seen = BTreeSet::new();
        for (device, poison) in rows.iter().filter(|(device, _)| seen.insert(*device)) {
            let (name, field) = (format!("d{device}"), if *poison { "poison" } else { "ok" });
            builder.table(&name, &mut [], [at]).unwrap();
            builder.ints(&format!("m.{field}"), "", [at], &[]).unwrap();
            let line = format!("m,device={name} {field}={at}i {at}");
            self.expected.entry(name).or_default().push(line);
        }
        let batch = Arc::new(builder.finish());
        self.samples += batch.samples() as u64;
        let payload = encode(&batch, 0);
        let record = Record {
            kind: Kind::Batch,
            // To come: however long the test takes, none of it is late, and left for the other lane, which
            // nobody would wait for after the log's end.
            received_at: clock::now().saturating_add(Duration::from_secs(1800)),
            protocol: Protocol::Ws,
            samples: batch.samples() as u32,
            payload: &payload,
            client: "c",
            ..Record::checkpoint(Timestamp(at), &[])
        };
        writer.append(&record, Some(batch)).unwrap();
        writer.commit(&mut Vec::new).unwrap();
    }

    /// As the next process does. The lanes of a sink that "crashed" in this one may take a moment to
    /// let go of the lock.
    fn open_spool(&self) -> (spool::Writer, Spool, spool::Recovery) {
        let mut options = spool::Options::new(self.directory.path().join("spool"));
        options.segment_bytes = 4 << 10;
        let deadline = clock::monotonic() + Duration::from_secs(30);
        loop {
            match spool::open(&options, Arc::new(decoded), &mut |_, _| ()) {
                Err(SpoolError::Locked { .. }) if clock::monotonic() < deadline => {
                    std::thread::yield_now();
                }
                opened => return opened.unwrap(),
            }
        }
    }

    fn book(&self) -> Book {
        let bounds = Bounds { bytes_max: 1 << 20, age_max: None };
        Book::open(&self.directory.path().join("sinks.db"), bounds).unwrap().book
    }

    /// Runs a sink over all of the log; returns when its thread has ended.
    fn run(&self, store: &Memory, shape: &Shape, rollups: Option<&Rollups>) {
        let (writer, spool, _) = self.open_spool();
        let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
        store.0.lock().unwrap().crash = Some(hurry.clone());
        let opened = open_sink(options(shape, rollups), &spool, self.book()).unwrap();
        writer.close(&mut Vec::new).unwrap();
        let (_, thread) = opened.start(store.clone(), &stop, &hurry).unwrap();
        thread.join().unwrap();
    }

    fn standing(&self) -> Standing {
        let (_, spool, _) = self.open_spool();
        self.book().sink("store", spool.id()).unwrap().unwrap()
    }
}

fn decoded(record: &Record<'_>) -> Result<Batch, Box<dyn Error + Send + Sync>> {
    let Upstream::Batch(batch) = decode::upstream(record.payload)? else { panic!("no batch") };
    let (received_at, client) = (record.received_at, record.client);
    let stamp = Stamp { received_at, booted_at: None, client };
    Ok(decode::batch(batch, &Limits::READ_BACK, &stamp)?.batch)
}

fn options(shape: &Shape, rollups: Option<&Rollups>) -> Options {
    let ms = Duration::from_millis(1);
    Options {
        name: "store".to_owned(),
        shape: shape.clone(),
        rollups: rollups.cloned(),
        batch_age: Duration::ZERO,
        requests_max: 4,
        backlog_share: 0.5,
        breaker: breaker::Settings {
            backoff: ms,
            backoff_max: ms,
            misconfigured_interval: ms,
            ..breaker::Settings::default()
        },
        accepted: AcceptedBelow::default(),
    }
}

fn shape() -> Shape {
    // Small, so that there are many parts and requests.
    Shape { naming: Naming::new("m"), devices: None, part_samples: 3, request_bytes: 60 }
}

/// Each line in the order in which it came first.
fn first_seen(lines: &[String], device: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let tag = format!("device={device} ");
    let of_device = lines.iter().filter(|line| line.contains(&tag));
    of_device.filter(|line| seen.insert(line.as_str())).cloned().collect()
}

fn any_doing() -> impl Strategy<Value = Does> {
    prop_oneof![
        8 => Just(Does::Store), 2 => Just(Does::StoreAndBreak), 2 => Just(Does::Break),
        1 => Just(Does::SlowDown), 1 => Just(Does::Unwell), 1 => Just(Does::Forbid),
        1 => Just(Does::TooLarge), 1 => Just(Does::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the store does and whenever the daemon dies: what is good is stored, in the order of
    /// each device; what is bad, and only that, is a dead letter once; and the counts say so.
    #[test]
    fn everything_is_stored_or_a_dead_letter(
        batches in prop::collection::vec(
            prop::collection::vec((0..5_u8, prop::bool::weighted(0.1)), 1..6), 1..30),
        script in prop::collection::vec(any_doing(), 0..40),
    ) {
        let log = Log::new(&batches);
        let store = Memory(Arc::default());
        store.0.lock().unwrap().script = script;
        for _ in 0..60 {
            log.run(&store, &shape(), None);
            if store.0.lock().unwrap().crash.is_some() {
                break;
            }
        }
        let stored = store.0.lock().unwrap().lines.clone();
        let mut dead = 0;
        for (device, lines) in &log.expected {
            let (bad, good): (Vec<_>, Vec<_>) =
                lines.iter().cloned().partition(|line| line.contains("poison"));
            prop_assert_eq!(first_seen(&stored, device), good);
            dead += bad.len();
        }
        let letters = log.book().letters(&Filter::default(), 0, 1000).unwrap();
        let lettered: u64 = letters.iter().map(|letter| letter.samples).sum();
        prop_assert_eq!(lettered, dead as u64);
        let Standing { progress, counts, .. } = log.standing();
        prop_assert!(progress.gaps().is_empty());
        prop_assert_eq!(counts.accounted(), log.samples);
        prop_assert_eq!((counts.dead_lettered, counts.lost), (lettered, 0));
        // There is one client, and what is counted of it is what is counted of all.
        let outcomes = log.book().outcomes("store").unwrap();
        let its: Vec<_> = outcomes.iter().filter(|line| line.client.is_some()).collect();
        prop_assert_eq!(its.len(), 1);
        let stored = counts.written;
        let expected = Outcome { stored, dead_lettered: lettered, ..Outcome::default() };
        prop_assert_eq!(its[0].outcome, expected);
    }
}

const WIDTH: i64 = 5;
const LATENESS: i64 = 2;

/// The rollups that must be in the store at the end; samples of the windows that have poison; and of
/// those that are open. Each device sends at most once per batch, the number of which is time and value.
fn rollups_of(batches: &[Rows]) -> (BTreeSet<String>, u64, u64) {
    let mut windows = BTreeMap::<(u8, i64), Vec<(i64, bool)>>::new();
    let mut watermarks = BTreeMap::<u8, i64>::new();
    for (at, rows) in (1..).zip(batches) {
        let mut seen = BTreeSet::new();
        for (device, poison) in rows.iter().filter(|(device, _)| seen.insert(*device)) {
            windows.entry((*device, at / WIDTH * WIDTH)).or_default().push((at, *poison));
            watermarks.insert(*device, at);
        }
    }
    let (mut lines, mut dead, mut open) = (BTreeSet::new(), 0, 0);
    for ((device, start), samples) in windows {
        let count = samples.len() as u64;
        if start + WIDTH > watermarks[&device] - LATENESS {
            open += count;
        } else if samples.iter().any(|(_, poison)| *poison) {
            dead += count;
        } else {
            let (first, last) = (samples[0].0, samples[samples.len() - 1].0);
            let mean = samples.iter().map(|(at, _)| *at as f64).sum::<f64>() / count as f64;
            lines.insert(format!(
                "m,device=d{device} ok_count={count}i,ok_min={first}i,ok_max={last}i,\
                 ok_first={first}i,ok_last={last}i,ok_mean={mean:?} {start}"
            ));
        }
    }
    (lines, dead, open)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The same for rollups: every window that is over is stored as all its samples make it, or it is a
    /// dead letter once; and the counts say of which samples that was. The daemon ends in order, too,
    /// and goes on with more of the log.
    #[test]
    fn every_window_is_stored_whole_or_a_dead_letter(
        starts in prop::collection::vec(prop::collection::vec(
            prop::collection::vec((0..5_u8, prop::bool::weighted(0.05)), 1..6), 1..30), 1..4),
        script in prop::collection::vec(any_doing(), 0..40),
    ) {
        let mut log = Log::new(&[]);
        let store = Memory(Arc::default());
        store.0.lock().unwrap().script = script;
        let all = || vec!["*".to_owned()];
        let rules = Rules { width: WIDTH, lateness: LATENESS, devices: all(), metrics: all() };
        let rollups = Rollups { rules, silence: Duration::from_secs(3600) };
        for batches in &starts {
            log.append(batches);
            for _ in 0..60 {
                log.run(&store, &shape(), Some(&rollups));
                if store.0.lock().unwrap().crash.is_some() {
                    break;
                }
            }
        }
        let batches = starts.concat();
        let stored: BTreeSet<_> = store.0.lock().unwrap().lines.iter().cloned().collect();
        let (lines, dead, open) = rollups_of(&batches);
        prop_assert_eq!(stored, lines);
        let letters = log.book().letters(&Filter::default(), 0, 1000).unwrap();
        prop_assert!(letters.iter().all(|letter| letter.protocol == "ws" && letter.client == "c"));
        prop_assert_eq!(letters.iter().map(|letter| letter.samples).sum::<u64>(), dead);
        let Standing { counts, .. } = log.standing();
        prop_assert_eq!(counts.accounted(), log.samples);
        prop_assert_eq!((counts.dead_lettered, counts.open), (dead, open));
        prop_assert_eq!((counts.late, counts.lost, counts.skipped), (0, 0, 0));
        // For the client, what is in open windows counts as stored.
        let outcomes = log.book().outcomes("store").unwrap();
        let its: Vec<_> = outcomes.iter().filter(|line| line.client.is_some()).collect();
        let stored = counts.written + open;
        let expected = Outcome { stored, dead_lettered: dead, ..Outcome::default() };
        prop_assert_eq!((its.len(), its[0].outcome), (1, expected));
        // The same book can't go on with another kind.
        let (_, spool, _) = log.open_spool();
        let options = options(&shape(), None);
        let changed = open_sink(options, &spool, log.book());
        prop_assert!(matches!(changed, Err(OpenError::Changed { .. })), "it is another kind");
    }
}

#[test]
fn a_lane_is_watched_while_it_looks_and_rests_while_the_store_takes_nothing() {
    let until = |what: &str, is: &dyn Fn() -> bool| {
        let deadline = clock::monotonic() + Duration::from_secs(60);
        while !is() {
            assert!(clock::monotonic() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let all = || vec!["*".to_owned()];
    let rules = Rules { width: WIDTH, lateness: LATENESS, devices: all(), metrics: all() };
    let rollups = Rollups { rules, silence: Duration::from_secs(3600) };
    for (rollups, name) in [(None, "store live"), (Some(&rollups), "store fold")] {
        let mut log = Log::new(&[]);
        let (mut writer, spool, _) = log.open_spool();
        let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
        let store = Memory(Arc::default());
        // It never answers.
        store.0.lock().unwrap().script = vec![Does::Crash; 100];
        let opened = open_sink(options(&shape(), rollups), &spool, log.book()).unwrap();
        let (sink, thread) = opened.start(store, &stop, &hurry).unwrap();
        let [_, lane, backlog] = sink.pulses();
        assert_eq!((lane.name(), backlog.name()), (name, "store backlog"));
        let hour = Duration::from_secs(3600);
        let soon = clock::monotonic() + 2 * hour;
        let silent = || lane.silence(soon).0;
        // Nothing comes: it looks all the time, and would be missed.
        until("it does not look", &|| silent() > hour);
        let first = silent();
        until("it looks no more", &|| silent() > hour && silent() < first);
        // What it has made is not taken.
        (0..60)
            .for_each(|_| log.write(&mut writer, &(0..5).map(|device| (device, false)).collect()));
        until("it does not rest", &|| silent().is_zero());
        assert!(backlog.silence(soon).0.is_zero(), "there is none");
        hurry.cancel();
        thread.join().unwrap();
        writer.close(&mut Vec::new).unwrap();
    }
}
