//! What a device does whose firmware nobody tested.

use super::outbox::Frame;
use crate::clock;
use crate::model::{BatchBuilder, Seq};
use crate::wire::Writer;
use rand::RngExt;

/// How many batches go by between two pieces of mischief, on average.
const BATCHES_BETWEEN: u32 = 8;

/// The year 2200, nanoseconds.
const YEAR_2200: i64 = 7_258_118_400_000_000_000;

pub(super) enum Mischief {
    /// A batch that will be refused.
    Batch(Frame),
    /// Bytes that are no message.
    Garbage(Vec<u8>),
    /// Gone without a word.
    Vanish,
}

/// Now and then something else than the next batch.
pub(super) fn mischief(seq: Seq) -> Option<Mischief> {
    let mut random = rand::rng();
    if !random.random_ratio(1, BATCHES_BETWEEN) {
        return None;
    }
    Some(match random.random_range(0..4) {
        0 => Mischief::Batch(not_a_number(seq)),
        1 => Mischief::Batch(from_the_future(seq)),
        2 => Mischief::Garbage((0..40).map(|_| random.random::<u8>() | 0x80).collect()),
        _ => Mischief::Vanish,
    })
}

fn not_a_number(seq: Seq) -> Frame {
    let now = clock::now().0.cast_unsigned();
    let (mut column, mut table, mut batch) = (Writer::new(), Writer::new(), Writer::new());
    column.delimited(1, b"temperature");
    column.doubles(2, &[f64::NAN]);
    table.delimited(4, column.bytes());
    batch.uint(1, seq);
    batch.uint(2, now);
    batch.delimited(3, table.bytes());
    let mut upstream = Writer::new();
    upstream.delimited(2, batch.bytes());
    Frame { seq, bytes: upstream.finish().into(), samples: 1 }
}

fn from_the_future(seq: Seq) -> Frame {
    let mut builder = BatchBuilder::new();
    // Building a batch of one value can't fail; if it did, an empty one is refused as well.
    let built = builder
        .table("", &mut [], [YEAR_2200])
        .and_then(|()| builder.floats("temperature", "°C", [21.5], &[]));
    debug_assert_eq!(built, Ok(()));
    let bytes = crate::decode::encode(&builder.finish(), seq).into();
    Frame { seq, bytes, samples: 1 }
}
