//! `tidegate dead-letters`: readings that a sink's store refused for good; on their file, whether or
//! not the daemon runs.

use super::table::{cut, nanos, seconds, write_table};
use super::{Settings, fail, printable};
use crate::decode::readings;
use crate::model::{Table, Values};
use crate::sinks::book::{Book, BookError, Filter, Letter, Summary, Totals, Which};
use bytesize::ByteSize;
use clap::{Args, Subcommand};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

/// What to do with dead letters.
#[derive(Debug, Args)]
pub(super) struct DeadLetters {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them, the oldest first.
    Ls {
        /// Only this sink's.
        #[arg(long)]
        sink: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Print one with the server's words and its readings.
    Show {
        /// Its number.
        id: u64,
    },
    /// Print the readings as NDJSON, which POST /api/v1/ingest takes.
    Export {
        /// Only this sink's.
        #[arg(long)]
        sink: Option<String>,
    },
    /// Have them sent again. What was stored before does no harm: same series and time.
    Replay(Meant),
    /// Delete them.
    Drop(Meant),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Meant {
    /// Their numbers.
    ids: Vec<u64>,
    /// All of this sink.
    #[arg(long)]
    sink: Option<String>,
    /// All of all sinks.
    #[arg(long)]
    all: bool,
}

impl Meant {
    fn which(&self) -> Which {
        match &self.sink {
            _ if self.all => Which::All,
            Some(sink) => Which::Sink(sink.clone()),
            None => Which::Ids(self.ids.clone()),
        }
    }
}

/// Letters that are read at once for an export.
const PAGE: usize = 500;

pub(super) fn dead_letters(command: &DeadLetters) -> ExitCode {
    let (config, _) = match command.settings.load() {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let path = config.state_dir.join("sinks.db");
    let done = match &command.action {
        Action::Replay(which) => change(&path, |book| replay(book, &which.which())),
        Action::Drop(which) => change(&path, |book| drop_letters(book, &which.which())),
        Action::Ls { sink, limit } => look(&path, |book| ls(book, sink.clone(), *limit)),
        Action::Show { id } => look(&path, |book| show(book, *id)),
        Action::Export { sink } => look(&path, |book| export(book, sink.clone())),
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

/// On stderr, because stdout may be an export.
fn none() -> Done {
    eprintln!("there are no dead letters");
    Ok(ExitCode::SUCCESS)
}

fn ls(book: &Book, sink: Option<String>, limit: usize) -> Done {
    let totals = book.totals(sink.as_deref())?;
    let letters = book.letters(&Filter { sink }, 0, limit)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    if totals.letters == 0 {
        writeln!(out, "there are no dead letters")?;
    } else {
        let head = ["id", "refused at", "sink", "device", "metrics", "samples", "reason"];
        let rows = std::iter::once(head.map(str::to_owned).to_vec());
        write_table(&mut out, &rows.chain(letters.iter().map(cells)).collect::<Vec<_>>())?;
    }
    if totals.letters > letters.len() as u64 {
        writeln!(out, "the oldest {} of {} (--limit)", letters.len(), totals.letters)?;
    }
    writeln!(out, "{}", closing(&totals))?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn cells(letter: &Summary) -> Vec<String> {
    let mark = if letter.replaying { " (to be sent again)" } else { "" };
    vec![
        letter.id.to_string(),
        seconds(letter.refused_at),
        letter.sink.clone(),
        printable(&letter.device),
        cut(&letter.metrics.join(", ")),
        letter.samples.to_string(),
        cut(&letter.reason) + mark,
    ]
}

fn closing(totals: &Totals) -> String {
    let Totals { letters, samples, bytes, shed, dropped, replayed } = totals;
    format!(
        "{letters} letters with {samples} samples, {}; samples so far shed {shed}, dropped \
         {dropped}, replayed {replayed}",
        ByteSize(*bytes)
    )
}

fn show(book: &Book, id: u64) -> Done {
    let Some(Letter { summary, batch }) = book.letter(id)? else {
        return Ok(fail(1, format!("there is no dead letter {id}")));
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let refused = match summary.attempts {
        1 => "refused".to_owned(),
        attempts => format!("refused {attempts} times, last"),
    };
    writeln!(out, "dead letter {id} of {}: {} samples", summary.sink, summary.samples)?;
    writeln!(
        out,
        "received {} from {} ({})",
        nanos(summary.received_at.0),
        printable(&summary.client),
        printable(&summary.protocol)
    )?;
    writeln!(out, "{refused} {}", nanos(summary.refused_at.0))?;
    if summary.replaying {
        writeln!(out, "to be sent again")?;
    }
    writeln!(out, "\n{}\n", printable(&summary.reason))?;
    for table in batch.tables() {
        let tags: String = table.tags().map(|(key, value)| format!(" {key}={value}")).collect();
        writeln!(out, "{}{tags}", table.device())?;
        write_table(&mut out, &rows(table))?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The readings of a table as cells, names and units in the first row.
fn rows(table: Table<'_>) -> Vec<Vec<String>> {
    let head = table.columns().map(|column| match column.unit() {
        "" => column.metric().to_owned(),
        unit => format!("{} ({unit})", column.metric()),
    });
    let mut rows = vec![std::iter::once("time".to_owned()).chain(head).collect::<Vec<_>>()];
    for (row, &time) in table.times().iter().enumerate() {
        let values = table.columns().map(|column| match column.values() {
            _ if !column.is_present(row) => "-".to_owned(),
            // As everywhere: with a fraction or an exponent it is a float.
            Values::Floats(values) => format!("{:?}", values[row]),
            Values::Ints(values) => values[row].to_string(),
            Values::Bools(values) => values[row].to_string(),
            Values::Texts(texts) => format!("\"{}\"", printable(texts.get(row))),
        });
        rows.push(std::iter::once(nanos(time)).chain(values).collect());
    }
    rows
}

fn export(book: &Book, sink: Option<String>) -> Done {
    let filter = Filter { sink };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let (mut after, mut damaged) = (0, 0_u64);
    loop {
        let page = book.letters(&filter, after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for summary in &page {
            match book.letter(summary.id) {
                Ok(Some(letter)) => write_readings(&mut out, &letter)?,
                // Replayed or dropped meanwhile.
                Ok(None) => {}
                Err(error @ BookError::Damaged { .. }) => {
                    eprintln!("tidegate: {error}");
                    damaged += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    out.flush()?;
    if damaged > 0 {
        return Ok(fail(1, format!("{damaged} letters are left out")));
    }
    Ok(ExitCode::SUCCESS)
}

fn write_readings(out: &mut impl Write, letter: &Letter) -> std::io::Result<()> {
    for reading in readings(&letter.batch) {
        serde_json::to_writer(&mut *out, &reading)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn replay(book: &mut Book, which: &Which) -> Done {
    let found = book.replay(which)?;
    Ok(told(which, found, "to be sent again, by the daemon when it runs"))
}

fn drop_letters(book: &mut Book, which: &Which) -> Done {
    let found = book.drop_letters(which)?;
    Ok(told(which, found, "dropped"))
}

/// Says how many letters were found; that some were not is an error only if they were named.
fn told(which: &Which, found: u64, what: &str) -> ExitCode {
    println!("{found} letters {what}");
    match which {
        Which::Ids(ids) => {
            let mut ids = ids.clone();
            ids.sort_unstable();
            ids.dedup();
            match ids.len() as u64 - found {
                0 => ExitCode::SUCCESS,
                missing => fail(1, format!("{missing} of these numbers are of no letter")),
            }
        }
        Which::All | Which::Sink(_) => ExitCode::SUCCESS,
    }
}
