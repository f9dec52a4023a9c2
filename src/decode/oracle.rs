//! Holds the hand-written reader to prost: what prost and a naive conversion make of the same bytes,
//! it makes too, whatever the order of fields.

use super::reader::{DEPTH_MAX, Fields, Malformed, Value};
use super::{Clock, Decoded, Fault, FaultKind, Limits, Stamp, batch, encode, seq, upstream};
use crate::model::{BatchBuilder, Keep, Timestamp, check_name};
use crate::wire::proto::{self, Column, Table};
use proptest::prelude::*;
use prost::Message;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

pub(super) const NOW: i64 = 1_800_000_000_000_000_000;
pub(super) const SECOND: i64 = 1_000_000_000;
pub(super) const STAMP: Stamp<'_> = Stamp {
    received_at: Timestamp(NOW),
    booted_at: Some(Timestamp(NOW - 100 * SECOND)),
    client: "client",
};

/// Small ones, so that arbitrary batches meet them.
pub(super) fn limits() -> Limits {
    Limits {
        tables: 3,
        columns: 4,
        rows: 6,
        samples: 24,
        tags: 2,
        text_bytes: 5,
        ..Limits::default()
    }
}

/// What prost reads, checked and converted in the plainest way; `None` if it may not enter.
fn naive(bytes: &[u8], limits: &Limits, stamp: &Stamp<'_>) -> Option<Decoded> {
    let message = proto::Batch::decode(bytes).ok()?;
    let (clock, origin) = match message.clock {
        0 => (Clock::Unix, message.base_time),
        1 => (Clock::Receipt, stamp.received_at.0),
        2 => (Clock::Boot, stamp.booted_at?.0.saturating_add(message.base_time)),
        _ => return None,
    };
    let (mut builder, mut entries) = (BatchBuilder::new(), 0);
    for table in &message.tables {
        entries += table.columns.len() * table.times.len().max(1);
        naive_table(table, origin, limits, stamp, &mut builder)?;
    }
    let batch = builder.finish();
    let fits = message.tables.len() <= limits.tables && entries <= limits.samples;
    (fits && batch.samples() > 0).then_some(Decoded { seq: message.seq, clock, batch })
}

fn naive_table(
    table: &Table,
    origin: i64,
    limits: &Limits,
    stamp: &Stamp<'_>,
    builder: &mut BatchBuilder,
) -> Option<()> {
    let device = if table.device.is_empty() { stamp.client } else { &table.device };
    check_name(device, limits.name_bytes).ok()?;
    let mut tags: Vec<_> = table.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    for (key, value) in &tags {
        check_name(key, limits.name_bytes).ok()?;
        check_name(value, limits.name_bytes).ok()?;
    }
    let deltas = if table.times.is_empty() { vec![0] } else { table.times.clone() };
    let rows = deltas.len();
    let mut times = Vec::new();
    let mut time = origin;
    for delta in deltas {
        time = time.checked_add(delta)?;
        times.push(time);
    }
    let oldest = stamp.received_at.saturating_sub(limits.max_age).0;
    let newest = stamp.received_at.saturating_add(limits.max_ahead).0;
    let fits = tags.len() <= limits.tags && table.columns.len() <= limits.columns;
    if !fits || rows > limits.rows || times.iter().any(|&t| t < oldest || t > newest) {
        return None;
    }
    builder.table(device, &mut tags, times).ok()?;
    builder.keep(match table.keep {
        0 => Keep::Everywhere,
        1 => Keep::StoresOnly,
        2 => Keep::LiveOnly,
        _ => return None,
    });
    table.columns.iter().try_for_each(|column| naive_column(column, rows, limits, builder))
}

fn naive_column(
    column: &Column,
    rows: usize,
    limits: &Limits,
    builder: &mut BatchBuilder,
) -> Option<()> {
    let Column { metric, doubles, decimals, scale, ints, bools, strings, absent, unit } = column;
    check_name(metric, limits.name_bytes).ok()?;
    if !unit.is_empty() {
        check_name(unit, limits.name_bytes).ok()?;
    }
    let is_absent = |row: usize| absent.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1);
    let lens = [doubles.len(), decimals.len(), ints.len(), bools.len(), strings.len()];
    if lens.iter().filter(|&&len| len > 0).count() != 1 || !lens.contains(&rows) {
        return None;
    }
    let value = |row: usize, value: f64| if is_absent(row) { 0.0 } else { value };
    if !doubles.is_empty() {
        let values: Vec<_> = doubles.iter().enumerate().map(|(row, &v)| value(row, v)).collect();
        values.iter().all(|value| value.is_finite()).then_some(())?;
        builder.floats(metric, unit, values, absent).ok()
    } else if !decimals.is_empty() {
        let mut sum = 0_i64;
        let mut values = Vec::new();
        for (row, &delta) in decimals.iter().enumerate() {
            sum = sum.checked_add(if is_absent(row) { 0 } else { delta })?;
            values.push(value(row, sum as f64 / 10_f64.powi(i32::try_from(*scale).ok()?)));
        }
        (*scale <= 18).then_some(())?;
        builder.floats(metric, unit, values, absent).ok()
    } else if !ints.is_empty() {
        let mut sum = 0_i64;
        let values = ints.iter().enumerate().map(|(row, &delta)| {
            sum = sum.wrapping_add(if is_absent(row) { 0 } else { delta });
            sum
        });
        builder.ints(metric, unit, values.collect::<Vec<_>>(), absent).ok()
    } else if !bools.is_empty() {
        let values = bools.iter().enumerate().map(|(row, &value)| value && !is_absent(row));
        builder.bools(metric, unit, values.collect::<Vec<_>>(), absent).ok()
    } else {
        let values = strings.iter().enumerate();
        let values: Vec<_> =
            values.map(|(row, text)| if is_absent(row) { "" } else { text.as_str() }).collect();
        values.iter().all(|text| text.len() <= limits.text_bytes).then_some(())?;
        builder.texts(metric, unit, values, absent).ok()
    }
}

/// Fields of one message, each encoded, to be shuffled and joined.
type Pieces = Vec<Vec<u8>>;

/// Encodes as no sane writer does: fields in any order, arrays packed, unpacked or in several runs,
/// scalars given twice, unknown fields of all wire types between.
struct Scrambler(StdRng);

impl Scrambler {
    fn batch(&mut self, batch: &proto::Batch) -> Vec<u8> {
        let mut pieces = Pieces::new();
        for (tag, value) in
            [(1, batch.seq), (2, batch.base_time.cast_unsigned()), (4, batch.clock as u64)]
        {
            pieces.push(self.varint_field(tag, value));
        }
        for table in &batch.tables {
            let table = self.table(table);
            pieces.push(delimited(3, &table));
        }
        self.join(pieces)
    }

    fn table(&mut self, table: &Table) -> Vec<u8> {
        let mut pieces = vec![delimited(1, table.device.as_bytes())];
        for (key, value) in &table.tags {
            let entry = vec![delimited(1, key.as_bytes()), delimited(2, value.as_bytes())];
            let entry = self.join(entry);
            pieces.push(delimited(2, &entry));
        }
        pieces.extend(self.varints(3, table.times.iter().map(|&delta| zigzag(delta))));
        for column in &table.columns {
            let column = self.column(column);
            pieces.push(delimited(4, &column));
        }
        pieces.push(self.varint_field(5, table.keep as u64));
        self.join(pieces)
    }

    fn column(&mut self, column: &Column) -> Vec<u8> {
        let mut pieces = vec![delimited(1, column.metric.as_bytes())];
        for run in self.runs(&column.doubles) {
            if self.0.random() {
                let bytes: Vec<_> = run.iter().flat_map(|value| value.to_le_bytes()).collect();
                pieces.push(delimited(2, &bytes));
            } else {
                pieces.extend(
                    run.iter().map(|value| [key(2, 1), value.to_le_bytes().to_vec()].concat()),
                );
            }
        }
        pieces.extend(self.varints(3, column.decimals.iter().map(|&delta| zigzag(delta))));
        pieces.push(self.varint_field(4, column.scale.into()));
        pieces.extend(self.varints(5, column.ints.iter().map(|&delta| zigzag(delta))));
        pieces.extend(self.varints(6, column.bools.iter().map(|&value| u64::from(value) * 7)));
        pieces.extend(column.strings.iter().map(|text| delimited(7, text.as_bytes())));
        if !column.absent.is_empty() {
            pieces.push(delimited(8, &column.absent));
        }
        pieces.push(delimited(9, column.unit.as_bytes()));
        self.join(pieces)
    }

    fn varint_field(&mut self, tag: u32, value: u64) -> Vec<u8> {
        let twice = if self.0.random() { [key(tag, 0), varint(9)].concat() } else { vec![] };
        [twice, key(tag, 0), varint(value)].concat()
    }

    fn varints(&mut self, tag: u32, values: impl Iterator<Item = u64>) -> Pieces {
        let values: Vec<_> = values.collect();
        let mut pieces = Pieces::new();
        for run in self.runs(&values) {
            if self.0.random() {
                pieces
                    .push(delimited(tag, &run.iter().flat_map(|&v| varint(v)).collect::<Vec<_>>()));
            } else {
                pieces.extend(run.iter().map(|&value| [key(tag, 0), varint(value)].concat()));
            }
        }
        pieces
    }

    fn runs<T: Clone>(&mut self, values: &[T]) -> Vec<Vec<T>> {
        let at = self.0.random_range(0..=values.len());
        let (head, tail) = values.split_at(at);
        [head, tail].into_iter().filter(|run| !run.is_empty()).map(<[T]>::to_vec).collect()
    }

    fn join(&mut self, mut pieces: Pieces) -> Vec<u8> {
        if self.0.random() {
            pieces.shuffle(&mut self.0);
        }
        let unknown = [
            [key(77, 0), varint(1 << 40)].concat(),
            [key(77, 1), vec![1; 8]].concat(),
            delimited(77, b"later"),
            [key(77, 5), vec![1; 4]].concat(),
            [key(77, 3), delimited(5, b"x"), key(6, 3), key(6, 4), key(77, 4)].concat(),
        ];
        for field in unknown {
            if self.0.random_ratio(1, 8) {
                let at = self.0.random_range(0..=pieces.len());
                pieces.insert(at, field);
            }
        }
        pieces.concat()
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(super) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

pub(super) fn key(tag: u32, wire_type: u32) -> Vec<u8> {
    varint((tag << 3 | wire_type).into())
}

pub(super) fn delimited(tag: u32, bytes: &[u8]) -> Vec<u8> {
    [key(tag, 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn any_column(rows: usize) -> impl Strategy<Value = Column> {
    let deltas = || {
        let delta = prop_oneof![9 => -300_i64..300, 1 => any::<i64>()];
        prop::collection::vec(delta, rows)
    };
    let values = prop_oneof![
        prop::collection::vec(prop_oneof![9 => -1e6..1e6, 1 => any::<f64>()], rows)
            .prop_map(|doubles| Column { doubles, ..Column::default() }),
        (deltas(), prop_oneof![9 => 0_u32..4, 1 => 16_u32..20])
            .prop_map(|(decimals, scale)| Column { decimals, scale, ..Column::default() }),
        deltas().prop_map(|ints| Column { ints, ..Column::default() }),
        prop::collection::vec(any::<bool>(), rows)
            .prop_map(|bools| Column { bools, ..Column::default() }),
        prop::collection::vec("[a-zü]{0,4}", rows)
            .prop_map(|strings| Column { strings, ..Column::default() }),
    ];
    let absent = prop_oneof![
        3 => Just(vec![]),
        1 => prop::collection::vec(any::<u8>(), rows.div_ceil(8)),
    ];
    (values, "[a-z]{1,4}", "(|°C)", absent).prop_map(|(column, metric, unit, absent)| Column {
        metric,
        unit,
        absent,
        ..column
    })
}

fn any_table() -> impl Strategy<Value = Table> {
    (1_usize..6).prop_flat_map(|rows| {
        let times =
            prop::collection::vec(-SECOND..SECOND, if rows == 1 { 0..=1 } else { rows..=rows });
        let tags = prop::collection::btree_map("[a-z]{1,3}", "[a-z]{1,3}", 0..=2);
        let columns = prop::collection::vec(any_column(rows), 0..=4);
        let keep = prop_oneof![6 => 0..3, 1 => any::<i32>()];
        ("(|[a-z]{1,5})", tags, times, columns, keep).prop_map(
            |(device, tags, times, columns, keep)| Table { device, tags, times, columns, keep },
        )
    })
}

fn any_batch() -> impl Strategy<Value = proto::Batch> {
    let clock = prop_oneof![4 => Just((0, NOW)), 1 => Just((1, 5)), 1 => Just((2, 90 * SECOND))];
    (any::<u64>(), clock, prop::collection::vec(any_table(), 0..=3)).prop_map(
        |(seq, (clock, base_time), tables)| proto::Batch { seq, base_time, clock, tables },
    )
}

/// Whether a table has a `tags` field that is not delimited.
fn tables_have_odd_tags(bytes: &[u8]) -> Result<bool, Malformed> {
    let mut fields = Fields::new(bytes, DEPTH_MAX);
    while let Some((tag, value)) = fields.next()? {
        let (3, Value::Delimited(table)) = (tag, value) else { continue };
        let mut fields = Fields::new(table, DEPTH_MAX);
        loop {
            // The key alone tells, even if no value of its wire type follows.
            if let Ok((2, 0 | 1 | 3..)) = { fields }.key() {
                return Ok(true);
            }
            if fields.next()?.is_none() {
                break;
            }
        }
    }
    Ok(false)
}

/// Both readers must say the same of these bytes.
fn agree(bytes: &[u8]) -> Result<Option<Decoded>, TestCaseError> {
    let hand = batch(bytes, &limits(), &STAMP);
    // prost's map has forgotten that a key came twice.
    if let Err(Fault { kind: FaultKind::DuplicateTag, .. }) = hand {
        return Ok(None);
    }
    // prost does not look at the wire type of a map's entry, and reads any as if it were delimited.
    if tables_have_odd_tags(bytes).unwrap_or(false) {
        prop_assert!(hand.is_err());
        return Ok(None);
    }
    let oracle = naive(bytes, &limits(), &STAMP);
    prop_assert_eq!(hand.as_ref().ok(), oracle.as_ref(), "{:?}", hand);
    Ok(hand.ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_legal_encoding_is_read_as_prost_reads_it(message in any_batch(), seed in any::<u64>()) {
        let bytes = Scrambler(StdRng::seed_from_u64(seed)).batch(&message);
        prop_assert_eq!(seq(&bytes), message.seq);
        let canonical = agree(&message.encode_to_vec())?;
        agree(&bytes)?;
        if let Some(decoded) = canonical {
            let encoded = encode(&decoded.batch, decoded.seq);
            let Ok(upstream::Upstream::Batch(encoded)) = upstream(&encoded) else {
                panic!("not a batch")
            };
            let again = batch(encoded, &Limits::READ_BACK, &STAMP).unwrap();
            prop_assert_eq!(again.clock, Clock::Unix);
            prop_assert_eq!((again.seq, again.batch), (decoded.seq, decoded.batch));
        }
    }

    #[test]
    fn damaged_messages_are_accepted_and_refused_as_prost_does(
        message in any_batch(),
        seed in any::<u64>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = Scrambler(StdRng::seed_from_u64(seed)).batch(&message);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        agree(&bytes)?;
    }

    #[test]
    fn arbitrary_bytes_are_accepted_and_refused_as_prost_does(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        agree(&bytes)?;
        let _known = upstream(&bytes).is_ok();
    }
}
