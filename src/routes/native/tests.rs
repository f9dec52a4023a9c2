use super::*;
use crate::decode::{Gather, Reading, Value, encode};
use crate::model::{Keep, Timestamp};
use crate::routes::RouteSpec;
use crate::wire::{Hello, RefusalCode, encode_hello};

const NOW: i64 = 1_800_000_000_000_000_000;

fn route(topic: &str, device: &str) -> Route {
    let spec = RouteSpec {
        topic: topic.into(),
        decoder: "tidegate".into(),
        device: device.into(),
        ..RouteSpec::default()
    };
    Route::new(&spec).unwrap()
}

/// A batch of one reading, inside an `Upstream`.
fn upstream(seq: Seq) -> (Batch, Vec<u8>) {
    let content = crate::decode::Content::Float(21.5);
    let value = Value { metric: "t".into(), unit: "".into(), content };
    let reading = Reading {
        device: "d".into(),
        tags: vec![],
        time: NOW,
        values: vec![value],
        keep: Keep::default(),
    };
    let limits = Limits::default();
    let mut gather = Gather::new(&limits);
    gather.push(reading, Timestamp(NOW)).unwrap();
    let batch = gather.finish();
    let bytes = encode(&batch, seq);
    (batch, bytes)
}

fn check(
    route: &Route,
    topic: &str,
    payload: &[u8],
    properties: &[(String, String)],
    check: impl FnOnce(Result<Native<'_>, Puzzle>),
) {
    let received_at = Timestamp(NOW);
    let content_type = None;
    let message =
        Message { topic, payload, received_at, retained: false, content_type, properties };
    let captures = route.takes(topic).unwrap();
    let (limits, mut scratch) = (Limits::default(), Vec::new());
    check(native(route, &captures, &message, &limits, "mqtt:site", &mut scratch));
}

fn said(key: &str, value: &str) -> (String, String) {
    (key.into(), value.into())
}

#[test]
fn a_batch_comes_bare_or_in_an_upstream_compressed_or_not() {
    let route = route("in/{client}/{session}", "");
    let (batch, plain) = upstream(7);
    let Ok(Upstream::Batch(bare)) = decode::upstream(&plain) else { panic!("not a batch") };
    let payloads = [
        plain.clone(),
        bare.to_vec(),
        compress(Compression::Gzip, 6, &plain),
        compress(Compression::Zstd, 1, bare),
    ];
    for payload in payloads {
        check(&route, "in/gw-1/42", &payload, &[], |native| {
            let native = native.unwrap();
            assert_eq!(native.client.as_deref(), Some("gw-1"));
            assert_eq!((native.session, native.seq), (SessionId(42), 7));
            assert_eq!(native.batch, batch);
            // What the spool keeps is read back as the same.
            let mut scratch = Vec::new();
            let record = inflate(&native.record, &Limits::default(), &mut scratch).unwrap();
            assert_eq!(record, plain);
        });
    }
    check(&route, "in/gw-1/42", &plain, &[], |native| {
        assert!(matches!(native.unwrap().record, Cow::Borrowed(_)), "as it was sent");
    });
}

#[test]
fn a_batch_of_tables_alone_is_told_from_a_command_result() {
    // Only field 3, which in an Upstream would be a CommandResult: times count from the epoch.
    let column = [&[0x0a, 1, b't'][..], &[0x12, 8], &21.5_f64.to_le_bytes()].concat();
    let time = {
        let mut writer = Writer::new();
        writer.delimited(1, b"d");
        writer.sints(3, [NOW].into_iter());
        writer.delimited(4, &column);
        writer.finish()
    };
    let mut batch = Writer::new();
    batch.delimited(3, &time);
    check(&route("in", ""), "in", batch.bytes(), &[], |native| {
        let native = native.unwrap();
        assert_eq!((native.seq, native.batch.time_range()), (0, Some((NOW, NOW))));
        assert_eq!((native.client, native.session), (None, SessionId(0)));
    });
}

#[test]
fn the_topic_tells_the_identity_before_properties_do() {
    let (_, plain) = upstream(1);
    let properties = [said("client", "p"), said("session", "9")];
    check(&route("in/{client}", ""), "in/t", &plain, &properties, |native| {
        let native = native.unwrap();
        assert_eq!((native.client.as_deref(), native.session), (Some("t"), SessionId(9)));
    });
    check(&route("in", ""), "in", &plain, &properties, |native| {
        let native = native.unwrap();
        assert_eq!((native.client.as_deref(), native.session), (Some("p"), SessionId(9)));
    });
    // A session of nobody could be anybody's.
    check(&route("in", ""), "in", &plain, &[said("session", "9")], |native| {
        assert_eq!(native.unwrap().session, SessionId(0));
    });
    check(
        &route("in", ""),
        "in",
        &plain,
        &[said("client", "p"), said("session", "x9")],
        |native| {
            let puzzle = native.unwrap_err();
            assert_eq!(puzzle.code(), RefusalCode::BadSeq);
            assert_eq!(puzzle.to_string(), "the session \"x9\" is not a number from 0 to 2^64 - 1");
        },
    );
}

#[test]
fn tables_without_a_device_are_of_route_client_or_bridge() {
    let column = [&[0x0a, 1, b't'][..], &[0x12, 8], &21.5_f64.to_le_bytes()].concat();
    let mut table = Writer::new();
    table.delimited(4, &column);
    let mut batch = Writer::new();
    batch.uint(4, 1);
    batch.delimited(3, table.bytes());
    for (pattern, device, topic, expected) in [
        ("in/{client}", "", "in/gw", "gw"),
        ("in/{client}/{device}", "", "in/gw/p", "p"),
        ("in/{client}", "plant:{client}", "in/gw", "plant:gw"),
        ("in", "", "in", "mqtt:site"),
    ] {
        check(&route(pattern, device), topic, batch.bytes(), &[], |native| {
            let native = native.unwrap();
            let table = native.batch.tables().next().unwrap();
            assert_eq!((table.device(), table.times()), (expected, &[NOW][..]));
            // Read back from the spool, which knows the client only, it is the same.
            let (limits, mut scratch) = (Limits::READ_BACK, Vec::new());
            let plain = inflate(&native.record, &limits, &mut scratch).unwrap();
            let Ok(Upstream::Batch(batch)) = decode::upstream(plain) else { panic!() };
            let client = native.client.as_deref().unwrap_or("mqtt:site");
            let stamp = Stamp { received_at: Timestamp(NOW), booted_at: None, client };
            assert_eq!(decode::batch(batch, &limits, &stamp).unwrap().batch, native.batch);
        });
    }
}

#[test]
fn a_client_has_a_name_as_over_other_ways_in() {
    let (_, plain) = upstream(1);
    for client in ["x".repeat(129), "a\u{7}b".to_owned()] {
        check(&route("in", ""), "in", &plain, &[said("client", &client)], |native| {
            assert_eq!(native.unwrap_err().code(), RefusalCode::BadName);
        });
    }
}

#[test]
fn what_is_no_batch_is_told() {
    let route = route("in", "");
    let hello = encode_hello(&Hello { client: "c".into(), ..Hello::default() });
    let bomb = compress(Compression::Zstd, 19, &vec![0; 20 << 20]);
    let (_, mut old) = upstream(1);
    let at = old.len() - 1;
    old.truncate(at);
    for (payload, code, sentence) in [
        (&b""[..], RefusalCode::Empty, "the payload is empty"),
        (&b"{\"t\":1}"[..], RefusalCode::Malformed, "not a valid protobuf Upstream, nor a Batch"),
        (&hello, RefusalCode::Malformed, "an Upstream with a Hello: over MQTT only batches come"),
        (&bomb, RefusalCode::TooLarge, "times its size"),
        (&[0x1f, 0x8b, 0, 0], RefusalCode::Malformed, "compressed data"),
        (&[0x12, 2, 8, 1], RefusalCode::Empty, "the batch has no samples"),
        (&old, RefusalCode::Malformed, "nor a Batch"),
    ] {
        check(&route, "in", payload, &[], |native| {
            let puzzle = native.unwrap_err();
            assert_eq!(puzzle.code(), code, "{puzzle}");
            assert!(puzzle.to_string().contains(sentence), "{puzzle}");
        });
    }
}
