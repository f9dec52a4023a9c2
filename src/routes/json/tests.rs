use crate::decode::Content::{Bool, Float, Int, Text};
use crate::decode::Reading;
use crate::model::Timestamp;
use crate::routes::{Message, Puzzle, Route, RouteSpec};
use crate::wire::{Limits, RefusalCode};

const NOW: i64 = 1_800_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

pub(super) fn route(more: &str) -> Route {
    let spec = format!("topic = \"plant/{{site}}/{{device}}\"\ndecoder = \"json\"\n{more}");
    let spec: RouteSpec = toml::from_str(&spec).unwrap();
    Route::new(&spec).unwrap()
}

pub(super) fn read<'a>(route: &'a Route, payload: &'a [u8]) -> Result<Vec<Reading<'a>>, Puzzle> {
    read_within(route, payload, &Limits::default())
}

fn read_within<'a>(
    route: &'a Route,
    payload: &'a [u8],
    limits: &Limits,
) -> Result<Vec<Reading<'a>>, Puzzle> {
    let topic = "plant/north/pump-7";
    let message = Message {
        topic,
        payload,
        received_at: Timestamp(NOW),
        retained: false,
        content_type: None,
        properties: &[],
    };
    crate::routes::read(route, &route.takes(topic).unwrap(), &message, limits)
}

/// Readings as `device @seconds-after-now tag=value metric=value[unit]`, one per line.
fn told(readings: &[Reading<'_>]) -> String {
    let line = |reading: &Reading<'_>| {
        let mut line = reading.device.to_string();
        if reading.time != NOW {
            line += &format!(" @{}", reading.time - NOW);
        }
        for (key, value) in &reading.tags {
            line += &format!(" #{key}={value}");
        }
        for value in &reading.values {
            let content = match &value.content {
                Float(value) => format!("{value:?}"),
                Int(value) => value.to_string(),
                Bool(value) => value.to_string(),
                Text(text) => format!("{text:?}"),
            };
            let unit = if value.unit.is_empty() { "".into() } else { format!("[{}]", value.unit) };
            line += &format!(" {}={content}{unit}", value.metric);
        }
        line
    };
    readings.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn check(more: &str, payload: &str, expected: &str) {
    let route = route(more);
    match read(&route, payload.as_bytes()) {
        Ok(readings) => assert_eq!(told(&readings), expected, "{more}\n{payload}"),
        Err(puzzle) => panic!("{more}\n{payload}: {puzzle}"),
    }
}

fn check_puzzle(more: &str, payload: &str, code: RefusalCode, sentence: &str) {
    let route = route(more);
    let puzzle = read(&route, payload.as_bytes()).expect_err(payload);
    assert_eq!((puzzle.to_string().as_str(), puzzle.code()), (sentence, code), "{more}\n{payload}");
}

#[test]
fn every_number_and_truth_value_below_the_root_is_a_value() {
    check("", r#"{"temp":21.5}"#, "pump-7 temp=21.5");
    check("", r#"{"a":{"b":[1,{"c":true}],"s":"x"},"n":null}"#, "pump-7 a.b.0=1.0 a.b.1.c=true");
    check("root = \"/a\"", r#"{"a":{"b":1},"c":2}"#, "pump-7 b=1.0");
    check("root = \"/a/b\"", r#"{"a":{"b":1},"c":2}"#, "pump-7 b=1.0");
    check("metric = \"{site}\"", "21.5", "pump-7 north=21.5");
    check("", r#"{"a\u0062":1,"c/d~":2,"":3}"#, "pump-7 ab=1.0 c/d~=2.0 =3.0");
    check("texts = true", r#"{"s":"idle","t":"\u00e4"}"#, "pump-7 s=\"idle\" t=\"ä\"");
    check("", "\u{feff}{\"a\":1}\n\0", "pump-7 a=1.0");
}

#[test]
fn values_are_where_the_pointers_say() {
    let message = r#"{"temp":1,"hum":2,"deep":{"x":3,"y":[4,5]},"state":"run"}"#;
    check(r#"values = ["/temp"]"#, message, "pump-7 temp=1.0");
    check(r#"values = ["/deep/y/1", "/temp"]"#, message, "pump-7 temp=1.0 deep.y.1=5.0");
    check(r#"values = ["/deep"]"#, message, "pump-7 deep.x=3.0 deep.y.0=4.0 deep.y.1=5.0");
    check(r#"values = ["/deep/*"]"#, message, "pump-7 deep.x=3.0 deep.y.0=4.0 deep.y.1=5.0");
    check(r#"values = ["/*/y/*"]"#, message, "pump-7 deep.y.0=4.0 deep.y.1=5.0");
    // What is pointed at is taken though it is a text; what is only below is not.
    check(r#"values = ["/state", "/hum"]"#, message, "pump-7 hum=2.0 state=\"run\"");
    check(r#"ignore = ["/deep/y", "/temp"]"#, message, "pump-7 hum=2.0 deep.x=3.0");
    check(r#"ignore = ["/*"]"#, message, "");
    check(
        r#"ignore = ["/deep"]
values = ["/deep/x", "/temp"]"#,
        message,
        "pump-7 temp=1.0",
    );
    check(
        r#"values = ["/deep"]
ignore = ["/*/y"]"#,
        message,
        "pump-7 deep.x=3.0",
    );
    check(
        "rename = { \"/temp\" = \"temperature\", \"/deep/*/0\" = \"first\" }",
        message,
        "pump-7 temperature=1.0 hum=2.0 deep.x=3.0 first=4.0 deep.y.1=5.0",
    );
    // An object that is renamed gives the names below it their beginning.
    check(
        "rename = { \"/deep\" = \"\", \"/deep/y\" = \"row\" }",
        message,
        "pump-7 temp=1.0 hum=2.0 x=3.0 row.0=4.0 row.1=5.0",
    );
    check("rename = { \"\" = \"p\" }\nvalues = [\"/temp\"]", message, "pump-7 p.temp=1.0");
    check(
        "unit = \"1\"\nunits = { \"temperature\" = \"°C\", \"deep.x\" = \"m\" }\nvalues = [\"/temp\", \"/hum\", \"/deep/x\"]\nrename = { \"/temp\" = \"temperature\" }",
        message,
        "pump-7 temperature=1.0[°C] hum=2.0[1] deep.x=3.0[m]",
    );
    check("metric = \"{site}.{}\"\nvalues = [\"/temp\"]", message, "pump-7 north.temp=1.0");
}

#[test]
fn numbers_keep_the_type_that_the_route_gives_them() {
    let message = r#"{"a":21,"b":21.5,"c":21.0,"d":-0}"#;
    check("", message, "pump-7 a=21.0 b=21.5 c=21.0 d=-0.0");
    check("numbers = \"as_written\"", message, "pump-7 a=21 b=21.5 c=21.0 d=-0.0");
    check("integers = [\"/a\", \"/c\"]", message, "pump-7 a=21 b=21.5 c=21 d=-0.0");
    check("text_numbers = true", r#"{"a":"21.50","b":"x"}"#, "pump-7 a=21.5");
    check(
        "text_numbers = true\ntexts = true\nintegers = [\"/a\"]",
        r#"{"a":"21","b":"x"}"#,
        "pump-7 a=21 b=\"x\"",
    );
    // Read to the last bit: serde_json's fast way gives another float here.
    check(
        "",
        r#"{"a":31.245270191439438,"b":1.7976931348623157e308}"#,
        "pump-7 a=31.245270191439438 b=1.7976931348623157e308",
    );
    check(
        "words = { ON = true, OFF = false }\nno_value = [\"-\"]",
        r#"{"a":"ON","b":"-","c":"OFF"}"#,
        "pump-7 a=true c=false",
    );
}

#[test]
fn each_place_of_the_root_is_a_reading() {
    let readings = r#"[{"ts":1800000001,"t":1},{"ts":1800000002,"t":2},{"ts":1800000003}]"#;
    let lines = format!("pump-7 @{SECOND} t=1.0\npump-7 @{} t=2.0", 2 * SECOND);
    check("root = \"/*\"\ntime = \"/*/ts\"", readings, &lines);
    let wrapped = format!(r#"{{"data":{readings},"id":"x9"}}"#);
    check(
        "root = \"/data/*\"\ntime = \"/data/*/ts\"\ndevice = \"{/id}\"\nvalues = [\"/data/*/t\"]",
        &wrapped,
        &lines.replace("pump-7", "x9"),
    );
    // As gateways of tags send them: a name and a value.
    check(
        "root = \"/values/*\"\nvalues = [\"/values/*/v\"]\nmetric = \"{/values/*/id}\"\ntime = \"/values/*/t\"\ntags = { gateway = \"{/gw}\" }",
        r#"{"values":[{"id":"speed","v":7,"t":1800000001000},{"v":true,"id":"on"}],"gw":"g1"}"#,
        &format!("pump-7 @{SECOND} #gateway=g1 speed=7.0\npump-7 #gateway=g1 on=true"),
    );
    // Devices by key.
    check(
        "root = \"/*\"\ndevice = \"{/*/name}\"",
        r#"{"a":{"name":"d1","t":1},"b":{"name":"d2","t":2}}"#,
        "d1 t=1.0\nd2 t=2.0",
    );
}

#[test]
fn device_and_tags_may_stand_in_the_message() {
    check("device = \"{site}:{/dev/id}\"", r#"{"t":1,"dev":{"id":17}}"#, "north:17 t=1.0");
    check(
        "tags = { a = \"{/a}\", b = \"{/b}\", s = \"{site}\" }",
        r#"{"a":true,"t":1}"#,
        "pump-7 #a=true #s=north t=1.0",
    );
    // What is a name is no value, unless it is pointed at.
    check("device = \"{/id}\"", r#"{"id":5,"t":1}"#, "5 t=1.0");
    check("device = \"{/id}\"\nvalues = [\"/id\", \"/t\"]", r#"{"id":5,"t":1}"#, "5 id=5.0 t=1.0");
    check_puzzle(
        "device = \"{/id}\"",
        r#"{"t":1,"id":""}"#,
        RefusalCode::BadName,
        "nothing at /id, where the route looks for the device",
    );
    check_puzzle(
        "device = \"{/id}\"",
        r#"{"t":1,"id":{"x":1}}"#,
        RefusalCode::Malformed,
        "at /id: an object where the route looks for the name",
    );
    check_puzzle(
        "metric = \"{/n}\"",
        r#"{"t":1}"#,
        RefusalCode::BadName,
        "nothing at /n, where the route looks for the metric",
    );
}

#[test]
fn times_are_told_or_those_of_arrival() {
    let at = format!("pump-7 @{SECOND} t=1.0");
    for (time, format) in [
        ("1800000001", "auto"),
        ("1800000001", "s"),
        ("1800000001000", "ms"),
        ("1800000001000", "auto"),
        ("1800000001000000", "us"),
        ("1800000001000000000", "ns"),
        ("\"2027-01-15T08:00:01Z\"", "auto"),
        ("\"2027-01-15T09:00:01+01:00\"", "rfc3339"),
        ("\"1800000001\"", "auto"),
    ] {
        let more = format!("time = \"/ts\"\ntime_format = \"{format}\"");
        check(&more, &format!(r#"{{"t":1,"ts":{time}}}"#), &at);
    }
    check("time = \"/ts\"\ntime_zone = \"+01:00\"", r#"{"ts":"2027-01-15T09:00:01","t":1}"#, &at);
    check("time = \"/ts\"", r#"{"t":1}"#, "pump-7 t=1.0");
    check("time = \"/ts\"", r#"{"t":1,"ts":null}"#, "pump-7 t=1.0");
    check_puzzle(
        "time = \"/Time\"",
        r#"{"Time":"2027-01-15T09:00:01","t":1}"#,
        RefusalCode::Malformed,
        "at /Time: 2027-01-15T09:00:01 is no time of the format \"auto\": it tells no zone; \
         time_zone = \"UTC\", or an offset, says which is meant",
    );
    check_puzzle(
        "time = \"/ts\"\ntime_format = \"ms\"",
        r#"{"ts":"noon","t":1}"#,
        RefusalCode::Malformed,
        "at /ts: noon is no time of the format \"ms\"",
    );
    check_puzzle(
        "time = \"/ts\"",
        r#"{"ts":true,"t":1}"#,
        RefusalCode::Malformed,
        "at /ts: true or false where the route looks for the time",
    );
    check_puzzle(
        "time = \"/ts\"",
        r#"{"ts":1e300,"t":1}"#,
        RefusalCode::Malformed,
        "at /ts: 1e+300 is no time of the format \"auto\"",
    );
}

#[test]
fn what_is_not_understood_is_told_with_its_place() {
    use RefusalCode::*;
    check_puzzle("", "", Empty, "the payload is empty");
    check_puzzle("", "\0", Empty, "the payload is empty");
    check_puzzle(
        "",
        "{\"a\":1",
        Malformed,
        "not valid JSON at line 1, column 6: EOF while parsing an object",
    );
    check_puzzle(
        "",
        "{\"a\":1} x",
        Malformed,
        "not valid JSON at line 1, column 9: trailing characters",
    );
    check_puzzle(
        "",
        "{\"a\":\n 01}",
        Malformed,
        "not valid JSON at line 2, column 3: invalid number",
    );
    check_puzzle(
        "",
        "{\"a\":1e999}",
        Malformed,
        "not valid JSON at line 1, column 10: number out of range",
    );
    for nan in ["nan", "NaN", "-nan", "Infinity", "-inf", "NAN"] {
        let puzzle =
            read(&route(""), format!("{{\"a\":{nan}}}").as_bytes()).unwrap_err().to_string();
        assert!(
            puzzle.ends_with("NaN and infinity are no JSON: the sender has no value there"),
            "{puzzle}"
        );
    }
    check_puzzle("", r#"{"a":{"b":1,"b":2}}"#, Malformed, "at /a: the key \"b\" is given twice");
    check_puzzle(
        "",
        r#"{"a":1,"\u0061":2}"#,
        Malformed,
        "at the top: the key \"a\" is given twice",
    );
    check_puzzle(
        "",
        r#"{"a.b":1,"a":{"b":2}}"#,
        BadName,
        "two values would be the metric \"a.b\"; rename one",
    );
    check_puzzle(
        "rename = { \"/a\" = \"b\" }",
        r#"{"a":1,"b":2}"#,
        BadName,
        "two values would be the metric \"b\"; rename one",
    );
    check_puzzle(
        "metric = \"x\"",
        r#"{"a":1,"b":2}"#,
        BadName,
        "two values would be the metric \"x\"; rename one",
    );
    let nothing = "; ignore or may_be_empty = true pass over such messages";
    check_puzzle("", "{}", Empty, &format!("no value that the route takes is in it{nothing}"));
    check_puzzle(
        "",
        r#"{"s":"x"}"#,
        Empty,
        &format!(
            "no value that the route takes is in it but texts, which texts = true takes{nothing}"
        ),
    );
    check_puzzle(
        "",
        "\"x\"",
        Empty,
        &format!(
            "no value that the route takes is in it but texts, which texts = true takes{nothing}"
        ),
    );
    check_puzzle(
        "values = [\"/x\"]",
        r#"{"a":1}"#,
        Empty,
        &format!("no value that the route takes is in it{nothing}"),
    );
    check("may_be_empty = true", "{}", "");
    check("may_be_empty = true", "", "");
    check("", r#"{"a":null}"#, "");
    check_puzzle(
        "integers = [\"/*/n\"]",
        r#"{"a/b":{"n":1.5}}"#,
        BadShape,
        "at /a~1b/n: 1.5 is not a whole number of 64 bits",
    );
    check_puzzle(
        "numbers = \"as_written\"",
        r#"{"n":18446744073709551615}"#,
        BadShape,
        "at /n: 18446744073709551615 is not a whole number of 64 bits",
    );
    let deep = format!("{}1{}", "[".repeat(33), "]".repeat(33));
    check_puzzle(
        "",
        &deep,
        LimitExceeded,
        &format!("at {}: nested deeper than the 32 levels allowed", "/0".repeat(33)),
    );
    let deep = format!("{}1{}", "[".repeat(32), "]".repeat(32));
    assert!(read(&route(""), deep.as_bytes()).is_ok());
}

#[test]
fn many_keys_are_compared_and_many_values_refused() {
    let object = |count: usize| {
        let keys: Vec<_> = (0..count).map(|n| format!("\"k{n}\":{n}")).collect();
        keys.join(",")
    };
    let route = route("");
    let payload = format!("{{{}}}", object(1000));
    assert_eq!(read(&route, payload.as_bytes()).unwrap()[0].values.len(), 1000);
    let payload = format!("{{{},\"k3\":1}}", object(1000));
    let puzzle = read(&route, payload.as_bytes()).unwrap_err();
    assert_eq!(puzzle.to_string(), "at the top: the key \"k3\" is given twice");
    let payload = format!("{{{}}}", object(1025));
    let puzzle = read(&route, payload.as_bytes()).unwrap_err();
    assert_eq!(puzzle.to_string(), "more columns than the 1024 allowed");
    let limits = Limits { samples: 5, ..Limits::default() };
    let rows = super::super::Route::new(&RouteSpec {
        topic: "{a}/{b}/{device}".into(),
        decoder: "json".into(),
        root: "/*".into(),
        ..RouteSpec::default()
    });
    let rows = rows.unwrap();
    let payload = br#"[{"a":1,"b":1},{"a":1,"b":1},{"a":1,"b":1}]"#;
    let puzzle = read_within(&rows, payload, &limits).unwrap_err();
    assert_eq!(puzzle.to_string(), "more samples than the 5 allowed");
}

#[test]
fn what_is_skipped_is_not_looked_into() {
    // Neither depth nor keys: only that it is JSON.
    let deep =
        format!(r#"{{"x":{}{},"t":1,"y":{{"a":1,"a":2}}}}"#, "[".repeat(200), "]".repeat(200));
    check("ignore = [\"/x\", \"/y\"]", &deep, "pump-7 t=1.0");
    check("values = [\"/t\"]", &deep, "pump-7 t=1.0");
    // But what the route looks for there is found.
    check(
        "ignore = [\"/x\"]\ntime = \"/x/ts\"",
        r#"{"x":{"ts":1800000001,"v":2},"t":1}"#,
        &format!("pump-7 @{SECOND} t=1.0"),
    );
}
