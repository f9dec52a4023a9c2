//! Who comes back, from anywhere to anywhere, ends up where who never left is.

use super::feed::{Begin, Entry};
use super::frame::FrameKind;
use super::handle::Settings;
use super::hub::Hub;
use super::rig::*;
use crate::model::Position;
use proptest::prelude::*;
use std::time::Duration;

/// Steps of a log: which device, and by how many eighths of a second its clock goes on.
fn steps() -> impl Strategy<Value = Vec<(u8, i8)>> {
    let step = prop_oneof![4 => 0_i8..6, 1 => -20_i8..0, 1 => 6_i8..60];
    prop::collection::vec((0_u8..3, step), 20..200)
}

fn keeping(begin: Begin, keep_s: u64, resume_bytes: usize) -> Settings {
    let mut settings = settings(begin);
    settings.resume_keep = Duration::from_secs(keep_s);
    settings.aggregate.resume_bytes = resume_bytes;
    settings
}

/// Everybody's way over the log, cut at random: (records folded, whether a new process began before).
fn cuts(log: &[Entry], cuts: &[(usize, bool)]) -> Vec<(std::ops::Range<usize>, bool)> {
    let mut at = 0;
    let mut ranges = Vec::new();
    for &(length, restart) in cuts {
        let end = (at + length).min(log.len());
        ranges.push((at..end, restart));
        at = end;
    }
    ranges.push((at..log.len(), false));
    ranges
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// For every frame of an uninterrupted viewer, in every later state of the daemon: who has seen the
    /// stream up to that frame, and resumes, knows what the uninterrupted one knows; and is told
    /// nothing that it knew.
    #[test]
    fn resuming_at_any_offset_gives_exactly_what_is_missing(
        steps in steps(), level in 0_usize..3,
        batches in prop::collection::vec((0_usize..20, prop::bool::weighted(0.15)), 2..25),
        leave in 0_usize..25, gap in 0_usize..25,
        keep_s in prop::sample::select(vec![2_u64, 10, 1000]),
        resume_bytes in prop::sample::select(vec![800_usize, 4_000, 1_000_000]),
    ) {
        let query = format!("window={}", ["1s", "10s", "1m"][level]);
        let log = random_log(&steps);
        let begin = keeping(Begin::Kept(Position(0)), keep_s, resume_bytes);
        let mut rig = Rig::new(0..0, begin);
        // It never leaves, and its daemon never restarts.
        let mut whole = Rig::new(0..0, keeping(Begin::Kept(Position(0)), 1000, 1_000_000));
        let mut stays = whole.page(&query);
        let mut leaves = Some(rig.page(&query));
        let mut left = None;
        let ways = cuts(&log, &batches);
        for (step, (records, restart)) in ways.iter().enumerate() {
            if *restart && step > 0 {
                let from = rig.hub.keep_from();
                prop_assert!(from.0 as usize <= records.start);
                // The new process reads what is kept before it serves anybody.
                rig = {
                    let settings = keeping(Begin::Kept(from), keep_s, resume_bytes);
                    let mut fresh = Rig { hub: Hub::new(settings), now: rig.now };
                    fresh.fold_all(&log[from.0 as usize..records.start]);
                    fresh.hub.idle();
                    fresh
                };
                if let Some(page) = leaves.take() {
                    left = Some(page);
                }
            }
            rig.fold_all(&log[records.clone()]);
            whole.fold_all(&log[records.clone()]);
            rig.tick();
            whole.tick();
            stays.read();
            if let Some(page) = &mut leaves {
                let kinds = page.read();
                if step > 0 && kinds.contains(&FrameKind::Snapshot) {
                    // More came in one tick than is kept: it was told everything anew.
                    return Ok(());
                }
                prop_assert_eq!(page.cursor, stays.cursor);
                prop_assert_eq!(&page.known, &stays.known);
                prop_assert_eq!(page.twice, 0);
                if step == leave {
                    left = leaves.take();
                }
            } else if step >= leave + gap && let Some(page) = left.take() {
                let cursor = page.cursor.map(|c| format!("&cursor={c}")).unwrap_or_default();
                let mut back = rig.page(&format!("{query}{cursor}"));
                back.known = page.known;
                back.cursor = page.cursor;
                rig.tick();
                let kinds = back.read();
                if kinds.contains(&FrameKind::Snapshot) {
                    // Beyond what is kept: told so, and everything anew, as anybody who comes.
                    prop_assert_eq!(&back.last(FrameKind::Snapshot)["resumed"], false);
                    let mut fresh = rig.page(&query);
                    // It may be one of some ticks ago: what came since then follows in the next frame.
                    for _ in 0..2 {
                        rig.tick();
                        back.read();
                        fresh.read();
                    }
                    // Windows that were closed since then are in the older one only.
                    for (key, rollup) in &fresh.known {
                        prop_assert_eq!(back.known.get(key), Some(rollup), "{:?}", key);
                    }
                    for (key, rollup) in &back.known {
                        prop_assert_eq!(stays.known.get(key), Some(rollup), "{:?}", key);
                    }
                    // From here on it is compared as one who begins now.
                    return Ok(());
                }
                prop_assert_eq!(back.twice, 0, "nothing is told twice");
                prop_assert_eq!(&back.known, &stays.known, "nothing is missing");
                leaves = Some(back);
            }
        }
    }
}

#[test]
fn a_window_that_was_folded_again_in_part_is_not_shown() {
    // The first record of d0's first minute lies before that of d1's, which is open and keeps the log.
    let mut steps = vec![(0, 0), (1, 0), (0, 120), (0, 120), (0, 120), (0, 72), (0, 64)];
    steps.extend([(0, 0); 20]);
    let log = random_log(&steps);
    let mut before = Rig::new(0..0, keeping(Begin::Kept(Position(0)), 2, 1_000_000));
    before.fold_all(&log);
    let begin = before.hub.keep_from();
    assert_eq!(begin, Position(1));
    let mut after =
        Rig { hub: Hub::new(keeping(Begin::Kept(begin), 2, 1_000_000)), now: before.now };
    after.fold_all(&log[1..]);
    after.hub.idle();
    let [known, again] = [before, after].map(|mut rig| {
        let mut page = rig.page("window=1m");
        rig.tick();
        page.read();
        page.known
    });
    let windows = |known: &Known| {
        let of_d0 = known.keys().filter(|(device, metric, _)| device == "d0" && metric == "n");
        of_d0.map(|(_, _, start)| *start).collect::<Vec<_>>()
    };
    assert_eq!((windows(&known), windows(&again)), (vec![0, 60_000], vec![60_000]));
    for (key, rollup) in &again {
        assert_eq!(known.get(key), Some(rollup), "{key:?}");
    }
}

#[test]
fn what_a_process_that_knows_the_whole_log_says_is_a_snapshot_only_if_it_must_be() {
    // The property above would hold for a daemon that always gives snapshots; this one may not.
    let log = random_log(&[(0, 2); 120]);
    let mut rig = Rig::new(0..0, keeping(Begin::Kept(Position(0)), 1000, 1_000_000));
    rig.fold_all(&log);
    for cursor in 0..=120 {
        let mut page = rig.page(&format!("cursor=1f-{cursor}"));
        rig.tick();
        let kinds = page.read();
        assert!(!kinds.contains(&FrameKind::Snapshot), "{cursor}: {kinds:?}");
    }
    let counts = rig.hub.stats(crate::model::Timestamp(0)).counts;
    assert_eq!((counts.resumed, counts.begun_anew), (121, 0));
}
