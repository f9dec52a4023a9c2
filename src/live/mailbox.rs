//! Where frames wait for their viewer.

use super::frame::{Frame, FrameKind};
use crate::clock;
use futures_util::Stream;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The most device and alert frames that wait for a viewer; one more ends it. At most one of each
/// comes per tick.
const CONTROL_MAX: usize = 64;

/// How a viewer is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Server-sent events.
    Sse,
    /// WebSocket.
    Ws,
    /// A part of the daemon. It wants the windows that it asked for, however slow it is.
    Inside,
}

/// Why a viewer gets no more frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It did not read control frames for so long that one would have been lost.
    ControlOverflow,
    /// The daemon stops.
    Shutdown,
}

/// How long frames lay until their viewers took them, of all viewers together.
#[derive(Debug)]
pub(super) struct Reads {
    /// Where the hub's time begins.
    pub origin: Instant,
    frames: AtomicU64,
    waited_us: AtomicU64,
}

impl Reads {
    pub fn new(origin: Instant) -> Reads {
        Reads { origin, frames: AtomicU64::new(0), waited_us: AtomicU64::new(0) }
    }

    fn note(&self, put: Duration) {
        let waited = clock::monotonic().saturating_duration_since(self.origin + put);
        self.frames.fetch_add(1, Ordering::Relaxed);
        let waited = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        self.waited_us.fetch_add(waited, Ordering::Relaxed);
    }

    /// Data and control frames that were read, and how long they lay, added up.
    pub fn counts(&self) -> (u64, Duration) {
        let waited = Duration::from_micros(self.waited_us.load(Ordering::Relaxed));
        (self.frames.load(Ordering::Relaxed), waited)
    }
}

/// What became of a data frame that the hub took back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Revoked {
    /// There was none: it had been read.
    Read,
    /// Nothing of it had been read.
    Unread,
    /// The viewer is reading its parts; the rest was left to it.
    Reading,
}

/// The places of one viewer. Whoever puts never waits. Times are the hub's.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub transport: Transport,
    reads: Option<Arc<Reads>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Lossless. Full = the viewer is ended.
    control: VecDeque<(Duration, Arc<Frame>)>,
    /// Latest wins.
    degraded: Option<Arc<Frame>>,
    /// Latest wins.
    status: Option<Arc<Frame>>,
    /// Parts of one; taken back by the hub when the next one is due.
    data: VecDeque<Arc<Frame>>,
    /// When they were put.
    data_at: Duration,
    /// Some parts of it were taken.
    data_begun: bool,
    /// When the first frame was put that was taken back, if nothing was read since.
    behind_since: Option<Duration>,
    /// The viewer found nothing when it last looked.
    waiting: bool,
    waker: Option<Waker>,
    end: Option<End>,
    gone: bool,
}

impl State {
    /// What the viewer gets next, and when it was put, if that counts. What it knew is void with a
    /// snapshot, so that only why it comes overtakes it.
    fn take(&mut self) -> Option<(Option<Duration>, Arc<Frame>)> {
        self.behind_since = None;
        if let Some(frame) = self.degraded.take() {
            return Some((None, frame));
        }
        if self.data.front().is_none_or(|frame| frame.kind() != FrameKind::Snapshot)
            && let Some((at, frame)) = self.control.pop_front()
        {
            return Some((Some(at), frame));
        }
        if let Some(frame) = self.data.pop_front() {
            self.data_begun = true;
            return Some((Some(self.data_at), frame));
        }
        Some((None, self.status.take()?))
    }

    /// When the oldest frame was put that lies unread.
    fn unread_since(&self) -> Option<Duration> {
        let data = (!self.data.is_empty()).then_some(self.data_at);
        let control = self.control.front().map(|(at, _)| *at);
        [self.behind_since, data, control].into_iter().flatten().min()
    }
}

impl Mailbox {
    pub fn new(transport: Transport) -> Mailbox {
        let state = State { waiting: true, ..State::default() };
        Mailbox { transport, reads: None, state: Mutex::new(state) }
    }

    /// As it is; how long its frames lie is measured.
    pub fn measured(self, reads: Arc<Reads>) -> Mailbox {
        Mailbox { reads: Some(reads), ..self }
    }

    /// A panic elsewhere while it was locked leaves every field valid.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, place: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.lock();
            place(&mut state);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Puts the parts of a data frame.
    pub fn put_data(&self, parts: &[Arc<Frame>], at: Duration) {
        self.put(|state| {
            state.data = parts.iter().cloned().collect();
            (state.data_at, state.data_begun, state.waiting) = (at, false, false);
        });
    }

    /// Takes back the data frame, if none of its parts was read.
    pub fn revoke_data(&self) -> Revoked {
        let mut state = self.lock();
        if state.data.is_empty() {
            return Revoked::Read;
        }
        if state.data_begun {
            return Revoked::Reading;
        }
        state.behind_since = state.behind_since.or(Some(state.data_at));
        state.data.clear();
        Revoked::Unread
    }

    /// How long the oldest frame has lain unread; zero if there is none. The status, which is replaced
    /// every second, does not count.
    pub fn age(&self, now: Duration) -> Duration {
        self.lock().unread_since().map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    pub fn put_status(&self, frame: Arc<Frame>) {
        self.put(|state| state.status = Some(frame));
    }

    pub fn put_degraded(&self, frame: Arc<Frame>) {
        self.put(|state| state.degraded = Some(frame));
    }

    /// Queues a frame that must not be lost; if there is no room, ends the viewer and tells `false`.
    pub fn put_control(&self, frame: Arc<Frame>, at: Duration) -> bool {
        let mut has_room = true;
        self.put(|state| {
            has_room = state.end.is_some() || state.control.len() < CONTROL_MAX;
            if has_room {
                state.control.push_back((at, frame));
            } else {
                end(state, End::ControlOverflow);
            }
        });
        has_room
    }

    pub fn end(&self, why: End) {
        self.put(|state| end(state, why));
    }

    /// Whether a data frame lies unread.
    pub fn has_data(&self) -> bool {
        !self.lock().data.is_empty()
    }

    /// Whether the viewer looked for a frame and found none.
    pub fn is_waiting(&self) -> bool {
        self.lock().waiting
    }

    /// Whether nobody will look again.
    pub fn is_over(&self) -> bool {
        let state = self.lock();
        state.gone || state.end.is_some()
    }

    /// Bytes of frames that wait, shared ones counted whole.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        let state = self.lock();
        let control = state.control.iter().map(|(_, frame)| frame);
        let frames = control.chain(&state.data).chain(&state.status);
        frames.chain(&state.degraded).map(|frame| frame.bytes()).sum()
    }
}

/// Lets go of all frames: nobody will read them.
fn end(state: &mut State, why: End) {
    let waker = state.waker.take();
    *state =
        State { end: Some(state.end.unwrap_or(why)), gone: state.gone, waker, ..State::default() };
}

/// A place among the viewers that there may be at once.
#[derive(Debug)]
pub(super) struct Permit(Arc<AtomicUsize>);

impl Permit {
    /// A place, unless `max` are taken.
    pub fn take(count: &Arc<AtomicUsize>, max: usize) -> Option<Permit> {
        let add = |taken| (taken < max).then_some(taken + 1);
        count.try_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Permit(count.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Somebody watching: a stream of frames, which ends when the daemon does or when control frames
/// overflow ([`Viewer::end`] tells which). Dropping it ends the subscription.
#[derive(Debug)]
pub struct Viewer {
    mailbox: Arc<Mailbox>,
    /// None if nobody counts the viewers.
    _permit: Option<Permit>,
}

impl Viewer {
    pub(super) fn new(mailbox: Arc<Mailbox>, permit: Option<Permit>) -> Viewer {
        Viewer { mailbox, _permit: permit }
    }

    /// The next frame; `None` when there will be no more. Nothing is lost if it is cancelled.
    pub async fn next(&mut self) -> Option<Arc<Frame>> {
        std::future::poll_fn(|context| self.poll_frame(context)).await
    }

    /// As [`Viewer::next`], for who polls.
    pub fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Arc<Frame>>> {
        let mut state = self.mailbox.lock();
        if let Some((put, frame)) = state.take() {
            state.waiting = false;
            drop(state);
            if let (Some(put), Some(reads)) = (put, &self.mailbox.reads) {
                reads.note(put);
            }
            return Poll::Ready(Some(frame));
        }
        if state.end.is_some() {
            return Poll::Ready(None);
        }
        state.waiting = true;
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Why there are no more frames; `None` while there may be.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.mailbox.lock().end
    }
}

impl Stream for Viewer {
    type Item = Arc<Frame>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Arc<Frame>>> {
        self.poll_frame(context)
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let mut state = self.mailbox.lock();
        *state = State { gone: true, ..State::default() };
    }
}
