//! When a node is asked for a rebirth: one request at a time, further apart the longer it does not
//! answer (tck-id-operational-behavior-host-reordering-rebirth).

use crate::model::Timestamp;
use std::time::Duration;

/// After so many unanswered requests, only further messages of the node make for another.
const UNPROMPTED_MAX: u32 = 8;
/// The interval doubles so often.
const DOUBLINGS_MAX: u32 = 6;
/// The least time between requests to different nodes.
const PACE: Duration = Duration::from_millis(10);

/// The requests to one node.
#[derive(Debug, Default)]
pub(super) struct Asking {
    due: Option<Timestamp>,
    last: Option<Timestamp>,
    unanswered: u32,
    /// Births that told no more than those before, though more was asked for.
    fruitless: u32,
}

impl Asking {
    /// A birth is wanted: as soon as this node's interval and the pace of all allow.
    pub(super) fn want(&mut self, now: Timestamp, min: Duration, next_of_all: &mut Timestamp) {
        let own = self.last.map_or(now, |last| last.saturating_add(self.interval(min)));
        let at = if own > now { own } else { now.max(*next_of_all) };
        if self.due.is_some_and(|due| due <= at) {
            return;
        }
        if own <= now {
            *next_of_all = at.saturating_add(PACE);
        }
        self.due = Some(at);
    }

    /// A birth told too little; is another wanted, the node is asked more rarely.
    pub(super) fn told_too_little(&mut self) {
        if self.due.is_none() {
            self.fruitless += 1;
        }
    }

    /// A birth is wanted at that time, if none is wanted sooner.
    pub(super) fn want_at(&mut self, at: Timestamp) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// When the next request is due.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// A request was sent.
    pub(super) fn sent(&mut self, now: Timestamp, min: Duration) {
        self.last = Some(now);
        self.unanswered += 1;
        let again = self.unanswered < UNPROMPTED_MAX;
        self.due = again.then(|| now.saturating_add(self.interval(min)));
    }

    /// No birth is wanted any more: it came, or the node died, or the broker is gone.
    pub(super) fn done(&mut self) {
        self.due = None;
        self.unanswered = 0;
    }

    fn interval(&self, min: Duration) -> Duration {
        let doublings = self.unanswered.saturating_sub(1).saturating_add(self.fruitless);
        min * (1 << doublings.min(DOUBLINGS_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NANOS_PER_SECOND;

    const MIN: Duration = Duration::from_secs(30);

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * NANOS_PER_SECOND)
    }

    #[test]
    fn requests_grow_rare_until_a_birth_comes() {
        let mut asking = Asking::default();
        let mut all = at(0);
        asking.want(at(100), MIN, &mut all);
        assert_eq!(asking.due(), Some(at(100)));
        let mut now = at(100);
        let mut gaps = Vec::new();
        while let Some(due) = asking.due() {
            gaps.push(due.since(now).as_secs());
            now = due;
            asking.sent(now, MIN);
            asking.want(now, MIN, &mut all);
            if gaps.len() == 12 {
                break;
            }
        }
        assert_eq!(gaps, [0, 30, 60, 120, 240, 480, 960, 1920, 1920, 1920, 1920, 1920]);
        asking.done();
        assert_eq!(asking.due(), None);
        asking.want(now, MIN, &mut all);
        assert_eq!(asking.due(), Some(now.saturating_add(MIN)));
    }

    #[test]
    fn many_nodes_are_asked_one_after_the_other() {
        let mut all = at(0);
        let dues = [(); 3].map(|()| {
            let mut asking = Asking::default();
            asking.want(at(1), MIN, &mut all);
            asking.want(at(1), MIN, &mut all);
            asking.due().map(|due| due.since(at(1)).as_millis())
        });
        assert_eq!(dues, [Some(0), Some(10), Some(20)]);
    }
}
