//! Log lines on stderr: logfmt or JSON, with the fields that the code gives.

use crate::clock;
use crate::config::LogFormat;
use log::kv::{self, Key, Value, VisitSource};
use log::{Level, Record};
use std::fmt::Write as _;
use std::io::{self, Write};

/// Writes a line at once, so that lines of threads do not mix.
pub(super) fn write(format: LogFormat, record: &Record<'_>) {
    let line = match format {
        LogFormat::Logfmt => logfmt(record),
        LogFormat::Json => json(record),
    };
    // Nobody else is there to be told that stderr is gone.
    io::stderr().lock().write_all(line.as_bytes()).unwrap_or_default();
}

fn logfmt(record: &Record<'_>) -> String {
    let mut line = format!("time={} level={} ", time(), level(record));
    line += &words(record);
    line += " module=";
    line += module(record);
    line.push('\n');
    line
}

/// What the line says, without when and where.
pub(super) fn words(record: &Record<'_>) -> String {
    let mut line = String::new();
    pair(&mut line, "msg", &record.args().to_string());
    let mut fields = Fields {
        line: &mut line,
        write: |line: &mut String, key: &str, value: &str| {
            line.push(' ');
            pair(line, key, value);
        },
    };
    visit(record, &mut fields);
    line
}

/// `key=value`, quoted where logfmt needs it; control characters are escaped, so that nothing that
/// came from outside can forge a line.
fn pair(line: &mut String, key: &str, value: &str) {
    let plain =
        !value.is_empty() && value.chars().all(|c| !c.is_control() && !" \"=\\".contains(c));
    // Writing to a String does not fail.
    let written =
        if plain { write!(line, "{key}={value}") } else { write!(line, "{key}={value:?}") };
    debug_assert!(written.is_ok());
}

fn json(record: &Record<'_>) -> String {
    let mut line = format!("{{\"time\":\"{}\",\"level\":\"{}\"", time(), level(record));
    let write = |line: &mut String, key: &str, value: &str| {
        let (key, value) = (serde_json::Value::from(key), serde_json::Value::from(value));
        let written = write!(line, ",{key}:{value}");
        debug_assert!(written.is_ok());
    };
    write(&mut line, "msg", &record.args().to_string());
    write(&mut line, "module", module(record));
    visit(record, &mut Fields { line: &mut line, write });
    line += "}\n";
    line
}

struct Fields<'a, F> {
    line: &'a mut String,
    write: F,
}

impl<'kvs, F: FnMut(&mut String, &str, &str)> VisitSource<'kvs> for Fields<'_, F> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        (self.write)(self.line, key.as_str(), &value.to_string());
        Ok(())
    }
}

fn visit<F: FnMut(&mut String, &str, &str)>(record: &Record<'_>, fields: &mut Fields<'_, F>) {
    // The visitor never fails.
    let visited = record.key_values().visit(fields);
    debug_assert!(visited.is_ok());
}

fn time() -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(clock::now().as_millis())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

fn level(record: &Record<'_>) -> &'static str {
    match record.level() {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

fn module<'a>(record: &Record<'a>) -> &'a str {
    let path = record.module_path().unwrap_or("tidegate");
    path.strip_prefix("tidegate::").unwrap_or(path)
}
