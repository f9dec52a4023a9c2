//! Simulated devices that speak the real protocol over real sockets: for the demo, for tests, and as
//! the load of benchmarks.
//!
//! [`run`] opens the connections of a [plant](plant()) and counts what came of it. In the plain mode
//! every device has a connection of its own and sends what it measures; with `gateways` they share
//! connections; `saturate` sends frames that were made beforehand as fast as credit allows, so that
//! the load costs far less than the daemon under it.

mod client;
mod mischief;
mod orders;
mod outbox;
mod plant;
mod process;
mod rows;
mod saturate;
mod source;
mod stats;

pub use client::{Socket, connect, upgrade};
pub use outbox::{Frame, Outbox, Settled};
pub use plant::{Kind, Machine, Metric, plant};
pub use stats::Report;

use crate::clock;
use crate::model::{SessionId, Timestamp};
use client::Client;
use orders::Orders;
use rand::RngExt;
use saturate::Frames;
use source::Source;
use stats::{AckLog, Stats};
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How far in the past saturating load begins: its clock runs faster than ours, and must not arrive
/// in the future.
const SATURATE_START_BEFORE: Duration = Duration::from_secs(6 * 3600);

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where: `ws://127.0.0.1:8080/api/v1/ingest/ws`.
    pub url: String,
    /// What is shown to be let in.
    pub token: Option<String>,
    /// How many devices.
    pub devices: usize,
    /// Time between two readings of a device.
    pub interval: Duration,
    /// Readings that are gathered before a batch is sent.
    pub rows_per_batch: usize,
    /// So many connections that each speak for an equal share of the devices; `None`: each device for
    /// itself.
    pub gateways: Option<usize>,
    /// Whether the last device sends nonsense, vanishes and comes back.
    pub misbehave: bool,
    /// For so long, prepared frames as fast as credit allows; `None`: what the plant measures.
    pub saturate: Option<Saturate>,
    /// Tells plants apart.
    pub seed: u64,
    /// Batches that a client holds before it gives up the oldest.
    pub buffer_batches: usize,
    /// How to come back after a lost connection.
    pub backoff: Backoff,
    /// How long to wait for the last answers before leaving.
    pub last_answers: Duration,
    /// A file that gets a line `client session seq` for every acknowledged batch, at once.
    pub ack_log: Option<PathBuf>,
}

/// Load of prepared frames.
#[derive(Debug, Clone, Copy)]
pub struct Saturate {
    /// How long.
    pub duration: Duration,
    /// Time between two rows as the frames have it.
    pub row_step: Duration,
    /// Time between two frames of a connection; `None`: as fast as credit allows.
    pub pace: Option<Duration>,
}

/// Time to wait before the next attempt: doubled each time up to a most, then a random half of it
/// left off, so that clients don't come back all at once.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// At most.
    pub max: Duration,
}

impl Backoff {
    fn delay(self, failures: u32) -> Duration {
        let delay = self.first.saturating_mul(1 << failures.min(16)).min(self.max);
        delay.mul_f64(rand::rng().random_range(0.5..1.0))
    }
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { first: Duration::from_millis(500), max: Duration::from_secs(15) }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            url: "ws://127.0.0.1:8080/api/v1/ingest/ws".to_owned(),
            token: None,
            devices: 200,
            interval: Duration::from_secs(1),
            rows_per_batch: 1,
            gateways: None,
            misbehave: false,
            saturate: None,
            seed: 1,
            buffer_batches: 10_000,
            backoff: Backoff::default(),
            last_answers: Duration::from_secs(5),
            ack_log: None,
        }
    }
}

/// Why a simulation could not run.
#[derive(Debug, Error)]
pub enum SimulateError {
    /// The URL is not one of the kind `ws://host:port/path`.
    #[error("{url:?} is not a ws:// address")]
    Url {
        /// As given.
        url: String,
    },
    /// The daemon does not let us in.
    #[error(
        "the daemon does not let this in (status {0}): show it a good token, --token-file FILE"
    )]
    Denied(u16),
    /// The log of acknowledgements can't be written.
    #[error("could not write the log of acknowledgements")]
    AckLog(#[source] std::io::Error),
}

/// Simulates until `stop`, or until the time of [`Saturate`] is over, then waits up to 5 s for the
/// last answers. A daemon that can't be reached is no error: clients come back for ever.
///
/// # Errors
/// [`SimulateError`].
pub async fn run(options: Options, stop: CancellationToken) -> Result<Report, SimulateError> {
    if !options.url.starts_with("ws://") {
        return Err(SimulateError::Url { url: options.url });
    }
    let ack_log = options.ack_log.as_deref().map(AckLog::create).transpose();
    let ack_log = ack_log.map_err(SimulateError::AckLog)?;
    let clients = clients(&options, ack_log.as_ref());
    let begun = clock::monotonic();
    // Its own token: the end of the time is not the end of the caller.
    let stop = stop.child_token();
    let mut tasks = JoinSet::new();
    for client in clients {
        tasks.spawn(client.run(stop.clone()));
    }
    let time_is_over = async {
        match options.saturate {
            Some(saturate) => tokio::time::sleep(saturate.duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(time_is_over);
    let mut stats = Stats::default();
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(Ok(ended)) => stats.add(&ended?),
                // A task that panicked has said so; the others go on.
                Some(Err(_)) => {}
                None => break,
            },
            () = &mut time_is_over, if !stop.is_cancelled() => stop.cancel(),
        }
    }
    Ok(stats.finish(clock::monotonic() - begun))
}

/// As many different compressed frames as a saturating gateway sends in turn, each `rows` rows of
/// `devices` devices, for benchmarks and tests.
#[must_use]
pub fn prepared_frames(
    seed: u64,
    devices: usize,
    rows: usize,
    row_step: Duration,
    start: Timestamp,
) -> Vec<Frame> {
    let mut frames = Frames::new(plant(seed, devices), rows, row_step, start);
    (1..=saturate::VARIANTS as u64).map(|seq| frames.next(seq)).collect()
}

fn clients(options: &Options, ack_log: Option<&AckLog>) -> Vec<Client> {
    let client = |name: String, source: Source, misbehaves: bool| Client {
        url: options.url.clone(),
        token: options.token.clone(),
        labels: vec![("site".to_owned(), "demo".to_owned())],
        session: SessionId(rand::rng().random_range(1..u64::MAX)),
        outbox: Outbox::new(options.buffer_batches),
        backoff: options.backoff,
        last_answers: options.last_answers,
        ack_log: ack_log.cloned(),
        orders: Orders::default(),
        stats: Stats::default(),
        name,
        source,
        misbehaves,
    };
    let source = |name: &str, machines: Vec<Machine>| match options.saturate {
        Some(Saturate { row_step, pace, .. }) => {
            let start = clock::now().saturating_sub(SATURATE_START_BEFORE);
            let frames = Frames::new(machines, options.rows_per_batch, row_step, start);
            Source::saturate(frames, pace)
        }
        None => Source::plant(name, machines, options.interval, options.rows_per_batch),
    };
    let mut machines = plant(options.seed, options.devices);
    let untested = if options.misbehave { machines.pop() } else { None };
    let untested = untested.map(|machine| machine.named("machine-with-old-firmware"));
    let mut clients = Vec::new();
    match options.gateways {
        Some(gateways) => {
            let share = options.devices.div_ceil(gateways.max(1)).max(1);
            while !machines.is_empty() {
                let rest = machines.split_off(share.min(machines.len()));
                let name = format!("gateway-{}", clients.len() + 1);
                clients.push(client(name.clone(), source(&name, machines), false));
                machines = rest;
            }
        }
        None => clients.extend(machines.into_iter().map(|machine| {
            let name = machine.name().to_owned();
            client(name.clone(), source(&name, vec![machine]), false)
        })),
    }
    if let Some(machine) = untested {
        let name = machine.name().to_owned();
        clients.push(client(name.clone(), source(&name, vec![machine]), true));
    }
    clients
}

#[cfg(test)]
mod tests;
