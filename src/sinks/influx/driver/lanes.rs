//! The driver's lanes: their threads, and when they begin and end.

use super::Driver;
use crate::model::Position;
use crate::pulse::Pulse;
use crate::sinks::influx::fold_lane::{FoldLane, Folding};
use crate::sinks::influx::lane::{Lane, Rounds, Taken};
use crate::sinks::influx::transport::Transport;
use crate::spool::Follower;
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// Signs of life of the lanes, of which each rests while there is no such lane.
#[derive(Clone)]
pub(in crate::sinks::influx) struct Pulses {
    /// Of the one at the head of the log.
    pub ahead: Pulse,
    /// Of the one in a gap.
    pub backlog: Pulse,
}

impl Pulses {
    /// Of the sink of this name, which folds or does not.
    pub fn new(sink: &str, folds: bool) -> Pulses {
        let ahead = if folds { FOLD } else { LIVE };
        let [ahead, backlog] = [ahead, BACKLOG].map(|kind| Pulse::new(&lane_name(sink, kind)));
        ahead.rest();
        backlog.rest();
        Pulses { ahead, backlog }
    }
}

const LIVE: &str = "live";
const FOLD: &str = "fold";
const BACKLOG: &str = "backlog";

/// Of a lane's thread.
fn lane_name(sink: &str, kind: &str) -> String {
    format!("{sink} {kind}")
}

/// The lane that works on a gap.
pub(super) struct Backlog {
    pub rounds: mpsc::Receiver<Taken>,
    pub thread: JoinHandle<()>,
}

impl<T: Transport> Driver<T> {
    /// Sends a lane to the head of the log: the live lane, or the one that folds.
    pub(super) fn begin_live(
        &mut self,
        follower: Follower,
        folding: Option<Folding>,
        rounds: mpsc::Sender<Taken>,
    ) -> Option<JoinHandle<()>> {
        let rounds = Rounds::new(rounds, &self.pulses.ahead);
        match folding {
            None => {
                let lane = self.lane(follower, None, rounds);
                self.spawn(LIVE, move || lane.run())
            }
            Some(folding) => {
                let (means, waiting) = (self.means.clone(), self.tally.live.clone());
                let lane = FoldLane::new(means, follower, waiting, rounds, folding);
                self.spawn(FOLD, move || lane.run())
            }
        }
    }

    /// Sends a lane into the first gap.
    pub(super) fn begin_backlog(&mut self) -> Option<Backlog> {
        loop {
            let gap = self.standing.progress.gaps().first()?.clone();
            let follower = self.means.spool.follow(&self.backlog_name(), gap.start);
            if follower.position() > gap.start {
                // Deleted meanwhile, in part or as a whole.
                self.recount = true;
                self.standing.progress.fill(gap.start..follower.position());
                self.gaps_changed();
                continue;
            }
            let (sender, rounds) = mpsc::channel(1);
            let sender = Rounds::new(sender, &self.pulses.backlog);
            let lane = self.lane(follower, Some(gap.end), sender);
            return Some(Backlog { rounds, thread: self.spawn(BACKLOG, move || lane.run())? });
        }
    }

    pub(super) fn end_backlog(&mut self) {
        self.tally.backlog.clear();
        if self.standing.progress.gaps().is_empty() {
            self.means.spool.forget(&self.backlog_name());
            log::info!(sink = self.name.as_str(); "the backlog is written");
        }
    }

    fn lane(&self, follower: Follower, until: Option<Position>, rounds: Rounds) -> Lane {
        let waiting = match until {
            None => &self.tally.live,
            Some(_) => &self.tally.backlog,
        };
        Lane { means: self.means.clone(), follower, until, waiting: waiting.clone(), rounds }
    }

    fn spawn(
        &mut self,
        kind: &str,
        lane: impl FnOnce() + Send + 'static,
    ) -> Option<JoinHandle<()>> {
        let name = lane_name(&self.name, kind);
        match std::thread::Builder::new().name(name).spawn(lane) {
            Ok(thread) => Some(thread),
            Err(error) => {
                self.note("a thread can't be started; it is tried again", &error);
                None
            }
        }
    }

    pub(super) fn backlog_name(&self) -> String {
        super::backlog_name(&self.name)
    }

    /// Waits for a lane that has nothing more to do.
    pub(super) fn join(&self, lane: Option<JoinHandle<()>>) {
        if lane.is_some_and(|lane| lane.join().is_err()) {
            log::error!(sink = self.name.as_str(); "a lane of the sink panicked");
        }
    }
}
