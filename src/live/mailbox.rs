//! Where frames wait for their viewer.

use super::frame::{Frame, FrameKind};
use futures_util::Stream;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

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
}

/// Why a viewer gets no more frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It did not read control frames for so long that one would have been lost.
    ControlOverflow,
    /// The daemon stops.
    Shutdown,
}

/// The places of one viewer. Whoever puts never waits.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub transport: Transport,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Lossless. Full = the viewer is ended.
    control: VecDeque<Arc<Frame>>,
    /// Latest wins.
    degraded: Option<Arc<Frame>>,
    /// Latest wins.
    status: Option<Arc<Frame>>,
    /// Taken back by the hub when the next one is due.
    data: Option<Arc<Frame>>,
    /// The viewer found nothing when it last looked.
    waiting: bool,
    waker: Option<Waker>,
    end: Option<End>,
    gone: bool,
}

impl State {
    /// What the viewer gets next. What it knew is void with a snapshot, so that nothing overtakes it.
    fn take(&mut self) -> Option<Arc<Frame>> {
        if self.data.as_ref().is_some_and(|frame| frame.kind() == FrameKind::Snapshot) {
            return self.data.take();
        }
        let next = self.degraded.take().or_else(|| self.control.pop_front());
        next.or_else(|| self.data.take()).or_else(|| self.status.take())
    }
}

impl Mailbox {
    pub fn new(transport: Transport) -> Mailbox {
        let state = State { waiting: true, ..State::default() };
        Mailbox { transport, state: Mutex::new(state) }
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

    pub fn put_data(&self, frame: Arc<Frame>) {
        self.put(|state| {
            state.data = Some(frame);
            state.waiting = false;
        });
    }

    /// Takes back the data frame, if it was not read.
    pub fn revoke_data(&self) -> Option<Arc<Frame>> {
        self.lock().data.take()
    }

    pub fn put_status(&self, frame: Arc<Frame>) {
        self.put(|state| state.status = Some(frame));
    }

    pub fn put_degraded(&self, frame: Arc<Frame>) {
        self.put(|state| state.degraded = Some(frame));
    }

    /// Queues a frame that must not be lost; ends the viewer if there is no room.
    pub fn put_control(&self, frame: Arc<Frame>) {
        self.put(|state| {
            if state.control.len() < CONTROL_MAX {
                state.control.push_back(frame);
            } else {
                end(state, End::ControlOverflow);
            }
        });
    }

    pub fn end(&self, why: End) {
        self.put(|state| end(state, why));
    }

    /// Whether a data frame lies unread.
    pub fn has_data(&self) -> bool {
        self.lock().data.is_some()
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
        let frames = state.control.iter().chain(&state.data).chain(&state.status);
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
        if let Some(frame) = state.take() {
            state.waiting = false;
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
