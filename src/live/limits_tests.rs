//! Viewers who want less, or can't take as much: fewer frames, shorter ones, coarser ones.

use super::feed::Begin;
use super::frame::FrameKind;
use super::mailbox::{Mailbox, Transport, Viewer};
use super::protobuf::messages as pb;
use super::rig::*;
use super::subscription::{Form, LiveQuery};
use crate::aggregate::Windows;
use crate::model::{BatchBuilder, Position, Timestamp};
use futures_util::FutureExt;
use prost::Message as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

#[test]
fn frames_come_at_most_so_often_and_hold_what_came_meanwhile() {
    let mut rig = Rig::whole(1);
    let (mut rare, mut other) = (rig.page("max_hz=1"), rig.page("max_hz=1"));
    let mut often = rig.page("");
    rig.tick();
    assert_eq!(rare.read(), GREETING, "at first at once");
    assert_eq!(rare.last(FrameKind::Snapshot)["tick_ms"], 1000);
    let mut frames = Vec::new();
    for position in 1..41 {
        rig.fold(position..position + 1);
        rig.set_status(position);
        rig.tick();
        often.read();
        let (one, same) = (rare.next(), other.next());
        let shared = one.as_ref().zip(same.as_ref()).is_none_or(|(a, b)| Arc::ptr_eq(a, b));
        assert!(shared || position < 5, "one rendering for both");
        for frame in one.into_iter() {
            if frame.kind() == FrameKind::Rollups {
                frames.push(position);
            }
            rare.apply(&frame);
        }
        let rest = rare.read();
        assert!(rest.iter().all(|kind| *kind == FrameKind::Status), "{rest:?}");
        other.read();
    }
    for _ in 0..4 {
        rig.tick();
        rare.read();
    }
    assert_eq!(frames.len(), 10);
    assert!(frames.windows(2).all(|pair| pair[1] - pair[0] == 4), "{frames:?}");
    let news = rare.log.iter().filter(|(kind, _)| *kind == FrameKind::Status).count();
    assert_eq!(news, 11, "the latest status with each");
    assert_eq!(rare.known, often.known);
    assert!(rare.log.iter().all(|(kind, _)| *kind != FrameKind::Degraded));
}

/// Devices with so many series that a frame of theirs is cut.
fn wide(rig: &mut Rig, position: u64, devices: usize) {
    let mut builder = BatchBuilder::new();
    for device in 0..devices {
        let time = position as i64 * SECOND;
        builder.table(&format!("d{device}"), &mut [("site", "a")], [time]).unwrap();
        for metric in ["a", "b", "c"] {
            builder.ints(metric, "m", [position as i64], &[]).unwrap();
        }
    }
    let entry = super::Entry {
        position: Position(position),
        received_at: Timestamp(position as i64 * SECOND),
        client: "gw".into(),
        protocol: crate::model::Protocol::Ws,
        batch: Arc::new(builder.finish()),
    };
    rig.fold_all([&entry]);
}

fn points(frame: &Value) -> usize {
    let devices = frame["devices"].as_array().unwrap().iter();
    let series = devices.flat_map(|device| device["rollups"].as_object().unwrap().values());
    series.map(|rollups| rollups.as_array().unwrap().len()).sum()
}

#[test]
fn frames_hold_at_most_so_many_rollups_and_the_rest_comes_in_further_ones() {
    let mut rig = Rig::new(0..0, settings(Begin::Kept(Position(0))));
    wide(&mut rig, 0, 120);
    let (mut short, mut long) = (rig.page("max_points=100"), rig.page(""));
    rig.tick();
    long.read();
    assert_eq!(
        short.next().map(|f| {
            short.apply(&f);
            f.kind()
        }),
        Some(FrameKind::Snapshot)
    );
    let first = short.cursor.unwrap();
    assert!(!first.whole, "{first}");
    assert_eq!(short.last(FrameKind::Snapshot)["parts"], 4);
    short.read();
    assert_eq!(short.known, long.known);
    assert_eq!(short.cursor, long.cursor);
    for position in 1..6 {
        wide(&mut rig, position, 120);
        rig.tick();
        long.read();
        short.log.clear();
        assert_eq!(short.read(), [FrameKind::Rollups; 4]);
        let sizes: Vec<_> = short.log.iter().map(|(_, data)| points(data)).collect();
        assert_eq!(sizes, [100, 100, 100, 60]);
        assert_eq!(short.log[1].1["part"], 2);
        assert_eq!((&short.known, short.cursor), (&long.known, long.cursor));
    }
    assert_eq!(short.twice, 0);

    // Cut off between two parts of a snapshot: what came is no picture, and is not gone on with.
    let mut back = rig.page(&format!("max_points=100&cursor={first}"));
    rig.tick();
    assert!(back.read().contains(&FrameKind::Snapshot));
    // Cut off between two parts of later ones: all that came after the last whole one comes again.
    let whole = short.cursor;
    wide(&mut rig, 6, 120);
    rig.tick();
    long.read();
    let part = short.next().unwrap();
    assert_eq!((part.kind(), part.id()), (FrameKind::Rollups, None));
    let mut again = rig.page(&format!("max_points=100&cursor={}", whole.unwrap()));
    rig.tick();
    assert_eq!(
        again.read(),
        [vec![FrameKind::Device, FrameKind::Alert], vec![FrameKind::Rollups; 4]].concat()
    );
    assert_eq!(again.cursor, long.cursor);
}

#[test]
fn who_reads_part_by_part_gets_all_of_them() {
    let mut rig = Rig::new(0..0, settings(Begin::Kept(Position(0))));
    wide(&mut rig, 0, 200);
    let mut slow = rig.page("max_points=100");
    for _ in 0..80 {
        rig.tick();
        if let Some(frame) = slow.next() {
            slow.apply(&frame);
        }
    }
    assert_eq!(slow.known.len(), 600);
    assert!(slow.cursor.unwrap().whole);
}

type Merged = BTreeMap<(String, String, i64), (u64, f64, f64, f64, Value, Value)>;

/// Rollups of numbers merged into windows of this width.
fn merged(known: &Known, width_ms: i64) -> Merged {
    let mut merged = Merged::new();
    for ((device, metric, start), rollup) in known {
        if rollup.as_array().unwrap().len() != 7 {
            continue;
        }
        let number = |at: usize| rollup[at].as_f64().unwrap();
        let key = (device.clone(), metric.clone(), start - start.rem_euclid(width_ms));
        let fresh = || (0, f64::INFINITY, f64::NEG_INFINITY, 0.0, rollup[5].clone(), json!(null));
        let into = merged.entry(key).or_insert_with(fresh);
        into.0 += rollup[1].as_u64().unwrap();
        into.1 = into.1.min(number(2));
        into.2 = into.2.max(number(3));
        into.3 += number(4);
        into.5 = rollup[6].clone();
    }
    merged
}

#[test]
fn who_is_slow_for_long_gets_coarser_windows_that_hold_the_same_and_then_finer_ones_again() {
    let mut rig = Rig::whole(0);
    let (mut slow, mut quick) = (rig.page(""), rig.page(""));
    let mut position = 0;
    let mut step = |rig: &mut Rig, quick: &mut Page| {
        rig.fold(position..position + 1);
        position += 1;
        rig.tick();
        quick.read();
    };
    step(&mut rig, &mut quick);
    slow.read();
    for _ in 0..40 {
        step(&mut rig, &mut quick);
    }
    // It wakes up and reads; it is told why it gets what it gets.
    assert_eq!(slow.read(), [FrameKind::Degraded]);
    let told = slow.last(FrameKind::Degraded).clone();
    let waits = (0..40).find(|_| {
        step(&mut rig, &mut quick);
        slow.read().contains(&FrameKind::Snapshot)
    });
    assert!(waits.is_some(), "what it knew of finer windows is void");
    assert_eq!((&told["factor"], &told["window"]), (&json!(16), &json!("10s")));
    assert!(told["age_ms"].as_u64().unwrap() >= 6000, "{told}");
    assert!(told["merged"].as_u64().unwrap() > 0, "{told}");
    assert_eq!(slow.window, "10s");
    assert!(!slow.cursor.unwrap().whole, "nothing can be resumed from coarser windows");
    assert!(!merged(&slow.known, 10_000).is_empty());
    let fine = merged(&quick.known, 10_000);
    for (key, rollup) in &merged(&slow.known, 10_000) {
        assert_eq!(fine.get(key), Some(rollup), "{key:?}");
    }
    for _ in 0..200 {
        step(&mut rig, &mut quick);
        slow.read();
    }
    let told = slow.last(FrameKind::Degraded);
    assert_eq!((&told["factor"], &told["window"]), (&json!(1), &json!("1s")));
    assert_eq!((slow.window.as_str(), slow.cursor), ("1s", quick.cursor));
    assert_up_to_date(&mut rig, "", &slow);
}

#[test]
fn a_part_of_the_daemon_keeps_its_windows_however_slow_it_is() {
    let mut rig = Rig::whole(1);
    let mailbox = Arc::new(Mailbox::new(Transport::Inside));
    let mut viewer = Viewer::new(mailbox.clone(), None);
    let query = LiveQuery::parse("", &Windows::default()).unwrap();
    rig.hub.subscribe(query.subscription, None, mailbox);
    let mut windows = Vec::new();
    for position in 1..200 {
        rig.fold(position..position + 1);
        rig.tick();
        if position % 60 == 0 {
            while let Some(Some(frame)) = viewer.next().now_or_never() {
                let json: Value = serde_json::from_slice(&frame.json()).unwrap();
                windows.extend(json["data"]["window"].as_str().map(str::to_owned));
            }
        }
    }
    assert!(windows.iter().all(|window| window == "1s"), "{windows:?}");
    assert_eq!(rig.hub.stats(Timestamp(rig.now)).viewers.degraded, 1);
}

/// The rollups of a binary frame, as those of a JSON frame are known.
fn known_of(tables: &[pb::Table]) -> Known {
    let mut known = Known::new();
    for (table, series) in tables.iter().flat_map(|t| t.series.iter().map(move |s| (t, s))) {
        let mut start = 0;
        for at in 0..series.start.len() {
            start += series.start[at];
            let count = series.count[at];
            let whole = |v: f64| if v.fract() == 0.0 { json!(v as i64) } else { json!(v) };
            let end = |v: f64| match series.kind() {
                pb::Kind::Bool => json!(v != 0.0),
                _ => whole(v),
            };
            let rollup = match series.kind() {
                pb::Kind::Text => json!([start, count, series.changes[at], series.last_text[at]]),
                _ => json!([
                    start,
                    count,
                    whole(series.min[at]),
                    whole(series.max[at]),
                    whole(series.sum[at]),
                    end(series.first[at]),
                    end(series.last[at])
                ]),
            };
            let key = (table.device.clone(), series.metric.clone(), start);
            assert!(known.insert(key, rollup).is_none());
        }
    }
    known
}

#[test]
fn frames_for_programs_tell_the_same() {
    let mut rig = Rig::whole(10);
    let mailbox = Arc::new(Mailbox::new(Transport::Ws));
    let mut viewer = Viewer::new(mailbox.clone(), None);
    let query = LiveQuery::parse("", &Windows::default()).unwrap();
    rig.hub.subscribe(query.subscription.written_in(Form::Protobuf), None, mailbox);
    let mut page = rig.page("");
    let mut known = Known::new();
    let mut kinds = Vec::new();
    for position in 10..30 {
        rig.set_status(1);
        rig.tick();
        page.read();
        while let Some(Some(frame)) = viewer.next().now_or_never() {
            kinds.push(frame.kind());
            let bytes = frame.message(Some(7)).into_data();
            let frame = pb::Frame::decode(bytes).unwrap();
            assert_eq!(frame.sub, Some(7));
            match frame.data.unwrap() {
                pb::frame::Data::Snapshot(snapshot) => {
                    assert_eq!((snapshot.window.as_str(), snapshot.tick_ms), ("1s", 250));
                    let table = snapshot.tables.iter().find(|t| t.device == "pump-1").unwrap();
                    assert_eq!(table.tags["site"], "a");
                    assert_eq!(
                        table.series.iter().find(|s| s.metric == "level").unwrap().unit,
                        "m"
                    );
                    known = known_of(&snapshot.tables);
                }
                pb::frame::Data::Rollups(rollups) => known.extend(known_of(&rollups.tables)),
                pb::frame::Data::Device(devices) => {
                    let ids: Vec<_> = devices.devices.iter().map(|d| d.id.as_str()).collect();
                    assert_eq!(ids, ["pump-1", "boiler"]);
                }
                pb::frame::Data::Alert(alerts) => assert!(alerts.all && alerts.alerts.is_empty()),
                pb::frame::Data::Status(status) => assert_eq!(status.json, "{\"n\":1}"),
                pb::frame::Data::Degraded(_) => panic!("it reads in time"),
            }
        }
        assert_eq!(known, page.known);
        rig.fold(position..position + 1);
    }
    for kind in [FrameKind::Snapshot, FrameKind::Rollups, FrameKind::Device, FrameKind::Alert] {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
}
