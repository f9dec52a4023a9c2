//! Any bytes as a client's message: inflated, told apart, decoded. What is accepted must survive the
//! canonical encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::decode::{self, Limits, Stamp, Upstream};
use tidegate::model::Timestamp;
use tidegate::wire;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { inflated_bytes: 1 << 20, ..Limits::default() };
    let mut scratch = Vec::new();
    let Ok(plain) = wire::inflate(bytes, &limits, &mut scratch) else { return };
    let Ok(Upstream::Batch(message)) = decode::upstream(plain) else { return };
    let stamp = Stamp { received_at: NOW, booted_at: Some(NOW), client: "client" };
    match decode::batch(message, &limits, &stamp) {
        Err(fault) => assert!(!fault.to_string().is_empty()),
        Ok(decoded) => {
            assert_eq!(decode::seq(message), decoded.seq);
            assert!(decoded.batch.samples() > 0);
            let encoded = decode::encode(&decoded.batch, decoded.seq);
            let Ok(Upstream::Batch(again)) = decode::upstream(&encoded) else {
                panic!("the canonical encoding is no batch")
            };
            let again = decode::batch(again, &Limits::READ_BACK, &stamp).expect("read back");
            assert_eq!(again.batch, decoded.batch);
        }
    }
});
