//! `tidegate spool migrate`, `tidegate history migrate`: which format each file has, and bringing it up to
//! the newest before a start does.

use super::{EXIT_DATA, Settings, fail};
use crate::daemon::formats::{self, Found, Newer, UpgradeError};
use crate::spool::{self, SpoolError};
use clap::{Args, Subcommand};
use std::path::Path;
use std::process::ExitCode;

/// What to do with the history.
#[derive(Debug, Args)]
pub(super) struct HistoryCommand {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Bring history.db and the files beside it up to the newest format, as a start does; the daemon
    /// must be stopped.
    Migrate(Migrate),
}

/// Flags of both.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// Only say what each file is and what would be done; the daemon may run.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn history(command: &HistoryCommand) -> ExitCode {
    let (config, _) = match command.settings.load() {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let (state_dir, Action::Migrate(migrate)) = (&config.state_dir, &command.action);
    if migrate.dry_run {
        return formats::tables(state_dir).map_or_else(|newer| refuse(&newer), |all| tell(&all));
    }
    match formats::bring_up(state_dir) {
        Ok(all) => tell(&all),
        Err(UpgradeError::Newer(newer)) => refuse(&newer),
        Err(error) => fail(1, error),
    }
}

/// There has been one version of it so far: it is looked at, and that is all.
pub(super) fn spool(state_dir: &Path, migrate: &Migrate) -> ExitCode {
    let dir = state_dir.join("spool");
    let held: Result<_, SpoolError> =
        (!migrate.dry_run && dir.exists()).then(|| spool::lock(&dir)).transpose();
    match held.map(|_lock| formats::spool_files(state_dir)) {
        Ok(Ok(all)) => tell(&all),
        Ok(Err(newer)) => refuse(&newer),
        Err(error) => fail(1, error),
    }
}

fn tell(all: &[Found]) -> ExitCode {
    for found in all {
        println!("{}: {}", found.path.display(), found.version);
    }
    if all.is_empty() {
        println!("nothing is there yet");
    }
    ExitCode::SUCCESS
}

fn refuse(newer: &Newer) -> ExitCode {
    fail(EXIT_DATA, newer)
}
