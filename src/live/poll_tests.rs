//! Who asks again and again knows what who has a stream knows.

use super::cursor::Cursor;
use super::frame::FrameKind;
use super::handle::Settings;
use super::hub::Hub;
use super::poll::{PollCursor, PollQuery, Polled, Poller};
use super::presence::ClientInfo;
use super::rig::*;
use super::{Begin, Subscription};
use crate::aggregate::Windows;
use crate::model::{Position, Timestamp};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::oneshot;

fn ask(rig: &mut Rig, query: &str, cursor: Option<PollCursor>) -> oneshot::Receiver<Polled> {
    let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
    let query = PollQuery::parse(&format!("{query}{cursor}"), &Windows::default()).unwrap();
    let (answer, polled) = oneshot::channel();
    let deadline = Duration::from_nanos(rig.now as u64) + query.wait;
    rig.hub.poll(query.subscription, query.cursor, |cursor, news| Poller {
        cursor,
        news,
        deadline,
        answer,
        _permit: None,
    });
    polled
}

fn kinds(polled: &Polled) -> Vec<FrameKind> {
    polled.frames.iter().map(|frame| frame.kind()).collect()
}

#[test]
fn a_poll_is_answered_when_there_is_something_and_empty_when_its_time_is_over() {
    let mut rig = Rig::whole(3);
    let mut first = ask(&mut rig, "wait_s=5", None);
    rig.tick();
    let first = first.try_recv().unwrap();
    assert_eq!(kinds(&first), GREETING);
    assert_eq!(first.cursor.log, Cursor::new(0x1f, Position(3)));

    let mut second = ask(&mut rig, "wait_s=5", Some(first.cursor));
    for _ in 0..10 {
        rig.tick();
    }
    assert!(second.try_recv().is_err(), "nothing has happened");
    assert_eq!(rig.hub.stats(Timestamp(0)).viewers.poll, 1);
    rig.fold(3..4);
    rig.tick();
    let second = second.try_recv().unwrap();
    assert_eq!(kinds(&second), [FrameKind::Rollups]);
    let json: Value = serde_json::from_slice(&second.json()).unwrap();
    assert_eq!(json["frames"][0]["id"], "1f-4");
    assert_eq!(json["cursor"], second.cursor.to_string());

    let mut third = ask(&mut rig, "wait_s=5", Some(second.cursor));
    rig.tick();
    rig.now += 5 * SECOND;
    rig.tick();
    let third = third.try_recv().unwrap();
    assert!(third.frames.is_empty());
    assert_eq!(third.cursor.log, second.cursor.log);
    assert_eq!(rig.hub.stats(Timestamp(0)).viewers.poll, 0);
    let counts = rig.hub.stats(Timestamp(0)).counts;
    assert_eq!(counts.begun_anew, 0);
}

#[test]
fn news_of_others_keep_the_cursor_of_who_waits_fresh() {
    let mut small = settings(Begin::Kept(Position(0)));
    small.aggregate.resume_bytes = 500;
    let mut rig = Rig::new(0..1, small);
    let mut first = ask(&mut rig, "device=nobody", None);
    rig.tick();
    let first = first.try_recv().unwrap();
    let mut waits = ask(&mut rig, "device=nobody", Some(first.cursor));
    for position in 1..80 {
        rig.fold(position..position + 1);
        rig.tick();
    }
    rig.now += 30 * SECOND;
    rig.tick();
    let polled = waits.try_recv().unwrap();
    assert!(polled.frames.is_empty(), "{:?}", kinds(&polled));
    assert_eq!(polled.cursor.log.position, Position(80));
}

#[test]
fn a_cursor_of_another_process_is_told_all_devices_again() {
    let mut rig = Rig::whole(3);
    rig.tick();
    let cursor = PollCursor { log: Cursor::new(0x1f, Position(3)), news: Some(1) };
    let mut polled = ask(&mut rig, "", Some(cursor));
    rig.tick();
    assert_eq!(kinds(&polled.try_recv().unwrap()), GREETING[1..]);
    let unknown = PollCursor { log: Cursor::new(0x1e, Position(3)), news: Some(1) };
    let mut polled = ask(&mut rig, "", Some(unknown));
    rig.tick();
    assert_eq!(kinds(&polled.try_recv().unwrap()), GREETING);
}

/// What polls told so far.
#[derive(Default)]
struct Told {
    known: Known,
    devices: BTreeMap<String, Value>,
}

impl Told {
    /// Takes an answer; tells what was in it that was known already.
    fn take(&mut self, polled: &Polled) -> usize {
        let mut twice = 0;
        for frame in &polled.frames {
            let json: Value = serde_json::from_slice(&frame.json()).unwrap();
            let devices = json["data"]["devices"].as_array().cloned().unwrap_or_default();
            match frame.kind() {
                FrameKind::Snapshot => *self = Told::default(),
                FrameKind::Device => {
                    for device in devices {
                        let id = device["id"].as_str().unwrap().to_owned();
                        let before = self.devices.insert(id, device.clone());
                        twice += usize::from(before == Some(device));
                    }
                    continue;
                }
                FrameKind::Rollups => {}
                _ => continue,
            }
            for device in devices {
                let name = device["device"].as_str().unwrap();
                for (metric, rollups) in device["rollups"].as_object().unwrap() {
                    for rollup in rollups.as_array().unwrap() {
                        let start = rollup[0].as_i64().unwrap();
                        let key = (name.to_owned(), metric.clone(), start);
                        let before = self.known.insert(key, rollup.clone());
                        twice += usize::from(before.as_ref() == Some(rollup));
                    }
                }
            }
        }
        twice
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Over many polls, some of which are lost on their way, nothing is missing and nothing comes twice.
    #[test]
    fn polls_tell_what_a_stream_does(
        steps in prop::collection::vec((0_u8..3, -10_i8..20), 10..150),
        ways in prop::collection::vec((0_usize..8, 0_u8..6), 5..60),
        hz in prop::sample::select(vec!["", "&max_hz=1"]),
    ) {
        let log = random_log(&steps);
        let settings: Settings = settings(Begin::Kept(Position(0)));
        let mut rig = Rig { hub: Hub::new(settings), now: 0 };
        rig.hub.idle();
        let query = format!("wait_s=3{hz}");
        let (mut stream, mut told, mut cursor) = (rig.page(""), Told::default(), None);
        let mut waiting: Option<oneshot::Receiver<Polled>> = None;
        let (mut at, mut twice) = (0, 0);
        // What was closed when polls began with a snapshot, which is of what is open.
        let mut closed = BTreeSet::new();
        let empty_ways = std::iter::repeat_n((0, 5), 40);
        for (records, act) in ways.into_iter().chain(empty_ways) {
            let end = (at + records).min(log.len());
            rig.fold_all(&log[at..end]);
            at = end;
            match act {
                // The client says something new of itself.
                0 => {
                    let labels = BTreeMap::from([("at".to_owned(), at.to_string())]);
                    rig.hub.set_info("d0".into(), ClientInfo { labels, software: String::new() });
                }
                // The connection breaks: whatever was on its way is lost.
                1 => waiting = None,
                _ => {}
            }
            if waiting.is_none() {
                waiting = Some(ask(&mut rig, &query, cursor));
            }
            rig.tick();
            stream.read();
            if act != 2 && let Some(polled) = waiting.as_mut().and_then(|w| w.try_recv().ok()) {
                twice += told.take(&polled);
                if kinds(&polled).contains(&FrameKind::Snapshot) {
                    let unknown = stream.known.keys().filter(|key| !told.known.contains_key(*key));
                    closed = unknown.cloned().collect();
                }
                cursor = Some(polled.cursor);
                waiting = None;
            }
            rig.now += TICK;
        }
        let mut expected = stream.known.clone();
        expected.retain(|key, _| told.known.contains_key(key) || !closed.contains(key));
        prop_assert_eq!(&told.known, &expected);
        prop_assert_eq!(twice, 0);
        let states: BTreeMap<_, _> = rig.hub.devices().into_iter()
            .map(|device| (device.id.clone(), device)).collect();
        prop_assert_eq!(told.devices.len(), states.len());
        for (id, device) in &told.devices {
            let labels = serde_json::to_value(&states[id].info.labels).unwrap();
            prop_assert_eq!(&device["labels"], &labels);
            prop_assert_eq!(&device["online"], states[id].online);
        }
    }
}

#[test]
fn who_asks_in_other_words_shares_a_group() {
    let windows = Windows::default();
    let poll = PollQuery::parse("device=a&wait_s=1", &windows).unwrap();
    let stream = Subscription::new(vec!["a".into()], vec![], vec![], None, &windows).unwrap();
    assert_eq!(poll.subscription, stream);
}
