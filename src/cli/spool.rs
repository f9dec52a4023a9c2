//! `tidegate spool`: the log on disk, listed and checked.

use super::migrate::{self, Migrate};
use super::{Settings, fail};
use crate::model::Timestamp;
use crate::spool::{self, Inspection, SegmentSummary};
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
    /// Bring the segments up to the newest format.
    Migrate(Migrate),
}

pub(super) fn spool(command: &SpoolCommand) -> ExitCode {
    let (config, _) = match command.settings.load() {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let dir = config.state_dir.join("spool");
    let done = match &command.action {
        Action::Ls => spool::list(&dir).map(|segments| ls(&segments)),
        Action::Verify => spool::verify(&dir).map(|inspection| verify(&inspection)),
        Action::Migrate(migrate) => Ok(migrate::spool(&config.state_dir, migrate)),
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
