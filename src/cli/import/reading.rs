//! How the records of a file are read.

use super::source::{Ends, Portion};
use crate::clock;
use crate::decode::{
    self, CSV_COLUMNS, CsvColumns, CsvMapping, CsvRecords, CsvSaid, CsvType, LineNaming, Lines,
    Stamp, TimeUnit,
};
use crate::model::Reach;
use crate::wire::Limits;
use clap::{Args, ValueEnum};
use std::path::Path;

/// Bytes of a header.
pub(super) const HEADER_BYTES_MAX: usize = 1 << 20;

/// What the flags say of files.
#[derive(Debug, Clone, Args)]
pub(super) struct Said {
    /// The form of the files [default: by their names: .ndjson and .jsonl, .csv, .lp and .lines].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The device of readings that name none.
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// The unit of times that are whole numbers; JSON lines and our own CSV are in nanoseconds.
    #[arg(long, value_enum, default_value_t = Unit::Ns)]
    time_unit: Unit,
    /// Line protocol: a tag that may carry the device's name; may be given several times.
    #[arg(long, value_name = "TAG", default_values_t = ["device".to_owned(), "host".to_owned()])]
    device_tag: Vec<String>,
    /// Line protocol: the measurement that has no part in the names of metrics.
    #[arg(long, value_name = "NAME", default_value = "telemetry")]
    bare_measurement: String,
    /// CSV: what is between cells.
    #[arg(long, value_name = "CHAR", default_value_t = ',')]
    delimiter: char,
    /// Plain CSV: the column of times [default: the time of import].
    #[arg(long, value_name = "COLUMN")]
    time_column: Option<String>,
    /// Plain CSV: the column of devices' names.
    #[arg(long, value_name = "COLUMN")]
    device_column: Option<String>,
    /// Plain CSV: the column of metrics' names, with --value-column [default: every column that is nothing else
    /// is a metric].
    #[arg(long, value_name = "COLUMN", requires = "value_column")]
    metric_column: Option<String>,
    /// Plain CSV: the column of values.
    #[arg(long, value_name = "COLUMN", requires = "metric_column")]
    value_column: Option<String>,
    /// Plain CSV: a column that is a tag; may be given several times.
    #[arg(long, value_name = "COLUMN")]
    tag_column: Vec<String>,
    /// Plain CSV: a column that is passed over; may be given several times.
    #[arg(long, value_name = "COLUMN")]
    skip_column: Vec<String>,
    /// Plain CSV: the type of a column: float, int, bool, text; may be given several times [default: numbers are
    /// floats, true and false truth values, all else texts].
    #[arg(long = "type", value_name = "COLUMN=TYPE")]
    types: Vec<String>,
    /// Plain CSV: put before the names of metrics.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A JSON object per reading.
    Ndjson,
    /// With a header: as exported, or a table that flags tell the columns of.
    Csv,
    /// Line protocol.
    Lines,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Unit {
    Ns,
    Us,
    Ms,
    S,
}

impl Unit {
    fn nanos(self) -> i64 {
        match self {
            Unit::Ns => 1,
            Unit::Us => 1_000,
            Unit::Ms => 1_000_000,
            Unit::S => 1_000_000_000,
        }
    }
}

/// How one file is read.
pub(super) struct Reading<'a> {
    said: &'a Said,
    format: Format,
    columns: CsvColumns,
}

/// A record that does not enter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Faulty {
    pub line: u64,
    pub why: String,
}

impl<'a> Reading<'a> {
    /// By the flags and the file's name.
    pub fn of(said: &'a Said, file: &Path) -> Result<Reading<'a>, String> {
        let extension = file.extension().map(|it| it.to_ascii_lowercase());
        let named = match extension.as_ref().and_then(|it| it.to_str()) {
            Some("ndjson" | "jsonl") => Some(Format::Ndjson),
            Some("csv") => Some(Format::Csv),
            Some("lp" | "lines" | "line") => Some(Format::Lines),
            _ => None,
        };
        let format = said.format.or(named).ok_or_else(|| {
            format!("{}: its name does not tell its form: say --format", file.display())
        })?;
        if !said.delimiter.is_ascii() || "\"\r\n".contains(said.delimiter) {
            return Err("--delimiter is one ASCII character".to_owned());
        }
        Ok(Reading { said, format, columns: CsvColumns::Exported })
    }

    /// All of it in words, to know whether a file was read in the same way before.
    pub fn told(&self) -> String {
        format!("{:?} {:?}", self.format, self.said)
    }

    pub fn ends(&self) -> Ends {
        match self.format {
            Format::Ndjson => Ends::Lines,
            Format::Lines => Ends::LineProtocol,
            Format::Csv => Ends::Csv { delimiter: self.delimiter() },
        }
    }

    pub fn has_header(&self) -> bool {
        self.format == Format::Csv
    }

    fn delimiter(&self) -> u8 {
        u8::try_from(self.said.delimiter).unwrap_or(b',')
    }

    /// Reads the header of a table.
    pub fn header(&mut self, header: &[u8]) -> Result<(), String> {
        let header = header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header);
        let record = CsvRecords::new(header, self.delimiter()).next();
        let cells =
            record.ok_or("there is no header")?.1.map_err(|why| format!("header: {why}"))?;
        if cells == CSV_COLUMNS {
            self.columns = CsvColumns::Exported;
            return Ok(());
        }
        let said = self.said;
        let types = said.types.iter().map(|text| {
            let (column, kind) = text.rsplit_once('=').unwrap_or((text, ""));
            let kind = match kind {
                "float" => CsvType::Float,
                "int" => CsvType::Int,
                "bool" => CsvType::Bool,
                "text" => CsvType::Text,
                _ => return Err(format!("--type is COLUMN=float, int, bool or text, not {text}")),
            };
            Ok((column.to_owned(), kind))
        });
        let said = CsvSaid {
            time: said.time_column.clone(),
            device_column: said.device_column.clone(),
            device: None,
            metric: said.metric_column.clone(),
            value: said.value_column.clone(),
            tags: said.tag_column.clone(),
            skipped: said.skip_column.clone(),
            types: types.collect::<Result<_, _>>()?,
            prefix: said.prefix.clone(),
            time_unit: said.time_unit.nanos(),
        };
        let mapping = CsvMapping::new(&cells, &said).map_err(|error| error.to_string())?;
        self.columns = CsvColumns::Mapped(mapping);
        Ok(())
    }

    /// Reads records: the batch of the good ones, and each of the others.
    pub fn read(&self, portion: &Portion<'_>, limits: &Limits) -> (Lines, Vec<Faulty>) {
        let lines = self.lines(portion.bytes, limits);
        let faulty = |line: u64, lines: &Lines| -> Vec<Faulty> {
            let faults = lines.faults.iter();
            let told = faults.map(|fault| Faulty {
                line: line + fault.line as u64 - 1,
                why: fault.kind.to_string(),
            });
            told.collect()
        };
        if lines.refused == lines.faults.len() {
            let told = faulty(portion.line, &lines);
            return (lines, told);
        }
        // More than are told of one body: each by itself then.
        let (mut told, mut begin, mut line) = (Vec::new(), 0, portion.line);
        for &end in &portion.ends {
            let record = &portion.bytes[begin..end];
            told.extend(faulty(line, &self.lines(record, limits)));
            line += record.iter().filter(|&&byte| byte == b'\n').count() as u64;
            begin = end;
        }
        (lines, told)
    }

    fn lines(&self, bytes: &[u8], limits: &Limits) -> Lines {
        let client = self.said.device.as_deref().unwrap_or("import");
        let stamp = Stamp { received_at: clock::now(), booted_at: None, client };
        let reach = &Reach::all();
        match self.format {
            Format::Ndjson => decode::ndjson(bytes, limits, &stamp, reach),
            Format::Csv => {
                decode::csv(bytes, self.delimiter(), &self.columns, limits, &stamp, reach)
            }
            Format::Lines => {
                let naming = LineNaming {
                    device_tags: &self.said.device_tag,
                    bare_measurement: &self.said.bare_measurement,
                    time_unit: TimeUnit::Nanos(self.said.time_unit.nanos()),
                };
                decode::line_protocol(bytes, &naming, limits, &stamp, reach)
            }
        }
    }
}
