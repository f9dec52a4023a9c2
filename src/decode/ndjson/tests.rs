use super::*;
use crate::decode::{LINE_FAULTS_MAX, Upstream, batch, encode, upstream};
use crate::model::{Reach, Timestamp, Values};
use crate::wire::RefusalCode;
use proptest::prelude::*;

const NOW: i64 = 1_800_000_000_000_000_000;
const STAMP: Stamp<'_> = Stamp { received_at: Timestamp(NOW), booted_at: None, client: "client" };

fn read(body: &str) -> Lines {
    ndjson(body.as_bytes(), &Limits::default(), &STAMP, &Reach::all())
}

#[test]
fn lines_of_the_same_metrics_become_rows_of_one_table() {
    let lines = read(concat!(
        r#"{"device":"p","time":1800000000000000000,"tags":{"z":"1","a":"2"},"values":{"t":1.5,"n":3,"on":true,"s":"id\u006ce"},"units":{"t":"°C"}}"#,
        "\r\n\n",
        r#"{"device":"p","time":"2027-01-15T08:00:01Z","tags":{"a":"2","z":"1"},"values":{"t":-2e3,"n":-4,"on":false,"s":""},"units":{"t":"°C"}}"#,
        "\n",
        r#"{"values":{"t":7,"gone":null}}"#,
    ));
    assert_eq!((lines.accepted, lines.refused, lines.faults), (3, 0, vec![]));
    let tables: Vec<_> = lines.batch.tables().collect();
    assert_eq!(tables.len(), 2);
    assert_eq!(tables[0].identity(), "p\0a\x002\0z\x001");
    assert_eq!(tables[0].times(), [NOW, NOW + 1_000_000_000]);
    let columns: Vec<_> = tables[0].columns().collect();
    assert_eq!((columns[0].metric(), columns[0].unit()), ("t", "°C"));
    assert!(matches!(columns[0].values(), Values::Floats([1.5, -2e3])));
    assert!(matches!(columns[1].values(), Values::Ints([3, -4])));
    assert!(matches!(columns[2].values(), Values::Bools([true, false])));
    let Values::Texts(texts) = columns[3].values() else { panic!("not texts") };
    assert_eq!(texts.iter().collect::<Vec<_>>(), ["idle", ""]);
    assert_eq!((tables[1].device(), tables[1].times()), ("client", &[NOW][..]));
    assert_eq!(lines.batch.samples(), 9);
}

#[test]
fn each_fault_of_a_line_is_told_and_the_others_enter() {
    use RefusalCode::*;
    let cases = [
        ("{", Malformed, "column 1: EOF"),
        (r#"{"values":{"a":1}} x"#, Malformed, "trailing characters"),
        (r#"{"device":"d"}"#, Malformed, "missing field `values`"),
        (r#"{"valuse":{"a":1}}"#, Malformed, "unknown field `valuse`"),
        (r#"{"values":{"a":1,"a":2}}"#, Malformed, "key \"a\" is given twice"),
        (r#"{"device":"a","device":"b","values":{"a":1}}"#, Malformed, "duplicate field"),
        (r#"{"values":{"a":1},"tags":{"k":"1","k":"2"}}"#, Malformed, "key \"k\" is given twice"),
        (r#"{"values":{"a":01}}"#, Malformed, "column"),
        (r#"{"values":{"a":NaN}}"#, Malformed, "column"),
        (r#"{"values":{"a":1},"time":1.5}"#, Malformed, "time is neither"),
        (r#"{"values":{"a":1},"time":"yesterday"}"#, Malformed, "time is neither"),
        (r#"{"values":{"a":1},"time":99999999999999999999}"#, Malformed, "time is neither"),
        (r#"{"values":{"a":9223372036854775808}}"#, BadShape, "a: a whole number beyond 64"),
        (r#"{"values":{"a":99999999999999999999999}}"#, BadShape, "a: a whole number beyond 64"),
        (r#"{"values":{"a":[1]}}"#, BadShape, "a: a value is a number"),
        (r#"{"values":{"a":1e999}}"#, NotFinite, "a: the value is not a finite number"),
        (r#"{"values":{}}"#, Empty, "no samples"),
        (r#"{"values":{"a":null}}"#, Empty, "no samples"),
        (r#"{"values":{"":1}}"#, BadName, "metric: the name is empty"),
        (r#"{"device":"a\nb","values":{"a":1}}"#, BadName, "device: the name has a control"),
        (r#"{"values":{"a":1},"tags":{"k":""}}"#, BadName, "tag value: the name is empty"),
        (r#"{"values":{"a":1},"units":{"a":"\u0000"}}"#, BadName, "unit: "),
        (r#"{"values":{"a":1},"time":"1970-01-01T00:00:00Z"}"#, TimeTooOld, "20833 days older"),
        (r#"{"values":{"a":1},"time":"2200-01-01T00:00:00Z"}"#, TimeTooFarAhead, "ahead of"),
    ];
    let good = r#"{"values":{"a":1}}"#;
    for (bad, code, message) in cases {
        let lines = read(&format!("{good}\n{bad}\n{good}"));
        assert_eq!((lines.accepted, lines.refused), (2, 1), "{bad}");
        assert_eq!(lines.batch.samples(), 2, "{bad}");
        let fault = &lines.faults[0];
        assert_eq!((fault.line, fault.kind.code()), (2, code), "{bad}: {}", fault.kind);
        assert!(fault.kind.to_string().contains(message), "{bad}: {}", fault.kind);
    }
    let lines = ndjson(b"{\"values\":{\"\xff\":1}}", &Limits::default(), &STAMP, &Reach::all());
    assert_eq!(lines.faults[0].kind.code(), Malformed);
}

#[test]
fn limits_apply_line_by_line() {
    let limits = Limits {
        tables: 2,
        rows: 2,
        columns: 2,
        samples: 5,
        tags: 1,
        text_bytes: 3,
        ..Limits::default()
    };
    let check = |body: &str, accepted: usize, code: Option<RefusalCode>| {
        let lines = ndjson(body.as_bytes(), &limits, &STAMP, &Reach::all());
        assert_eq!(lines.accepted, accepted, "{body}");
        assert_eq!(lines.faults.first().map(|fault| fault.kind.code()), code, "{body}");
        assert!(lines.batch.tables().all(|table| table.times().len() <= 2));
    };
    let line = "{\"values\":{\"a\":1}}\n";
    check(&line.repeat(4), 4, None);
    check(&line.repeat(5), 4, Some(RefusalCode::LimitExceeded)); // a third table
    check(&"{\"values\":{\"a\":1,\"b\":2}}\n".repeat(3), 2, Some(RefusalCode::LimitExceeded));
    check(r#"{"values":{"a":1,"b":2,"c":3}}"#, 0, Some(RefusalCode::LimitExceeded));
    check(r#"{"values":{"a":1},"tags":{"a":"1","b":"2"}}"#, 0, Some(RefusalCode::LimitExceeded));
    check(r#"{"values":{"a":"long"}}"#, 0, Some(RefusalCode::TextTooLong));
}

#[test]
fn faults_beyond_the_first_hundred_are_counted() {
    let lines = read(&"x\n".repeat(250));
    assert_eq!((lines.faults.len(), lines.refused), (LINE_FAULTS_MAX, 250));
}

#[test]
fn lines_survive_the_canonical_encoding() {
    let body = format!(
        "{{\"values\":{{\"i\":{},\"f\":0.1}}}}\n{{\"values\":{{\"i\":{},\"f\":-0.0}}}}",
        i64::MAX,
        i64::MIN
    );
    let lines = read(&body);
    let bytes = encode(&lines.batch, 5);
    let Ok(Upstream::Batch(message)) = upstream(&bytes) else { panic!("not a batch") };
    let decoded = batch(message, &Limits::default(), &STAMP).unwrap();
    assert_eq!((decoded.seq, decoded.batch), (5, lines.batch));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let lines = ndjson(&body, &Limits::default(), &STAMP, &Reach::all());
        prop_assert_eq!(lines.faults.len(), lines.refused.min(LINE_FAULTS_MAX));
    }

    #[test]
    fn json_like_bytes_never_panic(
        body in r#"(\{|\}|"|:|,|\[|\]|values|device|time|tags|units|a|1|\.5|e9|null|true|\\u00|\n){0,60}"#,
    ) {
        let lines = ndjson(body.as_bytes(), &Limits::default(), &STAMP, &Reach::all());
        prop_assert_eq!(lines.accepted == 0, lines.batch.samples() == 0);
    }
}

#[test]
fn lines_of_devices_out_of_reach_are_told_and_the_others_enter() {
    let reach = Reach::new(&["pump-*".to_owned()]).unwrap();
    let body = b"{\"device\":\"pump-1\",\"values\":{\"t\":1}}\n{\"device\":\"fan-1\",\"values\":{\"t\":1}}";
    let lines = ndjson(body, &Limits::default(), &STAMP, &reach);
    assert_eq!((lines.accepted, lines.refused, lines.faults[0].line), (1, 1, 2));
    assert_eq!(lines.faults[0].kind.code(), RefusalCode::Forbidden);
}
