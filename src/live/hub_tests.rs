//! What viewers see of the hub.

use super::feed::{Begin, Entry};
use super::frame::FrameKind;
use super::mailbox::End;
use super::presence::{ClientInfo, KnownDevice};
use super::rig::*;
use crate::aggregate::Seed;
use crate::model::{BatchBuilder, Position, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

#[test]
fn a_page_gets_a_snapshot_its_devices_and_then_what_changes() {
    let mut rig = Rig::whole(3);
    let mut page = rig.page("device=pump-*");
    rig.tick();
    assert_eq!(page.read(), GREETING);
    let snapshot = page.last(FrameKind::Snapshot);
    let expected = serde_json::json!({
        "window": "1s", "resumed": false, "tick_ms": 250, "devices": [{
            "device": "pump-1", "tags": {"site": "a"}, "units": {"level": "m"},
            "rollups": {
                "level": [[0, 3, 0, 0.25, 0.375, 0, 0.25]],
                "on": [[0, 3, 0, 1, 1, true, false]],
            },
        }],
    });
    assert_eq!(snapshot, &expected);
    let devices = &page.last(FrameKind::Device)["devices"];
    assert_eq!(devices[0]["id"], "pump-1");
    assert_eq!(devices.as_array().unwrap().len(), 1);

    rig.tick();
    assert!(page.read().is_empty(), "nothing changed, no frame");
    rig.fold(3..5);
    rig.tick();
    assert_eq!(page.read(), [FrameKind::Rollups]);
    let rollups = &page.last(FrameKind::Rollups)["devices"][0];
    assert_eq!(
        rollups["rollups"]["level"][1],
        serde_json::json!([1000, 1, 0.5, 0.5, 0.5, 0.5, 0.5])
    );
    assert!(rollups.get("units").is_none(), "units are not told again");
    assert_eq!(page.cursor.unwrap().to_string(), "1f-5");
}

#[test]
fn late_samples_are_announced_to_those_who_see_their_series() {
    let mut rig = Rig::whole(40);
    let (mut pumps, mut others) = (rig.page("device=pump-*"), rig.page("metric=state"));
    rig.tick();
    assert!(pumps.read().contains(&FrameKind::Snapshot));
    assert!(others.read().contains(&FrameKind::Snapshot));
    assert!(pumps.last(FrameKind::Snapshot)["devices"][0].get("late").is_none());
    let mut builder = BatchBuilder::new();
    builder.table("pump-1", &mut [("site", "a")], [0]).unwrap();
    builder.floats("level", "m", [1.0], &[]).unwrap();
    let batch = Arc::new(builder.finish());
    let (position, received_at) = (Position(40), Timestamp(rig.now));
    rig.hub.fold(&Entry { position, received_at, batch, ..entry(40) });
    rig.tick();
    assert_eq!(pumps.read(), [FrameKind::Rollups]);
    let expected = serde_json::json!([
        {"device": "pump-1", "tags": {"site": "a"}, "late": true, "rollups": {}}
    ]);
    assert_eq!(pumps.last(FrameKind::Rollups)["devices"], expected);
    assert!(others.read().is_empty(), "it sees none of the table's series");
    rig.fold(41..42);
    rig.tick();
    pumps.read();
    assert!(pumps.last(FrameKind::Rollups)["devices"][0].get("late").is_none(), "told once");
}

#[test]
fn texts_are_told_with_their_changes() {
    let mut rig = Rig::whole(16);
    let mut page = rig.page("device=boiler&window=10s");
    rig.tick();
    page.read();
    let device = &page.last(FrameKind::Snapshot)["devices"][0];
    assert_eq!(device["rollups"]["state"], serde_json::json!([[0, 16, 3, "run"]]));
    assert!(device.get("tags").is_none() && device.get("units").is_none());
}

#[test]
fn viewers_of_equal_subscriptions_share_one_frame() {
    let mut rig = Rig::whole(1);
    let (mut one, mut other) = (rig.page("metric=level"), rig.page("metric=level&metric=level"));
    rig.tick();
    let (a, b) = (one.next().unwrap(), other.next().unwrap());
    assert!(Arc::ptr_eq(&a, &b));
    one.read();
    other.read();
    rig.fold(1..2);
    rig.tick();
    let (a, b) = (one.next().unwrap(), other.next().unwrap());
    assert_eq!(a.kind(), FrameKind::Rollups);
    assert!(Arc::ptr_eq(&a, &b));
}

#[test]
fn series_that_appear_later_are_seen_by_those_who_want_them() {
    let mut rig = Rig::new(0..0, settings(Begin::Kept(Position(0))));
    let mut wants = rig.page("metric=o*&tag.site=a");
    let mut other = rig.page("metric=o*&tag.site=b");
    rig.tick();
    assert_eq!(wants.read(), GREETING);
    assert_eq!(other.read(), GREETING);
    rig.fold(0..1);
    rig.tick();
    assert_eq!(wants.read(), [FrameKind::Device, FrameKind::Rollups]);
    assert_eq!(wants.known.len(), 1);
    assert!(other.read().is_empty());
}

#[test]
fn a_slow_viewer_misses_nothing_is_told_and_recovers() {
    let mut rig = Rig::whole(1);
    let (mut slow, mut quick) = (rig.page(""), rig.page(""));
    rig.tick();
    slow.read();
    quick.read();
    for position in 1..20 {
        rig.fold(position..position + 1);
        rig.tick();
        let seen = quick.read();
        assert!(seen.contains(&FrameKind::Rollups), "the quick one feels nothing: {seen:?}");
        assert!(!seen.contains(&FrameKind::Degraded));
    }
    let kinds = slow.read();
    assert_eq!(kinds, [FrameKind::Degraded], "the stale frame was taken back");
    assert!(slow.last(FrameKind::Degraded)["factor"].as_u64().unwrap() > 1);
    for position in 20..300 {
        rig.fold(position..position + 1);
        rig.tick();
        slow.read();
        quick.read();
    }
    assert_eq!(slow.last(FrameKind::Degraded)["factor"], 1);
    let snapshots = slow.log.iter().filter(|(kind, _)| *kind == FrameKind::Snapshot).count();
    assert_eq!(snapshots, 1, "what it missed was merged");
    assert_eq!(slow.known, quick.known);
    assert_eq!(slow.cursor, quick.cursor);
    assert_up_to_date(&mut rig, "", &slow);
}

#[test]
fn a_viewer_who_missed_what_is_forgotten_gets_a_snapshot() {
    let mut small = settings(Begin::Kept(Position(0)));
    small.aggregate.resume_bytes = 500;
    let mut rig = Rig::new(0..1, small);
    let mut slow = rig.page("");
    rig.tick();
    slow.read();
    rig.fold(1..100);
    rig.tick();
    let kinds = slow.read();
    assert!(kinds.contains(&FrameKind::Snapshot), "{kinds:?}");
    assert_up_to_date(&mut rig, "", &slow);
}

#[test]
fn a_viewer_that_never_reads_holds_next_to_nothing() {
    let mut rig = Rig::whole(1);
    let page = rig.page("");
    let mut most = 0;
    for position in 1..500 {
        rig.fold(position..position + 1);
        rig.set_status(position);
        rig.tick();
        most = most.max(page.mailbox.bytes());
    }
    assert!(most < 2_000, "{most}");
    assert!(page.mailbox.bytes() < 1_000, "{}", page.mailbox.bytes());
    assert!(!page.mailbox.is_over(), "slowness alone ends nobody");
    assert_eq!(rig.hub.stats(Timestamp(rig.now)).viewers.degraded, 1);
}

#[test]
fn control_frames_that_would_be_lost_end_the_viewer_and_no_other() {
    let mut rig = Rig::whole(1);
    let (mut slow, mut quick) = (rig.page(""), rig.page(""));
    rig.tick();
    slow.read();
    quick.read();
    for step in 0..70 {
        let labels = BTreeMap::from([("step".to_owned(), step.to_string())]);
        rig.hub.set_info("boiler".into(), ClientInfo { labels, software: "1".into() });
        rig.tick();
        assert_eq!(quick.read(), [FrameKind::Device]);
    }
    assert_eq!(slow.viewer.end(), Some(End::ControlOverflow));
    assert_eq!(slow.next().map(|frame| frame.kind()), None);
    rig.tick();
    assert_eq!(rig.hub.stats(Timestamp(0)).viewers.sse, 1);
    assert_eq!(quick.viewer.end(), None);
}

#[test]
fn devices_are_told_when_they_come_go_and_say_who_they_are() {
    let mut rig = Rig::new(0..0, settings(Begin::Kept(Position(0))));
    let known = KnownDevice {
        seed: Seed {
            name: "old".into(),
            first_seen: Timestamp(5 * SECOND / 1000),
            last_seen: Timestamp(6 * SECOND / 1000),
            rest: None,
        },
        info: ClientInfo::default(),
        labels: BTreeMap::new(),
        address: None,
    };
    rig.hub.seed(vec![known]);
    let mut page = rig.page("");
    rig.tick();
    page.read();
    let expected = serde_json::json!({"devices": [{"id": "old", "online": false,
        "first_seen": 5, "last_seen": 6, "reason": null, "since": 5, "interval_s": null,
        "expected_s": null, "client": null, "protocol": null, "known": true, "refused": 0,
        "clock": null, "labels": {}, "software": ""}]});
    assert_eq!(page.last(FrameKind::Device), &expected);

    rig.fold(0..1);
    let labels = BTreeMap::from([("site".to_owned(), "north".to_owned())]);
    rig.hub.set_info("pump-1".into(), ClientInfo { labels, software: "fw \"2\"".into() });
    rig.tick();
    page.read();
    let devices = &page.last(FrameKind::Device)["devices"];
    assert_eq!(devices[0]["labels"]["site"], "north");
    assert_eq!(devices[0]["software"], "fw \"2\"");
    assert_eq!((&devices[0]["online"], &devices[1]["online"]), (&true.into(), &true.into()));

    assert_eq!((&devices[1]["client"], &devices[1]["protocol"]), (&"plant".into(), &"ws".into()));
    assert_eq!(devices[1]["known"], false);
    assert_eq!(devices[1]["clock"]["state"], "ok");

    rig.hub.idle();
    for _ in 0..4 {
        rig.now += 10 * SECOND;
        rig.tick();
    }
    assert_eq!(page.read(), [FrameKind::Device]);
    let device = &page.last(FrameKind::Device)["devices"][0];
    assert_eq!(
        (&device["online"], &device["reason"]),
        (&false.into(), &"no reading for 30 s".into())
    );
    assert_eq!(device["since"], 30_000);
    assert_eq!(rig.hub.devices().len(), 3);
}

#[test]
fn the_status_reaches_everybody_and_the_latest_wins() {
    let mut rig = Rig::whole(1);
    let mut page = rig.page("");
    rig.tick();
    page.read();
    for n in 1..4 {
        rig.set_status(n);
        rig.tick();
    }
    assert_eq!(page.read(), [FrameKind::Status]);
    assert_eq!(page.last(FrameKind::Status)["n"], 3);
}

#[test]
fn a_cursor_that_means_nothing_here_gets_a_snapshot() {
    let mut rig = Rig::whole(10);
    for cursor in ["1f-11", "1e-5"] {
        let mut page = rig.page(&format!("cursor={cursor}"));
        rig.tick();
        assert_eq!(page.read(), GREETING, "{cursor}");
    }
    let mut page = rig.page("cursor=1f-10");
    rig.tick();
    assert_eq!(page.read(), RESUMED[..2], "nothing was missed");
    let mut page = rig.page("cursor=1f-9");
    rig.tick();
    assert_eq!(page.read(), RESUMED);
}

/// A page that reads until record `seen`, a daemon that dies at `died` and one that folds again.
fn restart(seen: u64, died: u64, kept: bool) -> (Vec<FrameKind>, Page, Rig) {
    let mut before = Rig::whole(seen);
    let mut page = before.page("window=10s");
    before.tick();
    page.read();
    before.fold(seen..died);
    let begin = before.hub.keep_from();
    assert!(begin.0 > 0 && begin.0 <= seen, "{begin:?}");

    let begin_at = if kept { Begin::Kept(begin) } else { Begin::Cut(begin) };
    let mut after = Rig::new(begin.0..died, settings(begin_at));
    after.fold(died..died + 3);
    let mut resumed = after.page(&format!("window=10s&cursor={}", page.cursor.unwrap()));
    resumed.known = std::mem::take(&mut page.known);
    after.tick();
    let kinds = resumed.read();
    (kinds, resumed, after)
}

#[test]
fn a_restart_is_resumed_from_without_a_hole() {
    let (kinds, page, mut rig) = restart(1000, 1020, true);
    assert_eq!(kinds, RESUMED);
    assert_up_to_date(&mut rig, "window=10s", &page);
    let mut whole = Rig::whole(1023);
    assert_up_to_date(&mut whole, "window=10s", &page);
}

#[test]
fn a_log_that_was_cut_or_a_cursor_too_old_gives_a_snapshot_never_a_part() {
    let (kinds, page, mut rig) = restart(1000, 1020, false);
    assert_eq!(kinds, GREETING);
    assert_up_to_date(&mut rig, "window=10s", &page);
    // 125 s of log lie between the cursor and the end, 120 s are kept.
    let (kinds, _, _) = restart(1000, 1500, true);
    assert_eq!(kinds, GREETING);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However a page reads, and wherever the daemon restarts, in the end it knows the truth.
    #[test]
    fn a_page_that_reads_now_and_then_knows_what_a_fresh_one_does(
        steps in prop::collection::vec((0_u64..6, 0_u8..4), 1..120), level in 0_usize..3,
        resume_bytes in prop::sample::select(vec![600_usize, 3_000, 100_000]),
        restart_at in 0_usize..120,
    ) {
        let query = format!("window={}", ["1s", "10s", "1m"][level]);
        let new = |begin: Begin| {
            let mut settings = settings(begin);
            settings.aggregate.resume_bytes = resume_bytes;
            settings.resume_keep = std::time::Duration::from_secs(20);
            settings
        };
        let mut rig = Rig::new(0..200, new(Begin::Kept(Position(0))));
        let mut page = rig.page(&query);
        let mut next = 200;
        for (step, (records, reads)) in steps.into_iter().enumerate() {
            rig.fold(next..next + records);
            next += records;
            rig.tick();
            for _ in 0..reads {
                if let Some(frame) = page.next() {
                    page.apply(&frame);
                }
            }
            if step == restart_at {
                let begin = rig.hub.keep_from();
                rig = Rig::new(begin.0..next, new(Begin::Kept(begin)));
                let cursor = page.cursor.map(|cursor| format!("&cursor={cursor}"));
                let mut again = rig.page(&format!("{query}{}", cursor.unwrap_or_default()));
                again.known = std::mem::take(&mut page.known);
                again.cursor = page.cursor;
                page = again;
            }
        }
        // A page that is slow is served again within the slowest pace, and then once more.
        for _ in 0..40 {
            page.read();
            rig.tick();
        }
        page.read();
        let mut whole = Rig::new(0..next, settings(Begin::Kept(Position(0))));
        let mut fresh = whole.page(&query);
        whole.tick();
        fresh.read();
        prop_assert_eq!(page.cursor, fresh.cursor);
        for (key, rollup) in &fresh.known {
            prop_assert_eq!(page.known.get(key), Some(rollup), "{:?}", key);
        }
    }
}
