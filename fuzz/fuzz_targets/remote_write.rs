//! Any bytes as a request of Prometheus' remote write, the first byte its version. What is accepted must survive the canonical encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::decode::{self, ITEM_FAULTS_MAX, Limits, PrometheusNaming, RemoteWrite, Stamp, Upstream};
use tidegate::model::{Reach, Timestamp};

const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);

fuzz_target!(|bytes: &[u8]| {
    let stamp = Stamp { received_at: NOW, booted_at: None, client: "client" };
    let limits = Limits::default();
    let device_labels = ["device".to_owned(), "instance".to_owned()];
    let naming = PrometheusNaming { device_labels: &device_labels };
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let version = if first % 2 == 0 { RemoteWrite::V1 } else { RemoteWrite::V2 };
    let read = decode::remote_write(version, bytes, &naming, &limits, &stamp, &Reach::all());
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
