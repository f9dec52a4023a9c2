//! The InfluxDB sink: one thread that writes the log to a store, whatever the store does.
//!
//! ```text
//!              ┌─ live lane ────┐ rounds                       valve (breaker, how many at once)
//!   spool ──►  │                ├──────► driver ──► deliver ──────────► transport ──► [ store ]
//!              └─ backlog lane ─┘          │           └─ bisect, cut, send again ◄── answers
//!                                          └──► book: progress, counts, dead letters
//! ```
//!
//! A sink that gets rollups has one lane, in the order of the log, which folds it on the way.
//!
//! What decides is pure (`answers bisect concurrency fold lines names progress round`, and the
//! breaker); what does is `lane` or `fold_lane` (a thread that reads the log), `driver` (the thread that owns the standing),
//! `deliver`, `valve` and `transport`. How it behaves is told to people in `docs/sinks.md`.

pub mod answers;
pub mod bisect;
pub mod concurrency;
mod deliver;
mod driver;
pub mod fold;
mod fold_lane;
#[cfg(feature = "influx")]
mod http;
mod lane;
mod letters;
pub mod lines;
pub mod names;
pub mod progress;
#[cfg(test)]
mod read_back_tests;
pub mod round;
mod running;
mod shares;
pub mod target;
pub mod transport;
mod valve;
mod view;

pub use running::Sinks;
pub use valve::{ValveView, Wish};
pub use view::View;

use super::book::{Book, BookError, Counts, OpenWindows, Standing};
use super::breaker;
use crate::clock;
use crate::ledger::{AcceptedBelow, CLIENTS_MAX, Outcomes};
use crate::model::Timestamp;
use crate::pulse::Pulse;
use crate::spool::{Follower, Spool};
use deliver::Courier;
use driver::{Account, Driver, Pulses};
use fold::{Fold, Rules};
use fold_lane::Folding;
use lane::Means;
use progress::Progress;
use round::Shape;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use transport::Transport;
use valve::Valve;
use view::Tally;

/// How a sink works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Names it for people, in the log's followers and in the book.
    pub name: String,
    /// What is written, and in requests of which size. Its filters are not used for rollups.
    pub shape: Shape,
    /// Rollups instead of every sample.
    pub rollups: Option<Rollups>,
    /// How long the first batch of a request waits for others.
    pub batch_age: Duration,
    /// Requests at the same time, at most.
    pub requests_max: u32,
    /// Share of the store's time that old data gets while new data wants it too.
    pub backlog_share: f64,
    /// When the breaker opens, and for how long.
    pub breaker: breaker::Settings,
    /// What each client had sent below a position.
    pub accepted: AcceptedBelow,
}

/// What makes rollups of samples.
#[derive(Debug, Clone)]
pub struct Rollups {
    /// Which samples, and which windows.
    pub rules: Rules,
    /// How long a device sends nothing until its open windows are closed.
    pub silence: Duration,
}

impl Rollups {
    fn window(&self) -> Duration {
        Duration::from_nanos(self.rules.width.unsigned_abs())
    }
}

/// Why a sink can't begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Where it was is not known.
    #[error(transparent)]
    Book(#[from] BookError),
    /// It was another kind of sink: in its place in the log samples or windows would be torn.
    #[error(
        "the sink {name} got {before} so far, and can't go on with {now}: give it another name in \
         the configuration (it then begins with what the spool still has), or leave send and \
         rollup_window as they were"
    )]
    Changed {
        /// Of the sink.
        name: String,
        /// What it got.
        before: String,
        /// What it is to get.
        now: String,
    },
    /// A filter is none.
    #[error("the filters of a sink can't be used")]
    Filter(#[from] globset::Error),
}

/// A sink that has its place in the log and does not write yet.
pub struct Opened {
    options: Options,
    spool: Spool,
    account: Account,
    follower: Follower,
    folding: Option<Folding>,
}

/// Whoever wants to know of a sink, or to set its breaker. Cheap to clone.
#[derive(Clone)]
pub struct Influx {
    name: Arc<str>,
    /// The width of windows.
    rollups: Option<Duration>,
    spool: Spool,
    valve: Arc<Valve>,
    tally: Arc<Tally>,
    pulse: Pulse,
    lanes: Pulses,
    leave: CancellationToken,
    /// For its valve.
    stop: CancellationToken,
}

/// Finds where the sink was, and has the log keep what it needs from there. A sink that is new begins
/// with the oldest batch that the log still has.
///
/// # Errors
/// If the book can't be read, or the sink was of another kind.
pub fn open(options: Options, spool: &Spool, book: Book) -> Result<Opened, OpenError> {
    let name = options.name.as_str();
    let rules = options.rollups.as_ref().map(|rollups| &rollups.rules);
    let mut outcomes = Outcomes::new(CLIENTS_MAX, []);
    // Under the sink's name the log is kept from the first position that is not done.
    let (mut follower, mut standing) = match book.sink(name, spool.id())? {
        None => {
            let follower = spool.follow(name, spool.first());
            let counts = Counts { before: follower.samples_before(), ..Counts::default() };
            let progress = Progress::begin(follower.position());
            let windows = rules
                .map(|rules| OpenWindows { keep_from: follower.position(), rules: rules.clone() });
            outcomes.unknown().before += counts.before;
            (follower, Standing { spool_id: spool.id(), progress, counts, windows })
        }
        Some(known) => {
            let before = known.windows.as_ref().map(|windows| &windows.rules);
            if before.map(|rules| rules.width) != rules.map(|rules| rules.width) {
                let name = name.to_owned();
                return Err(OpenError::Changed { name, before: kind(before), now: kind(rules) });
            }
            outcomes = Outcomes::new(CLIENTS_MAX, book.outcomes(name)?);
            let follower = match known.keep_from() {
                from if from < known.progress.head() => spool.follow(name, from),
                head => spool.follow_from(name, head, known.counts.accounted()),
            };
            (follower, known)
        }
    };
    if follower.samples_shed() > 0 {
        standing.counts.lost += follower.samples_shed();
        outcomes.unknown().lost += follower.samples_shed();
        standing.progress.advance(standing.progress.head()..follower.position());
    }
    let folding = match (&options.rollups, &standing.windows) {
        (Some(rollups), Some(windows)) => {
            Some(Folding {
                fold: Fold::new(windows.rules.clone(), book.floors(name)?)?,
                rules: rollups.rules.clone(),
                // What was deleted before that the driver counts.
                head: standing.progress.head().max(follower.position()),
                open: standing.counts.open,
                closed: standing.counts.written + standing.counts.dead_lettered,
                silence: rollups.silence,
            })
        }
        _ => {
            follower.skip_to(standing.progress.head());
            None
        }
    };
    let account = Account { book, standing, outcomes };
    Ok(Opened { options, spool: spool.clone(), account, follower, folding })
}

/// The log is kept no longer for what a sink of this name, which has ended, has not written.
pub fn forget(spool: &Spool, name: &str) {
    spool.forget(name);
    spool.forget(&driver::backlog_name(name));
}

/// What a sink gets, for people.
fn kind(rules: Option<&Rules>) -> String {
    match rules {
        None => "every sample (send = \"raw\")".to_owned(),
        Some(rules) => format!("rollups of {} s", rules.width / crate::model::NANOS_PER_SECOND),
    }
}

impl Opened {
    /// The position that the sink will read next at the head of the log.
    #[must_use]
    pub fn head(&self) -> crate::model::Position {
        self.account.standing.progress.head()
    }

    /// Starts the thread. It ends when the log has ended and all is written; or, after `stop`, as soon
    /// as the store is not well; or when it is to [leave](Influx::leave); at the latest when `hurry` is cancelled. What is not written then is
    /// in the spool.
    ///
    /// # Errors
    /// If the thread can't be started.
    pub fn start(
        self,
        transport: impl Transport,
        stop: &CancellationToken,
        hurry: &CancellationToken,
    ) -> std::io::Result<(Influx, JoinHandle<()>)> {
        let Opened { options, spool, account, follower, folding } = self;
        let Options {
            name,
            shape,
            rollups,
            batch_age,
            requests_max,
            backlog_share,
            breaker,
            accepted,
        } = options;
        // It may go alone.
        let (stop, leave) = (stop.child_token(), CancellationToken::new());
        let valve = Arc::new(Valve::new(&name, breaker, requests_max, stop.clone()));
        let tally = Arc::new(Tally::default());
        let influx = Influx {
            name: name.as_str().into(),
            rollups: rollups.as_ref().map(Rollups::window),
            spool: spool.clone(),
            valve: valve.clone(),
            tally: tally.clone(),
            pulse: Pulse::new(&name),
            lanes: Pulses::new(&name, folding.is_some()),
            leave: leave.clone(),
            stop,
        };
        let request_bytes = AtomicUsize::new(shape.request_bytes);
        let courier = Courier { valve: valve.clone(), transport, request_bytes };
        // What is not selected has no rollups.
        let shape = match &rollups {
            Some(_) => Shape { naming: shape.naming.of_rollups(), devices: None, ..shape },
            None => shape,
        };
        let (shape, gaps) = (Arc::new(shape), Arc::default());
        let means = Means { spool, shape, valve, batch_age, gaps, accepted };
        let seen = (tally, influx.lanes.clone());
        let driver =
            Driver::new(name.clone(), means, courier, account, seen, (backlog_share, leave));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (hurry, pulse) = (hurry.clone(), influx.pulse.clone());
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = driver.run(follower, folding) => {}
                    () = hurry.cancelled() => {}
                    // A store may let it wait, a file or a bug may not.
                    () = pulse.keep_beating("to write to the store, or to sinks.db") => {}
                }
            });
        })?;
        Ok((influx, thread))
    }
}

impl Influx {
    /// Whether its threads go on: its own, and those of its lanes.
    #[must_use]
    pub(crate) fn pulses(&self) -> [Pulse; 3] {
        let Pulses { ahead, backlog } = &self.lanes;
        [&self.pulse, ahead, backlog].map(Pulse::clone)
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Goes away: what is on its way is answered, if the store does that soon, and where it is stands in
    /// the book; then its thread ends. The log is still kept for it.
    pub fn leave(&self) {
        self.leave.cancel();
        self.stop.cancel();
    }

    /// What the operator wants of its breaker. Whether that changed anything.
    pub fn wish(&self, wish: Wish) -> bool {
        self.valve.wish(wish)
    }

    /// How it is now.
    #[must_use]
    pub fn view(&self) -> View {
        let (told, stats) = (self.tally.told(), self.spool.stats());
        let now = clock::now();
        let reader = stats.followers.iter().find(|follower| *follower.name == *self.name);
        let unread = reader.and_then(|reader| reader.behind_since);
        let age = |since: Option<Timestamp>| since.map_or(Duration::ZERO, |since| now.since(since));
        let live_lag = age(self.tally.live.oldest().or(unread));
        let lag = live_lag.max(age(self.tally.backlog.oldest()));
        let lag_samples = stats.samples.saturating_sub(told.counts.accounted());
        let live_samples = reader.map_or(0, |reader| reader.samples_behind);
        let backlog_samples =
            if told.has_backlog { lag_samples.saturating_sub(live_samples) } else { 0 };
        let monotonic = clock::monotonic();
        let drained = told.drained.per_s(monotonic);
        View {
            name: self.name.to_string(),
            rollups: self.rollups,
            valve: self.valve.view(),
            lag_samples,
            lag,
            live_lag,
            backlog_samples,
            drain_eta: (backlog_samples > 0 && drained >= 1.0)
                .then(|| Duration::from_secs_f64(backlog_samples as f64 / drained)),
            samples_per_s: told.written.per_s(monotonic),
            counts: told.counts,
            letters: told.letters,
            imbalance: told.imbalance,
        }
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
