use crate::decode::Content::{self, Bool, Float, Int, Text};
use crate::model::Timestamp;
use crate::routes::{Message, Puzzle, Route, RouteSpec, read};
use crate::wire::{Limits, RefusalCode};

const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);

fn spec(more: &str) -> RouteSpec {
    let spec = format!("topic = \"plant/{{device}}/{{metric}}\"\ndecoder = \"scalar\"\n{more}");
    toml::from_str(&spec).unwrap()
}

/// What the route makes of a payload: no value, one, or a puzzle.
fn value(more: &str, payload: &[u8]) -> Result<Option<Content<'static>>, Puzzle> {
    let route = Route::new(&spec(more)).unwrap();
    let topic = "plant/pump-7/speed";
    let captures = route.takes(topic).unwrap();
    let message = Message {
        topic,
        payload,
        received_at: NOW,
        retained: false,
        content_type: None,
        properties: &[],
    };
    let readings = read(&route, &captures, &message, &Limits::default())?;
    let reading = readings.into_iter().next();
    Ok(reading.map(|reading| {
        assert_eq!((&*reading.device, reading.time), ("pump-7", NOW.0));
        assert_eq!(reading.values.len(), 1);
        assert_eq!(reading.values[0].metric, "speed");
        match reading.values[0].content.clone() {
            Text(text) => Text(text.into_owned().into()),
            Float(value) => Float(value),
            Int(value) => Int(value),
            Bool(value) => Bool(value),
        }
    }))
}

#[test]
fn a_payload_is_a_number_a_truth_value_or_a_text() {
    let check = |more: &str, payload: &str, expected: Content<'_>| {
        assert_eq!(value(more, payload.as_bytes()), Ok(Some(expected)), "{more} {payload}");
    };
    check("", "21.5", Float(21.5));
    check("", "21", Float(21.0));
    check("", " -1e3\r\n", Float(-1000.0));
    check("", "7\0", Float(7.0));
    check("", "+7", Float(7.0));
    check("", ".5", Float(0.5));
    check("numbers = \"integer\"", "21", Int(21));
    check("numbers = \"integer\"", "21.0", Int(21));
    check("numbers = \"as_written\"", "21", Int(21));
    check("numbers = \"as_written\"", "21.0", Float(21.0));
    for word in ["true", "True", "TRUE", "on", "On", "ON"] {
        check("", word, Bool(true));
    }
    for word in ["false", "False", "FALSE", "off", "Off", "OFF"] {
        check("", word, Bool(false));
    }
    check("words = { open = true, closed = false }", "closed", Bool(false));
    check("texts = true", "idle", Text("idle".into()));
    // With texts a payload is a text, so that the metric keeps one type.
    check("texts = true", "off", Text("off".into()));
    check("texts = true", "7", Text("7".into()));
    check("texts = true\nwords = { off = false }", "off", Bool(false));
    for nothing in ["unavailable", "unknown"] {
        let none = "no_value = [\"unavailable\", \"unknown\"]";
        assert_eq!(value(none, nothing.as_bytes()), Ok(None));
    }
    assert_eq!(value("no_value = [\"\"]", b""), Ok(None));
}

#[test]
fn what_is_no_value_is_told() {
    use RefusalCode::*;
    let check = |more: &str, payload: &[u8], code: RefusalCode, sentence: &str| {
        let puzzle = value(more, payload).unwrap_err();
        assert_eq!((puzzle.code(), puzzle.to_string().as_str()), (code, sentence));
    };
    let help = "is neither a number nor true, false, on or off; texts = true takes texts, and words \
                and no_value tell what others mean";
    check("", b"idle", Malformed, &format!("\"idle\" {help}"));
    check("", b"nan", Malformed, &format!("\"nan\" {help}"));
    check("", b"open", Malformed, &format!("\"open\" {help}"));
    check("", b"21,5", Malformed, &format!("\"21,5\" {help}"));
    check("", &[b'x'; 99], Malformed, &format!("\"{}…\" {help}", "x".repeat(40)));
    check("", b"", Empty, "the payload is empty");
    check("", b" \0", Empty, "the payload is empty");
    check("", b"ab\xff", Malformed, "the payload is no text: byte 2 is not UTF-8");
    let whole = "numbers = \"integer\"";
    check(whole, b"21.5", BadShape, "at the top: 21.5 is not a whole number of 64 bits");
}

#[test]
fn templates_name_device_metric_and_tags() {
    let route = Route::new(&RouteSpec {
        topic: "{site}/{device}/relay/{n}/power".into(),
        decoder: "scalar".into(),
        device: "{site}:{device}".into(),
        metric: "relay.{n}.power".into(),
        tags: [("site".into(), "{site}".into()), ("kind".into(), "relay".into())].into(),
        unit: "W".into(),
        ..RouteSpec::default()
    });
    let route = route.unwrap();
    let topic = "north/shelly-1/relay/0/power";
    let message = Message {
        topic,
        payload: b"1",
        received_at: NOW,
        retained: true,
        content_type: None,
        properties: &[],
    };
    let readings =
        read(&route, &route.takes(topic).unwrap(), &message, &Limits::default()).unwrap();
    let reading = &readings[0];
    assert_eq!(reading.device, "north:shelly-1");
    assert_eq!(reading.tags, [("kind".into(), "relay".into()), ("site".into(), "north".into())]);
    assert_eq!((&*reading.values[0].metric, &*reading.values[0].unit), ("relay.0.power", "W"));
}

#[test]
fn retained_messages_are_taken_unless_the_route_says_no() {
    for (more, count) in [("", 1), ("retained = false", 0)] {
        let route = Route::new(&spec(more)).unwrap();
        let topic = "plant/pump-7/speed";
        let message = Message {
            topic,
            payload: b"1",
            received_at: NOW,
            retained: true,
            content_type: None,
            properties: &[],
        };
        let readings = read(&route, &route.takes(topic).unwrap(), &message, &Limits::default());
        assert_eq!(readings.unwrap().len(), count);
    }
}
