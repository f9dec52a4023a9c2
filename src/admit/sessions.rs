//! Which batches of which session were seen.
//!
//! Per session a set of numbers, held as the highest seen and the gaps below it. A number in a gap
//! may still enter: it was refused "later", or lost with a connection, and its client sends it again.
//! So a batch that never entered is never taken for a duplicate, and the other way round.

use super::{Name, Objection};
use crate::model::{ClientId, NANOS_PER_SECOND, Seq, SessionId, Timestamp};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;

/// Gaps remembered per session. A client that keeps its credit never has so many: each is a batch
/// refused "later" whose successor entered.
pub const GAPS_MAX: usize = 64;

/// What is known of a numbered batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It did not enter yet.
    New,
    /// It is in the log.
    Seen,
    /// It can't enter.
    Refused(Objection),
}

/// Numbers seen of one session.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub highest: Seq,
    /// Ranges below `highest` not seen, ascending, not touching.
    pub gaps: Vec<RangeInclusive<Seq>>,
    pub used_at: Timestamp,
}

impl Seen {
    /// Highest number below which nothing is missing.
    fn settled(&self) -> Seq {
        self.gaps.first().map_or(self.highest, |gap| gap.start() - 1)
    }

    fn contains(&self, seq: Seq) -> bool {
        seq <= self.highest && !self.gaps.iter().any(|gap| gap.contains(&seq))
    }

    fn insert(&mut self, seq: Seq) {
        if seq > self.highest {
            if seq > self.highest + 1 {
                self.gaps.push(self.highest + 1..=seq - 1);
            }
            self.highest = seq;
            return;
        }
        let Some(at) = self.gaps.iter().position(|gap| gap.contains(&seq)) else { return };
        let (start, end) = (*self.gaps[at].start(), *self.gaps[at].end());
        let parts = [(start < seq).then(|| start..=seq - 1), (seq < end).then(|| seq + 1..=end)];
        self.gaps.splice(at..=at, parts.into_iter().flatten());
    }

    fn remove(&mut self, seq: Seq) {
        if !self.contains(seq) {
            return;
        }
        if seq == self.highest {
            self.highest -= 1;
            // A gap right below the highest is no gap: nothing above it was seen.
            if let Some(gap) = self.gaps.pop_if(|gap| *gap.end() == self.highest) {
                self.highest = gap.start() - 1;
            }
            return;
        }
        let at = self.gaps.iter().position(|gap| *gap.start() > seq).unwrap_or(self.gaps.len());
        self.gaps.insert(at, seq..=seq);
        // Join with the neighbours that it touches now.
        if at + 1 < self.gaps.len() && *self.gaps[at + 1].start() == seq + 1 {
            self.gaps[at] = seq..=*self.gaps[at + 1].end();
            self.gaps.remove(at + 1);
        }
        if at > 0 && *self.gaps[at - 1].end() + 1 == seq {
            self.gaps[at - 1] = *self.gaps[at - 1].start()..=*self.gaps[at].end();
            self.gaps.remove(at);
        }
    }

    /// Everything below `seq` counts as seen: the client does not hold it any more.
    fn give_up_below(&mut self, seq: Seq) {
        if seq > self.highest + 1 {
            self.highest = seq - 1;
            self.gaps.clear();
            return;
        }
        self.gaps.retain(|gap| *gap.end() >= seq);
        if let Some(gap) = self.gaps.first_mut()
            && *gap.start() < seq
        {
            *gap = seq..=*gap.end();
        }
    }
}

/// The order of use is as exact as this: so seldom it changes, however often a session is used.
const USE_NANOS: u64 = NANOS_PER_SECOND.unsigned_abs();

/// All sessions, bounded in number: the one unused longest is forgotten first.
#[derive(Debug)]
pub(super) struct Sessions {
    max: usize,
    seen: HashMap<(ClientId, SessionId), Seen, RandomState>,
    /// Order of use, to find the oldest.
    by_use: BTreeMap<(Timestamp, ClientId, SessionId), ()>,
}

impl Sessions {
    pub fn new(max: usize) -> Sessions {
        Sessions { max, seen: HashMap::default(), by_use: BTreeMap::new() }
    }

    pub fn max(&self) -> usize {
        self.max
    }

    pub fn standing(&self, name: Name<'_>) -> Standing {
        if name.session.0 == 0 {
            return Standing::New;
        }
        if name.seq == 0 {
            return Standing::Refused(Objection::SeqZero);
        }
        // A number so high that no successor exists can't be followed.
        if name.seq == Seq::MAX {
            return Standing::Refused(Objection::TooManyGaps { seq: name.seq });
        }
        let unknown = Seen::default();
        let seen = self.seen.get(&key(name)).unwrap_or(&unknown);
        if seen.contains(name.seq) {
            Standing::Seen
        } else if seen.gaps.len() >= GAPS_MAX && name.seq > seen.highest + 1 {
            Standing::Refused(Objection::TooManyGaps { seq: name.seq })
        } else {
            Standing::New
        }
    }

    pub fn enter(&mut self, name: Name<'_>, now: Timestamp) {
        if name.session.0 != 0 && name.seq != 0 {
            self.touch(key(name), now).insert(name.seq);
        }
    }

    pub fn withdraw(&mut self, name: Name<'_>) {
        if let Some(seen) = self.seen.get_mut(&key(name)) {
            seen.remove(name.seq);
        }
    }

    pub fn greet(
        &mut self,
        client: &ClientId,
        session: SessionId,
        resume: Seq,
        now: Timestamp,
    ) -> Seq {
        if session.0 == 0 {
            return 0;
        }
        let key = (client.clone(), session);
        // A session that never entered anything needs no memory.
        if resume <= 1 && !self.seen.contains_key(&key) {
            return 0;
        }
        let seen = self.touch(key, now);
        if resume > 1 {
            seen.give_up_below(resume);
        }
        seen.settled()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&(ClientId, SessionId), &Seen)> {
        self.seen.iter()
    }

    pub fn restore(&mut self, key: (ClientId, SessionId), seen: Seen) {
        let used_at = seen.used_at;
        *self.touch(key, used_at) = seen;
    }

    fn touch(&mut self, key: (ClientId, SessionId), now: Timestamp) -> &mut Seen {
        if self.seen.len() >= self.max
            && !self.seen.contains_key(&key)
            && let Some(((_, client, session), ())) = self.by_use.pop_first()
        {
            self.seen.remove(&(client, session));
        }
        let (client, session) = key.clone();
        let seen = self.seen.entry(key).or_default();
        if seen.used_at.0.abs_diff(now.0) >= USE_NANOS || seen.highest == 0 {
            self.by_use.remove(&(seen.used_at, client.clone(), session));
            seen.used_at = now;
            self.by_use.insert((now, client, session), ());
        }
        seen
    }
}

fn key(name: Name<'_>) -> (ClientId, SessionId) {
    (name.client.clone(), name.session)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[derive(Debug, Clone)]
    enum Step {
        Enter(Seq),
        Withdraw(Seq),
        Greet(Seq),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (1u64..40).prop_map(Step::Enter),
            2 => (1u64..40).prop_map(Step::Withdraw),
            1 => (0u64..45).prop_map(Step::Greet),
        ]
    }

    proptest! {
        /// The intervals behave as a plain set of numbers would.
        #[test]
        fn seen_numbers_are_a_set(steps in prop::collection::vec(step(), 0..60)) {
            let client: ClientId = "c".into();
            let name = |seq| Name { client: &client, session: SessionId(7), seq };
            let mut sessions = Sessions::new(10);
            let mut model = BTreeSet::new();
            for (at, step) in steps.into_iter().enumerate() {
                let now = Timestamp(at as i64);
                match step {
                    Step::Enter(seq) => {
                        prop_assert_eq!(sessions.standing(name(seq)) == Standing::Seen, model.contains(&seq));
                        sessions.enter(name(seq), now);
                        model.insert(seq);
                    }
                    Step::Withdraw(seq) => {
                        sessions.withdraw(name(seq));
                        model.remove(&seq);
                    }
                    Step::Greet(resume) => {
                        model.extend(1..resume);
                        let settled = (1..).take_while(|seq| model.contains(seq)).last().unwrap_or(0);
                        prop_assert_eq!(sessions.greet(&client, SessionId(7), resume, now), settled);
                    }
                }
                for seq in 1..45 {
                    let expected = if model.contains(&seq) { Standing::Seen } else { Standing::New };
                    prop_assert_eq!(sessions.standing(name(seq)), expected, "seq {}", seq);
                }
            }
        }
    }

    #[test]
    fn a_session_with_too_many_gaps_takes_only_what_fills_them() {
        let client: ClientId = "c".into();
        let name = |seq| Name { client: &client, session: SessionId(7), seq };
        let mut sessions = Sessions::new(10);
        for i in 1..=GAPS_MAX as u64 {
            sessions.enter(name(2 * i), Timestamp(0));
        }
        let next = 2 * GAPS_MAX as u64 + 2;
        assert_eq!(
            sessions.standing(name(next)),
            Standing::Refused(Objection::TooManyGaps { seq: next })
        );
        assert_eq!(sessions.standing(name(next - 1)), Standing::New);
        assert_eq!(sessions.standing(name(1)), Standing::New);
    }

    #[test]
    fn the_session_unused_longest_is_forgotten_first() {
        let clients: Vec<ClientId> = ["a", "b", "c"].map(Into::into).to_vec();
        let name = |i: usize, seq| Name { client: &clients[i], session: SessionId(1), seq };
        let mut sessions = Sessions::new(2);
        let second = |s: i64| Timestamp(s * NANOS_PER_SECOND);
        sessions.enter(name(0, 1), second(1));
        sessions.enter(name(1, 1), second(2));
        sessions.enter(name(0, 2), second(3));
        sessions.enter(name(2, 1), second(4));
        assert_eq!(sessions.standing(name(0, 1)), Standing::Seen);
        assert_eq!(sessions.standing(name(1, 1)), Standing::New);
        assert_eq!(sessions.standing(name(2, 1)), Standing::Seen);
    }

    #[test]
    fn a_batch_without_a_session_is_always_new_and_a_numbered_one_starts_at_1() {
        let client: ClientId = "c".into();
        let mut sessions = Sessions::new(2);
        let name = |session, seq| Name { client: &client, session: SessionId(session), seq };
        sessions.enter(name(0, 5), Timestamp(1));
        assert_eq!(sessions.standing(name(0, 5)), Standing::New);
        assert_eq!(sessions.standing(name(1, 0)), Standing::Refused(Objection::SeqZero));
    }
}
