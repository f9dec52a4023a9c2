//! `tidegate spool` and `tidegate audit`: what is on disk, counted anew.

use super::{Settings, fail};
use crate::admit::{Admission, SeriesLimits};
use crate::daemon::fold;
use crate::model::{Position, Timestamp};
use crate::sinks::history::read_only;
use crate::spool::{self, Inspection, Kind, SegmentSummary};
use bytesize::ByteSize;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// What to do with the spool.
#[derive(Debug, Args)]
pub(super) struct SpoolCommand {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the segments.
    Ls,
    /// Check every checksum; exit code 1 if anything is damaged.
    Verify,
}

/// Flags of the audit.
#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn spool(command: &SpoolCommand) -> ExitCode {
    let (config, _) = match command.settings.load() {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let dir = config.state_dir.join("spool");
    let done = match command.action {
        Action::Ls => spool::list(&dir).map(|segments| ls(&segments)),
        Action::Verify => spool::verify(&dir).map(|inspection| verify(&inspection)),
    };
    done.unwrap_or_else(|error| fail(1, error))
}

fn ls(segments: &[SegmentSummary]) -> ExitCode {
    println!("{:>12} {:>12} {:>16}  begun", "first", "bytes", "samples before");
    for segment in segments {
        let before = segment.samples_before.map_or_else(|| "?".to_owned(), |it| it.to_string());
        let begun = segment.created_at.map_or_else(|| "?".to_owned(), shown);
        println!("{:>12} {:>12} {before:>16}  {begun}", segment.first, segment.bytes);
    }
    let bytes = segments.iter().map(|segment| segment.bytes).sum();
    println!("{} segments, {}", segments.len(), ByteSize(bytes));
    ExitCode::SUCCESS
}

fn verify(inspection: &Inspection) -> ExitCode {
    for extent in &inspection.damage {
        println!(
            "segment {} at byte {}: {} bytes, {:?}; {} batches with {} samples are lost",
            extent.segment,
            extent.offset,
            extent.bytes,
            extent.cause,
            extent.records(),
            extent.samples
        );
    }
    for path in &inspection.foreign {
        println!("{} is no segment of this spool", path.display());
    }
    println!(
        "{} segments, {} batches, {} samples, {} damages",
        inspection.segments.len(),
        inspection.batches,
        inspection.samples,
        inspection.damage.len()
    );
    if inspection.damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn shown(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.as_millis())
        .map_or_else(|_| time.0.to_string(), |time| time.to_string())
}

/// Folds the log as a start would, reads the history's own count, and compares.
pub(super) fn audit(audit: &Audit) -> ExitCode {
    let (config, _) = match audit.settings.load() {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let history = config.state_dir.join("history.db");
    let counts = match read_only(&history) {
        Ok(reader) => reader.counts(),
        Err(error) => return fail(1, format!("{}: {error}", history.display())),
    };
    let limits = SeriesLimits { new_per_minute: 0, max: 0, seed: 0 };
    let mut admission = Admission::new(config.limits.sessions_max, limits);
    let (mut spooled, mut unread) = (0, 0);
    let each = &mut |position: Position, record: &spool::Record<'_>| {
        fold(&mut admission, record);
        if record.kind == Kind::Batch && position >= counts.durable {
            spooled += u64::from(record.samples);
            unread += 1;
        }
    };
    let inspection = match spool::scan(&config.state_dir.join("spool"), each) {
        Ok(inspection) => inspection,
        Err(error) => return fail(1, error),
    };
    // Given up while the history stood still, and not written down there yet.
    let known = counts.stored + counts.shed;
    let unseen = if counts.durable < inspection.shed.to {
        inspection.shed.samples.saturating_sub(known)
    } else {
        0
    };
    let shed = counts.shed + unseen;
    let damaged: u64 = inspection.damage.iter().map(|extent| extent.samples).sum();
    let total = admission.tally().total();
    println!(
        "batches: accepted {}, duplicates {}, refused {}",
        total.batches, total.duplicates, total.refused
    );
    println!(
        "samples: accepted {}, stored {}, spooled {spooled} (in {unread} batches), shed {shed}, damaged {damaged}",
        total.samples, counts.stored
    );
    println!("log: ends at {}; history: durable up to {}", inspection.next, counts.durable);
    let imbalance = i128::from(total.samples)
        - i128::from(counts.stored)
        - i128::from(spooled)
        - i128::from(shed);
    let excess = imbalance.unsigned_abs();
    match imbalance {
        0 => println!("balanced"),
        1.. => println!("NOT balanced: {excess} samples were accepted and are nowhere"),
        _ => println!(
            "NOT balanced: {excess} samples are stored that the log knows nothing of: its end was \
             lost after they were (a power cut with spool.durability = \"os\", or a deleted spool)"
        ),
    }
    if imbalance == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
