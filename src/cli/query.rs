//! `tidegate query`: a range of the history, from its file, whether or not the daemon runs.

use super::{EXIT_USAGE, Settings, fail};
use crate::clock;
use crate::sinks::history::{Answer, Data, Query as Asked, Shape, read_only};
use crate::web::{TimeUnit, columns, csv, parse_time, round_width};
use clap::{Args, ValueEnum};
use std::process::ExitCode;

/// Flags of the query.
#[derive(Debug, Args)]
pub(super) struct Query {
    #[command(flatten)]
    settings: Settings,
    /// The device.
    device: String,
    /// The metric.
    metric: String,
    /// First instant: RFC 3339, nanoseconds since 1970, or relative to now: -15m, -1d.
    #[arg(long, default_value = "-1h", allow_hyphen_values = true)]
    from: String,
    /// The instant after the last.
    #[arg(long, default_value = "now", allow_hyphen_values = true)]
    to: String,
    /// At most that many buckets (min, max, avg, last) instead of samples.
    #[arg(long)]
    buckets: Option<usize>,
    /// Only series with this tag; may be given several times.
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
}

/// Rows of one answer.
const ROWS_MAX: usize = 10_000_000;

pub(super) fn query(asked: &Query) -> ExitCode {
    let (config, _) = match asked.settings.load() {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let now = clock::now();
    let time = |text: &str| parse_time(text, now);
    let (Some(from), Some(to)) = (time(&asked.from), time(&asked.to)) else {
        return fail(
            EXIT_USAGE,
            "--from and --to are RFC 3339, nanoseconds since 1970, now, or -15m",
        );
    };
    let tags: Option<Vec<_>> = asked.tags.iter().map(|tag| tag.split_once('=')).collect();
    let Some(tags) = tags else { return fail(EXIT_USAGE, "--tag is KEY=VALUE") };
    let shape = match asked.buckets {
        None => Shape::Raw { max: ROWS_MAX },
        Some(buckets) => Shape::Buckets { width_ns: round_width(from, to, buckets), max: ROWS_MAX },
    };
    let path = config.state_dir.join("history.db");
    let query =
        Asked { device: &asked.device, metric: &asked.metric, tags: &tags, from, to, shape };
    let answer = match read_only(&path)
        .map_err(|error| error.to_string())
        .and_then(|reader| reader.query(&query).map_err(|error| error.to_string()))
    {
        Ok(answer) => answer,
        Err(error) => return fail(1, format!("{}: {error}", path.display())),
    };
    match asked.format {
        Format::Csv => print!("{}", csv(&answer, TimeUnit::Nanos)),
        Format::Json => {
            let columns = columns(&asked.device, &asked.metric, &answer, TimeUnit::Nanos);
            println!("{}", serde_json::to_string(&columns).unwrap_or_default());
        }
        Format::Table => print_table(&answer),
    }
    ExitCode::SUCCESS
}

fn print_table(answer: &Answer) {
    let unit = if answer.unit.is_empty() { String::new() } else { format!(" ({})", answer.unit) };
    match &answer.data {
        Data::Raw { times, .. } => println!("{} samples{unit}", times.len()),
        Data::Buckets(buckets) => println!("{} buckets{unit}", buckets.start.len()),
    }
    for (number, line) in csv(answer, TimeUnit::Nanos).lines().enumerate() {
        // What a device wrote does not speak to the terminal.
        let line = line.replace(char::is_control, "\u{fffd}");
        let (time, rest) = line.split_once(',').unwrap_or((&line, ""));
        let shown = match time.parse::<i64>().ok().filter(|_| number > 0) {
            Some(nanos) => jiff::Timestamp::from_nanosecond(i128::from(nanos))
                .map_or_else(|_| time.to_owned(), |time| time.to_string()),
            None => time.to_owned(),
        };
        let cells: String = rest.split(',').map(|cell| format!("{cell:>20}")).collect();
        println!("{shown:<32}{cells}");
    }
    if answer.damaged_chunks > 0 {
        println!("{} damaged chunks are left out", answer.damaged_chunks);
    }
}
