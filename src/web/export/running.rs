//! Exports under way: piece by piece, as their clients take them.
//!
//! An export is a value, not a thread. A piece is made in a blocking thread when the connection asks for it,
//! that is when the client has taken what was there; between pieces the export lies in its place. The body
//! of a client that leaves is dropped, and the place with it. There are [`EXPORTS_MAX`] places; when all are
//! taken, one whose client has taken nothing for [`STALLED`] is given to who asks, and nobody else waits.

use super::coding::Coding;
use super::form::{Form, Series, WriteError, Writer};
use crate::auth::Pass;
use crate::clock;
use crate::sinks::history::{Page, QueryError, Walk};
use bytes::Bytes;
use futures_util::{Stream, stream};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Each takes the processor of one query while its client reads, and memory as `config/memory.rs` says.
pub(crate) const EXPORTS_MAX: usize = 4;
/// A client that has taken nothing for so long may have to make room.
const STALLED: Duration = Duration::from_secs(30);
/// A piece is handed out with so many bytes, or after this time.
const PIECE_BYTES: usize = 256 << 10;
const PIECE_TIME: Duration = Duration::from_millis(100);

/// Why an export ended before its end. Its client sees a body that broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the history could not be read")]
    History(#[from] QueryError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("the answer could not be compressed")]
    Compress(#[from] io::Error),
    #[error("the daemon stops")]
    Stopping,
    #[error("the token, login or certificate is no longer good")]
    Ended,
    #[error("another export has this one's place: nothing was read of it for too long")]
    Stalled,
    #[error("the thread that made it ended")]
    Thread,
}

/// What is told, and how far it was told.
pub(super) struct Export {
    walk: Walk,
    writer: Writer,
    coding: Coding,
    /// The page that is being told, and the next sample in it.
    page: Option<(Page, usize)>,
    form: Form,
    has_begun: bool,
    is_whole: bool,
    samples: u64,
    damaged_chunks: u64,
}

impl Export {
    /// `from_start`: not to go on with what somebody has.
    pub fn begin(
        walk: Walk,
        form: Form,
        from_start: bool,
        coding: Coding,
    ) -> Result<Export, WriteError> {
        let writer = Writer::new(form, from_start)?;
        Ok(Export {
            walk,
            writer,
            coding,
            page: None,
            form,
            has_begun: false,
            is_whole: false,
            samples: 0,
            damaged_chunks: 0,
        })
    }

    /// The next piece, which may be empty; `None` at the end.
    pub fn piece(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        if self.is_whole {
            return Ok(None);
        }
        let until = clock::monotonic() + PIECE_TIME;
        let mut out = Vec::new();
        if !std::mem::replace(&mut self.has_begun, true) {
            self.writer.begin(&mut out);
        }
        while out.len() < PIECE_BYTES && clock::monotonic() < until {
            match self.page.take() {
                Some((page, at)) => self.page = self.tell(page, at, &mut out)?,
                None => match self.walk.next_page()? {
                    Some(page) => {
                        self.damaged_chunks += page.damaged_chunks;
                        self.page = Some((page, 0));
                    }
                    None => {
                        self.writer.end(&mut out)?;
                        self.is_whole = true;
                        let mut piece = self.coding.write(out)?;
                        piece.extend(self.coding.finish()?);
                        return Ok(Some(piece));
                    }
                },
            }
        }
        Ok(Some(self.coding.write(out)?))
    }

    /// Tells samples of a page until the piece is full; gives back what is left.
    fn tell(
        &mut self,
        page: Page,
        from: usize,
        out: &mut Vec<u8>,
    ) -> Result<Option<(Page, usize)>, WriteError> {
        if page.is_empty() {
            return Ok(None);
        }
        let tags: Vec<_> = page.tags().collect();
        let (device, metric, unit) = (page.device(), &page.metric, &page.unit);
        self.writer.series(Series { device, tags: &tags, metric, unit });
        let mut at = from;
        while at < page.len() && out.len() < PIECE_BYTES {
            self.writer.sample(page.time(at), &page.value(at), out)?;
            at += 1;
        }
        self.samples += (at - from) as u64;
        let is_told = at == page.len();
        Ok((!is_told).then_some((page, at)))
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        let (form, samples, whole) = (self.form.name(), self.samples, self.is_whole);
        let damaged_chunks = self.damaged_chunks;
        if damaged_chunks > 0 {
            log::warn!(form, samples, whole, damaged_chunks; "an export lacks what is damaged in the history");
        } else {
            log::debug!(form, samples, whole; "an export ended");
        }
    }
}

/// The exports under way.
pub struct Exports {
    running: Mutex<Vec<Arc<Running>>>,
}

/// One of them; empty while a piece of it is made, and after its place was given away.
struct Running(Mutex<Seat>);

struct Seat {
    export: Option<Export>,
    is_given_away: bool,
    /// When a piece was asked for last.
    asked_at: Instant,
}

/// A place among the exports; free again when it is dropped.
pub(super) struct Place {
    exports: Arc<Exports>,
    running: Arc<Running>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Exports {
    /// None under way.
    #[must_use]
    pub fn new() -> Arc<Exports> {
        Arc::new(Exports { running: Mutex::new(Vec::new()) })
    }

    /// Takes a place for an export, if there is one.
    pub(super) fn begin(self: &Arc<Exports>, export: Export) -> Option<Place> {
        let mut running = lock(&self.running);
        if running.len() >= EXPORTS_MAX {
            let stalled = running.iter().position(|running| running.give_away())?;
            running.swap_remove(stalled);
        }
        let seat =
            Seat { export: Some(export), is_given_away: false, asked_at: clock::monotonic() };
        let begun = Arc::new(Running(Mutex::new(seat)));
        running.push(begun.clone());
        Some(Place { exports: self.clone(), running: begun })
    }
}

impl Running {
    /// Ends it if its client has taken nothing for long.
    fn give_away(&self) -> bool {
        let mut seat = lock(&self.0);
        let since = clock::monotonic().saturating_duration_since(seat.asked_at);
        // One of which a piece is being made is empty, and not stalled.
        if seat.export.is_none() || since < STALLED {
            return false;
        }
        seat.is_given_away = true;
        seat.export = None;
        true
    }

    /// Takes the export out, to make a piece of it.
    fn take(&self) -> Result<Export, Broken> {
        let mut seat = lock(&self.0);
        seat.asked_at = clock::monotonic();
        match seat.export.take() {
            Some(export) => Ok(export),
            None if seat.is_given_away => Err(Broken::Stalled),
            None => Err(Broken::Thread),
        }
    }

    fn put_back(&self, export: Export) {
        let mut seat = lock(&self.0);
        seat.asked_at = clock::monotonic();
        seat.export = Some(export);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.exports.running).retain(|running| !Arc::ptr_eq(running, &self.running));
    }
}

/// What the connection reads: a piece each time that it asks.
///
/// Dropped, it ends the export; a piece that is being made then is made, in [`PIECE_TIME`], for nobody.
pub(super) fn pieces(
    place: Place,
    pass: Pass,
    stop: CancellationToken,
) -> impl Stream<Item = Result<Bytes, Broken>> + Send + 'static {
    stream::try_unfold((place, pass, stop), |(place, pass, stop)| async move {
        loop {
            // Whoever takes what they have for all of it must be told that it is not.
            if stop.is_cancelled() {
                return Err(Broken::Stopping);
            }
            if pass.ended().is_cancelled() {
                return Err(Broken::Ended);
            }
            let mut export = place.running.take()?;
            let making = tokio::task::spawn_blocking(move || {
                let piece = export.piece();
                (export, piece)
            });
            let (export, piece) = making.await.map_err(|_| Broken::Thread)?;
            place.running.put_back(export);
            match piece.inspect_err(|error| log::warn!(error:% = error; "an export broke off"))? {
                None => return Ok(None),
                Some(piece) if piece.is_empty() => {}
                Some(piece) => return Ok(Some((piece.into(), (place, pass, stop)))),
            }
        }
    })
}
