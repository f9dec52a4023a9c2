//! What holds of every body of items that is read, whatever its form.

use tidegate::decode::{self, ITEM_FAULTS_MAX, Items, Limits, Stamp, Upstream};
use tidegate::model::Timestamp;

pub const STAMP: Stamp<'_> =
    Stamp { received_at: Timestamp(1_800_000_000_000_000_000), booted_at: None, client: "client" };

/// It is counted, bounded, and survives the canonical encoding.
pub fn check(items: &Items, limits: &Limits) {
    assert_eq!(items.faults.len(), items.refused.min(ITEM_FAULTS_MAX));
    assert_eq!(items.accepted == 0, items.batch.samples() == 0);
    assert!(items.batch.memory_bytes() < 4 * limits.inflated_bytes);
    if items.accepted > 0 {
        let encoded = decode::encode(&items.batch, 1);
        let Ok(Upstream::Batch(message)) = decode::upstream(&encoded) else {
            panic!("the canonical encoding is no batch")
        };
        let again = decode::batch(message, &Limits::READ_BACK, &STAMP).expect("read back");
        assert_eq!(again.batch, items.batch);
    }
}
