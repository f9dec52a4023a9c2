//! The forms that samples are told in, and what writes each.

use super::csv::Csv;
use super::lines::Lines;
use super::ndjson::Ndjson;
#[cfg(feature = "parquet")]
use super::parquet::Parquet;
use crate::sinks::history::{Value, Walk};

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON object per sample: what `/api/v1/ingest` reads.
    Ndjson,
    /// RFC 4180.
    Csv,
    /// Line protocol: what `/api/v2/write` reads.
    Lines,
    /// Apache Parquet.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl Form {
    #[cfg(feature = "parquet")]
    pub const ALL: &[Form] = &[Form::Ndjson, Form::Csv, Form::Lines, Form::Parquet];
    #[cfg(not(feature = "parquet"))]
    pub const ALL: &[Form] = &[Form::Ndjson, Form::Csv, Form::Lines];

    pub fn named(name: &str) -> Option<Form> {
        Form::ALL.iter().copied().find(|form| form.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Form::Ndjson => "ndjson",
            Form::Csv => "csv",
            Form::Lines => "lines",
            #[cfg(feature = "parquet")]
            Form::Parquet => "parquet",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Form::Ndjson => "application/x-ndjson",
            Form::Csv => "text/csv; charset=utf-8; header=present",
            Form::Lines => "text/plain; charset=utf-8",
            #[cfg(feature = "parquet")]
            Form::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// A browser saves it under this name.
    pub fn disposition(self) -> &'static str {
        match self {
            Form::Ndjson => "attachment; filename=\"tidegate.ndjson\"",
            Form::Csv => "attachment; filename=\"tidegate.csv\"",
            Form::Lines => "attachment; filename=\"tidegate.lp\"",
            #[cfg(feature = "parquet")]
            Form::Parquet => "attachment; filename=\"tidegate.parquet\"",
        }
    }

    /// Whether each record stands for itself, so that who has the first ones can be told the others.
    pub fn goes_on(self) -> bool {
        match self {
            Form::Ndjson | Form::Csv | Form::Lines => true,
            #[cfg(feature = "parquet")]
            Form::Parquet => false,
        }
    }

    /// Passes over what somebody has who read these names last. In line protocol a look-alike may stand in
    /// for a character of theirs.
    pub fn go_on(self, walk: &mut Walk, names: Series<'_>, time: i64) {
        let Series { device, tags, metric, .. } = names;
        if self == Form::Lines {
            let read = Lines::written(names);
            let is_found = walk.after_meant(time, |device, tags, metric| {
                Lines::written(Series { device, tags, metric, unit: "" }) == read
            });
            if is_found {
                return;
            }
        }
        walk.after(device, tags, metric, time);
    }
}

/// The series that samples are of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Series<'a> {
    pub device: &'a str,
    /// In the order of their keys.
    pub tags: &'a [(&'a str, &'a str)],
    pub metric: &'a str,
    /// Or empty.
    pub unit: &'a str,
}

/// What could not be written. A matter for the operator: samples are of every form that there is.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[cfg(feature = "parquet")]
    #[error("the samples can't be written as Parquet")]
    Parquet(#[from] parquet::errors::ParquetError),
}

/// Writes samples in one of the forms.
pub(super) enum Writer {
    Ndjson(Ndjson),
    Csv(Csv),
    Lines(Lines),
    #[cfg(feature = "parquet")]
    Parquet(Box<Parquet>),
}

impl Writer {
    /// `from_start`: not to go on with what somebody has.
    pub fn new(form: Form, from_start: bool) -> Result<Writer, WriteError> {
        Ok(match form {
            Form::Ndjson => Writer::Ndjson(Ndjson::default()),
            Form::Csv => Writer::Csv(Csv::new(from_start)),
            Form::Lines => Writer::Lines(Lines::default()),
            #[cfg(feature = "parquet")]
            Form::Parquet => Writer::Parquet(Box::new(Parquet::new()?)),
        })
    }

    /// What stands before the first sample.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if let Writer::Csv(writer) = self {
            writer.begin(out);
        }
    }

    /// The samples that follow are of this series.
    pub fn series(&mut self, series: Series<'_>) {
        match self {
            Writer::Ndjson(writer) => writer.series(series),
            Writer::Csv(writer) => writer.series(series),
            Writer::Lines(writer) => writer.series(series),
            #[cfg(feature = "parquet")]
            Writer::Parquet(writer) => writer.series(series),
        }
    }

    /// Writes a sample. Hot path of an export: names were written once, in [`Writer::series`].
    pub fn sample(
        &mut self,
        time: i64,
        value: &Value,
        out: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        match self {
            Writer::Ndjson(writer) => writer.sample(time, value, out),
            Writer::Csv(writer) => writer.sample(time, value, out),
            Writer::Lines(writer) => writer.sample(time, value, out),
            #[cfg(feature = "parquet")]
            Writer::Parquet(writer) => writer.sample(time, value, out)?,
        }
        Ok(())
    }

    /// What stands after the last sample.
    #[cfg_attr(
        not(feature = "parquet"),
        expect(unused_variables, clippy::ptr_arg, reason = "the others end so")
    )]
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), WriteError> {
        match self {
            Writer::Ndjson(_) | Writer::Csv(_) | Writer::Lines(_) => {}
            #[cfg(feature = "parquet")]
            Writer::Parquet(writer) => writer.end(out)?,
        }
        Ok(())
    }
}

/// Appends a text as JSON writes it.
pub(super) fn push_json(out: &mut Vec<u8>, text: &str) {
    // To a vector nothing fails, and a text is a text.
    let written = serde_json::to_writer(&mut *out, text);
    debug_assert!(written.is_ok());
}

/// Appends tags as a JSON object.
pub(super) fn push_tags(out: &mut Vec<u8>, tags: &[(&str, &str)]) {
    out.push(b'{');
    for (number, (key, value)) in tags.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        push_json(out, key);
        out.push(b':');
        push_json(out, value);
    }
    out.push(b'}');
}

/// Appends a number of 64 bits.
pub(super) fn push_int(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a finite float: the shortest text that is read as the same, with a point or an exponent.
pub(super) fn push_float(out: &mut Vec<u8>, number: f64) {
    out.extend_from_slice(zmij::Buffer::new().format(number).as_bytes());
}
