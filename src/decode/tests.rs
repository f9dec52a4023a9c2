//! What is refused, why, and where.

use super::oracle::{NOW, SECOND, STAMP, delimited, key, limits, varint};
use super::{Clock, FaultKind, Limits, Stamp, batch};
use crate::wire::proto::{self, Column, Table};
use crate::wire::{Place, RefusalCode};
use prost::Message;

/// A good batch of two tables with a column of each type, for tests to break.
fn good() -> proto::Batch {
    let column = |metric: &str| Column { metric: metric.into(), ..Column::default() };
    let table = |device: &str| Table {
        device: device.into(),
        times: vec![0, SECOND, SECOND],
        columns: vec![
            Column { doubles: vec![1.5, 2.5, 3.5], ..column("d") },
            Column { decimals: vec![715, 1, -2], scale: 1, unit: "°C".into(), ..column("t") },
            Column { ints: vec![7, 0, 1], ..column("i") },
            Column { bools: vec![true, false, true], ..column("b") },
        ],
        ..Table::default()
    };
    let tables = vec![table("pump-1"), table("pump-2")];
    proto::Batch { seq: 42, base_time: NOW - 5 * SECOND, tables, clock: 0 }
}

fn check(
    what: &str,
    code: RefusalCode,
    place: (Option<u32>, Option<u32>, Option<u32>),
    message: &str,
    damage: impl Fn(&mut proto::Batch),
) {
    let mut batch = good();
    damage(&mut batch);
    let fault = super::batch(&batch.encode_to_vec(), &limits(), &STAMP).expect_err(what);
    let (table, column, row) = place;
    assert_eq!((fault.code(), fault.at), (code, Place { table, column, row }), "{what}: {fault}");
    assert_eq!(fault.seq, batch.seq, "{what}");
    assert!(fault.to_string().contains(message), "{what}: {fault}");
}

#[test]
fn every_fault_is_told_with_its_place() {
    use RefusalCode::*;
    let whole = (None, None, None);
    let table = (Some(1), None, None);
    let column = (Some(1), Some(0), None);
    let row = (Some(1), Some(0), Some(2));
    check("no tables", Empty, whole, "no samples", |b| b.tables.clear());
    check("only absent", Empty, whole, "no samples", |b| {
        b.tables.truncate(1);
        b.tables[0].columns.iter_mut().for_each(|c| c.absent = vec![7]);
    });
    check("tables", LimitExceeded, whole, "more tables than the 3", |b| {
        b.tables = vec![good().tables[0].clone(); 4];
    });
    check("columns", LimitExceeded, table, "more columns than the 4", |b| {
        b.tables[1].columns = vec![good().tables[0].columns[0].clone(); 5];
    });
    check("rows", LimitExceeded, table, "more rows than the 6", |b| b.tables[1].times = vec![0; 7]);
    check("samples", LimitExceeded, table, "more samples than the 24", |b| {
        b.tables[1].times = vec![0; 4];
    });
    check("tags", LimitExceeded, table, "more tags than the 2", |b| {
        b.tables[1].tags = ["a", "b", "c"].map(|k| (k.into(), "x".into())).into();
    });
    check("clock", Malformed, whole, "clock 9 is not known", |b| b.clock = 9);
    check("keep", Malformed, table, "keep 3 is not known", |b| b.tables[1].keep = 3);
    check("device", BadName, table, "device: the name has a control", |b| {
        b.tables[1].device = "a\nb".into();
    });
    check("tag value", BadName, table, "tag value: the name is empty", |b| {
        b.tables[1].tags = [("a".into(), String::new())].into();
    });
    check("metric", BadName, column, "metric: the name has 200 bytes, 128 are", |b| {
        b.tables[1].columns[0].metric = "x".repeat(200);
    });
    check("unit", BadName, column, "unit: ", |b| b.tables[1].columns[0].unit = "\0".into());
    check("mixed", BadShape, column, "more than one type", |b| {
        b.tables[1].columns[0].ints = vec![1, 2, 3];
    });
    check("no values", BadShape, column, "no values", |b| b.tables[1].columns[0].doubles.clear());
    check("short", BadShape, column, "2 entries, its table 3 rows", |b| {
        b.tables[1].columns[0].doubles.truncate(2);
    });
    check("long", BadShape, column, "more entries than its table's 3", |b| {
        b.tables[1].columns[0].doubles.push(1.0);
    });
    check("bitmap", BadShape, column, "bitmap of absent rows has 2 bytes for 3", |b| {
        b.tables[1].columns[0].absent = vec![0, 0];
    });
    check("scale", BadShape, (Some(1), Some(1), None), "a scale of 19, 18 is", |b| {
        b.tables[1].columns[1].scale = 19;
    });
    check("overflow", BadShape, (Some(1), Some(1), Some(1)), "more than 64 bits", |b| {
        b.tables[1].columns[1].decimals = vec![i64::MAX, 1, 0];
    });
    for value in [f64::NAN, f64::INFINITY] {
        check("NaN", NotFinite, row, "not a finite", |b| {
            b.tables[1].columns[0].doubles[2] = value;
        });
    }
    check("text", TextTooLong, row, "the text has 6 bytes, 5 are", |b| {
        b.tables[1].columns[0].doubles.clear();
        b.tables[1].columns[0].strings = ["", "12345", "123456"].map(String::from).into();
    });
    let year = 365 * 24 * 3600 * SECOND;
    let time = (Some(1), None, Some(1));
    check("1970", TimeTooOld, time, "days older than its receipt, 3650 days are", |b| {
        b.tables[1].times[1] = -NOW;
    });
    check("2200", TimeTooFarAhead, time, "days ahead of its receipt, 5 minutes are", |b| {
        b.tables[1].times[1] = 174 * year;
    });
    check("beyond all time", TimeTooFarAhead, time, "ahead", |b| b.tables[1].times[1] = i64::MAX);
    check("before all time", TimeTooOld, (Some(0), None, Some(0)), "older", |b| {
        b.base_time = i64::MIN;
        b.tables[0].times[0] = -1;
    });
}

#[test]
fn a_batch_that_counts_from_boot_needs_to_know_when_that_was() {
    let bytes = proto::Batch { clock: 2, base_time: 99 * SECOND, ..good() }.encode_to_vec();
    let decoded = batch(&bytes, &limits(), &STAMP).unwrap();
    assert_eq!(decoded.clock, Clock::Boot);
    assert_eq!(decoded.batch.time_range(), Some((NOW - SECOND, NOW + SECOND)));
    let stamp = Stamp { booted_at: None, ..STAMP };
    let fault = batch(&bytes, &limits(), &stamp).unwrap_err();
    assert_eq!((fault.code(), fault.seq), (RefusalCode::Malformed, 42));
}

#[test]
fn a_table_without_times_is_one_row_at_the_base_time_of_the_client() {
    let column = Column { metric: "t".into(), doubles: vec![1.0], ..Column::default() };
    let table = Table { columns: vec![column], ..Table::default() };
    let message = proto::Batch { seq: 1, base_time: NOW, tables: vec![table], clock: 0 };
    let decoded = batch(&message.encode_to_vec(), &limits(), &STAMP).unwrap();
    let table = decoded.batch.tables().next().unwrap();
    assert_eq!((table.device(), table.times()), ("client", &[NOW][..]));
}

#[test]
fn a_tag_key_given_twice_is_refused() {
    let tag = delimited(2, &[delimited(1, b"k"), delimited(2, b"v")].concat());
    let table = [good().tables[0].encode_to_vec(), tag.clone(), tag].concat();
    let bytes = [varint(8), varint(1), delimited(3, &table)].concat();
    let base = [key(2, 0), varint(NOW.cast_unsigned())].concat();
    let fault = batch(&[bytes, base].concat(), &limits(), &STAMP).unwrap_err();
    assert_eq!((fault.kind, fault.seq), (FaultKind::DuplicateTag, 1));
}

#[test]
fn a_message_that_claims_much_and_brings_nothing_costs_nothing() {
    // Empty columns: 2 bytes each, for which prost would allocate 176.
    let columns = [0x22, 0].repeat(500_000);
    let bytes = delimited(3, &columns);
    let fault = batch(&bytes, &Limits::default(), &STAMP).unwrap_err();
    assert_eq!(fault.code(), RefusalCode::TimeTooOld);
    let base = [key(2, 0), varint(NOW.cast_unsigned()), bytes].concat();
    let fault = batch(&base, &Limits::default(), &STAMP).unwrap_err();
    assert_eq!(fault.code(), RefusalCode::LimitExceeded);
}
