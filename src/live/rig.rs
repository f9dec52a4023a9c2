//! The hub, driven tick by tick, and pages that know what frames told them: what tests of live need.

use super::cursor::Cursor;
use super::feed::{Begin, Entry};
use super::frame::{Frame, FrameKind};
use super::handle::Settings;
use super::hub::Hub;
use super::mailbox::{Mailbox, Transport, Viewer};
use super::status::StatusTold;
use super::subscription::LiveQuery;
use crate::aggregate::Windows;
use crate::model::{BatchBuilder, Position, Protocol, Reach, Timestamp};
use futures_util::FutureExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

pub const SECOND: i64 = 1_000_000_000;
pub const TICK: i64 = SECOND / 4;

/// What a viewer gets who comes.
pub const GREETING: [FrameKind; 3] = [FrameKind::Snapshot, FrameKind::Device, FrameKind::Alert];
/// What a viewer gets who comes back in time, and missed something.
pub const RESUMED: [FrameKind; 3] = [FrameKind::Device, FrameKind::Alert, FrameKind::Rollups];

pub fn settings(begin: Begin) -> Settings {
    Settings::new(0x1f, begin)
}

/// Record `position`: a reading of two devices at `position` quarters of a second.
pub fn entry(position: u64) -> Entry {
    let time = position as i64 * TICK;
    let mut builder = BatchBuilder::new();
    builder.table("pump-1", &mut [("site", "a")], [time]).unwrap();
    builder.floats("level", "m", [position as f64 / 8.0], &[]).unwrap();
    builder.bools("on", "", [position.is_multiple_of(3)], &[]).unwrap();
    builder.table("boiler", &mut [], [time]).unwrap();
    builder.texts("state", "", [["idle", "run"][position as usize / 5 % 2]], &[]).unwrap();
    Entry {
        position: Position(position),
        received_at: Timestamp(time),
        protocol: Protocol::Ws,
        client: "plant".into(),
        batch: Arc::new(builder.finish()),
    }
}

pub struct Rig {
    pub hub: Hub,
    pub now: i64,
}

impl Rig {
    /// A hub that has folded these records and caught up.
    pub fn new(records: std::ops::Range<u64>, settings: Settings) -> Rig {
        let mut rig = Rig { hub: Hub::new(settings), now: 0 };
        rig.fold(records);
        rig.hub.idle();
        rig
    }

    /// A status that says one number to who reaches all devices, and another to the others.
    pub fn set_status(&mut self, n: u64) {
        let [whole, within] = [n, n + 1000].map(|n| format!("{{\"n\":{n}}}").into());
        self.hub.set_status(StatusTold { whole, within });
    }

    pub fn whole(records: u64) -> Rig {
        Rig::new(0..records, settings(Begin::Kept(Position(0))))
    }

    pub fn fold(&mut self, records: std::ops::Range<u64>) {
        for position in records {
            self.hub.fold(&entry(position));
            self.now = position as i64 * TICK;
        }
    }

    pub fn tick(&mut self) {
        self.now += 1;
        self.hub.tick(Timestamp(self.now));
    }

    /// Folds records of a test's own.
    pub fn fold_all<'a>(&mut self, entries: impl IntoIterator<Item = &'a Entry>) {
        for entry in entries {
            self.hub.fold(entry);
            self.now = self.now.max(entry.received_at.0);
        }
    }

    pub fn page(&mut self, query: &str) -> Page {
        self.page_within(query, &Reach::all())
    }

    /// The page of somebody who may see these devices only.
    pub fn page_within(&mut self, query: &str, reach: &Reach) -> Page {
        let mailbox = Arc::new(Mailbox::new(Transport::Sse));
        let viewer = Viewer::new(mailbox.clone(), None);
        let query = LiveQuery::parse(query, &Windows::default()).unwrap();
        self.hub.subscribe(query.subscription.within(reach), query.cursor, mailbox.clone());
        Page {
            viewer,
            mailbox,
            known: BTreeMap::new(),
            cursor: None,
            log: Vec::new(),
            window: String::new(),
            twice: 0,
        }
    }
}

pub type Known = BTreeMap<(String, String, i64), Value>;

/// What the dashboard does: a snapshot voids what was known, rollups replace by key.
pub struct Page {
    pub viewer: Viewer,
    pub mailbox: Arc<Mailbox>,
    pub known: Known,
    pub cursor: Option<Cursor>,
    pub log: Vec<(FrameKind, Value)>,
    pub window: String,
    /// Rollups that it was told although it knew them.
    pub twice: usize,
}

impl Page {
    pub fn next(&mut self) -> Option<Arc<Frame>> {
        self.viewer.next().now_or_never().flatten()
    }

    /// Reads all that waits, and waits.
    pub fn read(&mut self) -> Vec<FrameKind> {
        let mut kinds = Vec::new();
        while let Some(frame) = self.next() {
            kinds.push(frame.kind());
            self.apply(&frame);
        }
        kinds
    }

    pub fn apply(&mut self, frame: &Frame) {
        let json: Value = serde_json::from_slice(&frame.json()).unwrap();
        assert_eq!(json["type"], frame.kind().name());
        let data = json["data"].clone();
        match frame.kind() {
            FrameKind::Snapshot => self.known.clear(),
            FrameKind::Rollups => {}
            _ => return self.log.push((frame.kind(), data)),
        }
        self.cursor = frame.id().or(self.cursor);
        self.window = data["window"].as_str().unwrap().to_owned();
        for device in data["devices"].as_array().unwrap() {
            let name = device["device"].as_str().unwrap();
            for (metric, rollups) in device["rollups"].as_object().unwrap() {
                let mut last = i64::MIN;
                for rollup in rollups.as_array().unwrap() {
                    let start = rollup[0].as_i64().unwrap();
                    assert!(start > last, "oldest first, each once");
                    last = start;
                    let key = (name.to_owned(), metric.clone(), start);
                    let before = self.known.insert(key, rollup.clone());
                    self.twice += usize::from(before.as_ref() == Some(rollup));
                }
            }
        }
        self.log.push((frame.kind(), data));
    }

    pub fn last(&self, kind: FrameKind) -> &Value {
        &self.log.iter().rev().find(|(seen, _)| *seen == kind).unwrap().1
    }
}

/// Readings of three devices whose clocks go on by random steps and now and then back, a second or two
/// at a time: some come too late for their windows.
pub fn random_log(steps: &[(u8, i8)]) -> Vec<Entry> {
    let mut times = [0_i64; 3];
    let record = |(position, &(device, step)): (usize, &(u8, i8))| {
        let device = usize::from(device) % times.len();
        times[device] = (times[device] + i64::from(step) * SECOND / 8).max(0);
        let mut builder = BatchBuilder::new();
        builder.table(&format!("d{device}"), &mut [], [times[device]]).unwrap();
        builder.ints("n", "", [position as i64], &[]).unwrap();
        if position.is_multiple_of(3) {
            builder.texts("t", "", [["idle", "run"][position % 2]], &[]).unwrap();
        }
        let received_at = Timestamp(position as i64 * TICK);
        let position = Position(position as u64);
        let batch = Arc::new(builder.finish());
        Entry { position, received_at, client: "gw".into(), protocol: Protocol::Ws, batch }
    };
    steps.iter().enumerate().map(record).collect()
}

/// That `page` knows all that a page which comes now is told.
pub fn assert_up_to_date(rig: &mut Rig, query: &str, page: &Page) {
    let mut fresh = rig.page(query);
    rig.tick();
    fresh.read();
    assert_eq!(fresh.cursor, page.cursor);
    for (key, rollup) in &fresh.known {
        assert_eq!(page.known.get(key), Some(rollup), "{key:?}");
    }
}
