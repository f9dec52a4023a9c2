//! Log lines on stderr: logfmt or JSON, with the fields that the code gives.

use crate::clock;
use crate::config::{LogConfig, LogFormat};
use env_logger::fmt::Formatter;
use log::kv::{self, Key, Value, VisitSource};
use std::fmt::Write as _;
use std::io::{self, Write};

/// Sends everything that is logged from now on to stderr, as configured. Once per process.
pub fn start(config: LogConfig) {
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Warn)
        .filter_module("tidegate", config.level)
        .format(move |out, record| match config.format {
            LogFormat::Logfmt => logfmt(out, record),
            LogFormat::Json => json(out, record),
        })
        .init();
}

fn logfmt(out: &mut Formatter, record: &log::Record<'_>) -> io::Result<()> {
    let mut line = format!("time={} level={} ", time(), level(record));
    pair(&mut line, "msg", &record.args().to_string());
    let mut fields = Fields {
        line: &mut line,
        write: |line: &mut String, key: &str, value: &str| {
            line.push(' ');
            pair(line, key, value);
        },
    };
    visit(record, &mut fields);
    writeln!(out, "{line} module={}", module(record))
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

fn json(out: &mut Formatter, record: &log::Record<'_>) -> io::Result<()> {
    let mut line = format!("{{\"time\":\"{}\",\"level\":\"{}\"", time(), level(record));
    let write = |line: &mut String, key: &str, value: &str| {
        let (key, value) = (serde_json::Value::from(key), serde_json::Value::from(value));
        let written = write!(line, ",{key}:{value}");
        debug_assert!(written.is_ok());
    };
    write(&mut line, "msg", &record.args().to_string());
    write(&mut line, "module", module(record));
    visit(record, &mut Fields { line: &mut line, write });
    writeln!(out, "{line}}}")
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

fn visit<F: FnMut(&mut String, &str, &str)>(record: &log::Record<'_>, fields: &mut Fields<'_, F>) {
    // The visitor never fails.
    let visited = record.key_values().visit(fields);
    debug_assert!(visited.is_ok());
}

fn time() -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(clock::now().as_millis())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

fn level(record: &log::Record<'_>) -> &'static str {
    match record.level() {
        log::Level::Error => "error",
        log::Level::Warn => "warn",
        log::Level::Info => "info",
        log::Level::Debug => "debug",
        log::Level::Trace => "trace",
    }
}

fn module<'a>(record: &log::Record<'a>) -> &'a str {
    let path = record.module_path().unwrap_or("tidegate");
    path.strip_prefix("tidegate::").unwrap_or(path)
}
