//! Records of a file that may be torn: where the last whole one ends, and what it names.

use super::Format;
use crate::decode::{self, CsvColumns, LineNaming, Stamp, TimeUnit};
use crate::model::{Reach, Timestamp};
use crate::wire::Limits;
use serde_json::json;
use std::io::{self, Read};

/// Where a stream of bytes is between records.
#[derive(Debug, Default)]
pub(super) struct Scan {
    bytes: u64,
    is_quoted: bool,
    /// Begin and end of the last record that is whole.
    begin: u64,
    end: u64,
}

impl Scan {
    /// Looks at the next bytes.
    pub fn push(&mut self, bytes: &[u8], format: Format) {
        for &byte in bytes {
            self.bytes += 1;
            match byte {
                b'"' if format == Format::Csv => self.is_quoted = !self.is_quoted,
                b'\n' if !self.is_quoted => (self.begin, self.end) = (self.end, self.bytes),
                _ => {}
            }
        }
    }

    /// Begin and end of the last whole record; equal if there is none.
    pub fn last(&self) -> (u64, u64) {
        (self.begin, self.end)
    }

    /// How many bytes there were.
    pub fn bytes_seen(&self) -> u64 {
        self.bytes
    }

    /// Goes back to the end of the last whole record.
    pub fn cut(&mut self) {
        self.bytes = self.end;
        self.is_quoted = false;
    }

    /// All of a file.
    pub fn of(mut file: impl Read, format: Format) -> io::Result<Scan> {
        let (mut scan, mut buffer) = (Scan::default(), vec![0; 1 << 16]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(scan),
                read => scan.push(&buffer[..read], format),
            }
        }
    }
}

/// What a record names, as the parameter `after` takes it; `None` if it is no sample (but a header).
pub(super) fn named(record: &[u8], format: Format) -> Option<String> {
    let limits = &Limits::READ_BACK;
    let stamp = Stamp { received_at: Timestamp(0), booted_at: None, client: "nobody" };
    let reach = &Reach::all();
    let lines = match format {
        Format::Ndjson => decode::ndjson(record, limits, &stamp, reach),
        Format::Csv => decode::csv(record, b',', &CsvColumns::Exported, limits, &stamp, reach),
        Format::Lines => {
            let device_tags = &["device".to_owned()];
            let naming = LineNaming {
                device_tags,
                bare_measurement: "telemetry",
                time_unit: TimeUnit::Nanos(1),
            };
            decode::line_protocol(record, &naming, limits, &stamp, reach)
        }
        Format::Parquet => return None,
    };
    let table = lines.batch.tables().next()?;
    let tags: serde_json::Map<_, _> =
        table.tags().map(|(key, value)| (key.to_owned(), value.into())).collect();
    let metric = table.columns().next()?.metric();
    let time = table.times().first()?;
    let named = json!({"device": table.device(), "tags": tags, "metric": metric, "time": time});
    Some(named.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_record_is_found_wherever_a_file_is_torn() {
        let records = [
            "device,metric,tags,time,type,value,unit\r\n",
            "d,m,,1,text,\"a\n\"\"b\",\r\n",
            "d,m,,2,int,5,\r\n",
        ];
        let csv = records.concat();
        let ends: Vec<_> = (1..=3).map(|count| records[..count].concat().len()).collect();
        for cut in 0..=csv.len() {
            let scan = Scan::of(&csv.as_bytes()[..cut], Format::Csv).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let expected = match whole {
                0 => (0, 0),
                1 => (0, ends[0] as u64),
                whole => (ends[whole - 2] as u64, ends[whole - 1] as u64),
            };
            assert_eq!(scan.last(), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_record_names_its_sample() {
        let expected =
            |time: i64| json!({"device": "d", "tags": {"s": "a b"}, "metric": "u.v", "time": time});
        for (record, format) in [
            (r#"{"device":"d","tags":{"s":"a b"},"time":7,"values":{"u.v":1}}"#, Format::Ndjson),
            ("d,u.v,\"{\"\"s\"\":\"\"a b\"\"}\",7,int,1,", Format::Csv),
            ("u,device=d,s=a\\ b v=1i 7", Format::Lines),
        ] {
            let named = named(format!("{record}\n").as_bytes(), format).unwrap();
            assert_eq!(serde_json::from_str::<serde_json::Value>(&named).unwrap(), expected(7));
        }
        assert_eq!(named(b"device,metric,tags,time,type,value,unit\r\n", Format::Csv), None);
    }
}
