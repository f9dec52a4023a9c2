use super::*;
use crate::decode::{Upstream, batch, encode, upstream};
use crate::model::{Batch, Reach, Timestamp, Values};
use crate::wire::RefusalCode;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_763_712_000_000_000_000);

fn stamp() -> Stamp<'static> {
    Stamp { received_at: NOW, booted_at: None, client: "telegraf" }
}

fn read(body: &str) -> Lines {
    read_in(body, 1)
}

fn read_in(body: &str, unit: i64) -> Lines {
    let time_unit = if unit == 0 { TimeUnit::BySize } else { TimeUnit::Nanos(unit) };
    let device_tags = ["device".to_owned(), "host".to_owned()];
    let naming = LineNaming { device_tags: &device_tags, bare_measurement: "telemetry", time_unit };
    line_protocol(body.as_bytes(), &naming, &Limits::default(), &stamp(), &Reach::all())
}

/// Every sample in words: device, tags, time, metric, value.
fn samples(batch: &Batch) -> Vec<String> {
    let mut samples = Vec::new();
    for table in batch.tables() {
        let tags: Vec<_> = table.tags().map(|(key, value)| format!("{key}:{value}")).collect();
        for column in table.columns() {
            for (row, time) in
                table.times().iter().enumerate().filter(|&(row, _)| column.is_present(row))
            {
                let value = match column.values() {
                    Values::Floats(values) => format!("{:?}", values[row]),
                    Values::Ints(values) => format!("{}i", values[row]),
                    Values::Bools(values) => values[row].to_string(),
                    Values::Texts(texts) => format!("{:?}", texts.get(row)),
                };
                let (device, metric) = (table.device(), column.metric());
                let age = NOW.0 - time;
                samples.push(format!("{device} [{}] -{age} {metric}={value}", tags.join(",")));
            }
        }
    }
    samples
}

fn fault(body: &str) -> (usize, RefusalCode, String) {
    let lines = read(body);
    assert_eq!((lines.accepted, lines.refused), (0, 1), "{body}: {lines:?}");
    let fault = &lines.faults[0];
    (fault.line, fault.kind.code(), fault.kind.to_string())
}

#[test]
fn lines_of_the_reference_are_read() {
    for (line, expected) in [
        (
            "motor,device=pump-7,site=north temperature=71.5 1763712000000000000",
            &["pump-7 [site:north] -0 motor.temperature=71.5"][..],
        ),
        (
            "m,host=a f=1,i=-7i,u=7u,b=t,s=\"x\" 1763711999999999999",
            &[
                "a [] -1 m.f=1.0",
                "a [] -1 m.i=-7i",
                "a [] -1 m.u=7i",
                "a [] -1 m.b=true",
                "a [] -1 m.s=\"x\"",
            ],
        ),
        // Of two that may name the device the first of the configuration does.
        ("m,host=h,device=d f=1", &["d [host:h] -0 m.f=1.0"]),
        ("telemetry level=1e3", &["telegraf [] -0 level=1000.0"]),
        (
            "m f=.5,g=-1.,h=+2E-1",
            &["telegraf [] -0 m.f=0.5", "telegraf [] -0 m.g=-1.0", "telegraf [] -0 m.h=0.2"],
        ),
        ("  m\\,\\ x,a\\=b=c\\ d k\\,=F \r", &["telegraf [a=b:c d] -0 m, x.k,=false"]),
        ("a=b f=1", &["telegraf [] -0 a=b.f=1.0"]),
        ("a\\=b,c=d\\=e f=1", &["telegraf [c:d=e] -0 a\\=b.f=1.0"]),
        (
            "m f=\"a \\\"b\\\" \\\\ \\c, d=e\"",
            &["telegraf [] -0 m.f=\"a \\\"b\\\" \\\\ \\\\c, d=e\""],
        ),
        ("m,t=C:\\new f=1", &["telegraf [t:C:\\new] -0 m.f=1.0"]),
        ("m,tag.device=x,tag.other=y f=1", &["telegraf [device:x,tag.other:y] -0 m.f=1.0"]),
    ] {
        let lines = read(line);
        assert_eq!(lines.faults, [], "{line}");
        assert_eq!(samples(&lines.batch), expected, "{line}");
    }
}

#[test]
fn times_are_in_the_unit_that_is_said() {
    for (unit, time) in [
        (1, "1763711999000000000"),
        (1_000, "1763711999000000"),
        (1_000_000, "1763711999000"),
        (1_000_000_000, "1763711999"),
        (60_000_000_000, "29395200"),
        (3_600_000_000_000, "489920"),
        // By the size of the number.
        (0, "1763711999000000000"),
        (0, "1763711999000000"),
        (0, "1763711999000"),
        (0, "1763711999"),
    ] {
        let lines = read_in(&format!("telemetry f=1i {time}"), unit);
        let age = if unit < 60_000_000_000 { 1_000_000_000 } else { 0 };
        assert_eq!(samples(&lines.batch), [format!("telegraf [] -{age} f=1i")], "{time}");
    }
    let (_, code, what) = fault("m f=1 99999999999999999999");
    assert_eq!((code, what.contains("column 7")), (RefusalCode::Malformed, true), "{what}");
    assert_eq!(read_in("m f=1 9223372036854775807", 1_000).refused, 1);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (line, column, what) in [
        (",a=b f=1", 1, "the measurement"),
        ("m", 2, "a space before the fields"),
        ("m ", 3, "the key of a field"),
        ("m,a f=1", 4, "the key of a tag"),
        ("m,a= f=1", 5, "the value of a tag"),
        ("m,=b f=1", 3, "the key of a tag"),
        ("m f", 4, "an equals sign after the key of a field"),
        ("m f=", 5, "a value"),
        ("m f=1,", 7, "the key of a field"),
        ("m f=NaN", 5, "a value"),
        ("m f=1x", 5, "a value"),
        ("m f=--1i", 5, "a value"),
        ("m f=i", 5, "a value"),
        ("m f=\"x", 5, "the quote that ends this text"),
        ("m f=1 x", 7, "the time"),
        ("m f=1 1 2", 9, "the time"),
    ] {
        let (number, code, told) = fault(line);
        assert_eq!((number, code), (1, RefusalCode::Malformed), "{line}");
        assert!(told.contains(&format!("column {column}: {what}")), "{line}: {told}");
    }
    assert_eq!(fault("m f=9223372036854775808i").1, RefusalCode::BadShape);
    assert_eq!(fault("m f=9223372036854775808u").1, RefusalCode::BadShape);
    assert_eq!(fault("m f=1,f=2").2, "m.f is given twice");
    assert_eq!(fault("m f=1e999").1, RefusalCode::NotFinite);
    assert_eq!(fault("m,a=1,a=2 f=1").1, RefusalCode::BadName);
    assert_eq!(fault("m f=1 0").1, RefusalCode::TimeTooOld);
    let lines = line_protocol(
        b"m\xff f=1",
        &LineNaming { device_tags: &[], bare_measurement: "", time_unit: TimeUnit::Nanos(1) },
        &Limits::default(),
        &stamp(),
        &Reach::all(),
    );
    assert!(lines.faults[0].kind.to_string().contains("column 2: text in UTF-8"));
}

#[test]
fn good_lines_enter_beside_bad_ones_which_are_told_by_number() {
    let body = "# a comment, \"with a quote\n\nm f=1i\nbad\nm s=\"two\nlines\"\nm s=\"no end\nm f=2i\r\n   \nm f=3i";
    let lines = read(body);
    let faults: Vec<_> = lines.faults.iter().map(|fault| fault.line).collect();
    // The text that has no end runs to the end of the body, and takes nothing with it.
    assert_eq!((lines.accepted, faults), (4, vec![4, 7]), "{lines:?}");
    let texts = samples(&lines.batch);
    assert_eq!(texts.len(), 4);
    assert!(texts.iter().any(|text| text.contains("two\\nlines")), "{texts:?}");
}

#[test]
fn what_is_in_a_text_is_no_line_of_its_own_even_beside_a_fault() {
    // Who chooses a text must not write for other devices, however faulty the line around it is.
    let inner = "x\nother,device=pump-1 f=1i\ny";
    for line in [
        format!("m s=\"{inner}\",f=NaN"),
        format!("m f=NaN,s=\"{inner}\""),
        format!("m s=\"{inner}\" wrong"),
        format!("m,t s=\"{inner}\""),
        format!("m f=NaN,s=\"\\\"{inner}\\\\\""),
    ] {
        let body = format!("m f=1i\n{line}\nm f=2i\n");
        let lines = read(&body);
        assert_eq!((lines.accepted, lines.refused, lines.faults[0].line), (2, 1, 2), "{line}");
        assert_eq!(samples(&lines.batch), ["telegraf [] -0 m.f=1i", "telegraf [] -0 m.f=2i"]);
    }
    // The number of the line after is that of the body.
    let lines = read("m f=NaN,s=\"a\nb\"\nbad\n");
    let faults: Vec<_> = lines.faults.iter().map(|fault| fault.line).collect();
    assert_eq!(faults, [1, 3]);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in "([mf,= \\\\\"\n#1i]|.){0,60}") {
        let lines = read(&body);
        prop_assert_eq!(lines.accepted == 0, lines.batch.samples() == 0);
        if lines.accepted > 0 {
            let encoded = encode(&lines.batch, 1);
            let Ok(Upstream::Batch(message)) = upstream(&encoded) else { panic!("no batch") };
            let again = batch(message, &Limits::READ_BACK, &stamp()).unwrap();
            prop_assert_eq!(again.batch, lines.batch);
        }
    }
}
