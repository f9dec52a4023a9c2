//! `tidegate quarantine`: messages of brokers that no route understood; on their file, whether or not
//! the daemon runs.

use super::table::{cut, nanos, seconds, write_table};
use super::{Settings, fail, printable};
use crate::intake::mqtt::book::{
    Book, BookError, Filter, Marked, Message, Summary, Topic, Totals, Which,
};
use crate::intake::mqtt::payload;
use crate::routes::suggest;
use bytesize::ByteSize;
use clap::{Args, Subcommand};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

/// What to do with messages that no route understood.
#[derive(Debug, Args)]
pub(super) struct Quarantine {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the messages, the oldest first.
    Ls {
        #[command(flatten)]
        of: Of,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// List the topics, those seen last first: how many messages came, and why they were not
    /// understood.
    Topics {
        #[command(flatten)]
        of: Of,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Print for each a route that would take its messages, for the configuration.
        #[arg(long)]
        suggest: bool,
    },
    /// Print one message: why it was not understood, what is in it, and a route that would take it.
    Show {
        /// Its number.
        id: u64,
        /// Only its payload, byte for byte.
        #[arg(long)]
        raw: bool,
    },
    /// Have messages tried again, after a route was mended.
    Replay(Meant),
    /// Delete messages.
    Drop(Meant),
}

/// Which messages.
#[derive(Debug, Args)]
struct Of {
    /// Only on topics that fit this filter; + and # as in MQTT.
    #[arg(long, value_name = "FILTER")]
    topic: Option<String>,
    /// Only of the [[intake.mqtt]] of this name.
    #[arg(long, value_name = "NAME")]
    bridge: Option<String>,
}

impl Of {
    fn filter(&self) -> Filter {
        Filter { bridge: self.bridge.clone(), topic: self.topic.clone() }
    }
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Meant {
    /// Their numbers.
    #[arg(conflicts_with_all = ["topic", "bridge", "all"])]
    ids: Vec<u64>,
    /// All on topics that fit this filter; + and # as in MQTT.
    #[arg(long, value_name = "FILTER")]
    topic: Option<String>,
    /// All of the [[intake.mqtt]] of this name.
    #[arg(long, value_name = "NAME")]
    bridge: Option<String>,
    /// All of all bridges.
    #[arg(long, conflicts_with_all = ["topic", "bridge"])]
    all: bool,
}

impl Meant {
    fn which(&self) -> Which {
        match self.ids.is_empty() {
            true => {
                Which::Fitting(Filter { bridge: self.bridge.clone(), topic: self.topic.clone() })
            }
            false => Which::Ids(self.ids.clone()),
        }
    }
}

/// Bytes of a payload that `show` prints as such; `--raw` has all.
const DUMP_BYTES_MAX: usize = 1024;

pub(super) fn quarantine(command: &Quarantine) -> ExitCode {
    let (config, _) = match command.settings.load() {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let path = config.state_dir.join("mqtt.db");
    let done = match &command.action {
        Action::Ls { of, limit } => look(&path, |book| ls(book, &of.filter(), *limit)),
        Action::Topics { of, limit, suggest } => {
            look(&path, |book| topics(book, &of.filter(), *limit, *suggest))
        }
        Action::Show { id, raw } => look(&path, |book| show(book, *id, *raw)),
        Action::Replay(meant) => change(&path, |book| replay(book, &meant.which())),
        Action::Drop(meant) => change(&path, |book| drop_messages(book, &meant.which())),
    };
    match done {
        Ok(code) => code,
        // Whoever reads the output has seen enough.
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => fail(1, error),
        Err(Failure::Book(error)) => fail(1, format!("{}: {error}", path.display())),
    }
}

enum Failure {
    Book(BookError),
    Output(std::io::Error),
}

impl From<BookError> for Failure {
    fn from(error: BookError) -> Failure {
        Failure::Book(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::Output(error)
    }
}

type Done = Result<ExitCode, Failure>;

fn look(path: &Path, then: impl FnOnce(&Book) -> Done) -> Done {
    match Book::read_only(path)? {
        Some(book) => then(&book),
        None => none(),
    }
}

fn change(path: &Path, then: impl FnOnce(&mut Book) -> Done) -> Done {
    match Book::existing(path)? {
        Some(mut book) => then(&mut book),
        None => none(),
    }
}

/// On stderr, because stdout may be a payload.
fn none() -> Done {
    eprintln!("there are no messages in quarantine");
    Ok(ExitCode::SUCCESS)
}

fn ls(book: &Book, filter: &Filter, limit: usize) -> Done {
    let messages = book.messages(filter, 0, limit.saturating_add(1))?;
    let totals = book.totals(filter.bridge.as_deref())?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    if messages.is_empty() {
        writeln!(out, "there are no messages in quarantine")?;
    } else {
        let head = ["id", "received at", "bridge", "topic", "bytes", "payload", "reason"];
        let rows = messages.iter().take(limit).map(cells);
        let head = std::iter::once(head.map(str::to_owned).to_vec());
        write_table(&mut out, &head.chain(rows).collect::<Vec<_>>())?;
    }
    if messages.len() > limit {
        writeln!(out, "the oldest {limit} (--limit)")?;
    }
    writeln!(out, "{}", closing(&totals))?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn cells(message: &Summary) -> Vec<String> {
    let mark = if message.replaying { " (to be tried again)" } else { "" };
    vec![
        message.id.to_string(),
        seconds(message.received_at),
        message.bridge.clone(),
        printable(&message.topic),
        message.bytes.to_string(),
        excerpt(&message.excerpt),
        cut(&message.reason) + mark,
    ]
}

/// The beginning of a payload in one cell.
fn excerpt(payload: &[u8]) -> String {
    const CHARS: usize = 32;
    let shown = match payload::beginning(payload) {
        Some(text) => printable(text),
        None => payload::hex(payload),
    };
    match shown.char_indices().nth(CHARS) {
        Some((at, _)) => format!("{}…", &shown[..at]),
        None => shown,
    }
}

fn closing(totals: &Totals) -> String {
    let Totals { came, held, bytes, missed, shed, dropped, understood, .. } = totals;
    format!(
        "{held} messages, {}; of {came} that came, not kept {missed}, shed {shed}, dropped {dropped}, \
         understood later {understood}",
        ByteSize(*bytes)
    )
}

fn topics(book: &Book, filter: &Filter, limit: usize, suggest: bool) -> Done {
    let topics = book.topics(filter, limit.saturating_add(1))?;
    let totals = book.totals(filter.bridge.as_deref())?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let shown = &topics[..topics.len().min(limit)];
    if topics.is_empty() {
        writeln!(out, "there is no topic with messages that no route understands")?;
    } else if suggest {
        for topic in shown {
            write_suggestion(&mut out, book, topic)?;
        }
    } else {
        let head = ["last seen", "bridge", "topic", "messages", "kept", "newest", "reason"];
        let head = std::iter::once(head.map(str::to_owned).to_vec());
        let rows = shown.iter().map(|topic| {
            vec![
                seconds(topic.last_seen),
                topic.bridge.clone(),
                printable(&topic.topic),
                topic.count.to_string(),
                topic.held.to_string(),
                topic.example.map_or_else(|| "-".to_owned(), |id| id.to_string()),
                cut(&topic.reason),
            ]
        });
        write_table(&mut out, &head.chain(rows).collect::<Vec<_>>())?;
    }
    if topics.len() > limit {
        writeln!(out, "{}the {limit} that were seen last (--limit)", comment(suggest))?;
    }
    writeln!(out, "{}{}", comment(suggest), closing(&totals))?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Suggestions may go into a file as they are.
fn comment(suggest: bool) -> &'static str {
    if suggest { "# " } else { "" }
}

fn write_suggestion(out: &mut impl Write, book: &Book, topic: &Topic) -> Result<(), Failure> {
    let count = topic.count;
    writeln!(out, "# {}: {count} messages on {}", topic.bridge, printable(&topic.topic))?;
    match topic.example.map(|id| book.message(id)) {
        Some(Ok(Some(Message { payload, .. }))) => {
            writeln!(out, "{}\n", suggestion(&topic.topic, &payload))?;
        }
        Some(Err(error)) if !matches!(error, BookError::Damaged { .. }) => {
            return Err(error.into());
        }
        _ => writeln!(out, "# none of them is kept\n")?,
    }
    Ok(())
}

fn suggestion(topic: &str, payload: &[u8]) -> String {
    let block = suggest(topic, payload);
    block.trim_end().lines().map(printable).collect::<Vec<_>>().join("\n")
}

fn show(book: &Book, id: u64, raw: bool) -> Done {
    let Some(Message { summary, payload: bytes }) = book.message(id)? else {
        return Ok(fail(1, format!("there is no message {id} in quarantine")));
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    if raw {
        out.write_all(&bytes)?;
    } else {
        write_head(&mut out, &summary)?;
        write_payload(&mut out, &summary, &bytes)?;
        writeln!(out, "\n{}", suggestion(&summary.topic, &bytes))?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn write_head(out: &mut impl Write, summary: &Summary) -> std::io::Result<()> {
    let retained = if summary.retained { ", retained" } else { "" };
    writeln!(out, "message {} on {}", summary.id, printable(&summary.topic))?;
    writeln!(
        out,
        "received {} by {}, QoS {}{retained}",
        nanos(summary.received_at.0),
        summary.bridge,
        summary.qos
    )?;
    if let Some(content_type) = &summary.content_type {
        writeln!(out, "content type {}", printable(content_type))?;
    }
    for (key, value) in &summary.properties {
        writeln!(out, "{}: {}", printable(key), printable(value))?;
    }
    if summary.attempts > 1 {
        writeln!(out, "tried {} times", summary.attempts)?;
    }
    if summary.replaying {
        writeln!(out, "to be tried again")?;
    }
    writeln!(out, "\n{} ({})", printable(&summary.reason), printable(&summary.code))
}

fn write_payload(out: &mut impl Write, summary: &Summary, bytes: &[u8]) -> std::io::Result<()> {
    match summary.is_whole() {
        true => writeln!(out, "\n{} bytes", summary.bytes)?,
        false => writeln!(
            out,
            "\n{} bytes, of which the first {} are kept: it can't be tried again",
            summary.bytes, summary.kept
        )?,
    }
    if let Some(json) = payload::json(bytes) {
        return writeln!(out, "\n{json}");
    }
    if let Some(text) = payload::text(bytes) {
        return writeln!(out, "\n{text}");
    }
    if let Some(fields) = payload::protobuf(bytes, !summary.is_whole()) {
        writeln!(out, "\nas protobuf:\n{}", fields.trim_end())?;
    }
    let shown = &bytes[..bytes.len().min(DUMP_BYTES_MAX)];
    write!(out, "\n{}", payload::dump(shown))?;
    if shown.len() < bytes.len() {
        writeln!(out, "… (--raw)")?;
    }
    Ok(())
}

fn replay(book: &mut Book, which: &Which) -> Done {
    let Marked { messages, cut } = book.replay(which)?;
    println!("{messages} messages to be tried again, by the daemon when it runs");
    if cut > 0 {
        println!("{cut} messages can't be: only the beginning of their payload is kept");
    }
    Ok(missing(which, messages + cut))
}

fn drop_messages(book: &mut Book, which: &Which) -> Done {
    let found = book.drop_messages(which)?;
    println!("{found} messages dropped");
    Ok(missing(which, found))
}

/// That some were not found is an error only if they were named.
fn missing(which: &Which, found: u64) -> ExitCode {
    let Which::Ids(ids) = which else { return ExitCode::SUCCESS };
    let mut ids = ids.clone();
    ids.sort_unstable();
    ids.dedup();
    match ids.len() as u64 - found {
        0 => ExitCode::SUCCESS,
        missing => fail(1, format!("{missing} of these numbers are of no message")),
    }
}
