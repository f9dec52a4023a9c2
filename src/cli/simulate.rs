//! `tidegate simulate`: a plant that speaks to a daemon, for load and for looking.

use super::ask::Token;
use super::run::{runtime, stop_on_signal};
use super::{EXIT_USAGE, fail};
use crate::config::parse_duration;
use crate::simulate::{self, Options, Report, Saturate, SimulateError};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Flags of the simulation.
#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// The daemon.
    #[arg(long, default_value = "ws://127.0.0.1:8080/api/v1/ingest/ws")]
    url: String,
    /// A file with the token to show it.
    #[arg(long, value_name = "FILE", env = "TIDEGATE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    plant: PlantArguments,
    /// Connections that each speak for an equal share of the devices, instead of one per device.
    #[arg(long)]
    gateways: Option<usize>,
    /// Readings that are gathered before a batch is sent.
    #[arg(long, default_value_t = 1)]
    rows_per_batch: usize,
    /// Send prepared frames as fast as the daemon takes them, for this long: "30 s".
    #[arg(long, value_parser = duration)]
    saturate: Option<Duration>,
    /// With --saturate: time between two frames of a connection, instead of as fast as possible.
    #[arg(long, value_parser = duration)]
    pace: Option<Duration>,
    /// Stop after this time.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    run_for: Option<Duration>,
    /// Write a line `client session seq` for every acknowledged batch.
    #[arg(long, value_name = "FILE")]
    ack_log: Option<PathBuf>,
}

/// What the plant is like.
#[derive(Debug, Args)]
pub(super) struct PlantArguments {
    /// How many devices.
    #[arg(long, default_value_t = 200)]
    pub devices: usize,
    /// Time between two readings of a device.
    #[arg(long, default_value = "1 s", value_parser = duration)]
    interval: Duration,
    /// No device that sends nonsense, vanishes and comes back.
    #[arg(long)]
    well_behaved: bool,
    /// Tells plants apart.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("\"{text}\" is not a duration, like \"10 s\""))
}

impl PlantArguments {
    fn options(&self, url: String) -> Options {
        Options {
            url,
            devices: self.devices,
            interval: self.interval,
            misbehave: !self.well_behaved,
            seed: self.seed,
            ..Options::default()
        }
    }
}

/// The plant of the demo, until `stop`.
pub(super) async fn spawn(
    plant: &PlantArguments,
    url: String,
    stop: &CancellationToken,
) -> Result<Report, SimulateError> {
    simulate::run(plant.options(url), stop.clone()).await
}

pub(super) fn simulate(asked: Simulate) -> ExitCode {
    let saturate = asked.saturate.map(|duration| Saturate {
        duration,
        row_step: Duration::from_millis(100),
        pace: asked.pace,
    });
    let token = match asked.token_file.as_deref().map(Token::read).transpose() {
        Ok(token) => token.map(|token| token.text().to_owned()),
        Err(code) => return code,
    };
    let options = Options {
        token,
        gateways: asked.gateways,
        rows_per_batch: asked.rows_per_batch,
        saturate,
        misbehave: saturate.is_none() && !asked.plant.well_behaved,
        ack_log: asked.ack_log,
        ..asked.plant.options(asked.url)
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, format!("the runtime could not be started: {error}")),
    };
    let report = runtime.block_on(async {
        let stop = CancellationToken::new();
        stop_on_signal(&stop).map_err(|error| error.to_string())?;
        let running = simulate::run(options, stop.clone());
        let report = match asked.run_for {
            None => running.await,
            Some(time) => {
                let timer = async {
                    tokio::time::sleep(time).await;
                    stop.cancel();
                };
                tokio::join!(running, timer).0
            }
        };
        report.map_err(|error| error.to_string())
    });
    match report {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(EXIT_USAGE, error),
    }
}
