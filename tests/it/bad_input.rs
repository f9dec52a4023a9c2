//! Every documented refusal and close code, provoked; and a neighbour that feels nothing.

use crate::client::{Client, Said, reading, reading_at};
use crate::daemon::Daemon;
use std::io::Write;
use tidegate::clock;
use tidegate::decode;
use tidegate::model::{BatchBuilder, SessionId};
use tidegate::wire::{Compression, Downstream, Hello, RefusalCode, Retry, compress};
use tokio_tungstenite::tungstenite::Message;

/// A neighbour whose batches must be acknowledged whatever happens beside it.
struct Neighbour(Client, u64);

impl Neighbour {
    fn of(daemon: &Daemon) -> Neighbour {
        Neighbour(Client::greet(daemon, "neighbour", 1).0, 0)
    }

    fn feels_nothing(&mut self) {
        self.1 += 1;
        self.0.batch(self.1, &reading("neighbour", "t", 1.0));
        self.0.acked(self.1);
    }
}

fn columns(columns: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.table("wide", &mut [], [clock::now().0]).unwrap();
    for column in 0..columns {
        builder.ints(&format!("m{column}"), "", [1], &[]).unwrap();
    }
    decode::encode(&builder.finish(), 7)
}

const YEAR: i64 = 31_556_952_000_000_000;

/// A protobuf field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

/// An Upstream with a Batch of seq 7 and these bytes after the seq.
fn batch_with(rest: &[u8]) -> Vec<u8> {
    field(2, &[&[8, 7], rest].concat())
}

#[test]
fn every_bad_batch_gets_its_documented_refusal_and_the_connection_goes_on() {
    let daemon = Daemon::start(&["limits.text_bytes=64"]);
    let mut neighbour = Neighbour::of(&daemon);
    let now = clock::now().0;
    let text = |value: &str| {
        let mut builder = BatchBuilder::new();
        builder.table("d", &mut [], [now]).unwrap();
        builder.texts("state", "", [value], &[]).unwrap();
        decode::encode(&builder.finish(), 7)
    };
    let valid = decode::encode(&reading("d", "t", 1.0), 7);
    let squeezed = compress(Compression::Gzip, 6, &columns(200));
    let bomb = compress(Compression::Gzip, 9, &vec![0; 100 << 20]);
    // A column whose length differs from its rows: metric "t", doubles [1.0, 2.0], one row.
    let doubles = field(2, &[1.0f64.to_le_bytes(), 2.0f64.to_le_bytes()].concat());
    let crooked =
        field(3, &[field(1, b"d"), field(4, &[field(1, b"t"), doubles].concat())].concat());
    let cases: Vec<(&str, Vec<u8>, u64, RefusalCode)> = vec![
        ("not protobuf inside", batch_with(&[0x1a, 0xff, 0xff]), 7, RefusalCode::Malformed),
        ("half a gzip stream", squeezed[..squeezed.len() / 2].to_vec(), 0, RefusalCode::Malformed),
        ("garbage after a gzip stream", [&squeezed[..], b"x"].concat(), 0, RefusalCode::Malformed),
        ("a bomb", bomb, 0, RefusalCode::TooLarge),
        ("10,000 columns", columns(10_000), 7, RefusalCode::LimitExceeded),
        (
            "an empty metric name",
            decode::encode(&reading("d", "", 1.0), 7),
            7,
            RefusalCode::BadName,
        ),
        (
            "a control character in a device",
            decode::encode(&reading("a\nb", "t", 1.0), 7),
            7,
            RefusalCode::BadName,
        ),
        (
            "a name too long",
            decode::encode(&reading(&"x".repeat(129), "t", 1.0), 7),
            7,
            RefusalCode::BadName,
        ),
        (
            "a crooked table",
            batch_with(&[&[0x20, 1], &crooked[..]].concat()),
            7,
            RefusalCode::BadShape,
        ),
        ("NaN", decode::encode(&reading("d", "t", f64::NAN), 7), 7, RefusalCode::NotFinite),
        (
            "infinity",
            decode::encode(&reading("d", "t", f64::INFINITY), 7),
            7,
            RefusalCode::NotFinite,
        ),
        (
            "the year 1970",
            decode::encode(&reading_at("d", "t", 1.0, 0), 7),
            7,
            RefusalCode::TimeTooOld,
        ),
        (
            "the year 2200",
            decode::encode(&reading_at("d", "t", 1.0, 230 * YEAR), 7),
            7,
            RefusalCode::TimeTooFarAhead,
        ),
        ("no seq", decode::encode(&reading("d", "t", 1.0), 0), 0, RefusalCode::BadSeq),
        ("no tables", batch_with(&[]), 7, RefusalCode::Empty),
        ("a long text", text(&"x".repeat(65)), 7, RefusalCode::TextTooLong),
    ];
    let (mut client, _) = Client::greet(&daemon, "clumsy", 5);
    for (what, message, seq, code) in cases {
        client.send(&message);
        let (refused, answered, sentence) = client.refused();
        assert_eq!((refused, answered), (seq, code), "{what}: {sentence}");
        assert!(sentence.len() > 10, "{what}: {sentence:?} explains nothing");
        neighbour.feels_nothing();
    }
    // Refused for good: seq 7 counts as settled, and the connection is as good as before.
    client.batch(8, &reading("d", "t", 1.0));
    client.acked(8);
    // An unknown field is none of our business.
    client.send(&[&valid[..], &[0xfa, 0x06, 1, 0]].concat());
    client.acked(7);
    let (_, metrics) = daemon.get("/metrics");
    for code in
        ["MALFORMED", "TOO_LARGE", "LIMIT_EXCEEDED", "BAD_NAME", "NOT_FINITE", "TIME_TOO_OLD"]
    {
        let counted = format!("tidegate_batches_refused_total{{protocol=\"ws\",code=\"{code}\"}}");
        assert!(metrics.contains(&counted), "{counted} is not in {metrics}");
    }
}

#[test]
fn a_fault_is_named_with_its_place() {
    let daemon = Daemon::start(&[]);
    let (mut client, _) = Client::greet(&daemon, "clumsy", 5);
    let mut builder = BatchBuilder::new();
    let now = clock::now().0;
    builder.table("a", &mut [], [now]).unwrap();
    builder.floats("t", "", [1.0], &[]).unwrap();
    builder.table("b", &mut [], [now, now + 1, now + 2]).unwrap();
    builder.floats("t", "", [1.0, 2.0, 3.0], &[]).unwrap();
    builder.floats("u", "", [1.0, f64::NAN, 3.0], &[]).unwrap();
    client.batch(1, &builder.finish());
    let Said::Message(Downstream::Refusal { at, retry, .. }) = client.next() else { panic!() };
    assert_eq!((at.table, at.column, at.row), (Some(1), Some(1), Some(1)));
    assert_eq!(retry, Retry::Never);
}

#[test]
fn more_series_than_allowed_are_refused_for_later() {
    let daemon = Daemon::start(&["limits.series_max=10"]);
    let (mut client, _) = Client::greet(&daemon, "many", 5);
    client.send(&columns(11));
    assert_eq!(client.refused().1, RefusalCode::TooManySeries);
    client.batch(8, &reading("few", "t", 1.0));
    // Seq 7 was refused for later: no Ack passes it until it is given up.
    client.send(&batch_with(&[]));
    assert_eq!(client.refused().1, RefusalCode::Empty);
    client.batch(9, &reading("few", "t", 1.0));
    client.acked(9);
}

#[test]
fn more_per_second_than_allowed_is_refused_for_later() {
    let daemon = Daemon::start(&["limits.batches_per_second=1", "limits.credit_batches=64"]);
    let (mut client, _) = Client::greet(&daemon, "fast", 5);
    for seq in 1..=40 {
        client.batch(seq, &reading("fast", "t", 1.0));
    }
    assert_eq!(client.refused().1, RefusalCode::RateLimited);
}

#[test]
fn a_client_over_its_credit_is_refused_then_closed() {
    let daemon = Daemon::start(&["limits.credit_batches=1"]);
    let mut neighbour = Neighbour::of(&daemon);
    let (mut client, welcome) = Client::greet(&daemon, "greedy", 5);
    assert_eq!(welcome.credit.batches, 1);
    // One write with a thousand frames: the first is at the gate while the next are read.
    let message = decode::encode(&reading("greedy", "t", 1.0), 1);
    let mut frames = Vec::new();
    for _ in 0..20_000 {
        frames.extend_from_slice(&[0x82, 0x80 | message.len() as u8, 0, 0, 0, 0]);
        frames.extend_from_slice(&message);
    }
    let mut socket = client.socket.get_ref().try_clone().unwrap();
    // The daemon closes while this is being written.
    let writer = std::thread::spawn(move || socket.write_all(&frames).is_ok());
    let mut refused = false;
    let code = loop {
        match client.next() {
            Said::Message(Downstream::Refusal { code, retry, .. }) => {
                assert_eq!(code, RefusalCode::OverCredit);
                assert!(matches!(retry, Retry::LaterAfterMs(_)));
                refused = true;
            }
            Said::Message(_) => {}
            Said::Closed(code) => break Some(code),
            Said::Gone => break None,
        }
    };
    writer.join().unwrap();
    assert!(refused);
    assert_eq!(code, Some(4002));
    neighbour.feels_nothing();
}

#[test]
fn what_is_not_our_protocol_is_closed_with_its_documented_code() {
    let session = || rand::random_range(1..u64::MAX);
    let hasty = Daemon::start(&["limits.hello_timeout=300 ms"]);
    let mut client = Client::connect(&hasty);
    assert_eq!(client.closed(), 4003, "no Hello in time");

    let busy = Daemon::start(&["limits.idle_timeout=400 ms"]);
    let mut client = Client::greet(&busy, "odd", session()).0;
    assert_eq!(client.closed(), 4005, "nothing sent for long");

    let daemon = Daemon::start(&["limits.message_bytes=64 KiB"]);
    let greeted = || Client::greet(&daemon, "odd", session()).0;

    let mut client = Client::connect(&daemon);
    client.batch(1, &reading("d", "t", 1.0));
    assert_eq!(client.closed(), 4003, "a batch instead of Hello");

    for (what, hello) in [
        ("no client", Hello { session: SessionId(1), ..Hello::default() }),
        ("no session", Hello { client: "c".to_owned(), ..Hello::default() }),
        (
            "a bad name",
            Hello { client: "a\u{7}".to_owned(), session: SessionId(1), ..Hello::default() },
        ),
    ] {
        let mut client = Client::connect(&daemon);
        client.send(&tidegate::wire::encode_hello(&hello));
        assert_eq!(client.closed(), 4003, "{what}");
    }

    let mut client = greeted();
    client.send_message(Message::Text("{}".into()));
    assert_eq!(client.closed(), 1003, "a text message");

    let mut client = greeted();
    client.send(b"\xff\xff\xff");
    assert_eq!(client.closed(), 1007, "not an Upstream message");

    let mut client = greeted();
    client.send(&vec![0x12; 65 << 10]);
    assert_eq!(client.closed(), 1009, "a message too large");

    let mut client = greeted();
    client.send_raw(&[0x83, 0x80, 0, 0, 0, 0]);
    assert_eq!(client.closed(), 1002, "a reserved opcode");

    let mut client = greeted();
    client.send_raw(&[0x82, 0x01, 0x00]);
    assert_eq!(client.closed(), 1002, "a frame without a mask");

    let (mut older, _) = Client::greet(&daemon, "twin", 9);
    let (_newer, _) = Client::greet(&daemon, "twin", 9);
    assert_eq!(older.closed(), 4001, "replaced by a newer connection");
}

#[test]
fn a_client_that_does_not_answer_pings_is_closed() {
    let daemon = Daemon::start(&["limits.ping_interval=200 ms", "limits.pong_timeout=200 ms"]);
    let (mut client, _) = Client::greet(&daemon, "deaf", 9);
    // Not reading means not answering: let both deadlines pass by watching the daemon's own count.
    let deadline = tidegate::clock::monotonic() + crate::daemon::PATIENCE;
    while !daemon.get("/metrics").1.contains("tidegate_device_closes_total{code=\"4004\"} 1") {
        assert!(tidegate::clock::monotonic() < deadline, "never closed");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(client.closed(), 4004);
}

#[test]
fn half_a_frame_costs_nobody_anything() {
    // The neighbour has time for its answers.
    let daemon = Daemon::start(&["limits.ping_interval=200 ms", "limits.pong_timeout=10 s"]);
    let (mut client, _) = Client::greet(&daemon, "slow", 9);
    client.send_raw(&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(client.closed(), 4004, "nothing whole came any more");
    let mut neighbour = Neighbour::of(&daemon);
    neighbour.feels_nothing();
}

#[test]
fn a_handshake_that_is_not_ours_is_refused() {
    let daemon = Daemon::start(&[]);
    let refused = Client::connect_with(&daemon, "/api/v1/ingest/ws", Some("mqtt")).err();
    assert!(refused.unwrap().contains("400"), "a wrong subprotocol");
    let (_, response) = Client::connect_with(&daemon, "/api/v1/ingest/ws", None).unwrap();
    assert_eq!(response.headers().get("sec-websocket-protocol"), None);
    let (status, body) = daemon.get("/api/v1/ingest/ws");
    assert_eq!(status, 426, "{body}");
    let (status, _) = daemon.request(
        "GET",
        "/api/v1/live/ws",
        &[
            ("origin", "http://evil.example"),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ],
        b"",
    );
    assert_eq!(status, 403, "another page's origin");
}
