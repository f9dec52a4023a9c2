//! What a message of a broker costs from its bytes to readings, and into a batch with others.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tidegate::decode::{Gather, Limits};
use tidegate::model::Timestamp;
use tidegate::routes::{Message, Route, RouteSpec, read};

const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);

/// 100 bytes, as small sensors send.
const SENSOR: &str = r#"{"temperature":21.53,"humidity":44.72,"pressure":1013.25,"battery":97,"rssi":-61,"ts":1800000000,"n":7}"#;

const ZIGBEE: &str = r#"{"battery":97,"humidity":44.72,"last_seen":"2027-01-15T08:00:00.250Z","linkquality":128,"temperature":27.34,"voltage":2975,"update":{"installed_version":587757105,"latest_version":587757105,"state":"idle"}}"#;

fn route(change: impl FnOnce(&mut RouteSpec)) -> Route {
    let mut spec = RouteSpec {
        topic: "plant/{site}/{device}".to_owned(),
        decoder: "json".to_owned(),
        tags: [("site".to_owned(), "{site}".to_owned())].into(),
        ..RouteSpec::default()
    };
    change(&mut spec);
    Route::new(&spec).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

/// Values that a message has.
fn values(route: &Route, payload: &str, limits: &Limits) -> usize {
    let topic = black_box("plant/north/pump-7");
    let message = Message {
        topic,
        payload: payload.as_bytes(),
        received_at: NOW,
        retained: false,
        content_type: None,
        properties: &[],
    };
    let Some(captures) = route.takes(topic) else { return 0 };
    let readings = read(route, &captures, &message, limits).unwrap_or_default();
    readings.iter().map(|reading| reading.values.len()).sum()
}

/// Values of so many messages in one batch.
fn gathered(route: &Route, payload: &str, limits: &Limits, messages: usize) -> usize {
    let topic = black_box("plant/north/pump-7");
    let message = Message {
        topic,
        payload: payload.as_bytes(),
        received_at: NOW,
        retained: false,
        content_type: None,
        properties: &[],
    };
    let mut gather = Gather::new(limits);
    for _ in 0..messages {
        let Some(captures) = route.takes(topic) else { return 0 };
        for reading in read(route, &captures, &message, limits).unwrap_or_default() {
            if gather.push(reading, NOW).is_err() {
                return 0;
            }
        }
    }
    gather.finish().samples()
}

fn benches(criterion: &mut Criterion) {
    let limits = Limits::default();
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let all = route(|_| {});
    let some = route(|spec| {
        spec.values = texts(&["/temperature", "/humidity", "/pressure"]);
        spec.rename = [("/temperature".to_owned(), "temp".to_owned())].into();
        spec.time = "/ts".to_owned();
    });
    let zigbee = route(|spec| {
        spec.ignore = texts(&["/update"]);
        spec.time = "/last_seen".to_owned();
        spec.units = [("temperature".to_owned(), "°C".to_owned())].into();
    });
    let scalar = route(|spec| {
        spec.decoder = "scalar".to_owned();
        spec.device = "{site}".to_owned();
        spec.metric = "{device}".to_owned();
    });
    let mut group = criterion.benchmark_group("routes");
    group.throughput(Throughput::Elements(1));
    for (name, route, payload, expected) in [
        ("json, 100 bytes, every value", &all, SENSOR, 7),
        ("json, 100 bytes, three values and the time", &some, SENSOR, 3),
        ("json, 200 bytes of Zigbee2MQTT", &zigbee, ZIGBEE, 5),
        ("scalar", &scalar, "21.53", 1),
    ] {
        assert_eq!(values(route, payload, &limits), expected, "{name}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| values(route, black_box(payload), &limits));
        });
    }
    group.throughput(Throughput::Elements(100));
    group.bench_function("100 of json, every value, into a batch", |bencher| {
        bencher.iter(|| gathered(&all, black_box(SENSOR), &limits, 100));
    });
    group.finish();
}

criterion_group!(routes_benches, benches);
criterion_main!(routes_benches);
