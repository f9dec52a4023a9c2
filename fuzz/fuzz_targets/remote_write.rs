//! Any bytes as a request of Prometheus' remote write, the first byte its version. What is accepted must survive the canonical encoding.
#![no_main]

mod items;

use libfuzzer_sys::fuzz_target;
use tidegate::decode::{self, Limits, PrometheusNaming, RemoteWrite};
use tidegate::model::Reach;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let device_labels = ["device".to_owned(), "instance".to_owned()];
    let naming = PrometheusNaming { device_labels: &device_labels };
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let version = if first % 2 == 0 { RemoteWrite::V1 } else { RemoteWrite::V2 };
    let read = decode::remote_write(version, bytes, &naming, &limits, &items::STAMP, &Reach::all());
    if let Ok(read) = read {
        items::check(&read, &limits);
    }
});
