//! A scripted daemon that tells the author of a client what the client does wrong.
//!
//! [`run`] goes through the [`SCENARIOS`]. In each it listens on a real socket, starts the client's
//! command, plays the daemon of `docs/devices.md` on a bad day (it cuts the connection, withholds
//! receipts, throttles, refuses, closes) and looks at every message that comes: [`umpire`] knows what
//! a client may send next. The first thing that is wrong ends the scenario with a [`Fault`], which
//! says what it was and what the contract says.
//!
//! A busy machine makes everybody later, never earlier: waiting times are held against their lower
//! bounds, as seen from here. The few upper bounds are far from what they tell apart.
//!
//! How a client is driven is in `docs/clients.md`; [`Station`](station) starts it.

mod fault;
mod scenarios;
mod station;
mod talk;
mod umpire;

pub use fault::Fault;
pub use scenarios::{SCENARIOS, Scenario};
pub use station::Bench;

use crate::clock;
use futures_util::{Stream, StreamExt, stream};
use std::time::Duration;

/// What came of a scenario.
#[derive(Debug)]
pub struct Verdict {
    /// Which.
    pub scenario: &'static Scenario,
    /// What the client did wrong, if anything.
    pub fault: Option<Fault>,
    /// The last lines that the client wrote to stderr, if it did something wrong.
    pub stderr: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Plays the scenarios, at most `jobs` at a time; their verdicts come in their order.
pub fn run(
    bench: Bench,
    scenarios: Vec<&'static Scenario>,
    jobs: usize,
) -> impl Stream<Item = Verdict> {
    let play = move |scenario: &'static Scenario| {
        let bench = bench.clone();
        async move {
            let begun = clock::monotonic();
            let stderr = bench.stderr();
            let fault = (scenario.play)(bench.writing_to(&stderr)).await.err();
            let stderr = if fault.is_some() { stderr.last_lines() } else { Vec::new() };
            Verdict { scenario, fault, stderr, took: clock::monotonic() - begun }
        }
    };
    stream::iter(scenarios).map(play).buffered(jobs.max(1))
}
