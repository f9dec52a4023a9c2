//! Flushing when due, compaction, retention, stalling, and what is told about it.

use super::*;
use crate::ledger::{Accepted, UNKNOWN};
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_flush_is_due_after_the_interval_or_when_the_head_is_full() {
    let folder = folder();
    let mut options = options(&folder);
    options.head_samples_max = 20;
    let Opened { mut writer, reader, .. } = open(options).unwrap();
    let now = Timestamp(0);
    writer.write(&reading("d", "m", 0, 1.0), after(1)).unwrap();
    assert!(!writer.maintain(now).unwrap());
    assert!(!writer.maintain(now.saturating_add(Duration::from_secs(299))).unwrap());
    assert_eq!(writer.position(), after(0));
    assert!(writer.maintain(now.saturating_add(Duration::from_secs(300))).unwrap());
    assert_eq!(writer.position(), after(1));

    for i in 2..20 {
        writer.write(&reading("d", "m", i * SECOND, 1.0), after(i as usize)).unwrap();
    }
    // The head was full after ten rows, and a write has flushed it.
    assert!(writer.position() > after(1));
    assert!(reader.stats().unwrap().head_samples < 15);
    assert_eq!(floats(&reader, "d", "m").len(), 19);
}

#[test]
fn a_batch_without_samples_moves_the_position_all_the_same() {
    let folder = folder();
    let mut writer = open_in(&folder).writer;
    writer.write(&BatchBuilder::new().finish(), after(1)).unwrap();
    assert_eq!(writer.flush(Timestamp(0)).unwrap(), after(1));
    drop(writer);
    assert_eq!(open_in(&folder).writer.position(), after(1));
}

#[test]
fn closed_windows_are_compacted_and_slow_series_get_days() {
    let folder = folder();
    let Opened { mut writer, reader, .. } = open_in(&folder);
    let mut expected = Vec::new();
    for i in 0..48 {
        let (fast, slow) = (i * 900 * SECOND, i * 1800 * SECOND);
        writer.write(&reading("fast", "m", fast, 1.0), after(0)).unwrap();
        writer.write(&reading("slow", "m", slow, i as f64), after(0)).unwrap();
        expected.push((slow, i as f64));
        writer.flush(Timestamp(0)).unwrap();
    }
    // (The limits are low in tests: four rows an hour are many, and a day of 48 is cut in four.)
    // The last hour of the twelve that "fast" has is not closed yet; nor is the day.
    let before = writer.segments.len();
    settle(&mut writer, Timestamp(12 * HOUR));
    assert!(writer.segments.len() < before);
    assert!(levels(&writer).contains(&0) && !levels(&writer).contains(&3));
    settle(&mut writer, LATE);
    assert_eq!(levels(&writer), [vec![1; 12], vec![3; 4]].concat());
    assert_eq!(floats(&reader, "slow", "m"), expected);
    assert_eq!(floats(&reader, "fast", "m").len(), 48);
}

#[test]
fn late_data_is_seen_at_once_and_joins_its_window_when_it_has_rested() {
    let folder = folder();
    let Opened { mut writer, reader, .. } = open_in(&folder);
    let old: Vec<_> = (0..100).map(|i| (i * 36 * SECOND, 1.0)).collect();
    writer.write(&readings("d", "m", &old), after(1)).unwrap();
    writer.flush(LATE).unwrap();
    settle(&mut writer, LATE);
    // A hundred rows in one hour are cut in parts, each a segment.
    let parts = levels(&writer).len();
    assert!(parts > 1 && levels(&writer).iter().all(|&level| level == 1 || level == 3));

    writer.write(&reading("d", "m", 5 * 36 * SECOND, 2.0), after(2)).unwrap();
    writer.flush(LATE).unwrap();
    settle(&mut writer, LATE);
    assert!(levels(&writer).contains(&0), "one late sample is not worth a compaction");
    assert_eq!(floats(&reader, "d", "m")[5], (5 * 36 * SECOND, 2.0));
    settle(&mut writer, LATE.saturating_add(Duration::from_secs(3600)));
    assert!(!levels(&writer).contains(&0));
    assert_eq!(floats(&reader, "d", "m")[5], (5 * 36 * SECOND, 2.0));
    assert_eq!(floats(&reader, "d", "m").len(), 100);
}

#[test]
fn late_data_of_a_slow_series_ends_up_in_its_day() {
    let folder = folder();
    let Opened { mut writer, reader, .. } = open_in(&folder);
    for (number, value) in [(1, 1.0), (2, 2.0), (3, 3.0)] {
        let now = LATE.saturating_add(Duration::from_secs(7200 * number));
        let samples = [(HOUR, value), (number as i64 * HOUR + SECOND, value)];
        writer.write(&readings("d", "m", &samples), after(1)).unwrap();
        writer.flush(now).unwrap();
        settle(&mut writer, now.saturating_add(Duration::from_secs(3600)));
        settle(&mut writer, now.saturating_add(Duration::from_secs(7200)));
        assert_eq!(levels(&writer), [3]);
        assert_eq!(floats(&reader, "d", "m").len() as u64, number + 1);
        assert_eq!(floats(&reader, "d", "m")[0], (HOUR, value));
    }
}

#[test]
fn retention_by_time_deletes_what_is_older() {
    let folder = folder();
    let mut options = options(&folder);
    options.retention = Some(Duration::from_secs(10 * 3600));
    let Opened { mut writer, reader, .. } = open(options).unwrap();
    for hour in 0..20 {
        writer.write(&reading("d", "m", hour * HOUR, 1.0), after(0)).unwrap();
    }
    writer.flush(Timestamp(20 * HOUR)).unwrap();
    settle(&mut writer, Timestamp(20 * HOUR));
    let left = floats(&reader, "d", "m");
    assert_eq!(left.first(), Some(&(10 * HOUR, 1.0)));
    assert_eq!(left.len(), 10);
}

#[test]
fn a_series_whose_samples_have_expired_is_forgotten_at_the_next_start() {
    let folder = folder();
    let mut options = options(&folder);
    options.retention = Some(Duration::from_secs(3600));
    let Opened { mut writer, reader, .. } = open(options.clone()).unwrap();
    for (device, hour) in [("gone", 0), ("moved", 0), ("moved", 100), ("here", 100)] {
        writer.write(&reading(device, "m", hour * HOUR, 1.0), after(1)).unwrap();
    }
    writer.write(&reading("between", "m", 90 * HOUR, 1.0), after(1)).unwrap();
    writer.flush(Timestamp(100 * HOUR)).unwrap();
    settle(&mut writer, Timestamp(100 * HOUR));
    assert_eq!(reader.devices().len(), 4);
    drop((writer, reader));
    let Opened { mut writer, reader, .. } = open(options).unwrap();
    let known: Vec<_> = reader.devices().iter().map(|device| device.device.to_string()).collect();
    assert_eq!(known, ["between", "here", "moved"]);
    writer.write(&reading("new", "m", 100 * HOUR, 2.0), after(2)).unwrap();
    writer.flush(Timestamp(100 * HOUR)).unwrap();
    assert_eq!(floats(&reader, "here", "m"), [(100 * HOUR, 1.0)]);
    assert_eq!(floats(&reader, "new", "m"), [(100 * HOUR, 2.0)]);
}

#[test]
fn retention_by_size_deletes_the_oldest_and_shrinks_the_file() {
    let folder = folder();
    let max = 1 << 20;
    let mut options = options(&folder);
    options.bytes_max = Some(max);
    let Opened { mut writer, reader, .. } = open(options).unwrap();
    let mut noise = 1u64;
    for hour in 0..60 {
        let samples: Vec<_> = (0..3600)
            .map(|i| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (hour * HOUR + i * SECOND, f64::from_bits(noise >> 2))
            })
            .collect();
        writer.write(&readings("d", "m", &samples), after(hour as usize + 1)).unwrap();
        writer.flush(Timestamp(hour * HOUR)).unwrap();
        // Hours are not closed yet: what deletes here is the limit.
        settle(&mut writer, Timestamp(0));
    }
    let left = floats(&reader, "d", "m");
    assert!(left.len() > 10 * 3600, "{} samples left", left.len());
    assert_eq!(left[left.len() - 1].0, 59 * HOUR + 3599 * SECOND);
    let file = std::fs::metadata(folder.path().join("history.db")).unwrap().len();
    assert!(file <= max, "{file} bytes");
    assert_eq!(reader.stats().unwrap().stored_total, 60 * 3600);
}

#[test]
fn a_stalled_flush_bounds_memory_and_recovers_without_loss() {
    let folder = folder();
    let mut options = options(&folder);
    options.head_samples_max = 100;
    let Opened { mut writer, reader, .. } = open(options.clone()).unwrap();
    // Somebody else holds the lock: to the writer it is as if the disk were full.
    let other = rusqlite::Connection::open(&options.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut taken = 0;
    let mut refused = 0;
    for i in 0..400 {
        if writer.write(&reading("d", "m", i * SECOND, i as f64), after(i as usize + 1)).is_err() {
            refused += 1;
            if refused > 5 {
                break;
            }
        } else {
            assert!(i == taken || refused > 0);
            taken += 1;
        }
    }
    assert!(writer.stalled() && refused > 5);
    assert!(taken <= 100, "{taken} samples in two heads of a hundred");
    assert_eq!(writer.position(), after(0));
    assert_eq!(floats(&reader, "d", "m").len() as i64, taken);

    other.execute_batch("ROLLBACK").unwrap();
    let now = crate::clock::now().saturating_add(Duration::from_secs(5));
    assert!(writer.maintain(now).unwrap());
    assert!(!writer.stalled());
    writer.write(&reading("d", "m", -SECOND, 0.5), after(1000)).unwrap();
    writer.flush(now).unwrap();
    assert_eq!(floats(&reader, "d", "m").len() as i64, taken + 1);
    assert_eq!(reader.stats().unwrap().stored_total as i64, taken + 1);
}

#[test]
fn another_spool_starts_over_and_keeps_the_data() {
    let folder = folder();
    let Opened { mut writer, .. } = open_in(&folder);
    writer.write(&reading("d", "m", 0, 1.0), after(5)).unwrap();
    writer.flush(LATE).unwrap();
    drop(writer);
    let mut options = options(&folder);
    options.spool_id = 8;
    let opened = open(options.clone()).unwrap();
    assert!(opened.spool_changed);
    assert_eq!(opened.writer.position(), after(0));
    assert_eq!(floats(&opened.reader, "d", "m"), [(0, 1.0)]);
    drop(opened);
    assert!(!open(options).unwrap().spool_changed);
}

#[test]
fn series_devices_units_and_last_survive_a_restart() {
    let folder = folder();
    let Opened { mut writer, .. } = open_in(&folder);
    let mut builder = BatchBuilder::new();
    builder.table("pump", &mut [("site", "a")], [20, 10]).unwrap();
    builder.floats("t", "°C", [1.5, 2.5], &[]).unwrap();
    builder.texts("state", "", ["run", "idle"], &[0b01]).unwrap();
    builder.bools("on", "", [true, false], &[]).unwrap();
    writer.write(&builder.finish(), after(1)).unwrap();
    writer.write(&readings("pump", "t", &[(30, -0.0)]), after(2)).unwrap();
    writer.flush(LATE).unwrap();
    drop(writer);

    let reader = open_in(&folder).reader;
    let listed = reader.series(|device| device == "pump", |metric| metric != "t");
    assert_eq!(listed.len(), 2);
    let state = listed.iter().find(|series| &*series.metric == "state").unwrap();
    assert_eq!((state.first, state.last, &state.value), (10, 10, &Value::Text(text("idle"))));
    assert_eq!(state.tags, [("site".to_owned(), "a".to_owned())]);
    let on = listed.iter().find(|series| &*series.metric == "on").unwrap();
    assert_eq!((on.kind, on.last, &on.value), (Kind::Bool, 20, &Value::Bool(true)));
    assert_eq!(reader.last("pump", "t", &[("site", "a")]), Some((20, Value::Float(1.5))));
    assert_eq!(reader.last("pump", "t", &[]).map(|(time, _)| time), Some(30));
    assert_eq!(reader.last("pump", "nothing", &[]), None);
    let devices = reader.devices();
    assert_eq!(devices.len(), 1);
    assert_eq!((devices[0].first, devices[0].last, devices[0].series), (10, 30, 4));
    let answer = reader.query(&raw("pump", "t")).unwrap();
    assert_eq!((answer.unit.as_str(), answer.tags.len()), ("bar", 0));
}

#[test]
fn too_large_an_answer_is_refused_and_an_unknown_series_too() {
    let folder = folder();
    let Opened { mut writer, reader, .. } = open_in(&folder);
    let samples: Vec<_> = (0..50).map(|i| (i * SECOND, 1.0)).collect();
    writer.write(&readings("d", "m", &samples), after(1)).unwrap();
    for shape in [Shape::Raw { max: 49 }, Shape::Buckets { width_ns: SECOND, max: 49 }] {
        let refused = reader.query(&Query { shape, ..raw("d", "m") });
        assert!(matches!(refused, Err(QueryError::TooLarge { max: 49 })));
    }
    assert!(reader.query(&Query { shape: Shape::Raw { max: 50 }, ..raw("d", "m") }).is_ok());
    assert!(matches!(reader.query(&raw("d", "x")), Err(QueryError::UnknownSeries)));
    assert!(matches!(reader.query(&raw("x", "m")), Err(QueryError::UnknownSeries)));
}

#[test]
fn the_ends_of_time_can_be_stored() {
    let folder = folder();
    let Opened { mut writer, reader, .. } = open_in(&folder);
    let samples = [(i64::MIN, 1.0), (0, 2.0), (i64::MAX - 1, 3.0)];
    writer.write(&readings("d", "m", &samples), after(1)).unwrap();
    writer.flush(Timestamp(i64::MAX)).unwrap();
    settle(&mut writer, Timestamp(i64::MAX));
    assert_eq!(floats(&reader, "d", "m"), samples);
    let shape = Shape::Buckets { width_ns: 7 * HOUR, max: 10 };
    let answer = reader.query(&Query { shape, ..raw("d", "m") }).unwrap();
    let Data::Buckets(buckets) = answer.data else { panic!("not buckets") };
    assert_eq!(buckets.count, [1, 1, 1]);
}

#[test]
fn a_waiter_is_woken_when_the_log_has_been_applied() {
    let folder = folder();
    let Opened { mut writer, reader, .. } = open_in(&folder);
    assert!(!reader.wait_applied(after(1), Duration::ZERO));
    let waiter = std::thread::spawn(move || reader.wait_applied(after(1), Duration::from_secs(30)));
    writer.write(&reading("d", "m", 0, 1.0), after(1)).unwrap();
    assert!(waiter.join().unwrap());
}

#[test]
fn readers_never_see_a_hole_or_a_double_while_flushes_and_compactions_run() {
    let folder = folder();
    let Opened { mut writer, reader, .. } = open_in(&folder);
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (reader, done) = (reader.clone(), done.clone());
            std::thread::spawn(move || {
                let mut seen = 0;
                while !done.load(Ordering::Relaxed) {
                    let Ok(answer) = reader.query(&raw("d", "m")) else { continue };
                    let Data::Raw { times, .. } = answer.data else { panic!("not raw") };
                    assert!(times.iter().enumerate().all(|(i, &t)| t == i as i64 * 60 * SECOND));
                    assert!(times.len() >= seen);
                    seen = times.len();
                }
            })
        })
        .collect();
    for i in 0..600usize {
        let batch = reading("d", "m", i as i64 * 60 * SECOND, i as f64);
        writer.write(&batch, after(i + 1)).unwrap();
        if i % 7 == 0 {
            writer.flush(LATE).unwrap();
        }
        writer.maintain(LATE).unwrap();
    }
    done.store(true, Ordering::Relaxed);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert_eq!(floats(&reader, "d", "m").len(), 600);
}

#[test]
fn a_backup_is_a_history_of_its_own() {
    let folder = folder();
    let Opened { mut writer, reader, .. } = open_in(&folder);
    writer.write(&reading("d", "m", 0, 1.0), after(3)).unwrap();
    writer.flush(LATE).unwrap();
    let copy = folder.path().join("copy.db");
    reader.backup(&copy).unwrap();
    assert!(reader.backup(&copy).is_err(), "a backup never overwrites");
    let opened = open(Options::new(copy, 7)).unwrap();
    assert_eq!(opened.writer.position(), after(3));
    assert_eq!(floats(&opened.reader, "d", "m"), [(0, 1.0)]);
}

/// As 0.1.0 made it: what was accounted for is before the first count of a client.
#[test]
fn a_file_from_before_clients_were_counted_goes_on() {
    let folder = folder();
    let Opened { mut writer, .. } = open_in(&folder);
    writer.write(&reading("d", "m", 0, 1.0), after(1)).unwrap();
    writer.shed(after(5), 4);
    writer.flush(LATE).unwrap();
    drop(writer);
    let connection = rusqlite::Connection::open(options(&folder).path).unwrap();
    connection.execute_batch("DROP TABLE client; PRAGMA user_version=1").unwrap();
    drop(connection);
    // Who only looks leaves it as it is.
    assert_eq!(read_only(&options(&folder).path).unwrap().outcomes().unwrap(), (after(5), vec![]));
    let Opened { mut writer, reader, set_aside, .. } = open_in(&folder);
    assert_eq!(set_aside, None);
    assert_eq!(floats(&reader, "d", "m"), [(0, 1.0)]);
    let accepted = |client: &str, samples| Accepted { client: client.into(), protocol: 1, samples };
    writer.name(vec![accepted("a", 3), accepted("b", 1)]);
    writer.write(&reading("d", "m", 1, 2.0), after(6)).unwrap();
    writer.credit(&"b".into(), 1);
    writer.flush(LATE).unwrap();
    let (position, mut lines) = reader.outcomes().unwrap();
    lines.sort_by_key(|line| line.client.clone());
    let told: Vec<_> = lines
        .iter()
        .map(|it| (it.client.as_deref(), it.protocol, it.outcome.before, it.outcome.stored))
        .collect();
    let expected = [(None, UNKNOWN, 1, 0), (Some("a"), 1, 3, 0), (Some("b"), 1, 1, 1)];
    assert_eq!((position, &told[..]), (after(6), &expected[..]));
}

#[test]
fn with_another_spool_clients_are_counted_anew() {
    let folder = folder();
    let Opened { mut writer, .. } = open_in(&folder);
    writer.write(&reading("d", "m", 0, 1.0), after(1)).unwrap();
    writer.credit(&"a".into(), 1);
    writer.flush(LATE).unwrap();
    drop(writer);
    let Opened { reader, .. } = open(Options { spool_id: 8, ..options(&folder) }).unwrap();
    assert_eq!(reader.outcomes().unwrap(), (after(0), vec![]));
}
