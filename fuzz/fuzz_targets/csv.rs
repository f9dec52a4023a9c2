//! Any bytes as CSV of an export. What is accepted must survive the canonical encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::decode::{self, CsvColumns, LINE_FAULTS_MAX, Limits, Stamp, Upstream};
use tidegate::model::{Reach, Timestamp};

const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);

fuzz_target!(|bytes: &[u8]| {
    let stamp = Stamp { received_at: NOW, booted_at: None, client: "client" };
    let lines = decode::csv(bytes, b',', &CsvColumns::Exported, &Limits::default(), &stamp, &Reach::all());
    assert_eq!(lines.faults.len(), lines.refused.min(LINE_FAULTS_MAX));
    assert_eq!(lines.accepted == 0, lines.batch.samples() == 0);
    if lines.accepted > 0 {
        let encoded = decode::encode(&lines.batch, 1);
        let Ok(Upstream::Batch(message)) = decode::upstream(&encoded) else {
            panic!("the canonical encoding is no batch")
        };
        let again = decode::batch(message, &Limits::READ_BACK, &stamp).expect("read back");
        assert_eq!(again.batch, lines.batch);
    }
});
