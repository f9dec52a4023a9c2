//! What the tests of bodies of items have in common: those of OTLP and of remote write.

use super::items::Items;
use super::{Stamp, Upstream, batch, encode, upstream};
use crate::model::{Batch, Timestamp, Values};
use crate::wire::Limits;

pub(super) const NOW: i64 = 1_800_000_000_000_000_000;
pub(super) const STAMP: Stamp<'_> =
    Stamp { received_at: Timestamp(NOW), booted_at: None, client: "client" };

/// A line for each value: `device,tags metric[unit]=value time`, with times from [`NOW`] on.
pub(super) fn told(batch: &Batch) -> Vec<String> {
    let mut lines = Vec::new();
    for table in batch.tables() {
        let tags: String = table.tags().map(|(key, value)| format!(",{key}={value}")).collect();
        for column in table.columns() {
            for (row, time) in table.times().iter().enumerate() {
                let value = match column.values() {
                    Values::Floats(values) => format!("{:?}", values[row]),
                    Values::Ints(values) => format!("{}i", values[row]),
                    Values::Bools(_) | Values::Texts(_) => panic!("no numbers"),
                };
                let unit = match column.unit() {
                    "" => String::new(),
                    unit => format!("[{unit}]"),
                };
                let (device, metric) = (table.device(), column.metric());
                lines.push(format!("{device}{tags} {metric}{unit}={value} {}", time - NOW));
            }
        }
    }
    lines
}

/// What came to be is a batch like any other.
pub(super) fn survives(items: &Items) {
    assert_eq!(items.accepted == 0, items.batch.samples() == 0);
    if items.accepted > 0 {
        let encoded = encode(&items.batch, 1);
        let Ok(Upstream::Batch(message)) = upstream(&encoded) else { panic!("no batch") };
        assert_eq!(batch(message, &Limits::READ_BACK, &STAMP).unwrap().batch, items.batch);
    }
}
