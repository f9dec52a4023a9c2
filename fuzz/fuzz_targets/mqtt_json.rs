//! Any bytes as a JSON message under routes of every kind. Its readings are not empty, enter a batch or
//! are refused with a reason, and a payload that is taken is JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tidegate::decode::{Gather, Limits};
use tidegate::model::Timestamp;
use tidegate::routes::{self, Message, Route, RouteSpec};

const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);
const TOPIC: &str = "plant/north/pump-7";

static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let plain = RouteSpec {
        topic: "plant/{site}/{device}".to_owned(),
        decoder: "json".to_owned(),
        ..RouteSpec::default()
    };
    let all = RouteSpec { texts: true, text_numbers: true, ..plain.clone() };
    let some = RouteSpec {
        values: texts(&["/a", "/*/b", "/c/0"]),
        ignore: texts(&["/a/x", "/*/*/y"]),
        rename: [("/a".to_owned(), String::new()), ("/c/0".to_owned(), "c".to_owned())].into(),
        integers: texts(&["/a/*"]),
        metric: "{site}.{}".to_owned(),
        time: "/t".to_owned(),
        may_be_empty: true,
        ..plain.clone()
    };
    let rows = RouteSpec {
        root: "/r/*".to_owned(),
        device: "{/d}".to_owned(),
        metric: "{/r/*/n}.{}".to_owned(),
        tags: [("k".to_owned(), "{/r/*/k}".to_owned())].into(),
        time: "/r/*/t".to_owned(),
        time_zone: "+01:00".to_owned(),
        numbers: "as_written".to_owned(),
        ..plain.clone()
    };
    let routes = [plain, all, some, rows];
    routes.iter().map(|spec| Route::new(spec).expect("a route")).collect()
});

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let message = Message {
        topic: TOPIC,
        payload: bytes,
        received_at: NOW,
        retained: false,
        content_type: None,
        properties: &[],
    };
    for route in ROUTES.iter() {
        let captures = route.takes(TOPIC).expect("its topic");
        match routes::read(route, &captures, &message, &limits) {
            Err(puzzle) => assert!(!puzzle.to_string().is_empty()),
            Ok(readings) => {
                let mut gather = Gather::new(&limits);
                for reading in readings {
                    assert!(!reading.values.is_empty());
                    if let Err(fault) = gather.push(reading, NOW) {
                        assert!(!fault.to_string().is_empty());
                    }
                }
            }
        }
    }
    let suggestion = routes::suggest(TOPIC, bytes);
    assert!(suggestion.contains("[[intake.mqtt.routes]]"));
});
