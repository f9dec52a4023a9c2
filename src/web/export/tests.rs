//! What is written in each form is read back as the same samples, bit by bit.

use super::form::{Form, Series, Writer};
use crate::decode::{self, CsvColumns, LineNaming, Lines, Stamp, TimeUnit};
use crate::model::{Batch, Reach, Timestamp, Values};
use crate::sinks::history::Value;
use crate::wire::Limits;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);
const STAMP: Stamp<'_> = Stamp { received_at: NOW, booted_at: None, client: "nobody" };

/// Those that are within the reach of a duration from now.
const TIMES: std::ops::Range<i64> = -7_000_000_000_000_000_000..i64::MAX;

#[derive(Debug, Clone)]
struct Written {
    device: String,
    tags: Vec<(String, String)>,
    metric: String,
    unit: String,
    samples: Vec<(i64, Value)>,
}

/// Names as they are admitted; of those that line protocol can say exactly, too, if `plain`.
fn name(plain: bool) -> BoxedStrategy<String> {
    let nasty = "[-=+@'a-c.,; \"#öé\u{ff1d}{}:\\[\\]]{1,8}";
    match plain {
        true => "[-=+@'a-cö.:{}][-=+@'a-c., #öé\u{ff1d}{}:]{0,7}".boxed(),
        false => prop_oneof![nasty, "[a\\\\,= ]{1,4}", "telemetry\\.[a-c]{0,2}"].boxed(),
    }
}

fn value(plain: bool) -> BoxedStrategy<Value> {
    let text = match plain {
        true => "[^\n]{0,12}".boxed(),
        false => prop_oneof![".{0,12}", "[\n\r\t'\"=,;a]{0,6}"].boxed(),
    };
    let float = any::<f64>().prop_filter("finite", |value| value.is_finite());
    prop_oneof![
        float.prop_map(Value::Float),
        (-1000..1000_i32).prop_map(|whole| Value::Float(f64::from(whole))),
        Just(Value::Float(-0.0)),
        any::<i64>().prop_map(Value::Int),
        any::<bool>().prop_map(Value::Bool),
        text.prop_map(|text| Value::Text(text.into())),
    ]
    .boxed()
}

fn series(plain: bool) -> impl Strategy<Value = Written> {
    let tags = prop::collection::btree_map(
        prop_oneof![name(plain), Just("device".to_owned()), Just("tag.device".to_owned())],
        name(plain),
        0..3,
    );
    let metric = match plain {
        true => prop_oneof![name(true), Just("telemetry.x".to_owned()), Just("motor.t".to_owned())]
            .boxed(),
        false => name(false),
    };
    let samples = prop::collection::vec((TIMES, value(plain)), 1..5);
    let unit = prop_oneof![Just(String::new()), Just("°C".to_owned()), Just("=1".to_owned())];
    (name(plain), tags, metric, unit, samples).prop_map(|(device, tags, metric, unit, samples)| {
        Written { device, tags: tags.into_iter().collect(), metric, unit, samples }
    })
}

fn write(form: Form, all: &[Written]) -> Vec<u8> {
    let mut writer = Writer::new(form, true).unwrap();
    let mut out = Vec::new();
    writer.begin(&mut out);
    for Written { device, tags, metric, unit, samples } in all {
        let tags: Vec<_> = tags.iter().map(|(key, value)| (&**key, &**value)).collect();
        writer.series(Series { device, tags: &tags, metric, unit });
        for (time, value) in samples {
            writer.sample(*time, value, &mut out).unwrap();
        }
    }
    writer.end(&mut out).unwrap();
    out
}

fn read(form: Form, bytes: &[u8]) -> Lines {
    let (limits, reach) = (&Limits::READ_BACK, &Reach::all());
    match form {
        Form::Ndjson => decode::ndjson(bytes, limits, &STAMP, reach),
        Form::Csv => {
            let header = decode::csv_record_end(bytes, b',').unwrap();
            assert_eq!(&bytes[..header], b"device,metric,tags,time,type,value,unit\r\n");
            decode::csv(&bytes[header..], b',', &CsvColumns::Exported, limits, &STAMP, reach)
        }
        Form::Lines => {
            let naming = LineNaming {
                device_tags: &["device".to_owned(), "host".to_owned()],
                bare_measurement: "telemetry",
                time_unit: TimeUnit::Nanos(1),
            };
            decode::line_protocol(bytes, &naming, limits, &STAMP, reach)
        }
        #[cfg(feature = "parquet")]
        Form::Parquet => panic!("nobody here reads it"),
    }
}

/// A sample in words.
type Sample = (String, Vec<(String, String)>, String, String, i64, String);

fn word(value: &Value) -> String {
    match value {
        Value::Float(value) => format!("float {:x}", value.to_bits()),
        other => format!("{other:?}"),
    }
}

fn samples(batch: &Batch) -> Vec<Sample> {
    let mut samples = Vec::new();
    for table in batch.tables() {
        let tags: Vec<_> = table.tags().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        for column in table.columns() {
            for (row, &time) in table.times().iter().enumerate() {
                let value = match column.values() {
                    Values::Floats(values) => Value::Float(values[row]),
                    Values::Ints(values) => Value::Int(values[row]),
                    Values::Bools(values) => Value::Bool(values[row]),
                    Values::Texts(texts) => Value::Text(texts.get(row).into()),
                };
                let (metric, unit) = (column.metric().to_owned(), column.unit().to_owned());
                samples.push((
                    table.device().to_owned(),
                    tags.clone(),
                    metric,
                    unit,
                    time,
                    word(&value),
                ));
            }
        }
    }
    samples.sort();
    samples
}

fn expected(all: &[Written], form: Form) -> Vec<Sample> {
    let told = all.iter().flat_map(|series| {
        series.samples.iter().map(move |(time, value)| {
            let unit = if form == Form::Lines { "" } else { &series.unit };
            let Written { device, tags, metric, .. } = series;
            (device.clone(), tags.clone(), metric.clone(), unit.to_owned(), *time, word(value))
        })
    });
    let mut told: Vec<_> = told.collect();
    told.sort();
    told
}

fn check(form: Form, all: &[Written]) {
    let bytes = write(form, all);
    let lines = read(form, &bytes);
    assert_eq!(lines.refused, 0, "{:?} {}", lines.faults, String::from_utf8_lossy(&bytes));
    assert_eq!(samples(&lines.batch), expected(all, form), "{}", String::from_utf8_lossy(&bytes));
    // Written again it is the same bytes.
    assert_eq!(write(form, all), bytes);
}

proptest! {
    #[test]
    fn json_lines_and_csv_are_read_back_exactly(all in prop::collection::vec(series(false), 1..4)) {
        check(Form::Ndjson, &all);
        check(Form::Csv, &all);
    }

    #[test]
    fn line_protocol_is_read_back_exactly_where_it_can_say_it(
        all in prop::collection::vec(series(true), 1..4),
    ) {
        check(Form::Lines, &all);
    }

    #[test]
    fn no_cell_of_a_csv_is_a_formula(all in prop::collection::vec(series(false), 1..4)) {
        let bytes = write(Form::Csv, &all);
        for (_, record) in decode::CsvRecords::new(&bytes, b',') {
            let record = record.unwrap();
            // Numbers may begin with a sign; nobody but us chooses what is in them.
            for (at, cell) in record.iter().enumerate().filter(|(at, _)| *at != 3 && *at != 5) {
                prop_assert!(!crate::web::history::is_formula(cell), "{at} {cell:?}");
            }
            if record[4] == "text" {
                prop_assert!(!crate::web::history::is_formula(&record[5]), "{:?}", record[5]);
            }
        }
    }
}

#[test]
fn the_forms_look_as_documented() {
    let all = [Written {
        device: "=pump".to_owned(),
        tags: vec![("site".to_owned(), "a b".to_owned())],
        metric: "motor.level".to_owned(),
        unit: "mm".to_owned(),
        samples: vec![(7, Value::Float(2.0)), (8, Value::Int(-2)), (9, Value::Text("-1".into()))],
    }];
    let text = |form| String::from_utf8(write(form, &all)).unwrap();
    assert_eq!(
        text(Form::Ndjson).lines().next().unwrap(),
        r#"{"device":"=pump","tags":{"site":"a b"},"time":7,"values":{"motor.level":2.0},"units":{"motor.level":"mm"}}"#
    );
    assert_eq!(
        text(Form::Csv),
        "device,metric,tags,time,type,value,unit\r\n\
         '=pump,motor.level,\"{\"\"site\"\":\"\"a b\"\"}\",7,float,2.0,mm\r\n\
         '=pump,motor.level,\"{\"\"site\"\":\"\"a b\"\"}\",8,int,-2,mm\r\n\
         '=pump,motor.level,\"{\"\"site\"\":\"\"a b\"\"}\",9,text,'-1,mm\r\n"
    );
    assert_eq!(
        text(Form::Lines),
        "motor,device=\\=pump,site=a\\ b level=2.0 7\n\
         motor,device=\\=pump,site=a\\ b level=-2i 8\n\
         motor,device=\\=pump,site=a\\ b level=\"-1\" 9\n"
    );
}
