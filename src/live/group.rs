//! The viewers of one subscription, and the frames that they share.

use super::alerts::{Alerts, Which};
use super::cursor::Cursor;
use super::frame::{Frame, FrameKind};
use super::mailbox::Mailbox;
use super::matcher::Matcher;
use super::pace::{Degraded, Pace};
use super::presence::Infos;
use super::render::{Renderer, Wanted, device_states, integer};
use super::subscription::{Subscription, window_name};
use crate::aggregate::{Aggregate, DeviceId, Filter, TableId};
use crate::model::{Position, Timestamp};
use std::sync::Arc;

/// A snapshot is given to everybody who comes within so many ticks; what happened since then follows
/// in their first `rollups`. So a thousand pages that reconnect cost four snapshots a second.
const SNAPSHOT_TICKS: u64 = 4;

/// What a tick brings to every group.
pub(super) struct Tick<'a> {
    pub aggregate: &'a Aggregate,
    pub infos: &'a Infos,
    pub epoch: u64,
    pub now: Timestamp,
    pub number: u64,
    pub tick_ms: u64,
    /// Where the tick before this one was.
    pub before: Position,
    /// Tables changed since then, ascending.
    pub changed_tables: &'a [TableId],
    pub changed_devices: &'a [DeviceId],
    pub status: Option<&'a Arc<Frame>>,
    pub alerts: &'a Alerts,
    pub renderer: &'a mut Renderer,
    /// How many more bytes may be rendered in this tick for viewers who come or missed some. Those who
    /// find none left wait for the next tick.
    pub catch_up_bytes: usize,
    /// Frames put, by [`FrameKind::index`].
    pub frames: &'a mut [u64; FrameKind::ALL.len()],
}

impl Tick<'_> {
    fn frame(
        &self,
        kind: FrameKind,
        id: Option<Cursor>,
        data: impl FnOnce(&mut Vec<u8>),
    ) -> Arc<Frame> {
        Arc::new(Frame::new(kind, id, self.now.as_millis(), data))
    }

    fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, position: self.aggregate.next() }
    }
}

/// A viewer as the hub sees it.
#[derive(Debug)]
struct Seat {
    mailbox: Arc<Mailbox>,
    /// What it knows, if it reads what was put; `None` = nothing that counts.
    cursor: Option<Position>,
    /// What it knows without the frame that was put last.
    cursor_before: Option<Position>,
    /// A frame was put, and it is not settled whether it was read in time.
    unsettled: bool,
    /// Whether it was told of all its devices.
    greeted: bool,
    /// Ticks since a frame was put.
    age: u32,
    pace: Pace,
}

/// Frames by what a viewer knows; `None` inside = nothing to tell.
type Rendered = Vec<(Option<Position>, Option<Arc<Frame>>)>;

/// The viewers of one subscription.
#[derive(Debug)]
pub(super) struct Group {
    subscription: Subscription,
    matcher: Matcher,
    seats: Vec<Seat>,
    snapshot: Option<(u64, Position, Arc<Frame>)>,
}

impl Group {
    pub fn new(subscription: Subscription) -> Group {
        let matcher = Matcher::new(subscription.clone());
        Group { subscription, matcher, seats: Vec::new(), snapshot: None }
    }

    /// Adds a viewer who knows all before `cursor`.
    pub fn join(&mut self, mailbox: Arc<Mailbox>, cursor: Option<Position>) {
        self.seats.push(Seat {
            mailbox,
            cursor,
            cursor_before: cursor,
            unsettled: false,
            greeted: false,
            age: u32::MAX,
            pace: Pace::new(),
        });
    }

    /// Forgets viewers who are gone; tells whether any are left.
    pub fn sweep(&mut self) -> bool {
        self.seats.retain(|seat| !seat.mailbox.is_over());
        !self.seats.is_empty()
    }

    /// Its viewers' places.
    pub fn mailboxes(&self) -> impl Iterator<Item = (&Mailbox, bool)> {
        self.seats.iter().map(|seat| (&*seat.mailbox, seat.pace.factor() > 1))
    }

    /// Puts what is due into every viewer's place.
    pub fn deliver(&mut self, tick: &mut Tick<'_>) {
        self.matcher.extend(tick.aggregate);
        let mut seats = std::mem::take(&mut self.seats);
        let news = [self.device_news(tick), self.alerts(Which::Changed, tick)];
        let mut rendered = Rendered::new();
        let mut greeting = None;
        for seat in &mut seats {
            // Who is greeted below is told of all devices.
            if seat.greeted {
                news.iter().flatten().for_each(|news| control(seat, news, tick));
            }
            if let Some(told) = self.deliver_data(seat, tick, &mut rendered, &mut greeting) {
                seat.mailbox.put_degraded(degraded(told, tick));
                tick.frames[FrameKind::Degraded.index()] += 1;
            }
            if let Some(status) = tick.status {
                seat.mailbox.put_status(status.clone());
                tick.frames[FrameKind::Status.index()] += 1;
            }
        }
        self.seats = seats;
    }

    /// Puts a data frame, if one is due and there is something to tell; tells whether the viewer's pace
    /// changed.
    fn deliver_data(
        &mut self,
        seat: &mut Seat,
        tick: &mut Tick<'_>,
        rendered: &mut Rendered,
        greeting: &mut Option<Vec<Arc<Frame>>>,
    ) -> Option<Degraded> {
        seat.age = seat.age.saturating_add(1);
        let is_due = seat.age >= seat.pace.factor();
        let (mut told, mut is_behind) = (None, false);
        if seat.unsettled && (is_due || !seat.mailbox.has_data()) {
            seat.unsettled = false;
            is_behind = seat.mailbox.revoke_data().is_some();
            if is_behind {
                seat.cursor = seat.cursor_before;
                told = seat.pace.unread();
            } else {
                told = seat.pace.read();
            }
        }
        let forgotten = tick.aggregate.forgotten();
        seat.cursor = seat.cursor.filter(|&cursor| cursor >= forgotten);
        if !is_due || seat.cursor == Some(tick.aggregate.next()) && seat.greeted {
            return told;
        }
        let keeps_up = seat.cursor == Some(tick.before);
        if !keeps_up && !seat.mailbox.is_waiting() {
            return if is_behind { told } else { seat.pace.unread() };
        }
        if let Some(frame) = self.rendered(seat.cursor, tick, rendered)? {
            self.put(seat, frame, tick);
        } else {
            seat.cursor = Some(tick.aggregate.next());
        }
        if !seat.greeted {
            seat.greeted = true;
            let greeting = greeting.get_or_insert_with(|| self.greeting(tick));
            greeting.iter().for_each(|frame| control(seat, frame, tick));
        }
        told
    }

    fn put(&self, seat: &mut Seat, frame: Arc<Frame>, tick: &mut Tick<'_>) {
        // All devices are told after every snapshot.
        seat.greeted &= frame.kind() != FrameKind::Snapshot;
        seat.cursor_before = seat.cursor;
        seat.cursor = frame.id().map(|id| id.position);
        (seat.age, seat.unsettled) = (0, true);
        tick.frames[frame.kind().index()] += 1;
        seat.mailbox.put_data(frame);
    }

    /// The frame for who knows all before `cursor`, rendered once a tick. The outer `None`: not in this
    /// tick any more; the inner one: there is nothing to tell.
    fn rendered(
        &mut self,
        cursor: Option<Position>,
        tick: &mut Tick<'_>,
        rendered: &mut Rendered,
    ) -> Option<Option<Arc<Frame>>> {
        if let Some((_, frame)) = rendered.iter().find(|(known, _)| *known == cursor) {
            return Some(frame.clone());
        }
        let keeps_up = cursor == Some(tick.before);
        if !keeps_up && tick.catch_up_bytes == 0 {
            return None;
        }
        let frame = match cursor {
            None => Some(self.snapshot(tick)),
            Some(cursor) => self.rollups(cursor, tick),
        };
        if !keeps_up {
            // Looking costs something even if nothing is found.
            let bytes = frame.as_ref().map_or(0, |frame| frame.bytes()) + 1024;
            tick.catch_up_bytes = tick.catch_up_bytes.saturating_sub(bytes);
        }
        rendered.push((cursor, frame.clone()));
        Some(frame)
    }

    fn snapshot(&mut self, tick: &mut Tick<'_>) -> Arc<Frame> {
        let forgotten = tick.aggregate.forgotten();
        if let Some((number, position, frame)) = &self.snapshot
            && tick.number - number < SNAPSHOT_TICKS
            && *position >= forgotten
        {
            return frame.clone();
        }
        let mut data = Vec::new();
        let (wanted, renderer) = (self.wanted(Filter::Held, tick.aggregate), &mut *tick.renderer);
        renderer.devices(&wanted, self.matcher.tables(), &mut data);
        let window = window_name(tick.aggregate.windows(), self.subscription.level());
        let head =
            format!("{{\"window\":\"{window}\",\"resumed\":false,\"tick_ms\":{}", tick.tick_ms);
        let frame = tick.frame(FrameKind::Snapshot, Some(tick.cursor()), |out| {
            body(&head, &data, out);
        });
        self.snapshot = Some((tick.number, tick.aggregate.next(), frame.clone()));
        frame
    }

    fn rollups(&self, cursor: Position, tick: &mut Tick<'_>) -> Option<Arc<Frame>> {
        let mut data = Vec::new();
        let wanted = self.wanted(Filter::Since(cursor), tick.aggregate);
        let count = if cursor >= tick.before {
            let tables = self.matcher.tables_of(tick.changed_tables);
            tick.renderer.devices(&wanted, tables, &mut data)
        } else {
            tick.renderer.devices(&wanted, self.matcher.tables(), &mut data)
        };
        if count == 0 {
            return None;
        }
        let window = window_name(tick.aggregate.windows(), self.subscription.level());
        let head = format!("{{\"window\":\"{window}\"");
        Some(tick.frame(FrameKind::Rollups, Some(tick.cursor()), |out| body(&head, &data, out)))
    }

    fn wanted<'a>(&'a self, filter: Filter, aggregate: &'a Aggregate) -> Wanted<'a> {
        let level = self.subscription.level();
        Wanted { aggregate, matcher: &self.matcher, level, filter }
    }

    /// All devices that belong to what is subscribed, and all open alerts.
    fn greeting(&self, tick: &Tick<'_>) -> Vec<Arc<Frame>> {
        let all = tick.aggregate.devices().map(|(_, device)| device);
        let wanted = all.filter(|device| self.matcher.wants_device(device));
        let mut data = Vec::new();
        device_states(wanted, tick.infos, &mut data);
        let devices = tick.frame(FrameKind::Device, None, |out| body("{", &data, out));
        std::iter::once(devices).chain(self.alerts(Which::Open, tick)).collect()
    }

    /// Alerts that belong to what is subscribed, or are about the daemon. All open ones are told also
    /// if there are none: who comes back may know of some that are over.
    fn alerts(&self, which: Which, tick: &Tick<'_>) -> Option<Arc<Frame>> {
        let wants = |device: &str| self.subscription.wants_device(device);
        let mut data = Vec::new();
        let count = tick.alerts.render(which, wants, &mut data);
        (count > 0 || which == Which::Open)
            .then(|| tick.frame(FrameKind::Alert, None, |out| out.extend_from_slice(&data)))
    }

    /// Those of them whose state changed.
    fn device_news(&self, tick: &Tick<'_>) -> Option<Arc<Frame>> {
        let changed = tick.changed_devices.iter().map(|&id| tick.aggregate.device(id));
        let wanted = changed.filter(|device| self.matcher.wants_device(device));
        let mut data = Vec::new();
        if device_states(wanted, tick.infos, &mut data) == 0 {
            return None;
        }
        Some(tick.frame(FrameKind::Device, None, |out| body("{", &data, out)))
    }
}

/// Puts a frame that must not be lost.
fn control(seat: &Seat, frame: &Arc<Frame>, tick: &mut Tick<'_>) {
    seat.mailbox.put_control(frame.clone());
    tick.frames[frame.kind().index()] += 1;
}

/// `{head,"devices":data}`, where head is `{` with or without members.
fn body(head: &str, data: &[u8], out: &mut Vec<u8>) {
    out.reserve(head.len() + data.len() + 16);
    out.extend_from_slice(head.as_bytes());
    if head.len() > 1 {
        out.push(b',');
    }
    out.extend_from_slice(b"\"devices\":");
    out.extend_from_slice(data);
    out.push(b'}');
}

fn degraded(told: Degraded, tick: &Tick<'_>) -> Arc<Frame> {
    tick.frame(FrameKind::Degraded, None, |out| {
        out.extend_from_slice(b"{\"factor\":");
        integer(i64::from(told.factor), out);
        out.extend_from_slice(b",\"skipped\":");
        integer(i64::try_from(told.skipped).unwrap_or(i64::MAX), out);
        out.push(b'}');
    })
}
