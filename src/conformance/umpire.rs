//! What a client may send next. Pure: told what came and what was said.
//!
//! Scripts grant less credit, and refuse "later", only when all that the client may have sent has
//! come: so that what comes next is never in doubt.

use super::Fault;
use crate::decode::{self, Stamp, Upstream};
use crate::model::{Batch, Seq, SessionId, Timestamp, Values};
use crate::wire::{self, CommandResult, Credit, Hello, Limits, Reported};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// A message that is in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Heard {
    Hello(Hello),
    Batch(Seq),
    Result(CommandResult),
    Reported(Reported),
    Pong(Bytes),
}

/// The books of one client, over all its connections.
#[derive(Debug, Default)]
pub(super) struct Umpire {
    client: String,
    session: Option<SessionId>,
    booted_at: Option<Timestamp>,
    /// The first bytes of each batch that came.
    messages: BTreeMap<Seq, Bytes>,
    /// Settled by an Ack or Welcome: all up to this one.
    settled: Seq,
    refused: BTreeSet<Seq>,
    // Of this connection:
    greeted: bool,
    resume: Seq,
    credit: Option<Credit>,
    /// The only batch that may come.
    next: Seq,
    unanswered: BTreeMap<Seq, usize>,
    // What it was asked:
    commands: BTreeSet<u64>,
    desired: Option<u64>,
}

impl Umpire {
    pub fn new(client: &str) -> Umpire {
        Umpire { client: client.to_owned(), ..Umpire::default() }
    }

    /// A connection begins.
    pub fn connected(&mut self) {
        self.greeted = false;
        self.credit = None;
        self.unanswered.clear();
    }

    pub fn session(&self) -> u64 {
        self.session.map_or(0, |session| session.0)
    }

    /// What Hello said on this connection.
    pub fn resume(&self) -> Seq {
        self.resume
    }

    /// Bytes of a batch as it was sent.
    pub fn bytes(&self, seq: Seq) -> usize {
        self.messages.get(&seq).map_or(0, Bytes::len)
    }

    /// How many of the first `readings` are not settled.
    pub fn unsettled(&self, readings: u64) -> u64 {
        let open = (self.settled + 1..=readings).filter(|seq| !self.refused.contains(seq));
        open.count() as u64
    }

    pub fn message(&mut self, message: &Bytes, at: Timestamp) -> Result<Heard, Fault> {
        let mut scratch = Vec::new();
        let limits = Limits::default();
        let plain = wire::inflate(message, &limits, &mut scratch)
            .map_err(|error| Fault::Unreadable(error.to_string()))?;
        let said = decode::upstream(plain).map_err(|error| Fault::Unreadable(error.to_string()))?;
        match said {
            Upstream::Hello(hello) => self.hello(hello, at),
            _ if !self.greeted => Err(Fault::NoHello(match said {
                Upstream::Batch(_) => "a Batch",
                Upstream::Result(_) => "a CommandResult",
                _ => "a Reported",
            })),
            Upstream::Batch(batch) => self.batch(message, batch, at),
            Upstream::Result(result) => match self.commands.contains(&result.id) {
                true => Ok(Heard::Result(result)),
                false => Err(Fault::CommandUnasked(result.id)),
            },
            Upstream::Reported(reported) => self.reported(reported),
        }
    }

    fn hello(&mut self, hello: Hello, at: Timestamp) -> Result<Heard, Fault> {
        if self.greeted {
            return Err(Fault::SecondHello);
        }
        if hello.client != self.client {
            let (said, expected) = (hello.client, self.client.clone());
            return Err(Fault::Client { said, expected });
        }
        if hello.session == SessionId(0) {
            return Err(Fault::SessionZero);
        }
        if let Some(before) = self.session.replace(hello.session)
            && before != hello.session
        {
            return Err(Fault::SessionChanged { before: before.0, now: hello.session.0 });
        }
        let held = self.messages.keys().find(|seq| !self.is_settled(**seq));
        if let Some(&held) = held
            && hello.resume > held
        {
            return Err(Fault::Resume { resume: hello.resume, held });
        }
        self.greeted = true;
        self.resume = hello.resume;
        self.booted_at = hello.booted_at(at);
        Ok(Heard::Hello(hello))
    }

    fn batch(&mut self, message: &Bytes, bytes: &[u8], at: Timestamp) -> Result<Heard, Fault> {
        let Some(credit) = self.credit else { return Err(Fault::BeforeWelcome) };
        let stamp = Stamp { received_at: at, booted_at: self.booted_at, client: &self.client };
        let decoded = decode::batch(bytes, &Limits::default(), &stamp)
            .map_err(|fault| Fault::Batch(fault.to_string()))?;
        let seq = decoded.seq;
        if seq != self.next {
            return Err(self.misplaced(seq));
        }
        if self.messages.get(&seq).is_some_and(|before| before != message) {
            return Err(Fault::Changed(seq));
        }
        holds(&decoded.batch, seq)?;
        self.unanswered.insert(seq, message.len());
        let batches = self.unanswered.len();
        if batches > credit.batches as usize {
            return Err(Fault::CreditBatches { batches, credit: credit.batches });
        }
        let bytes = self.unanswered.values().sum();
        if bytes > credit.bytes as usize {
            return Err(Fault::CreditBytes { bytes, credit: credit.bytes });
        }
        self.messages.insert(seq, message.clone());
        self.next = self.after(seq);
        Ok(Heard::Batch(seq))
    }

    /// Why this batch should not have come.
    fn misplaced(&self, seq: Seq) -> Fault {
        if seq == 0 {
            Fault::NoSeq
        } else if self.refused.contains(&seq) {
            Fault::RefusedAgain(seq)
        } else if self.is_settled(seq) {
            Fault::Settled(seq)
        } else if self.unanswered.contains_key(&seq) {
            Fault::Again(seq)
        } else {
            Fault::Order { expected: self.next, got: seq }
        }
    }

    fn reported(&self, reported: Reported) -> Result<Heard, Fault> {
        let expected = self.desired.ok_or(Fault::ReportedUnasked)?;
        let ours = reported.device.is_empty() || reported.device == self.client;
        match reported {
            Reported { version, .. } if ours && version == expected => {
                Ok(Heard::Reported(reported))
            }
            Reported { device, version, .. } => Err(Fault::Reported { device, version, expected }),
        }
    }

    pub fn welcomed(&mut self, last_seq: Seq, credit: Credit) {
        self.settled = self.settled.max(last_seq);
        self.credit = Some(credit);
        // What is below Hello.resume was given up.
        self.next = self.after(self.settled.max(self.resume.saturating_sub(1)));
    }

    pub fn acked(&mut self, seq: Seq, credit: Credit) {
        self.settled = self.settled.max(seq);
        self.unanswered.retain(|&unanswered, _| unanswered > seq);
        self.credit = Some(credit);
    }

    pub fn granted(&mut self, credit: Credit) {
        self.credit = Some(credit);
    }

    pub fn refused_for_good(&mut self, seq: Seq) {
        self.refused.insert(seq);
        self.unanswered.remove(&seq);
    }

    /// All that is held comes again; Acks of what is before `seq` may still follow.
    pub fn refused_for_now(&mut self, seq: Seq) {
        self.unanswered.clear();
        self.next = seq;
    }

    pub fn commanded(&mut self, id: u64) {
        self.commands.insert(id);
    }

    pub fn desired(&mut self, version: u64) {
        self.desired = Some(version);
    }

    fn is_settled(&self, seq: Seq) -> bool {
        seq <= self.settled || self.refused.contains(&seq)
    }

    fn after(&self, seq: Seq) -> Seq {
        (seq + 1..).find(|seq| !self.refused.contains(seq)).unwrap_or(Seq::MAX)
    }
}

/// Whether the batch holds the one reading that it should.
#[expect(clippy::float_cmp, clippy::cast_precision_loss, reason = "small whole numbers")]
fn holds(batch: &Batch, seq: Seq) -> Result<(), Fault> {
    let wrong = |found: String| Err(Fault::Reading { seq, found });
    if batch.samples() != 1 {
        return wrong(format!("{} samples", batch.samples()));
    }
    let mut columns = batch.tables().flat_map(|table| table.columns().collect::<Vec<_>>());
    match columns.next().map(|column| column.values()) {
        Some(Values::Floats(&[value])) if value == seq as f64 => Ok(()),
        Some(Values::Ints(&[value])) if u64::try_from(value) == Ok(seq) => Ok(()),
        Some(Values::Floats(&[value])) => wrong(value.to_string()),
        Some(Values::Ints(&[value])) => wrong(value.to_string()),
        _ => wrong("something else than a number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BatchBuilder;
    use Fault::{Again, Changed, CreditBatches, Order, RefusedAgain, Settled};

    const AT: Timestamp = Timestamp(1_700_000_000_000_000_000);
    const CREDIT: Credit = Credit { batches: 4, bytes: 1000 };

    fn batch(seq: Seq, unit: &str) -> Bytes {
        let mut builder = BatchBuilder::new();
        builder.table("c", &mut [], [AT.0]).unwrap();
        builder.ints("m", unit, [i64::try_from(seq).unwrap()], &[]).unwrap();
        decode::encode(&builder.finish(), seq).into()
    }

    fn hello(session: u64, resume: Seq) -> Bytes {
        let session = SessionId(session);
        wire::encode_hello(&Hello { client: "c".into(), session, resume, ..Hello::default() })
            .into()
    }

    fn welcomed(last_seq: Seq) -> Umpire {
        let mut umpire = Umpire::new("c");
        umpire.message(&hello(1, 0), AT).unwrap();
        umpire.welcomed(last_seq, CREDIT);
        umpire
    }

    /// What becomes of these batches, the last of them.
    fn sent(umpire: &mut Umpire, seqs: &[Seq]) -> Option<Fault> {
        let (last, before) = seqs.split_last().unwrap();
        for seq in before {
            assert_eq!(umpire.message(&batch(*seq, ""), AT), Ok(Heard::Batch(*seq)));
        }
        umpire.message(&batch(*last, ""), AT).err()
    }

    #[test]
    fn only_the_next_batch_may_come() {
        assert_eq!(sent(&mut welcomed(0), &[1, 2, 3]), None);
        assert_eq!(sent(&mut welcomed(0), &[1, 3]), Some(Order { expected: 2, got: 3 }));
        assert_eq!(sent(&mut welcomed(0), &[1, 2, 1]), Some(Again(1)));
        assert_eq!(sent(&mut welcomed(4), &[4]), Some(Settled(4)));
        let mut umpire = welcomed(0);
        assert_eq!(sent(&mut umpire, &[1, 2, 3]), None);
        umpire.refused_for_good(2);
        umpire.connected();
        umpire.message(&hello(1, 1), AT).unwrap();
        umpire.welcomed(1, CREDIT);
        assert_eq!(sent(&mut umpire, &[3]), None);
        assert_eq!(sent(&mut umpire, &[2]), Some(RefusedAgain(2)));
    }

    #[test]
    fn credit_counts_what_is_unanswered() {
        let over = Some(CreditBatches { batches: 5, credit: 4 });
        assert_eq!(sent(&mut welcomed(0), &[1, 2, 3, 4, 5]), over);
        let mut umpire = welcomed(0);
        assert_eq!(sent(&mut umpire, &[1, 2, 3, 4]), None);
        let bytes = u32::try_from(umpire.bytes(2) * 3).unwrap();
        umpire.acked(1, Credit { bytes, ..CREDIT });
        assert!(matches!(sent(&mut umpire, &[5]), Some(Fault::CreditBytes { .. })));
    }

    #[test]
    fn what_comes_again_is_the_same() {
        let mut umpire = welcomed(0);
        assert_eq!(sent(&mut umpire, &[1]), None);
        umpire.connected();
        assert_eq!(
            umpire.message(&hello(2, 0), AT),
            Err(Fault::SessionChanged { before: 1, now: 2 })
        );
        let mut umpire = welcomed(0);
        assert_eq!(sent(&mut umpire, &[1]), None);
        umpire.refused_for_now(1);
        assert_eq!(umpire.message(&batch(1, "K"), AT), Err(Changed(1)));
        umpire.connected();
        assert_eq!(umpire.message(&hello(1, 2), AT), Err(Fault::Resume { resume: 2, held: 1 }));
    }
}
