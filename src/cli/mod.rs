//! The command line: reads arguments, prints answers, decides nothing.

mod alerts;
mod ask;
mod audit;
mod breaker;
mod check;
mod command;
mod conformance;
mod dead_letters;
mod demo;
mod devices;
mod drill;
mod export;
mod import;
mod init;
mod migrate;
#[cfg(feature = "mqtt")]
mod mqtt;
mod package_files;
#[cfg(feature = "mqtt")]
mod quarantine;
mod query;
mod reach;
mod reload;
mod run;
mod simulate;
mod spool;
mod status;
mod table;
mod token;
mod way;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// A command line that can't be used (EX_USAGE of sysexits.h).
pub const EXIT_USAGE: u8 = 64;
/// Files that can't be used: a newer release wrote them (EX_DATAERR).
pub const EXIT_DATA: u8 = 65;
/// A store that can't be written now, or a daemon that does not answer (EX_UNAVAILABLE).
pub const EXIT_UNAVAILABLE: u8 = 69;
/// A daemon that asks for a token, does not take the one that was shown, or refuses whose it is
/// (EX_NOPERM).
pub const EXIT_DENIED: u8 = 77;
/// A configuration that can't be used (EX_CONFIG).
pub const EXIT_CONFIG: u8 = 78;

/// Telemetry that is durable before it is acknowledged, and seen while it happens.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    Run(Settings),
    /// Check the configuration; print what is in force, the worst-case memory, and whether each sink
    /// can be written and each broker lets us subscribe.
    Check(check::Check),
    /// Write the first configuration file, with every key explained.
    Init(init::Init),
    /// Run the daemon with a simulated plant, to see it move.
    Demo(demo::Demo),
    /// Send the readings of a simulated plant to a daemon.
    Simulate(simulate::Simulate),
    /// Print a range of the history as a table, CSV or JSON.
    Query(query::Query),
    /// Take samples out of the running daemon's history: JSON lines, CSV, line protocol, Parquet.
    Export(export::Export),
    /// Bring samples of files into the running daemon: JSON lines, CSV, line protocol.
    Import(Box<import::Import>),
    /// How the running daemon is; exit code 1 if something needs a person, 69 if it does not answer.
    Status(status::StatusCommand),
    /// Stop a sink's writing, have it tried now, or let it go on.
    Breaker(breaker::BreakerCommand),
    /// Look at alerts, take notice of them, keep their notifications back for a while.
    Alerts(alerts::AlertsCommand),
    /// Send a command to a device, see what became of it, or take it back.
    #[command(name = "command")]
    Order(command::CommandCommand),
    /// What a device should be set to, and what it reports.
    Desired(command::DesiredCommand),
    /// API keys: make one, list them, take one back.
    Token(token::TokenCommand),
    /// Look at what a sink's store refused for good, have it sent again, or drop it.
    DeadLetters(dead_letters::DeadLetters),
    /// List devices, look at one, or take new ones out of the inbox.
    Devices(devices::DevicesCommand),
    /// Listen at the brokers, and see what the routes make of what is published.
    #[cfg(feature = "mqtt")]
    Mqtt(mqtt::Mqtt),
    /// Look at messages of brokers that no route understood, have them tried again, or drop them.
    #[cfg(feature = "mqtt")]
    Quarantine(quarantine::Quarantine),
    /// Look into the spool.
    Spool(spool::SpoolCommand),
    /// Bring the history and the files beside it up to the newest format.
    History(migrate::HistoryCommand),
    /// Send through the running installation with a device of its own, and look whether every promise
    /// is kept; holds the breaker of each sink for some seconds.
    Drill(drill::DrillCommand),
    /// Try a client: run its command against a scripted daemon on a bad day, and say what it does wrong.
    Conformance(conformance::Conformance),
    /// Recount the spool, the history and the sinks from disk and compare with the ledger; the daemon
    /// must be stopped.
    Audit(audit::Audit),
    /// Write manual pages and shell completions, for packages.
    #[command(hide = true)]
    PackageFiles(package_files::PackageFiles),
}

/// Where settings come from; flags win over TIDEGATE_… variables, which win over the file.
#[derive(Debug, Clone, Default, Args)]
pub struct Settings {
    /// The configuration file [default: /etc/tidegate/tidegate.toml, if it exists].
    #[arg(long, env = "TIDEGATE_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// Directory of everything durable.
    #[arg(long, value_name = "DIR", global = true)]
    pub state_dir: Option<PathBuf>,
    /// Address and port to listen on; port 0 = any free one.
    #[arg(long, value_name = "ADDR", global = true)]
    pub listen: Option<String>,
    /// Any other key: `--set spool.size_max="1 GiB"`.
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    pub set: Vec<String>,
}

/// Runs the command line; the process ends with the code.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are errors to clap, too.
            let printed = error.print();
            let asked = matches!(
                error.kind(),
                clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
            );
            return if asked && printed.is_ok() { ExitCode::SUCCESS } else { EXIT_USAGE.into() };
        }
    };
    match arguments.command {
        Command::Run(settings) => run::run(&settings),
        Command::Check(check) => check::check(&check),
        Command::Init(init) => init::init(&init),
        Command::Demo(demo) => demo::demo(demo),
        Command::Simulate(simulate) => simulate::simulate(simulate),
        Command::Query(query) => query::query(&query),
        Command::Export(command) => export::export(&command),
        Command::Import(command) => import::import(&command),
        Command::Status(command) => status::status(&command),
        Command::Breaker(command) => breaker::breaker(&command),
        Command::Alerts(command) => alerts::alerts(&command),
        Command::Order(command) => command::command(&command),
        Command::Desired(command) => command::desired(&command),
        Command::Token(command) => token::token(&command),
        Command::DeadLetters(command) => dead_letters::dead_letters(&command),
        Command::Devices(command) => devices::devices(&command),
        #[cfg(feature = "mqtt")]
        Command::Mqtt(command) => mqtt::mqtt(&command),
        #[cfg(feature = "mqtt")]
        Command::Quarantine(command) => quarantine::quarantine(&command),
        Command::Conformance(asked) => conformance::conformance(asked),
        Command::Drill(command) => drill::drill(&command),
        Command::Spool(command) => spool::spool(&command),
        Command::History(command) => migrate::history(&command),
        Command::Audit(audit) => audit::audit(&audit),
        Command::PackageFiles(files) => package_files::package_files(&files),
    }
}

/// Says on stderr what went wrong; the code tells programs.
fn fail(code: impl Into<ExitCode>, problem: impl std::fmt::Display) -> ExitCode {
    eprintln!("tidegate: {problem}");
    code.into()
}

/// What servers and devices said must not steer the terminal.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() {
            true => shown.extend(char.escape_default()),
            false => shown.push(char),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn no_two_arguments_are_alike() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn settings_stand_before_an_action_or_after_it() {
        let parsed = |words: &str| {
            let words = words.split_whitespace();
            let arguments = Arguments::try_parse_from(std::iter::once("tidegate").chain(words));
            format!("{:?}", arguments.map_err(|error| error.to_string()).unwrap())
        };
        let before = parsed("token --config c.toml --state-dir s revoke ana");
        assert!(before.contains("c.toml"), "{before}");
        assert_eq!(parsed("token revoke ana --config c.toml --state-dir s"), before);
        let before = parsed("alerts --url http://h:1 --token-file t ls");
        assert!(before.contains("http://h:1"), "{before}");
        assert_eq!(parsed("alerts ls --url http://h:1 --token-file t"), before);
    }
}
