//! Lines read back by parsers that know only what is written about the protocol and its servers.

use super::{Body, Naming, Resume, Room, columns};
use crate::model::{Batch, BatchBuilder, Position, Table, Values};
use proptest::prelude::*;
use std::collections::BTreeMap;

const ROOM: Room = Room { bytes: usize::MAX, lines: u32::MAX };

/// How a server reads backslashes in names.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Server {
    /// InfluxDB 2: a separator is plain if the byte before it is a backslash, whatever is before that.
    LooksOneByteBack,
    /// InfluxDB 3 and VictoriaMetrics: `\\` is one backslash.
    PairsBackslashes,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Float(f64),
    Int(i64),
    Bool(bool),
    Text(String),
}

#[derive(Debug, Clone, PartialEq)]
struct Line {
    measurement: String,
    tags: BTreeMap<String, String>,
    fields: BTreeMap<String, Value>,
    time: i64,
}

/// A server's parser in its strictest reading: lines end at every line feed, no empty names, nothing
/// twice.
fn parse(text: &str, server: Server) -> Vec<Line> {
    let mut lines: Vec<&str> = text.split('\n').collect();
    assert_eq!(lines.pop(), Some(""), "the last line ends like all others");
    lines.into_iter().map(|line| parse_line(line, server)).collect()
}

fn parse_line(line: &str, server: Server) -> Line {
    assert!(!line.starts_with('#'), "a comment: {line}");
    let mut rest = line;
    let measurement = name(&mut rest, ", ", server);
    let mut tags = BTreeMap::new();
    while let Some(after) = rest.strip_prefix(',') {
        rest = after;
        let key = name(&mut rest, "=, ", server);
        rest = rest.strip_prefix('=').expect("a tag has a value");
        let value = name(&mut rest, ",= ", server);
        assert!(tags.insert(key, value).is_none(), "a tag twice: {line}");
    }
    let mut fields = BTreeMap::new();
    let mut separator = ' ';
    while let Some(after) = rest.strip_prefix(separator) {
        rest = after;
        let key = name(&mut rest, "=, ", server);
        assert!(!key.contains('"'), "VictoriaMetrics takes it for a quote: {line}");
        rest = rest.strip_prefix('=').expect("a field has a value");
        assert!(fields.insert(key, value(&mut rest)).is_none(), "a field twice: {line}");
        separator = ',';
    }
    let time = rest.strip_prefix(' ').expect("a time").parse().expect("a whole number");
    Line { measurement, tags, fields, time }
}

/// Takes a name up to the first of `ends` that is not escaped.
fn name(rest: &mut &str, ends: &str, server: Server) -> String {
    let mut name = String::new();
    let mut chars = rest.char_indices();
    let end = loop {
        let (at, char) = chars.next().expect("a name is followed by something");
        if ends.contains(char) {
            break at;
        }
        assert!(!char.is_ascii_control(), "a control character");
        let next = chars.clone().next().map(|(_, next)| next).expect("something follows");
        match (char, next, server) {
            ('\\', ',' | '=' | ' ', _) | ('\\', '\\', Server::PairsBackslashes) => {
                name.push(next);
                chars.next();
            }
            _ => name.push(char),
        }
    };
    *rest = &rest[end..];
    assert!(!name.is_empty(), "an empty name");
    assert!(!name.ends_with('\\'), "InfluxDB refuses names that end with a backslash");
    name
}

fn value(rest: &mut &str) -> Value {
    if let Some(text) = rest.strip_prefix('"') {
        let mut value = String::new();
        let mut chars = text.char_indices();
        loop {
            match chars.next().expect("a closing quote") {
                (at, '"') => {
                    *rest = &text[at + 1..];
                    return Value::Text(value);
                }
                (_, '\\') => match chars.next().expect("something escaped") {
                    (_, escaped @ ('"' | '\\')) => value.push(escaped),
                    other => panic!("{other:?} needs no backslash"),
                },
                (_, char) => value.push(char),
            }
        }
    }
    let end = rest.find([',', ' ']).expect("a value is followed by something");
    let (word, after) = rest.split_at(end);
    *rest = after;
    match (word, word.strip_suffix('i')) {
        ("true", _) => Value::Bool(true),
        ("false", _) => Value::Bool(false),
        (_, Some(int)) => Value::Int(int.parse().expect("an integer")),
        _ => {
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let (mantissa, exponent) = word.split_once('e').unwrap_or((word, "0"));
            let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
            let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
            let exponent = exponent.trim_start_matches(['-', '+']);
            assert!(digits(whole) && digits(fraction) && digits(exponent), "no float: {word}");
            Value::Float(word.parse().expect("a float"))
        }
    }
}

/// A name as every server gives it back: told character by character, from `docs/sinks.md`.
fn as_stored(name: &str, field: bool, measurement: bool) -> String {
    let chars: Vec<char> = name.chars().collect();
    let look = |at: usize| match (chars[at], chars.get(at + 1)) {
        ('\\', None | Some('\\' | ',' | '=' | '"' | ' ')) => '＼',
        ('"', _) if field => '＂',
        ('#', _) if measurement && at == 0 => '＃',
        ('\x7f', _) => '␡',
        (control @ '\0'..='\x1f', _) => {
            "␀␁␂␃␄␅␆␇␈␉␊␋␌␍␎␏␐␑␒␓␔␕␖␗␘␙␚␛␜␝␞␟".chars().nth(control as usize).unwrap()
        }
        (char, _) => char,
    };
    (0..chars.len()).map(look).collect()
}

fn encode(batch: &Batch, naming: &Naming) -> Body {
    let mut body = Body::new();
    push_all(&mut body, batch, naming, Position(7));
    body
}

fn push_all(body: &mut Body, batch: &Batch, naming: &Naming, position: Position) {
    for (index, table) in (0..).zip(batch.tables()) {
        let left = body.push(naming, (position, index), table, Resume::default(), ROOM);
        assert_eq!(left, None);
    }
}

fn text(body: &Body) -> &str {
    std::str::from_utf8(body.bytes()).unwrap()
}

fn cell(table: Table<'_>, column: usize, row: usize) -> Option<Value> {
    let column = table.columns().nth(column).unwrap();
    column.is_present(row).then(|| match column.values() {
        Values::Floats(values) => Value::Float(values[row]),
        Values::Ints(values) => Value::Int(values[row]),
        Values::Bools(values) => Value::Bool(values[row]),
        Values::Texts(texts) => Value::Text(texts.get(row).replace('\n', "␊")),
    })
}

#[test]
fn rows_become_lines_with_many_fields() {
    let mut builder = BatchBuilder::new();
    builder.table("pump 7", &mut [("site", "north"), ("area", "a,b")], [1_000, 2_000]).unwrap();
    builder.floats("motor.temperature", "°C", [71.5, -0.0], &[]).unwrap();
    builder.texts("state", "", ["idle", r#"a "b" \"#], &[]).unwrap();
    builder.ints("motor.starts", "", [1042, i64::MIN], &[]).unwrap();
    builder.bools("motor.on", "", [true, false], &[0b10]).unwrap();
    let body = encode(&builder.finish(), &Naming::new("telemetry"));
    let tags = r"area=a\,b,device=pump\ 7,site=north";
    let expected = [
        format!("motor,{tags} temperature=71.5,starts=1042i,on=true 1000\n"),
        format!("motor,{tags} temperature=-0.0,starts=-9223372036854775808i 2000\n"),
        format!("telemetry,{tags} state=\"idle\" 1000\n"),
        format!("telemetry,{tags} state=\"a \\\"b\\\" \\\\\" 2000\n"),
    ];
    assert_eq!(text(&body), expected.concat());
    assert_eq!((body.lines(), body.samples(), body.replaced()), (4, 7, 0));
}

#[test]
fn a_row_without_values_gives_no_line_and_lines_are_traced_past_it() {
    let mut builder = BatchBuilder::new();
    builder.table("d", &mut [], [10, 20, 30, 40]).unwrap();
    builder.ints("m.a", "", [1, 2, 3, 4], &[0b0110]).unwrap();
    builder.ints("m.b", "", [5, 6, 7, 8], &[0b0010]).unwrap();
    let batch = builder.finish();
    let body = encode(&batch, &Naming::new("t"));
    assert_eq!(
        text(&body),
        "m,device=d a=1i,b=5i 10\nm,device=d b=7i 30\nm,device=d a=4i,b=8i 40\n"
    );
    let rows: Vec<_> = body.origins(0..3).map(|origin| origin.rows).collect();
    assert_eq!(rows, [0..1, 2..4]);
    assert_eq!(body.origins(2..3).next().unwrap().rows, 3..4);
    assert_eq!(body.slice(1..2), b"m,device=d b=7i 30\n");
}

#[test]
fn an_empty_tag_is_left_out_and_the_devices_tag_is_not_taken() {
    let mut builder = BatchBuilder::new();
    let tags = &mut [("device", "theirs"), ("empty", ""), ("tag.device", "theirs too")];
    builder.table("ours", tags, [1]).unwrap();
    builder.ints("a.b", "", [1], &[]).unwrap();
    let body = encode(&builder.finish(), &Naming::new("t"));
    assert_eq!(text(&body), "a,device=ours,tag.device=theirs,tag.tag.device=theirs\\ too b=1i 1\n");
}

#[test]
fn a_text_never_splits_its_line() {
    let mut builder = BatchBuilder::new();
    builder.table("d", &mut [], [1]).unwrap();
    builder.texts("m.a", "", ["x\nfake,device=other v=1i 1\r\n"], &[]).unwrap();
    let body = encode(&builder.finish(), &Naming::new("t"));
    assert_eq!(body.bytes().iter().filter(|&&byte| byte == b'\n').count(), 1);
    assert_eq!(text(&body), "m,device=d a=\"x␊fake,device=other v=1i 1\r␊\" 1\n");
    assert_eq!(body.replaced(), 1);
}

#[test]
fn a_full_body_goes_on_where_it_stopped() {
    let mut builder = BatchBuilder::new();
    builder.table("d", &mut [], 0..10).unwrap();
    builder.ints("n.a", "", 0..10, &[0b0000_1000, 0]).unwrap();
    builder.ints("m.a", "", 0..10, &[]).unwrap();
    builder.ints("n.b", "", 0..10, &[0b0000_1000, 0]).unwrap();
    let batch = builder.finish();
    let (naming, mut body) = (Naming::new("t"), Body::new());
    let whole = encode(&batch, &naming);
    let room = Room { bytes: 100, lines: 3 };
    let (mut from, mut bytes, mut origins) = (Some(Resume::default()), Vec::new(), Vec::new());
    while let Some(resume) = from {
        body.clear();
        let table = batch.tables().next().unwrap();
        from = body.push(&naming, (Position(7), 0), table, resume, room);
        assert!(body.lines() <= 3 && body.lines() > 0);
        bytes.extend_from_slice(body.bytes());
        origins.extend(body.origins(0..body.lines()).map(|o| (o.column, o.rows.len())));
    }
    assert_eq!(bytes, whole.bytes());
    assert_eq!(origins.iter().map(|(_, lines)| lines).sum::<usize>(), 19);
    // A body that is full takes nothing, and says so.
    let table = batch.tables().next().unwrap();
    let full = Room { bytes: 1, lines: u32::MAX };
    let mut body = encode(&batch, &naming);
    let left = body.push(&naming, (Position(8), 0), table, Resume::default(), full);
    assert_eq!((left, body.lines()), (Some(Resume::default()), 19));
}

#[test]
fn a_body_is_cut_at_line_ends() {
    let mut builder = BatchBuilder::new();
    builder.table("d", &mut [], [1, 2, 3]).unwrap();
    builder.ints("m.a", "", [1, 22, 333], &[]).unwrap();
    let body = encode(&builder.finish(), &Naming::new("t"));
    let line = body.slice(0..1).len();
    assert_eq!(body.fit(0..3, usize::MAX), 3);
    assert_eq!(body.fit(0..3, body.bytes().len()), 3);
    assert_eq!(body.fit(0..3, body.bytes().len() - 1), 2);
    assert_eq!(body.fit(0..2, usize::MAX), 2);
    assert_eq!(body.fit(0..3, line), 1);
    assert_eq!(body.fit(1..3, 1), 2, "one line at least");
    assert_eq!(body.fit(3..3, 1), 3);
}

/// Names of what servers stumble over.
fn any_name() -> impl Strategy<Value = String> {
    let char = prop_oneof![
        4 => prop::sample::select(vec!['a', 'b', '7', '.', '_']),
        3 => prop::sample::select(vec![',', ' ', '=', '"', '\\', '#', '\'']),
        1 => prop::sample::select(vec!['\n', '\t', '\r', '\x7f', 'ö', '温', '🌡', '␊', 'i']),
    ];
    prop::collection::vec(char, 1..8).prop_map(String::from_iter)
}

#[derive(Debug, Clone)]
struct AnyTable {
    device: String,
    tags: BTreeMap<String, String>,
    times: Vec<i64>,
    /// By metric: the kind of the column and its cells.
    columns: BTreeMap<String, (u8, Vec<AnyCell>)>,
}

/// Whether it is present, and its value as a number and as a text.
type AnyCell = (bool, i64, String);

fn any_table() -> impl Strategy<Value = AnyTable> {
    let tag_value = prop_oneof![5 => any_name(), 1 => Just(String::new())];
    let tags = prop::collection::btree_map(
        prop_oneof![4 => any_name(), 1 => Just("device".to_owned())],
        tag_value,
        0..4,
    );
    prop::collection::vec(any::<i64>(), 0..5).prop_flat_map(move |times| {
        let cells = prop::collection::vec((any::<bool>(), any::<i64>(), any_name()), times.len());
        let columns = prop::collection::btree_map(any_name(), (0..4_u8, cells), 0..6);
        (any_name(), tags.clone(), columns).prop_map(move |(device, tags, columns)| AnyTable {
            device,
            tags,
            times: times.clone(),
            columns,
        })
    })
}

fn build(tables: &[AnyTable]) -> Batch {
    let mut builder = BatchBuilder::new();
    for table in tables {
        let mut tags: Vec<_> = table.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        builder.table(&table.device, &mut tags, table.times.iter().copied()).unwrap();
        for (metric, (kind, cells)) in &table.columns {
            let mut absent = vec![0; cells.len().div_ceil(8)];
            for (row, _) in cells.iter().enumerate().filter(|(_, (present, ..))| !present) {
                absent[row / 8] |= 1 << (row % 8);
            }
            let number = |(_, number, _): &AnyCell| *number;
            let float = |bits: i64| Some(f64::from_bits(bits as u64)).filter(|f| f.is_finite());
            match kind {
                0 => builder.ints(metric, "", cells.iter().map(number), &absent),
                1 => {
                    let floats = cells.iter().map(|cell| float(number(cell)).unwrap_or(1e21));
                    builder.floats(metric, "", floats, &absent)
                }
                2 => builder.bools(metric, "", cells.iter().map(|cell| number(cell) > 0), &absent),
                _ => builder.texts(metric, "", cells.iter().map(|cell| cell.2.as_str()), &absent),
            }
            .unwrap();
        }
    }
    builder.finish()
}

/// What a table's lines must say, row by row; `None` if look-alikes make two names one.
fn expected(table: Table<'_>) -> Option<Vec<Line>> {
    let naming = Naming::new("default");
    let mut tags = BTreeMap::new();
    let own = |key: &str| match key.replace("tag.", "").as_str() {
        "device" if key.ends_with("device") => format!("tag.{key}"),
        _ => key.to_owned(),
    };
    tags.insert("device".to_owned(), as_stored(table.device(), false, false));
    for (key, value) in table.tags().filter(|(_, value)| !value.is_empty()) {
        let key = as_stored(&own(key), false, false);
        if tags.insert(key, as_stored(value, false, false)).is_some() {
            return None;
        }
    }
    let mut lines = BTreeMap::new();
    for (column, row) in
        (0..table.columns().len()).flat_map(|c| (0..table.times().len()).map(move |r| (c, r)))
    {
        let Some(value) = cell(table, column, row) else { continue };
        let metric = table.columns().nth(column).unwrap().metric();
        let (measurement, field) = naming.split(metric);
        let stored = as_stored(measurement, false, true);
        let line = lines.entry((measurement.to_owned(), row)).or_insert_with(|| Line {
            measurement: stored,
            tags: tags.clone(),
            fields: BTreeMap::new(),
            time: table.times()[row],
        });
        if line.fields.insert(as_stored(field, true, false), value).is_some() {
            return None;
        }
    }
    Some(lines.into_values().collect())
}

proptest! {
    #[test]
    fn every_server_reads_back_what_was_in_the_tables(
        tables in prop::collection::vec(any_table(), 1..4)
    ) {
        let batch = build(&tables);
        let expected: Option<Vec<_>> = batch.tables().map(expected).collect();
        prop_assume!(expected.is_some());
        let expected = expected.unwrap().concat();
        let body = encode(&batch, &Naming::new("default"));
        for server in [Server::LooksOneByteBack, Server::PairsBackslashes] {
            prop_assert_eq!(&parse(text(&body), server), &expected, "{:?}", server);
        }
        prop_assert_eq!(body.samples(), batch.samples() as u64);
        prop_assert_eq!(body.lines() as usize, expected.len());
    }

    #[test]
    fn every_line_is_traced_to_its_row(
        batches in prop::collection::vec(prop::collection::vec(any_table(), 1..4), 1..3),
        cut in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let batches: Vec<_> = batches.iter().map(|tables| build(tables)).collect();
        let (naming, mut body) = (Naming::new("default"), Body::new());
        for (position, batch) in (40..).map(Position).zip(&batches) {
            push_all(&mut body, batch, &naming, position);
        }
        let mut ends = [cut.0.index(body.lines() as usize + 1), cut.1.index(body.lines() as usize + 1)];
        ends.sort_unstable();
        let lines = ends[0] as u32..ends[1] as u32;
        // Encoding alone what an origin names gives the very bytes of the range again.
        let mut again = Vec::new();
        for origin in body.origins(lines.clone()) {
            let batch = &batches[(origin.position.0 - 40) as usize];
            let table = batch.tables().nth(origin.table as usize).unwrap();
            let mut alone = BatchBuilder::new();
            for row in origin.rows.clone() {
                let mut tags: Vec<_> = table.tags().collect();
                alone.table(table.device(), &mut tags, [table.times()[row]]).unwrap();
                for column in columns(&naming, table, &origin) {
                    let (metric, absent) = (column.metric(), [u8::from(!column.is_present(row))]);
                    match column.values() {
                        Values::Floats(values) => alone.floats(metric, "", [values[row]], &absent),
                        Values::Ints(values) => alone.ints(metric, "", [values[row]], &absent),
                        Values::Bools(values) => alone.bools(metric, "", [values[row]], &absent),
                        Values::Texts(texts) => alone.texts(metric, "", [texts.get(row)], &absent),
                    }
                    .unwrap();
                }
            }
            again.extend_from_slice(encode(&alone.finish(), &naming).bytes());
        }
        prop_assert_eq!(again.as_slice(), body.slice(lines));
    }
}
