//! The gate's thread: collects what waits into groups, makes each durable, answers.

use super::ceiling::Ceiling;
use super::memory::{self, Memory};
use super::shares::Shares;
use super::{
    Answer, ClientLedger, GREETINGS_MAX, Gate, OFFER_BYTES_MIN, Offer, Outcome, Pressure, Refusal,
    Refused, RefusedBefore, Request, Reserved,
};
use crate::admit::{Admission, Decided, Name, Tally, Verdict};
use crate::clock;
use crate::ledger::Ledger;
use crate::pulse::Pulse;
use crate::spool::{self, Record, Spool, SpoolError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A group is written when it holds this much, even if more waits: bounds how long a receipt takes.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// How often pressure is looked at when nothing comes.
const IDLE_INTERVAL: Duration = Duration::from_millis(250);
/// What a batch needs to find for the gate to be ready again after trouble; of a small spool, a
/// quarter: its active segment, which stays, may take as much.
const ROOM_BYTES: u64 = 1 << 20;
/// Trouble that lasts is said again after this.
const TROUBLE_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What the gate tells about itself.
#[derive(Debug, Clone, Default)]
pub struct GateStats {
    /// Batches and samples by what was decided, since the spool was made.
    pub tally: Tally,
    /// Series known to admission.
    pub series: usize,
    /// Why nothing can enter now, if so.
    pub trouble: Option<Refusal>,
}

/// Opens the gate over a spool: `admission` has been folded over the log already. The thread ends
/// when the last [`Gate`] is dropped, after the last offer is answered and the log closed.
///
/// # Errors
/// If the thread can't be started.
pub fn open(
    writer: spool::Writer,
    spool: Spool,
    admission: Admission,
    ledger: Arc<Ledger>,
    memory_bytes: usize,
) -> std::io::Result<(Gate, std::thread::JoinHandle<()>, Arc<Mutex<GateStats>>)> {
    let queue_max = memory_bytes / OFFER_BYTES_MIN + GREETINGS_MAX;
    let (requests, queue) = sync_channel(queue_max);
    let queued = Arc::new(AtomicUsize::new(0));
    let (memory, shares) = (Memory::new(memory_bytes), Arc::new(Shares::default()));
    let ceiling = Ceiling::over_us();
    let pressure = Pressure::new(
        spool.clone(),
        memory.clone(),
        queued.clone(),
        queue_max,
        shares.clone(),
        ceiling,
    );
    let refused = Arc::new(RefusedBefore::default());
    let stats = Arc::new(Mutex::new(GateStats::default()));
    let pulse = Pulse::new("gate");
    let mut keeper = Keeper {
        writer,
        spool,
        admission,
        ledger,
        refused: refused.clone(),
        queued: queued.clone(),
        pressure: pressure.clone(),
        stats: stats.clone(),
        trouble: None,
        trouble_logged: None,
        group: Vec::new(),
        pulse: pulse.clone(),
    };
    keeper.publish();
    let (looking, until) = channel();
    let looks = pressure.clone();
    let onlooker = std::thread::Builder::new()
        .name("pressure".to_owned())
        .spawn(move || looks.look_on(&until))?;
    let thread = std::thread::Builder::new().name("gate".to_owned()).spawn(move || {
        keeper.run(&queue);
        keeper.close();
        drop::<std::sync::mpsc::Sender<()>>(looking);
        if onlooker.join().is_err() {
            log::error!("the thread that measures pressure panicked");
        }
    })?;
    let gate = Gate { requests, queued, memory, shares, refused, pressure, pulse };
    Ok((gate, thread, stats))
}

/// An offer that was looked at, waiting for its group.
struct Pending {
    offer: Box<Offer>,
    /// Its memory, given back before the answer.
    reserved: Reserved,
    samples: usize,
    verdict: Verdict,
    refusal: Option<Refusal>,
}

struct Keeper {
    writer: spool::Writer,
    spool: Spool,
    admission: Admission,
    ledger: Arc<Ledger>,
    refused: Arc<RefusedBefore>,
    queued: Arc<AtomicUsize>,
    pressure: Pressure,
    stats: Arc<Mutex<GateStats>>,
    trouble: Option<Refusal>,
    trouble_logged: Option<std::time::Instant>,
    group: Vec<Pending>,
    pulse: Pulse,
}

impl Keeper {
    fn run(&mut self, queue: &Receiver<Request>) {
        loop {
            self.pulse.beat("to wait for batches");
            match queue.recv_timeout(IDLE_INTERVAL) {
                Ok(request) => self.group(request, queue),
                Err(RecvTimeoutError::Timeout) => self.idle(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.publish();
        }
    }

    /// Nothing comes: the log does what is due, and clients that were told to wait can't show whether
    /// trouble is over, so that we look ourselves.
    fn idle(&mut self) {
        self.pulse.beat("to sync the spool");
        let admission = &self.admission;
        let done = self.writer.commit(&mut || admission.checkpoint());
        if let Err(error) = done {
            self.note_trouble(&error);
        } else if self.trouble.is_some() && self.has_room() {
            self.trouble = None;
        }
    }

    /// Whether a small batch would find room: within the cap, and on the disk.
    fn has_room(&self) -> bool {
        let stats = self.spool.stats();
        let room = ROOM_BYTES.min(stats.bytes_max / 4);
        stats.bytes + room <= stats.bytes_max && self.spool.disk_free() >= ROOM_BYTES
    }

    /// Takes what waits, makes it durable together, answers.
    fn group(&mut self, first: Request, queue: &Receiver<Request>) {
        self.pulse.beat("to admit batches");
        if let Some(room) = self.pressure.take_room_for_series() {
            self.admission.set_room_for_series(room);
        }
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(request) = next {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            match request {
                Request::Greet { client, session, resume, at, reply } => {
                    // A batch of the same session may wait in this very group, not durable yet.
                    self.commit();
                    let settled = self.admission.greet(&client, session, resume, at);
                    // The connection may have gone meanwhile; then nobody wants to know.
                    if reply.send(settled).is_err() {
                        log::debug!(client:% = client; "a client left before it was welcomed");
                    }
                }
                Request::Tell { reply } => {
                    // What was answered before is in it; whoever asked may have gone meanwhile.
                    self.commit();
                    self.count_refused();
                    let clients = self.admission.clients().cloned().collect();
                    let told = ClientLedger { clients, tally: self.admission.tally().clone() };
                    reply.send(told).unwrap_or_default();
                }
                Request::NewSeriesPerMinute(count) => {
                    self.admission.set_new_series_per_minute(count);
                }
                Request::Offer(offer, reserved) => {
                    bytes += offer.payload.len();
                    self.admit(offer, reserved);
                }
            }
            if bytes >= GROUP_BYTES_MAX {
                break;
            }
            next = queue.try_recv().ok();
        }
        self.commit();
    }

    fn admit(&mut self, mut offer: Box<Offer>, reserved: Reserved) {
        let name = Name { client: &offer.client, session: offer.session, seq: offer.seq };
        let samples = offer.batch.samples();
        let verdict = self.admission.admit(name, &offer.batch, offer.received_at);
        let mut refusal = None;
        match verdict {
            Verdict::Refuse(objection) => refusal = Some(objection.into()),
            Verdict::Duplicate => {}
            Verdict::Enter => {
                let record = Record {
                    kind: spool::Kind::Batch,
                    received_at: offer.received_at,
                    protocol: offer.protocol,
                    client: &offer.client,
                    session: offer.session,
                    seq: offer.seq,
                    anchor: offer.booted_at.map_or(0, |booted| booted.0),
                    samples: u32::try_from(samples).unwrap_or(u32::MAX),
                    payload: &offer.payload,
                };
                let batch = Arc::new(std::mem::take(&mut offer.batch));
                if let Err(error) = self.writer.append(&record, Some(batch)) {
                    self.admission.withdraw(name);
                    refusal = Some(self.note_trouble(&error));
                }
            }
        }
        self.group.push(Pending { offer, reserved, samples, verdict, refusal });
    }

    fn commit(&mut self) {
        self.pulse.beat("to write and sync the spool");
        let Keeper { writer, admission, group, .. } = self;
        let failed = writer.commit(&mut || checkpoint_without(admission, group)).err();
        let failed = failed.map(|error| self.note_trouble(&error));
        let entered =
            |pending: &Pending| pending.verdict == Verdict::Enter && pending.refusal.is_none();
        if failed.is_none() && self.group.iter().any(entered) {
            self.trouble = None;
        }
        let accepted = match failed {
            Some(_) => 0,
            None => self.group.iter().filter(|it| entered(it)).map(|it| it.samples as u64).sum(),
        };
        if accepted > 0 {
            // Before the answers: who has one may look at the books.
            self.ledger.accepted(self.spool.next(), accepted);
        }
        // Memory first: who gets the answer may send the next batch at once.
        memory::give_back(self.group.iter_mut().map(|pending| &mut pending.reserved));
        for pending in self.group.drain(..) {
            let Pending { offer, samples, verdict, mut refusal, .. } = pending;
            let name = Name { client: &offer.client, session: offer.session, seq: offer.seq };
            if refusal.is_none() && failed.is_some() {
                // A duplicate may be one of a batch in this very group.
                refusal = failed;
                if verdict == Verdict::Enter {
                    self.admission.withdraw(name);
                }
            }
            let (decided, outcome) = match (refusal, verdict) {
                (Some(refusal), _) => {
                    if refusal.is_for_good() {
                        self.admission.settle(name, offer.received_at);
                    }
                    (Decided::Refused, Outcome::Refused(refusal))
                }
                (None, Verdict::Duplicate) => (Decided::Duplicate, Outcome::Duplicate),
                (None, _) => {
                    let entered = Decided::Entered { samples: samples as u64 };
                    (entered, Outcome::Stored { samples })
                }
            };
            self.admission.count(&offer.client, offer.protocol.byte(), decided);
            let Offer { seq, answer, .. } = *offer;
            drop(answer.send(Answer { seq, outcome }));
        }
    }

    /// What the error means for clients; logged once per interval.
    fn note_trouble(&mut self, error: &SpoolError) -> Refusal {
        let refusal = match error {
            SpoolError::Full { .. } => Refusal::SpoolFull,
            SpoolError::NoSpace { .. } => Refusal::DiskFull,
            SpoolError::TooLarge { .. }
            | SpoolError::Io { .. }
            | SpoolError::Locked { .. }
            | SpoolError::Version { .. } => Refusal::StorageFailed,
        };
        let due = self
            .trouble_logged
            .is_none_or(|at| clock::monotonic().duration_since(at) >= TROUBLE_LOG_INTERVAL);
        if due || self.trouble != Some(refusal) {
            self.trouble_logged = Some(clock::monotonic());
            log::error!(event = "intake-refused", refusal:% = refusal, error:% = error; "nothing can enter: {refusal}; clients are told to try again later");
        }
        self.trouble = Some(refusal);
        refusal
    }

    fn count_refused(&mut self) {
        let Refused { named, others } = self.refused.take();
        for ((client, protocol), batches) in named {
            self.admission.count_refused(&client, protocol.byte(), batches);
        }
        for (protocol, batches) in others {
            self.admission.tally_mut().of(protocol.byte()).refused += batches;
        }
    }

    fn publish(&mut self) {
        self.count_refused();
        self.pressure.after_group(self.trouble.is_some());
        let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        stats.tally.clone_from(self.admission.tally());
        stats.series = self.admission.series();
        stats.trouble = self.trouble;
    }

    fn close(mut self) {
        self.publish();
        let Keeper { writer, admission, .. } = self;
        if let Err(error) = writer.close(&mut || admission.checkpoint()) {
            log::error!(error:% = error; "the spool could not be closed in order; what was acknowledged is in it");
        }
    }
}

/// What a new segment begins with: the fold of what is durable, so without the group that is being
/// written. If the group then fails, or is torn by a crash, nobody is told "duplicate" for it.
fn checkpoint_without(admission: &mut Admission, group: &[Pending]) -> Vec<u8> {
    let entering = || {
        group
            .iter()
            .filter(|pending| pending.verdict == Verdict::Enter && pending.refusal.is_none())
    };
    for pending in entering() {
        admission.withdraw(pending.name());
    }
    let checkpoint = admission.checkpoint();
    for pending in entering() {
        admission.enter(pending.name(), pending.offer.received_at);
    }
    checkpoint
}

impl Pending {
    fn name(&self) -> Name<'_> {
        let Offer { client, session, seq, .. } = &*self.offer;
        Name { client, session: *session, seq: *seq }
    }
}

impl Refusal {
    /// The same bytes would be refused again.
    #[must_use]
    pub fn is_for_good(self) -> bool {
        use crate::admit::Objection::{
            Empty, NewSeriesTooFast, NoMemoryForSeries, SeqZero, TooManyGaps, TooManySeries,
        };
        match self {
            Refusal::Objection(SeqZero | TooManyGaps { .. } | Empty) => true,
            Refusal::Objection(
                NewSeriesTooFast { .. } | NoMemoryForSeries { .. } | TooManySeries { .. },
            )
            | Refusal::Overloaded
            | Refusal::SpoolFull
            | Refusal::DiskFull
            | Refusal::StorageFailed
            | Refusal::ShuttingDown => false,
        }
    }
}
