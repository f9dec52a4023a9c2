//! The client's buffer of unsettled batches: what to send next, and what to forget.
//!
//! Pure; told the time. It keeps the rules that `docs/devices.md` gives to device authors: a batch is
//! held until it is settled; after a reconnect all that `Welcome.last_seq` does not cover is sent
//! again, oldest first; never more than the credit is unanswered; and after a `later` refusal all
//! that is held is sent again in order, when its time has come, as after a reconnect: what entered
//! meanwhile is recognised, and no Ack passes the refused batch before it is settled.

use crate::model::Seq;
use crate::wire::Credit;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A batch, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its number.
    pub seq: Seq,
    /// The message as it is sent.
    pub bytes: Bytes,
    /// How many samples are in it.
    pub samples: usize,
}

/// A batch that is held, and when it went out on this connection.
#[derive(Debug)]
struct Held {
    frame: Frame,
    sent_at: Option<Instant>,
}

/// A batch that was settled.
#[derive(Debug, PartialEq, Eq)]
pub struct Settled {
    /// Which.
    pub seq: Seq,
    /// How many samples were in it.
    pub samples: usize,
    /// How long ago it was sent; `None` if that was on an earlier connection.
    pub after: Option<Duration>,
}

/// The buffer. At most `batches_max` are held; a further one pushes out the oldest.
#[derive(Debug)]
pub struct Outbox {
    batches_max: usize,
    held: VecDeque<Held>,
    next_seq: Seq,
    credit: Credit,
    unanswered: Credit,
    min_interval: Duration,
    /// Not before this instant may anything be sent.
    not_before: Option<Instant>,
    given_up: u64,
}

impl Outbox {
    /// An empty buffer of a new session.
    #[must_use]
    pub fn new(batches_max: usize) -> Outbox {
        Outbox {
            batches_max: batches_max.max(1),
            held: VecDeque::new(),
            next_seq: 1,
            credit: Credit::default(),
            unanswered: Credit::default(),
            min_interval: Duration::ZERO,
            not_before: None,
            given_up: 0,
        }
    }

    /// The number that the next batch must have.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// The lowest seq that is held: `Hello.resume`.
    #[must_use]
    pub fn resume(&self) -> Seq {
        self.held.front().map_or(self.next_seq, |held| held.frame.seq)
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many batches are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// How many batches were pushed out unsettled.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Takes the batch with [`Outbox::next_seq`].
    pub fn push(&mut self, frame: Frame) {
        if self.held.len() == self.batches_max {
            self.remove(0);
            self.given_up += 1;
        }
        self.next_seq = frame.seq + 1;
        self.held.push_back(Held { frame, sent_at: None });
    }

    /// Whether a batch of so many bytes could be sent now if it were held and next: for sources that
    /// make batches on demand.
    #[must_use]
    pub fn wants(&self, bytes: usize, now: Instant) -> bool {
        self.is_open(now) && self.has_credit(bytes) && self.held.iter().all(|h| h.sent_at.is_some())
    }

    /// The next batch to send, if one may be sent now. It counts as sent.
    pub fn next(&mut self, now: Instant) -> Option<Frame> {
        if !self.is_open(now) {
            return None;
        }
        let index = self.held.iter().position(|held| held.sent_at.is_none())?;
        if !self.has_credit(self.held[index].frame.bytes.len()) {
            return None;
        }
        self.not_before = (!self.min_interval.is_zero()).then(|| now + self.min_interval);
        let held = &mut self.held[index];
        held.sent_at = Some(now);
        self.unanswered.batches += 1;
        self.unanswered.bytes += size(&held.frame);
        Some(held.frame.clone())
    }

    /// When to ask for [`Outbox::next`] again although nothing was heard.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        self.not_before
    }

    /// The connection is gone: all that is held counts as unsent, and there is no credit.
    pub fn disconnected(&mut self) {
        for held in &mut self.held {
            held.sent_at = None;
        }
        self.credit = Credit::default();
        self.unanswered = Credit::default();
        self.min_interval = Duration::ZERO;
        self.not_before = None;
    }

    /// A new connection is welcome: all up to `last_seq` is settled.
    pub fn welcome(&mut self, last_seq: Seq, credit: Credit) -> Vec<Settled> {
        self.disconnected();
        self.credit = credit;
        // A daemon that remembers more than we do: the session's number was drawn twice, or our
        // buffer was lost. Numbers must not be given twice.
        self.next_seq = self.next_seq.max(last_seq + 1);
        let settled = self.held.iter().take_while(|held| held.frame.seq <= last_seq).count();
        self.held
            .drain(..settled)
            .map(|Held { frame, .. }| Settled {
                seq: frame.seq,
                samples: frame.samples,
                after: None,
            })
            .collect()
    }

    /// Everything up to `seq` is settled.
    pub fn ack(&mut self, seq: Seq, credit: Credit, now: Instant) -> Vec<Settled> {
        self.credit = credit;
        let mut settled = Vec::new();
        while let Some(held) = self.held.front().filter(|held| held.frame.seq <= seq) {
            let after = held.sent_at.map(|sent_at| now.saturating_duration_since(sent_at));
            let Frame { seq, samples, .. } = held.frame;
            settled.push(Settled { seq, samples, after });
            self.remove(0);
        }
        settled
    }

    /// The batch will never enter: it is dropped. Tells its samples.
    pub fn refused_for_good(&mut self, seq: Seq) -> usize {
        let Some(index) = self.position(seq) else { return 0 };
        let samples = self.held[index].frame.samples;
        self.remove(index);
        samples
    }

    /// The batch may enter later: it is sent again after `delay`, and all that is held with it.
    pub fn refused_for_now(&mut self, seq: Seq, delay: Duration, now: Instant) {
        if self.position(seq).is_none() {
            return;
        }
        self.held.iter_mut().for_each(|held| held.sent_at = None);
        self.unanswered = Credit::default();
        self.not_before = self.not_before.max(Some(now + delay));
    }

    /// The daemon asks to slow down, or lets go.
    pub fn throttle(&mut self, credit: Credit, min_interval: Duration) {
        self.credit = credit;
        self.min_interval = min_interval;
    }

    fn is_open(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|instant| instant <= now)
    }

    fn has_credit(&self, bytes: usize) -> bool {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.unanswered.batches < self.credit.batches
            && self.unanswered.bytes.saturating_add(bytes) <= self.credit.bytes
    }

    fn position(&self, seq: Seq) -> Option<usize> {
        self.held.binary_search_by_key(&seq, |held| held.frame.seq).ok()
    }

    fn remove(&mut self, index: usize) {
        if let Some(Held { frame, sent_at: Some(_) }) = self.held.remove(index) {
            self.unanswered.batches -= 1;
            self.unanswered.bytes -= size(&frame);
        }
    }
}

fn size(frame: &Frame) -> u32 {
    u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(batches: u64) -> Outbox {
        let mut outbox = Outbox::new(100);
        outbox.welcome(0, Credit { batches: 4, bytes: 1000 });
        for seq in 1..=batches {
            outbox.push(Frame { seq, bytes: Bytes::from_static(&[0; 100]), samples: 10 });
        }
        outbox
    }

    fn sent(outbox: &mut Outbox, now: Instant) -> Vec<Seq> {
        std::iter::from_fn(|| outbox.next(now)).map(|frame| frame.seq).collect()
    }

    fn seqs(settled: &[Settled]) -> Vec<Seq> {
        settled.iter().map(|settled| settled.seq).collect()
    }

    const CREDIT: Credit = Credit { batches: 4, bytes: 1000 };
    const NONE: [Seq; 0] = [];

    #[test]
    fn no_more_than_the_credit_is_unanswered() {
        let (mut outbox, now) = (outbox(6), crate::clock::monotonic());
        assert_eq!(sent(&mut outbox, now), [1, 2, 3, 4]);
        let few_bytes = Credit { batches: 4, bytes: 299 };
        assert_eq!(seqs(&outbox.ack(2, few_bytes, now)), [1, 2]);
        assert_eq!(sent(&mut outbox, now), NONE);
        assert_eq!(seqs(&outbox.ack(3, few_bytes, now)), [3]);
        assert_eq!(sent(&mut outbox, now), [5]);
    }

    #[test]
    fn after_a_reconnect_all_that_is_not_settled_is_sent_again_in_order() {
        let (mut outbox, now) = (outbox(6), crate::clock::monotonic());
        sent(&mut outbox, now);
        outbox.disconnected();
        assert_eq!(sent(&mut outbox, now), NONE);
        assert_eq!(outbox.resume(), 1);
        assert_eq!(seqs(&outbox.welcome(3, CREDIT)), [1, 2, 3]);
        assert_eq!(sent(&mut outbox, now), [4, 5, 6]);
    }

    #[test]
    fn a_batch_refused_for_now_is_sent_again_after_its_delay_with_all_that_is_held() {
        let (mut outbox, now) = (outbox(6), crate::clock::monotonic());
        sent(&mut outbox, now);
        let delay = Duration::from_secs(1);
        outbox.refused_for_now(2, delay, now);
        assert_eq!(sent(&mut outbox, now), NONE);
        assert_eq!(seqs(&outbox.ack(1, CREDIT, now)), [1], "an Ack that was on its way");
        assert_eq!(sent(&mut outbox, now), NONE, "the delay is not over");
        assert_eq!(outbox.wake_at(), Some(now + delay));
        assert_eq!(sent(&mut outbox, now + delay), [2, 3, 4, 5]);
        assert_eq!(seqs(&outbox.ack(4, CREDIT, now)), [2, 3, 4]);
    }

    #[test]
    fn a_batch_refused_for_good_is_forgotten_and_one_too_many_pushes_out_the_oldest() {
        let (mut outbox, now) = (outbox(3), crate::clock::monotonic());
        sent(&mut outbox, now);
        assert_eq!(outbox.refused_for_good(2), 10);
        assert_eq!(seqs(&outbox.ack(3, CREDIT, now)), [1, 3]);
        let mut small = Outbox::new(2);
        for seq in 1..=3 {
            small.push(Frame { seq, bytes: Bytes::new(), samples: 1 });
        }
        assert_eq!((small.given_up(), small.resume(), small.next_seq()), (1, 2, 4));
    }

    #[test]
    fn throttling_spaces_batches() {
        let (mut outbox, now) = (outbox(3), crate::clock::monotonic());
        outbox.throttle(CREDIT, Duration::from_millis(100));
        assert_eq!(outbox.next(now).map(|frame| frame.seq), Some(1));
        assert_eq!(outbox.next(now), None);
        let later = now + Duration::from_millis(100);
        assert_eq!(outbox.next(later).map(|frame| frame.seq), Some(2));
    }
}
