//! Any bytes as a protobuf request of OTLP's metrics. What is accepted must survive the canonical encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::decode::{self, ITEM_FAULTS_MAX, Limits, OtlpNaming, Stamp, Upstream};
use tidegate::model::{Reach, Timestamp};

const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);

fuzz_target!(|bytes: &[u8]| {
    let stamp = Stamp { received_at: NOW, booted_at: None, client: "client" };
    let limits = Limits::default();
    let device_attributes = ["device".to_owned(), "host.name".to_owned()];
    let naming = OtlpNaming { device_attributes: &device_attributes, resource_tags: None };
    let read = decode::otlp(bytes, &naming, &limits, &stamp, &Reach::all());
    let Ok(items) = read else { return };
    assert_eq!(items.faults.len(), items.refused.min(ITEM_FAULTS_MAX));
    assert_eq!(items.accepted == 0, items.batch.samples() == 0);
    assert!(items.batch.memory_bytes() < 4 * limits.inflated_bytes);
    if items.accepted > 0 {
        let encoded = decode::encode(&items.batch, 1);
        let Ok(Upstream::Batch(message)) = decode::upstream(&encoded) else {
            panic!("the canonical encoding is no batch")
        };
        let again = decode::batch(message, &Limits::READ_BACK, &stamp).expect("read back");
        assert_eq!(again.batch, items.batch);
    }
});
