//! Damage is found, counted, left out or set aside, and never stops anything.

use super::*;
use rusqlite::Connection;
use std::os::unix::fs::FileExt;

/// A history with an hour of samples of two metrics, in the file and closed.
fn filled(folder: &TempDir) {
    let Opened { mut writer, .. } = open_in(folder);
    for hour in 0..3 {
        let mut builder = BatchBuilder::new();
        builder.table("d", &mut [], (0..60).map(|i| hour * HOUR + i * 60 * SECOND)).unwrap();
        builder.floats("m", "", (0..60).map(f64::from), &[]).unwrap();
        builder.ints("n", "", 0..60, &[]).unwrap();
        writer.write(&builder.finish(), after(hour as usize + 1)).unwrap();
        writer.flush(LATE).unwrap();
    }
}

fn sql(folder: &TempDir, sql: &str) {
    Connection::open(options(folder).path).unwrap().execute_batch(sql).unwrap();
}

fn counted(reader: &Reader, metric: &str) -> (usize, u64) {
    let answer = reader.query(&raw("d", metric)).unwrap();
    let Data::Raw { times, .. } = answer.data else { panic!("not raw") };
    (times.len(), answer.damaged_chunks)
}

/// Flips a bit in the middle of the first chunk of a type.
fn flip(folder: &TempDir, typ: i64) {
    let connection = Connection::open(options(folder).path).unwrap();
    let (id, mut data): (i64, Vec<u8>) = connection
        .query_row("SELECT id, data FROM chunk WHERE typ=? ORDER BY id LIMIT 1", [typ], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let middle = data.len() / 2;
    data[middle] ^= 1;
    connection.execute("UPDATE chunk SET data=? WHERE id=?", (data, id)).unwrap();
}

#[test]
fn a_damaged_chunk_is_left_out_counted_and_kept_aside_by_compaction() {
    let folder = folder();
    filled(&folder);
    flip(&folder, 1);
    let Opened { mut writer, reader, .. } = open_in(&folder);
    assert_eq!(counted(&reader, "m"), (120, 1));
    assert_eq!(counted(&reader, "n"), (180, 0));
    settle(&mut writer, LATE);
    assert!(!levels(&writer).contains(&0));
    assert_eq!(counted(&reader, "m"), (120, 0));
    assert_eq!(counted(&reader, "n"), (180, 0));
    assert_eq!(reader.stats().unwrap().damaged_chunks, 1);
}

#[test]
fn a_damaged_axis_takes_its_columns_with_it_and_nothing_else() {
    let folder = folder();
    filled(&folder);
    flip(&folder, 0);
    let Opened { mut writer, reader, .. } = open_in(&folder);
    assert_eq!(counted(&reader, "m"), (120, 1));
    assert_eq!(counted(&reader, "n"), (120, 1));
    settle(&mut writer, LATE);
    assert_eq!(counted(&reader, "n"), (120, 0));
    assert_eq!(reader.stats().unwrap().damaged_chunks, 3);
}

#[test]
fn a_summary_that_was_tampered_with_is_not_answered() {
    let folder = folder();
    filled(&folder);
    sql(&folder, "UPDATE chunk SET max=1e9 WHERE id=(SELECT min(id) FROM chunk WHERE typ=1)");
    let reader = open_in(&folder).reader;
    let shape = Shape::Buckets { width_ns: 1000 * HOUR, max: 10 };
    let answer = reader.query(&Query { shape, ..raw("d", "m") }).unwrap();
    assert_eq!(answer.damaged_chunks, 1);
    let Data::Buckets(Buckets { count, numbers: Some(numbers), .. }) = answer.data else {
        panic!()
    };
    assert_eq!((count, numbers.max), (vec![120], vec![59.0]));
}

#[test]
fn a_truncated_or_overwritten_file_is_set_aside_and_a_new_one_begun() {
    for case in ["two pages short", "half", "overwritten"] {
        let folder = folder();
        filled(&folder);
        let path = options(&folder).path;
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let bytes = file.metadata().unwrap().len();
        match case {
            "half" => file.set_len(bytes / 2).unwrap(),
            "overwritten" => file.write_all_at(&[0x5a; 4096], 0).unwrap(),
            _ => file.set_len(bytes - 2 * 8192).unwrap(),
        }
        let opened = open_in(&folder);
        let aside = opened.set_aside.unwrap_or_else(|| panic!("nothing set aside: {case}"));
        assert!(aside.path.ends_with("history.db.damaged-1") && aside.path.exists());
        let mut writer = opened.writer;
        assert_eq!(writer.position(), after(0));
        writer.write(&reading("d", "m", 0, 1.0), after(1)).unwrap();
        writer.flush(LATE).unwrap();
        assert_eq!(floats(&opened.reader, "d", "m"), [(0, 1.0)]);
        drop(writer);
        assert!(open_in(&folder).set_aside.is_none());
    }
}

#[test]
fn a_file_of_somebody_else_is_refused_and_left_alone() {
    let folder = folder();
    let path = options(&folder).path;
    sql(&folder, "PRAGMA application_id=99; CREATE TABLE t(x)");
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(open(options(&folder)), Err(HistoryError::Foreign { application: 99 })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    sql(&folder, "PRAGMA application_id=0x54494445; PRAGMA user_version=3");
    assert!(matches!(open(options(&folder)), Err(HistoryError::Version { found: 3, known: 2 })));
}

#[test]
fn every_page_overwritten_in_turn_stops_nothing() {
    let folder = folder();
    filled(&folder);
    let path = options(&folder).path;
    let whole = std::fs::read(&path).unwrap();
    let (mut at_start, mut while_running) = (0, 0);
    for page in 0..whole.len() / 8192 {
        let mut bytes = whole.clone();
        bytes[page * 8192..(page + 1) * 8192].fill(0xa5);
        for beside in ["history.db-wal", "history.db-shm"] {
            let beside = folder.path().join(beside);
            assert!(!beside.exists() || std::fs::remove_file(beside).is_ok());
        }
        std::fs::write(&path, &bytes).unwrap();
        let Opened { mut writer, reader, set_aside, .. } = open_in(&folder);
        writer.write(&reading("e", "m", 0, 1.0), after(9)).unwrap();
        writer.write(&reading("d", "m", 5, 1.0), after(9)).unwrap();
        settle(&mut writer, LATE);
        assert_eq!(writer.flush(LATE).unwrap(), after(9));
        settle(&mut writer, LATE);
        assert_eq!(floats(&reader, "e", "m"), [(0, 1.0)]);
        assert!(reader.query(&raw("d", "m")).is_ok());
        at_start += usize::from(set_aside.is_some());
        let replaced = writer.take_set_aside();
        while_running += usize::from(replaced.is_some());
        drop(writer);
        let reader = open(options(&folder)).unwrap().reader;
        assert_eq!(floats(&reader, "e", "m"), [(0, 1.0)], "page {page}");
        assert!(floats(&reader, "d", "m").contains(&(5, 1.0)), "page {page}");
        for aside in set_aside.into_iter().chain(replaced) {
            std::fs::remove_file(aside.path).unwrap();
        }
    }
    assert!(at_start > 0 && while_running > 0, "{at_start} at start, {while_running} running");
}

#[test]
fn an_unfinished_compaction_of_a_crash_is_dropped() {
    let folder = folder();
    filled(&folder);
    let Opened { mut writer, reader, .. } = open_in(&folder);
    while !levels(&writer).contains(&-1) {
        assert!(writer.maintain(LATE).unwrap());
    }
    assert_eq!(counted(&reader, "m"), (180, 0));
    drop((writer, reader));
    let opened = open_in(&folder);
    assert!(opened.leftovers > 0);
    assert!(!levels(&opened.writer).contains(&-1));
    assert_eq!(counted(&opened.reader, "m"), (180, 0));
    drop(opened);
    let connection = Connection::open(options(&folder).path).unwrap();
    let lost = "SELECT (SELECT count(*) FROM segment WHERE level < 0)
        + (SELECT count(*) FROM chunk WHERE id >> 32 NOT IN (SELECT id FROM segment))";
    assert_eq!(connection.query_row(lost, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}
