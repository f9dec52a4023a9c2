//! What is on disk, opened: the log, which is folded into admission, the history, and what the sinks
//! remember; and what a record of the log means.

use super::DaemonError;
use crate::admit::{Admission, Decided, Name, SeriesLimits};
use crate::config::Config;
use crate::decode::{self, Stamp, Upstream};
use crate::model::{Batch, ClientId, Timestamp};
use crate::sinks::book::{self, Book, Bounds};
use crate::sinks::history::{self, Reader};
use crate::spool::{self, Kind, Record, Spool};
use crate::web::DeadLetters;
use crate::wire::Limits;
use std::cell::RefCell;
use std::error::Error;
use std::sync::Arc;

/// Opens the spool and folds its newest part into admission.
pub(super) fn open_spool(
    config: &Config,
) -> Result<(spool::Writer, Spool, Admission), DaemonError> {
    let limits = &config.limits;
    let series = SeriesLimits {
        new_per_minute: limits.new_series_per_minute as usize,
        max: limits.series_max,
        seed: rand::random(),
    };
    let mut admission = Admission::new(limits.sessions_max, series);
    let options = spool::Options {
        dir: config.state_dir.join("spool"),
        segment_bytes: config.spool.segment_size,
        bytes_max: config.spool.size_max,
        when_full: config.spool.when_full,
        durability: config.spool.durability,
        tail_bytes: config.spool.tail_memory,
        reserve_bytes: config.spool.reserve,
    };
    let fold = &mut |_, record: &Record<'_>| fold(&mut admission, record);
    let (mut writer, spool, recovery) = spool::open(&options, Arc::new(decode_record), fold)?;
    report(&recovery);
    // Before anybody writes down whose positions theirs are.
    if recovery.created
        && let Err(error) = writer.begin(&mut || admission.checkpoint())
    {
        log::warn!(error:? = error; "the first segment of the spool could not be begun; it is tried again with the first reading");
    }
    // They had been accepted; the follower that meets them counts them as lost.
    let damaged: u64 = recovery.damage.iter().map(|extent| extent.samples).sum();
    admission.tally_mut().of(spool::Protocol::Ws.byte()).samples += damaged;
    Ok((writer, spool, admission))
}

/// Says what opening the spool had to mend.
fn report(recovery: &spool::Recovery) {
    if let Some(torn) = &recovery.torn {
        log::warn!(event = "spool-torn", segment:% = torn.segment, offset = torn.offset, bytes = torn.bytes; "spool: the end of the log was torn by a crash and is cut off; what was acknowledged is before it");
    }
    for extent in &recovery.damage {
        log::error!(
            event = "spool-damaged", segment:% = extent.segment, offset = extent.offset, bytes = extent.bytes,
            batches = extent.records(), samples = extent.samples;
            "spool: damage was stepped over; a copy is in spool/damaged"
        );
    }
    for path in &recovery.set_aside {
        log::warn!(event = "file-set-aside", path:% = path.display(); "spool: a file that is not of this spool was set aside");
    }
}

/// What a record of the log means to admission.
pub(crate) fn fold(admission: &mut Admission, record: &Record<'_>) {
    match record.kind {
        Kind::Checkpoint => {
            if let Err(error) = admission.restore(record.payload) {
                log::error!(error:err = error; "a checkpoint of the spool can't be read: resends from before it may be stored twice");
            }
        }
        Kind::Batch => {
            let client: ClientId = record.client.into();
            let name = Name { client: &client, session: record.session, seq: record.seq };
            admission.enter(name, record.received_at);
            let entered = Decided::Entered { samples: u64::from(record.samples) };
            admission.count(&client, record.protocol.byte(), entered);
        }
    }
}

thread_local! {
    /// Lives once per follower's thread.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How a record of the log becomes a batch again: as when it entered, with the time and the anchor of
/// then, and without limits that may have been lowered since.
fn decode_record(record: &Record<'_>) -> Result<Batch, Box<dyn Error + Send + Sync>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let limits = &Limits::READ_BACK;
        let plain = crate::wire::inflate(record.payload, limits, scratch)?;
        let Upstream::Batch(batch) = decode::upstream(plain)? else {
            return Err("the record holds no batch".into());
        };
        let booted_at = (record.anchor != 0).then_some(Timestamp(record.anchor));
        let stamp = Stamp { received_at: record.received_at, booted_at, client: record.client };
        Ok(decode::batch(batch, limits, &stamp)?.batch)
    })
}

pub(super) fn open_stores(
    config: &Config,
    spool_id: u64,
) -> Result<(history::Opened, Arc<DeadLetters>), DaemonError> {
    let history = open_history(config, spool_id)?;
    Ok((history, DeadLetters::new(open_book(config, Bounds::NONE)?)))
}

fn open_history(config: &Config, spool_id: u64) -> Result<history::Opened, DaemonError> {
    let mut options = history::Options::new(config.state_dir.join("history.db"), spool_id);
    options.retention = config.history.retention;
    options.bytes_max = config.history.size_max;
    options.flush_interval = config.history.flush_interval;
    options.head_samples_max = config.history.head_samples_max;
    let opened = history::open(options)?;
    if let Some(set_aside) = &opened.set_aside {
        log::error!(
            event = "file-set-aside", path:% = set_aside.path.display(), bytes = set_aside.bytes;
            "the history's file was damaged: it was set aside and a new one begun"
        );
    }
    if opened.spool_changed {
        log::warn!(
            "the history belongs to another spool: its samples stay, the log is read from its start"
        );
    }
    if opened.leftovers > 0 {
        log::info!(leftovers = opened.leftovers; "unfinished compactions of the history were dropped; nothing is lost");
    }
    Ok(opened)
}

/// Opens what the sinks remember, or begins it.
pub(super) fn open_book(config: &Config, bounds: Bounds) -> Result<Book, DaemonError> {
    let book::Opened { book, set_aside } = Book::open(&config.state_dir.join("sinks.db"), bounds)?;
    if let Some(set_aside) = set_aside {
        log::error!(
            event = "file-set-aside", path:% = set_aside.path.display(), bytes = set_aside.bytes;
            "the sinks' file was damaged: it was set aside and a new one begun; its dead letters are no \
             longer shown, and sinks write again what the spool still has"
        );
    }
    Ok(book)
}

/// A restart must not count the series that the history holds as new.
pub(super) fn know_series(mut admission: Admission, history: &Reader) -> Admission {
    history.each_series(|identity, metric| admission.know_series(identity, metric));
    admission
}
