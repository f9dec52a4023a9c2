use super::*;
use crate::model::{Timestamp, Values};
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);
const STAMP: Stamp<'_> = Stamp { received_at: NOW, booted_at: None, client: "nobody" };

fn read(body: &str, columns: &CsvColumns) -> Lines {
    csv(body.as_bytes(), b',', columns, &Limits::READ_BACK, &STAMP, &Reach::all())
}

fn header(text: &str) -> Vec<Cow<'_, str>> {
    text.split(',').map(Cow::Borrowed).collect()
}

#[test]
fn faults_name_the_line_that_a_record_begins_with() {
    let good = "d,m,,7,float,1.5,\r\n";
    let body = format!(
        "{good}d,m,,7,text,\"two\nlines\",\r\n\n{good}d,m,,7,int,1.5,\n{}",
        concat!(
            "d,m,,7,float,NaN,\n",
            "d,m,,7,float,1.5\n",
            "d,m,,yesterday,float,1.5,\n",
            "d,m,{,7,float,1.5,\n",
            "d,m,,7,double,1.5,\n",
            "d,m,,7,bool,yes,\n",
            "d,\"m\"x,,7,bool,true,\n",
            "d,m\"x,,7,bool,true,\n",
            "d,,,7,bool,true,\n",
        )
    );
    let lines = read(&body, &CsvColumns::Exported);
    assert_eq!(lines.accepted, 3, "{:?}", lines.faults);
    let faults: Vec<_> = lines.faults.iter().map(|fault| fault.line).collect();
    assert_eq!(faults, (6..=15).collect::<Vec<_>>(), "{:?}", lines.faults);
    let said: Vec<_> = lines.faults.iter().map(|fault| fault.kind.to_string()).collect();
    assert!(said[0].contains("m: the value is no int"), "{said:?}");
    assert!(said[2].contains("6 cells where the header has 7"), "{said:?}");
}

#[test]
fn a_quote_that_is_never_closed_takes_no_other_record_with_it_for_long() {
    let good = "d,m,,7,float,1.5,\n";
    let body = format!("d,\"m,,7,float,1.5,\n{}", good.repeat(60_000));
    let lines = read(&body, &CsvColumns::Exported);
    assert_eq!((lines.accepted, lines.refused), (60_000, 1));
    // One in the middle of a cell opens nothing.
    let lines = read(&format!("d,m\"x,,7,float,1.5,\n{good}"), &CsvColumns::Exported);
    assert_eq!((lines.accepted, lines.faults[0].line), (1, 1));
}

#[test]
fn a_plain_table_is_read_by_what_is_said_of_its_columns() {
    let said = Said {
        time: Some("when".to_owned()),
        device_column: Some("machine".to_owned()),
        tags: vec!["hall".to_owned()],
        skipped: vec!["note".to_owned()],
        types: vec![("starts".to_owned(), CsvType::Int)],
        prefix: "plant.".to_owned(),
        time_unit: 1_000_000_000,
        ..Said::default()
    };
    let mapping =
        Mapping::new(&header("when,machine,hall,level,starts,state,note"), &said).unwrap();
    let body = "1763712000.25,p1,north,7,3,idle,x\n2025-11-21T08:00:01Z,p1,north,,4,,\n2025-11-21 08:00:02,p1,north,7.5,,true,\n";
    let lines = read(body, &CsvColumns::Mapped(mapping));
    assert_eq!((lines.accepted, lines.refused), (3, 0), "{:?}", lines.faults);
    let tables: Vec<_> = lines.batch.tables().collect();
    assert_eq!(tables[0].times(), [1_763_712_000_250_000_000]);
    assert_eq!(tables[1].times(), [1_763_712_001_000_000_000]);
    assert_eq!(tables[2].times(), [1_763_712_002_000_000_000]);
    assert_eq!(tables[0].identity(), "p1\0hall\0north");
    let columns: Vec<_> = tables[0].columns().collect();
    let names: Vec<_> = columns.iter().map(|column| column.metric()).collect();
    assert_eq!(names, ["plant.level", "plant.starts", "plant.state"]);
    assert!(matches!(columns[0].values(), Values::Floats([7.0])));
    assert!(matches!(columns[1].values(), Values::Ints([3])));
    assert!(matches!(columns[2].values(), Values::Texts(_)));
    assert!(matches!(tables[2].columns().nth(1).unwrap().values(), Values::Bools([true])));
}

#[test]
fn a_long_table_has_a_metric_and_a_value_in_each_record() {
    let said = Said {
        metric: Some("name".to_owned()),
        value: Some("value".to_owned()),
        device: Some("desk".to_owned()),
        time_unit: 1,
        ..Said::default()
    };
    let mapping = Mapping::new(&header("name,value"), &said).unwrap();
    let lines = read("t,21.5\nopen,false\n", &CsvColumns::Mapped(mapping));
    let devices: Vec<_> = lines.batch.tables().map(|table| table.device()).collect();
    assert_eq!((lines.accepted, devices), (2, vec!["desk", "desk"]));
    let wrong = |said: &Said| Mapping::new(&header("name,value"), said).unwrap_err();
    let time = Some("time".to_owned());
    assert_eq!(wrong(&Said { time, ..Said::default() }), MappingError::NoColumn("time".to_owned()));
    assert_eq!(
        wrong(&Said { metric: Some("name".to_owned()), ..Said::default() }),
        MappingError::Half
    );
    let skipped = vec!["name".to_owned(), "value".to_owned()];
    assert_eq!(wrong(&Said { skipped, ..Said::default() }), MappingError::NoValues);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let lines = csv(&body, b',', &CsvColumns::Exported, &Limits::READ_BACK, &STAMP, &Reach::all());
        prop_assert_eq!(lines.accepted == 0, lines.batch.samples() == 0);
    }

    #[test]
    fn records_part_a_body_whole(body in r#"[a",\r\n]{0,40}"#) {
        let (mut rest, mut parts) = (body.as_bytes(), Vec::new());
        while let Some(end) = record_end(rest, b',') {
            parts.push(rest[..end].to_vec());
            rest = &rest[end..];
        }
        parts.push(rest.to_vec());
        prop_assert_eq!(parts.concat(), body.as_bytes());
        let records = Records::new(body.as_bytes(), b',').count();
        prop_assert_eq!(records, parts.iter().filter(|part| !part.is_empty()).count());
    }

    #[test]
    fn times_of_any_form_never_panic(text in "[-0-9.:TZ+ e]{0,30}") {
        let _time = instant(&text, 1_000_000_000);
    }
}
