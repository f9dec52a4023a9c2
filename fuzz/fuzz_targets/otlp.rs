//! Any bytes as a protobuf request of OTLP's metrics. What is accepted must survive the canonical encoding.
#![no_main]

mod items;

use libfuzzer_sys::fuzz_target;
use tidegate::decode::{self, Limits, OtlpNaming};
use tidegate::model::Reach;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let device_attributes = ["device".to_owned(), "host.name".to_owned()];
    let naming = OtlpNaming { device_attributes: &device_attributes, resource_tags: None };
    if let Ok(read) = decode::otlp(bytes, &naming, &limits, &items::STAMP, &Reach::all()) {
        items::check(&read, &limits);
    }
});
