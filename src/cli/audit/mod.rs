//! `tidegate audit`: log, history and sinks, counted anew from disk and compared.

mod clients;

use super::{Settings, fail, printable};
use crate::admit::{Admission, SeriesLimits};
use crate::config::Config;
use crate::daemon::fold;
use crate::gate::ClientLedger;
use crate::intake::{LedgerLine, ledger_lines};
use crate::model::Position;
use crate::sinks::book::{Book, Counts, Recounted, Standing, Totals};
use crate::sinks::history::{NAME as HISTORY, read_only};
use crate::spool::{self, Cause, Inspection, Kind, Protocol, Record};
use clap::Args;
use clients::SinkClients;
use std::process::ExitCode;

/// Flags of the audit.
#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(flatten)]
    settings: Settings,
    /// Count what became of each client's samples in each sink, too. Duplicates and refusals since the
    /// last clean stop are known only up to the newest segment's beginning.
    #[arg(long)]
    clients: bool,
}

/// Folds the log as a start would, reads what history and sinks say themselves, and compares.
pub(super) fn audit(audit: &Audit) -> ExitCode {
    let (config, _) = match audit.settings.load() {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    match compare(&config, audit.clients) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(1, error),
    }
}

/// Whether everything balances.
fn compare(config: &Config, clients: bool) -> Result<bool, String> {
    let history = config.state_dir.join("history.db");
    let read = read_only(&history).map_err(|error| format!("{}: {error}", history.display()))?;
    let counts = read.counts();
    // The position of the outcomes: a daemon that runs may have gone on since the file was opened.
    let (durable, outcomes) =
        read.outcomes().map_err(|error| format!("{}: {error}", history.display()))?;
    let mut by_client = SinkClients::new(format!("sink {HISTORY}"), &outcomes);
    let file = config.state_dir.join("sinks.db");
    let recounted = Book::read_only(&file)
        .and_then(|book| book.map_or(Ok(Vec::new()), |book| book.recount()))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let dir = config.state_dir.join("spool");
    let mut log = Log::of(&dir)?;
    let mut sinks: Vec<_> = recounted.into_iter().map(|it| SinkAudit::new(it, config)).collect();

    let limits = SeriesLimits { new_per_minute: 0, max: 0, seed: 0 };
    let mut admission = Admission::new(config.limits.sessions_max, limits);
    let (mut spooled, mut unread, mut folded) = (0, 0, Position(0));
    let each = &mut |position: Position, record: &Record<'_>| {
        fold(&mut admission, record);
        if record.kind == Kind::Checkpoint {
            folded = position;
            return;
        }
        let samples = u64::from(record.samples);
        log.add(position, samples);
        sinks.iter_mut().for_each(|sink| sink.add(position, record));
        if position >= durable {
            spooled += samples;
            unread += 1;
            by_client.add_to_do(record.client, record.protocol, samples);
        }
    };
    let inspection = spool::scan(&dir, each).map_err(|error| error.to_string())?;
    log.add_damage(&inspection);
    sinks.iter_mut().for_each(|sink| sink.add_damage(&inspection));
    // As a start counts it: no later checkpoint says whose it was.
    admission.tally_mut().of(Protocol::Ws.byte()).samples += damaged(&inspection, folded);

    // Given up while the history stood still, and not written down there yet.
    let unseen = if durable < inspection.shed.to {
        inspection.shed.samples.saturating_sub(counts.stored + counts.skipped + counts.shed)
    } else {
        0
    };
    let unreadable = damaged(&inspection, durable);
    by_client.add_unknown(unseen + unreadable);
    let total = admission.tally().total();
    println!(
        "batches: accepted {}, duplicates {}, refused {}",
        total.batches, total.duplicates, total.refused
    );
    let lost = outcomes.iter().map(|line| line.outcome.lost).sum::<u64>() + unreadable;
    let shed = counts.shed + unseen;
    println!(
        "samples: accepted {}, stored {}, spooled {spooled} (in {unread} batches), live only {}, \
         shed {shed}, damaged {lost}",
        total.samples, counts.stored, counts.skipped
    );
    println!("log: ends at {}; history: durable up to {durable}", inspection.next);
    let known = [counts.stored, spooled, counts.skipped, shed, lost].map(i128::from);
    let mut balanced = tell_balance(i128::from(total.samples) - known.iter().sum::<i128>());
    for sink in &sinks {
        balanced &= sink.tell(&log, inspection.spool);
    }
    let known = |name: &str| sinks.iter().any(|sink| sink.told.name == name);
    for sink in config.sinks.influx.iter().filter(|sink| !known(&sink.name)) {
        println!("sink {}: has not begun", sink.name);
    }
    if clients {
        let clients = admission.clients().cloned().collect();
        let lines = ledger_lines(ClientLedger { clients, tally: admission.tally().clone() });
        print_clients(&lines);
        balanced &= by_client.tell(&lines);
        for mut sink in sinks.into_iter().filter(|sink| sink.is_of(inspection.spool)) {
            sink.clients.gone = sink.first_undone() < Some(log.first);
            balanced &= sink.clients.tell(&lines);
        }
    }
    Ok(balanced)
}

/// Samples of batches from this position on that can't be read any more.
fn damaged(inspection: &Inspection, from: Position) -> u64 {
    let extents = inspection.damage.iter().filter(|extent| extent.cause != Cause::Torn);
    extents.filter(|extent| extent.positions.start >= from).map(|extent| extent.samples).sum()
}

/// Whether the history has all that it should.
fn tell_balance(imbalance: i128) -> bool {
    let excess = imbalance.unsigned_abs();
    match imbalance {
        0 => println!("balanced"),
        1.. => println!("NOT balanced: {excess} samples were accepted and are nowhere"),
        _ => println!(
            "NOT balanced: {excess} samples are stored that the log knows nothing of: its end was \
             lost after they were (a power cut with spool.durability = \"os\", or a deleted spool)"
        ),
    }
    imbalance == 0
}

fn print_clients(lines: &[LedgerLine]) {
    let head = ["samples", "batches", "duplicates", "refused"];
    println!("{:>16} {:>12} {:>12} {:>12}  protocol client", head[0], head[1], head[2], head[3]);
    for line in lines {
        let LedgerLine { client, protocol, batches, samples, duplicates, refused } = line;
        let client = client.as_deref().map_or("(others)".to_owned(), printable);
        println!(
            "{samples:>16} {batches:>12} {duplicates:>12} {refused:>12}  {protocol:<8} {client}"
        );
    }
}

/// The log as a whole: how many samples were ever in it, and from where on it is still there.
struct Log {
    /// The newest segment that tells what was before it.
    newest: Position,
    samples: u64,
    first: Position,
}

impl Log {
    fn of(dir: &std::path::Path) -> Result<Log, String> {
        let segments = spool::list(dir).map_err(|error| error.to_string())?;
        let newest = segments.iter().rev().find_map(|it| Some((it.first, it.samples_before?)));
        let (newest, samples) = newest.unwrap_or((Position(0), 0));
        let first = segments.first().map_or(Position(0), |segment| segment.first);
        Ok(Log { newest, samples, first })
    }

    fn add(&mut self, position: Position, samples: u64) {
        if position >= self.newest {
            self.samples += samples;
        }
    }

    fn add_damage(&mut self, inspection: &Inspection) {
        for extent in inspection.damage.iter().filter(|extent| extent.cause != Cause::Torn) {
            self.add(extent.positions.start, extent.samples);
        }
    }
}

/// A sink on its way through the audit.
struct SinkAudit {
    told: Recounted,
    configured: bool,
    /// Samples and batches of the log that it has not done.
    to_do: u64,
    batches: u64,
    clients: SinkClients,
}

impl SinkAudit {
    fn new(told: Recounted, config: &Config) -> SinkAudit {
        let configured = config.sinks.influx.iter().any(|sink| sink.name == told.name);
        let clients = SinkClients::new(format!("sink {}", told.name), &told.outcomes);
        SinkAudit { told, configured, to_do: 0, batches: 0, clients }
    }

    fn add(&mut self, position: Position, record: &Record<'_>) {
        if self.has_to_do(position) {
            let samples = u64::from(record.samples);
            self.to_do += samples;
            self.batches += 1;
            self.clients.add_to_do(record.client, record.protocol, samples);
        }
    }

    fn has_to_do(&self, position: Position) -> bool {
        let standing = self.told.standing.as_ref();
        standing.is_some_and(|standing| !standing.progress.is_done(position))
    }

    fn first_undone(&self) -> Option<Position> {
        self.told.standing.as_ref().map(|standing| standing.progress.first_undone())
    }

    /// Whether it has begun with this spool.
    fn is_of(&self, spool: Option<u64>) -> bool {
        self.told.standing.as_ref().is_some_and(|standing| Some(standing.spool_id) == spool)
    }

    /// What can't be read any more it will count as lost.
    fn add_damage(&mut self, inspection: &Inspection) {
        for extent in inspection.damage.iter().filter(|extent| extent.cause != Cause::Torn) {
            if self.has_to_do(extent.positions.start) {
                self.to_do += extent.samples;
                self.batches += 1;
                self.clients.add_unknown(extent.samples);
            }
        }
    }

    /// Prints a line for the log and one for the letters; whether both balance.
    fn tell(&self, log: &Log, spool: Option<u64>) -> bool {
        let name = &self.told.name;
        let name = match self.configured {
            true => format!("sink {name}"),
            false => format!("sink {name} (not in the configuration)"),
        };
        let standing = self.told.standing.as_ref();
        let balanced = match standing {
            Some(standing) if Some(standing.spool_id) == spool => {
                self.tell_log(&name, standing, log)
            }
            Some(_) => {
                println!("{name}: was with another spool; with this one it has not begun");
                true
            }
            None => {
                println!("{name}: has not begun");
                true
            }
        };
        let ours = standing.filter(|standing| Some(standing.spool_id) == spool);
        let letters = self.tell_letters(&name, ours.map_or(0, |it| it.counts.dead_lettered));
        balanced && letters
    }

    fn tell_log(&self, name: &str, standing: &Standing, log: &Log) -> bool {
        let Counts { before, written, dead_lettered, skipped, lost, late, open } = standing.counts;
        let (to_do, batches) = (self.to_do, self.batches);
        let known = i128::from(standing.counts.accounted()) + i128::from(to_do);
        let imbalance = i128::from(log.samples) - known;
        let excess = imbalance.unsigned_abs();
        // While it was not in the configuration nothing was kept for it.
        let gone = log.first > standing.keep_from();
        let verdict = match imbalance {
            0 => "balanced".to_owned(),
            1.. if gone => {
                format!("balanced, if the {excess} that the spool deleted before it came are lost")
            }
            1.. => format!("NOT balanced: {excess} samples were accepted and are nowhere"),
            _ => format!("NOT balanced: {excess} samples more than the log ever had"),
        };
        let windows = match standing.windows {
            Some(_) => format!("late {late} + in open windows {open} + "),
            None => String::new(),
        };
        println!(
            "{name}: log {} = before {before} + written {written} + dead-lettered {dead_lettered} + \
             skipped {skipped} + lost {lost} + {windows}to do {to_do} (in {batches} batches): {verdict}",
            log.samples
        );
        imbalance == 0 || (imbalance > 0 && gone)
    }

    fn tell_letters(&self, name: &str, dead_lettered: u64) -> bool {
        let Totals { letters, samples, shed, dropped, replayed, .. } = self.told.totals;
        // A file that somebody changed may hold any numbers.
        let ever = [samples, shed, dropped, replayed].map(u128::from).iter().sum::<u128>();
        let dead_lettered = u128::from(dead_lettered);
        let mut wrong = Vec::new();
        if (letters, samples) != (self.told.letters, self.told.samples) {
            wrong.push(format!(
                "{} letters with {} samples are there",
                self.told.letters, self.told.samples
            ));
        }
        let verdict = match ever.checked_sub(dead_lettered) {
            None => {
                wrong.push(format!("{} samples are nowhere", dead_lettered - ever));
                String::new()
            }
            Some(0) => "balanced".to_owned(),
            Some(earlier) => format!("balanced, {earlier} of them with an earlier spool"),
        };
        let verdict = match wrong.is_empty() {
            true => verdict,
            false => format!("NOT balanced: {}", wrong.join("; ")),
        };
        println!(
            "{name}: dead letters {ever} = held {samples} (in {letters} letters) + shed {shed} + \
             dropped {dropped} + replayed {replayed}: {verdict}"
        );
        wrong.is_empty()
    }
}
