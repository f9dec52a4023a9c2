//! `tidegate export`: samples of the running daemon's history into a file, gone on with when it breaks off.

mod output;
mod records;

use super::ask::{Daemon, Stream, Unanswered, Whom, wait};
use super::{EXIT_UNAVAILABLE, EXIT_USAGE, fail, printable};
use clap::{Args, ValueEnum};
use hyper::Method;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use output::Output;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A daemon that says nothing for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How often to try without a byte more.
const TRIES: u32 = 10;
const WAIT_FIRST: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Flags of the export.
#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    asked: Asked,
    /// Where to [default: standard output]. Until it is whole it is FILE.part; the same command goes on with
    /// one that broke off.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What is to be exported: kept beside a file that is not whole.
#[derive(Debug, Clone, PartialEq, Eq, Args, Serialize, Deserialize)]
pub(super) struct Asked {
    /// In which form.
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    format: Format,
    /// Devices, as globs; may be given several times [default: all].
    #[arg(long = "device", value_name = "GLOB")]
    devices: Vec<String>,
    /// Metrics, as globs; may be given several times [default: all].
    #[arg(long = "metric", value_name = "GLOB")]
    metrics: Vec<String>,
    /// Only series with this tag; may be given several times.
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
    /// First instant: RFC 3339, nanoseconds since 1970, or relative to now: -15m, -1d [default: the first sample].
    #[arg(long, allow_hyphen_values = true)]
    from: Option<String>,
    /// The instant after the last.
    #[arg(long, default_value = "now", allow_hyphen_values = true)]
    to: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// A JSON object per sample.
    Ndjson,
    /// RFC 4180, with a header.
    Csv,
    /// Line protocol.
    Lines,
    /// Apache Parquet; begun anew when it breaks off.
    Parquet,
}

/// The range that the daemon told at the beginning: the same however often is gone on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range {
    from: i64,
    to: i64,
}

pub(super) fn export(export: &Export) -> ExitCode {
    let daemon = match export.whom.daemon() {
        Ok(daemon) => daemon,
        Err(code) => return code,
    };
    if let Some(tag) = export.asked.tags.iter().find(|tag| !tag.contains('=')) {
        return fail(EXIT_USAGE, format!("--tag is KEY=VALUE, not {tag}"));
    }
    let output = match Output::open(export.output.as_deref(), &export.asked) {
        Ok(output) => output,
        Err(code) => return code,
    };
    wait(run(&daemon, &export.asked, output)).unwrap_or_else(|code| code)
}

/// How one request ended.
enum End {
    Whole,
    /// It may go on better another time, after this.
    Broken {
        why: String,
        after: Option<Duration>,
    },
    /// It will not.
    Refused(ExitCode),
}

async fn run(daemon: &Daemon, asked: &Asked, mut output: Output) -> ExitCode {
    let bar = bar();
    bar.inc(output.bytes());
    let (mut tries, mut pause) = (0, WAIT_FIRST);
    loop {
        let before = output.bytes();
        match attempt(daemon, asked, &mut output, &bar).await {
            Ok(End::Whole) => break,
            Ok(End::Refused(code)) => return code,
            Ok(End::Broken { why, after }) => {
                if let Err(code) = output.broken(asked.format) {
                    return code;
                }
                if output.bytes() > before {
                    (tries, pause) = (0, WAIT_FIRST);
                }
                tries += 1;
                if tries == TRIES {
                    let kept = output.kept();
                    return fail(EXIT_UNAVAILABLE, format!("{}{kept}", printable(&why)));
                }
                let pause_now = after.unwrap_or(pause).min(WAIT_MAX.max(pause));
                bar.suspend(|| {
                    eprintln!("tidegate: {}; going on in {pause_now:?}", printable(&why));
                });
                sleep(pause_now).await;
                pause = (pause * 2).min(WAIT_MAX);
            }
            Err(code) => return code,
        }
    }
    bar.finish_and_clear();
    match output.finish() {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

fn bar() -> ProgressBar {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(None, target);
    let style = ProgressStyle::with_template("{spinner} {bytes} {bytes_per_sec} {elapsed}");
    style.map(|style| bar.set_style(style)).unwrap_or_default();
    bar
}

/// One request, and what comes of it into the output.
async fn attempt(
    daemon: &Daemon,
    asked: &Asked,
    output: &mut Output,
    bar: &ProgressBar,
) -> Result<End, ExitCode> {
    let path = path(asked, output.range(), output.after(asked.format)?.as_deref());
    let opening = timeout(SILENCE_MAX, daemon.open(Method::GET, &path, None)).await;
    let mut stream = match opening {
        Ok(Ok(stream)) => stream,
        Ok(Err(error @ (Unanswered::Denied { .. } | Unanswered::Forbidden { .. }))) => {
            return Ok(End::Refused(error.end()));
        }
        Ok(Err(error)) => return Ok(End::Broken { why: error.to_string(), after: None }),
        Err(_) => return Ok(End::Broken { why: format!("{daemon} does not answer"), after: None }),
    };
    if stream.response.status() != 200 {
        return Ok(refused(daemon, &mut stream).await);
    }
    let header = |name: &str| {
        let value = stream.response.headers().get(name)?;
        value.to_str().ok()?.parse().ok()
    };
    let Some((from, to)) = header("tidegate-from").zip(header("tidegate-to")) else {
        let why = format!("{daemon} answers, but not as a Tidegate daemon of this version does");
        return Ok(End::Refused(fail(EXIT_UNAVAILABLE, why)));
    };
    output.begin(Range { from, to }, asked)?;
    loop {
        match timeout(SILENCE_MAX, stream.piece()).await {
            Ok(Ok(Some(bytes))) => {
                bar.inc(bytes.len() as u64);
                output.push(&bytes, asked.format)?;
            }
            Ok(Ok(None)) => return Ok(End::Whole),
            Ok(Err(error)) => {
                let why = format!("the answer of {daemon} broke off: {error}");
                return Ok(End::Broken { why, after: None });
            }
            Err(_) => {
                let why = format!("{daemon} says nothing more");
                return Ok(End::Broken { why, after: None });
            }
        }
    }
}

/// What a status that is not 200 means.
async fn refused(daemon: &Daemon, stream: &mut Stream) -> End {
    let after = stream.response.headers().get("retry-after");
    let after = after.and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
    let answer = timeout(SILENCE_MAX, stream.problem()).await;
    let (status, detail) = match answer {
        Ok(answer) => (answer.status, answer.detail().unwrap_or_default()),
        Err(_) => (0, "no answer".to_owned()),
    };
    let why = format!("{daemon} answers {status}: {}", printable(&detail));
    match status {
        429 | 500..=599 | 0 => End::Broken { why, after },
        400 => End::Refused(fail(EXIT_USAGE, printable(&detail))),
        401 | 403 => End::Refused(fail(super::EXIT_DENIED, why)),
        _ => End::Refused(fail(EXIT_UNAVAILABLE, why)),
    }
}

fn path(asked: &Asked, range: Option<Range>, after: Option<&str>) -> String {
    let format = match asked.format {
        Format::Ndjson => "ndjson",
        Format::Csv => "csv",
        Format::Lines => "lines",
        Format::Parquet => "parquet",
    };
    let mut path = format!("/api/v1/export?format={format}");
    let mut add = |key: &str, value: &str| {
        let quoted = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        path += &format!("&{}={}", quoted(key), quoted(value));
    };
    asked.devices.iter().for_each(|glob| add("device", glob));
    asked.metrics.iter().for_each(|glob| add("metric", glob));
    for (key, value) in asked.tags.iter().filter_map(|tag| tag.split_once('=')) {
        add(&format!("tag.{key}"), value);
    }
    match range {
        Some(Range { from, to }) => {
            add("from", &from.to_string());
            add("to", &to.to_string());
        }
        None => {
            asked.from.iter().for_each(|from| add("from", from));
            add("to", &asked.to);
        }
    }
    after.iter().for_each(|after| add("after", after));
    path
}
