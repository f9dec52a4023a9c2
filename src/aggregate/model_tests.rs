//! What would fool us: a naive model that keeps every sample, random records, random crashes.

use super::*;
use crate::model::{Batch, BatchBuilder, Keep, Position, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: i64 = 1_000_000_000;

/// One record: tables of (device, rows of (time, value)); values are small whole numbers, so that
/// sums are exact. `None` is an absent value.
#[derive(Debug, Clone)]
struct Record(Vec<(u8, Vec<Row>)>);

type Row = (i64, Option<i16>);

fn device(index: u8) -> String {
    format!("device-{}", index / 2)
}

/// Metric of each table index; two tables share a device, so that their watermark is one.
fn metric(index: u8) -> &'static str {
    if index.is_multiple_of(2) { "level" } else { "state" }
}

impl Record {
    fn batch(&self) -> Batch {
        self.batch_kept(|_| Keep::Everywhere)
    }

    fn batch_kept(&self, keep: impl Fn(usize) -> Keep) -> Batch {
        let mut builder = BatchBuilder::new();
        for (table, (index, rows)) in self.0.iter().enumerate() {
            let times = rows.iter().map(|&(time, _)| time);
            let tag = index.to_string();
            builder.table(&device(*index), &mut [("index", &tag)], times).unwrap();
            builder.keep(keep(table));
            let mut absent = vec![0_u8; rows.len().div_ceil(8)];
            for (row, (_, value)) in rows.iter().enumerate() {
                absent[row / 8] |= u8::from(value.is_none()) << (row % 8);
            }
            let values = rows.iter().map(|&(_, value)| f64::from(value.unwrap_or(9999)));
            builder.floats(metric(*index), "", values, &absent).unwrap();
        }
        builder.finish()
    }
}

/// Records whose times go forward with disorder, gaps and late rows.
fn records(disorder_s: i64) -> impl Strategy<Value = Vec<Record>> {
    let row = (0..disorder_s * 4, prop::option::weighted(0.9, -100_i16..100));
    let table = (0_u8..6, prop::collection::vec(row, 1..6));
    let record = (prop::collection::vec(table, 1..4), 0_i64..6, prop::bool::weighted(0.03));
    prop::collection::vec(record, 1..80).prop_map(|records| {
        let mut now = 0_i64;
        let records = records.into_iter().map(|(tables, step, jump)| {
            now += step * SECOND / 2 + if jump { 100 * SECOND } else { 0 };
            let tables = tables.into_iter().map(|(index, rows)| {
                let rows = rows.into_iter().map(|(back, v)| (now - back * SECOND / 4, v));
                (index, rows.collect())
            });
            Record(tables.collect())
        });
        records.collect()
    })
}

type Key = (String, i64);
type State = BTreeMap<Key, Rollup>;

fn receipt(position: u64) -> Timestamp {
    Timestamp(position as i64 * SECOND)
}

fn settings(resume_bytes: usize) -> Settings {
    Settings { resume_bytes, hold: Duration::from_secs(100_000), ..Settings::default() }
}

fn fold(records: &[Record], range: std::ops::Range<usize>, settings: Settings) -> Aggregate {
    let mut aggregate = Aggregate::new(settings);
    apply(&mut aggregate, records, range);
    aggregate
}

fn apply(aggregate: &mut Aggregate, records: &[Record], range: std::ops::Range<usize>) {
    for (at, record) in records.iter().enumerate().take(range.end).skip(range.start) {
        aggregate.apply(Position(at as u64), receipt(at as u64), &record.batch());
    }
}

fn state(aggregate: &Aggregate, level: usize, filter: Filter) -> State {
    let mut all = State::new();
    let mut rollups = Vec::new();
    for id in 0..aggregate.tables_len() {
        let table = aggregate.table(TableId(id as u32));
        for series in table.series() {
            let tag = table.tags().next().unwrap().1;
            series.rollups(level, filter, &mut rollups);
            assert!(rollups.is_sorted_by(|a, b| a.0 < b.0), "each window once, oldest first");
            for (start, rollup) in rollups.drain(..) {
                all.insert((tag.to_owned(), start), rollup);
            }
        }
    }
    all
}

/// The naive model: every sample that was not late, in its window.
fn model(records: &[Record], level: usize) -> (State, u64) {
    let windows = Windows::default();
    let mut state = State::new();
    let mut late = 0;
    let mut watermarks: BTreeMap<String, i64> = BTreeMap::new();
    for (at, record) in records.iter().enumerate() {
        let mut next = watermarks.clone();
        let mut seen = Vec::new();
        for (index, rows) in &record.0 {
            if seen.contains(index) {
                watermarks.insert(device(*index), next[&device(*index)]);
            }
            seen.push(*index);
            let watermark = watermarks.get(&device(*index)).copied().unwrap_or(i64::MIN);
            for &(time, value) in rows {
                let newest = next.entry(device(*index)).or_insert(i64::MIN);
                *newest = time.max(*newest);
                let Some(value) = value else { continue };
                if windows.start(0, time) + SECOND + 2 * SECOND <= watermark {
                    late += 1;
                    continue;
                }
                let sample = Rollup::Number(Numbers::one(time, value.into(), Position(at as u64)));
                state
                    .entry((index.to_string(), windows.start(level, time)))
                    .and_modify(|rollup| rollup.merge(&sample))
                    .or_insert(sample);
            }
        }
        watermarks = next;
    }
    (state, late)
}

/// What a viewer who upserts knows.
fn upsert(viewer: &mut State, delta: State) {
    viewer.extend(delta);
}

/// That everything in `part` is in `whole` as it is there.
fn assert_within(part: &State, whole: &State) {
    for (key, rollup) in part {
        assert_eq!(Some(rollup), whole.get(key), "{key:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_state_is_that_of_the_naive_model(records in records(6), level in 0_usize..3) {
        let aggregate = fold(&records, 0..records.len(), settings(16 << 20));
        let (expected, late) = model(&records, level);
        prop_assert_eq!(aggregate.forgotten(), Position(0));
        let seen = state(&aggregate, level, Filter::Since(Position(0)));
        prop_assert_eq!(&seen, &expected);
        prop_assert_eq!(aggregate.counts().late_samples, late);
        let folded: u64 = seen.values().map(|rollup| u64::from(rollup.count())).sum();
        prop_assert_eq!(aggregate.counts().samples, folded);

        let held = state(&aggregate, level, Filter::Held);
        assert_within(&held, &expected);
        for ((tag, start), rollup) in expected.iter().rev() {
            let newest = expected.range((tag.clone(), start + 1)..(tag.clone(), i64::MAX)).next();
            if newest.is_none() {
                prop_assert_eq!(held.get(&(tag.clone(), *start)), Some(rollup), "the last one stays");
            }
        }
    }

    #[test]
    fn a_delta_since_any_cursor_makes_a_viewer_know_what_a_snapshot_tells(
        records in records(6), cursor in any::<prop::sample::Index>(), level in 0_usize..3,
        small in any::<bool>(),
    ) {
        let resume_bytes = if small { 1_500 } else { 1 << 20 };
        let cursor = cursor.index(records.len() + 1);
        let mut viewer =
            state(&fold(&records, 0..cursor, settings(resume_bytes)), level, Filter::Held);
        let end = fold(&records, 0..records.len(), settings(resume_bytes));
        let cursor = Position(cursor as u64);
        prop_assert!(small || end.forgotten() == Position(0));
        prop_assume!(cursor >= end.forgotten());
        upsert(&mut viewer, state(&end, level, Filter::Since(cursor)));
        assert_within(&state(&end, level, Filter::Held), &viewer);
        // Whatever changed in between is exactly the model's.
        let (all, _) = model(&records, level);
        for (key, rollup) in &all {
            if rollup.touched() >= cursor {
                prop_assert_eq!(viewer.get(key), Some(rollup));
            }
        }
    }

    /// A cursor taken at `kept` or later can be served by who folds again from what was then the
    /// oldest record of an open window.
    #[test]
    fn a_crash_and_folding_again_from_the_oldest_open_record_gives_the_same(
        records in records(6), kept in any::<prop::sample::Index>(), level in 0_usize..3,
    ) {
        let kept = kept.index(records.len() + 1);
        let before = fold(&records, 0..kept, settings(16 << 20));
        let begin = before.oldest_open();
        prop_assert!(begin <= Position(kept as u64));
        let all = fold(&records, 0..records.len(), settings(16 << 20));
        let again = fold(&records, begin.0 as usize..records.len(), settings(16 << 20));
        let since = Filter::Since(Position(kept as u64));
        prop_assert_eq!(state(&again, level, since), state(&all, level, since));
    }

    #[test]
    fn reading_records_twice_counts_nothing_twice(records in records(6), again in 0_usize..80) {
        let once = fold(&records, 0..records.len(), settings(16 << 20));
        let mut twice = fold(&records, 0..records.len(), settings(16 << 20));
        apply(&mut twice, &records, again..records.len());
        let filter = Filter::Since(Position(0));
        prop_assert_eq!(state(&twice, 0, filter), state(&once, 0, filter));
        prop_assert_eq!(twice.counts(), once.counts());
    }

    #[test]
    fn what_is_for_stores_only_changes_no_window_and_its_device_was_heard_of(
        records in records(6), seed in any::<u64>(), level in 0_usize..3,
    ) {
        let is_for_stores = |at: usize, table: usize| seed >> ((at * 3 + table) % 64) & 1 == 1;
        let (mut mixed, mut plain) =
            (Aggregate::new(settings(16 << 20)), Aggregate::new(settings(16 << 20)));
        let mut passed_by = 0;
        let mut heard_of = BTreeMap::new();
        for (at, record) in records.iter().enumerate() {
            let (position, received_at) = (Position(at as u64), receipt(at as u64));
            let keep = |table| if is_for_stores(at, table) { Keep::StoresOnly } else { Keep::LiveOnly };
            mixed.apply(position, received_at, &record.batch_kept(keep));
            let mut rest = Vec::new();
            for (table, (index, rows)) in record.0.iter().enumerate() {
                heard_of.insert(device(*index), received_at);
                if is_for_stores(at, table) {
                    passed_by += rows.iter().filter(|(_, value)| value.is_some()).count() as u64;
                } else {
                    rest.push((*index, rows.clone()));
                }
            }
            plain.apply(position, received_at, &Record(rest).batch());
        }
        let filter = Filter::Since(Position(0));
        prop_assert_eq!(state(&mixed, level, filter), state(&plain, level, filter));
        let counts = Counts { passed_by_samples: passed_by, ..plain.counts() };
        prop_assert_eq!(mixed.counts(), counts);
        let last_seen: BTreeMap<_, _> =
            mixed.devices().map(|(_, it)| (it.name.to_string(), it.last_seen)).collect();
        prop_assert_eq!(last_seen, heard_of);
    }

    #[test]
    fn tables_that_changed_are_listed_once_and_all(records in records(6), cut in 0_usize..80) {
        let cut = cut.min(records.len());
        let mut aggregate = fold(&records, 0..cut, settings(1 << 20));
        aggregate.take_changed_tables();
        apply(&mut aggregate, &records, cut..records.len());
        let touched: Vec<_> = (0..aggregate.tables_len() as u32).map(TableId)
            .filter(|&id| aggregate.table(id).touched() >= Position(cut as u64))
            .filter(|&id| aggregate.table(id).touched() > Position(0) || cut == 0)
            .collect();
        let mut listed = aggregate.take_changed_tables();
        // A table whose samples were all late has not changed.
        listed.retain(|id| aggregate.table(*id).series().any(|s| s.touched() >= Position(cut as u64)));
        prop_assert!(listed.iter().all(|id| touched.contains(id)), "{listed:?} {touched:?}");
        let changed: Vec<_> = touched.into_iter()
            .filter(|&id| aggregate.table(id).series().any(|s| {
                let mut out = Vec::new();
                s.rollups(0, Filter::Since(Position(cut as u64)), &mut out);
                !out.is_empty()
            }))
            .collect();
        prop_assert_eq!(listed, changed);
    }
}

fn one_column(times: impl IntoIterator<Item = i64>, fill: impl Fn(&mut BatchBuilder)) -> Batch {
    let mut builder = BatchBuilder::new();
    builder.table("pump", &mut [], times).unwrap();
    fill(&mut builder);
    builder.finish()
}

fn rollups(aggregate: &Aggregate, level: usize, filter: Filter) -> Vec<(i64, Rollup)> {
    let mut out = Vec::new();
    let series = aggregate.table(TableId(0)).series().next().unwrap();
    series.rollups(level, filter, &mut out);
    out
}

fn held(aggregate: &Aggregate) -> Vec<(i64, Rollup)> {
    rollups(aggregate, 0, Filter::Held)
}

#[test]
fn a_backlog_of_hours_leaves_no_open_windows_behind() {
    let mut aggregate = Aggregate::new(settings(10_000));
    // Newest first, so that a careless list would be walked from one end to the other each time.
    let times = || (0..50_000).rev().map(|s| s * SECOND);
    let batch = one_column(times(), |builder| {
        builder.floats("x", "", times().map(|t| t as f64), &[]).unwrap();
        builder.floats("x", "", times().map(|t| t as f64), &[]).unwrap();
    });
    aggregate.apply(Position(0), Timestamp(0), &batch);
    assert!(held(&aggregate).len() <= 4, "{}", held(&aggregate).len());
    assert_eq!(aggregate.counts().samples, 100_000);
    assert!(aggregate.resume_bytes() <= 40_000);
}

#[test]
fn a_type_that_does_not_fit_begins_anew_and_is_counted() {
    let mut aggregate = Aggregate::new(Settings::default());
    let mut fold = |at: u64, fill: &dyn Fn(&mut BatchBuilder)| {
        aggregate.apply(Position(at), Timestamp(0), &one_column([at as i64], fill));
        (held(&aggregate)[0].1.clone(), aggregate.counts().type_changes)
    };
    fold(0, &|b| b.ints("x", "", [1], &[]).unwrap());
    let (rollup, changes) = fold(1, &|b| b.floats("x", "", [2.5], &[]).unwrap());
    assert_eq!((rollup.count(), changes), (2, 0), "an integer among floats is a float");
    let (rollup, changes) = fold(2, &|b| b.texts("x", "", ["off"], &[]).unwrap());
    assert_eq!((rollup.count(), changes), (1, 1));
    let Rollup::Text(texts) = rollup else { panic!("not texts") };
    assert_eq!(&*texts.last, "off");
    let (rollup, changes) = fold(3, &|b| b.bools("x", "", [true], &[]).unwrap());
    assert_eq!((rollup.count(), changes), (1, 2));
}

#[test]
fn series_above_the_most_are_counted_and_not_folded() {
    let mut aggregate = Aggregate::new(Settings { series_max: 1, ..Settings::default() });
    let batch = one_column([0], |builder| {
        builder.ints("a", "", [1], &[]).unwrap();
        builder.ints("b", "", [1], &[]).unwrap();
    });
    aggregate.apply(Position(0), Timestamp(0), &batch);
    assert_eq!((aggregate.series_len(), aggregate.counts().unfolded_samples), (1, 1));
}

#[test]
fn times_at_the_ends_of_all_time_are_folded_without_harm() {
    let mut aggregate = Aggregate::new(Settings::default());
    for (at, time) in [(0, i64::MIN), (1, i64::MAX), (2, 0), (3, i64::MAX)] {
        let batch = one_column([time], |builder| builder.ints("a", "", [1], &[]).unwrap());
        aggregate.apply(Position(at), Timestamp(time), &batch);
        let all = (0..3).map(|level| rollups(&aggregate, level, Filter::Since(Position(0))));
        assert!(all.into_iter().all(|rollups| !rollups.is_empty()));
    }
    assert_eq!(aggregate.counts().late_samples, 1);
}
