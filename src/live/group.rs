//! The viewers of one subscription, and the frames that they share.

mod polls;

use super::alerts::{Alerts, Told};
use super::compose::{About, Compose, Parts};
use super::cursor::Cursor;
use super::frame::{Frame, FrameKind};
use super::mailbox::{Mailbox, Revoked, Transport};
use super::matcher::Matcher;
use super::news::News;
use super::pace::{Degraded, Pace};
use super::poll::Poller;
use super::presence::Infos;
use super::protobuf::Tables;
use super::render::{Json, Renderer, Wanted};
use super::status::StatusFrames;
use super::subscription::{Form, Subscription, window_name};
use crate::aggregate::{Aggregate, DeviceId, Filter, TableId};
use crate::model::{Position, Timestamp};
use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

/// A snapshot is given to everybody who comes within so many ticks; what happened since then follows
/// in their first `rollups`. So a thousand pages that reconnect cost four snapshots a second.
const SNAPSHOT_TICKS: u64 = 4;

/// What a tick brings to every group.
pub(super) struct Tick<'a> {
    pub aggregate: &'a Aggregate,
    pub infos: &'a Infos,
    pub epoch: u64,
    pub now: Timestamp,
    /// The hub's time, which only goes on.
    pub elapsed: Duration,
    pub number: u64,
    pub tick: Duration,
    /// Where the tick before this one was.
    pub before: Position,
    /// Tables changed since then, ascending.
    pub changed_tables: &'a [TableId],
    pub changed_devices: &'a [DeviceId],
    pub status: Option<&'a StatusFrames>,
    pub alerts: &'a Alerts,
    pub news: &'a News,
    pub renderer: &'a mut Renderer,
    /// How many more bytes may be rendered in this tick for viewers who come or missed some. Those who
    /// find none left wait for the next tick.
    pub catch_up_bytes: usize,
    pub counts: &'a mut Counts,
}

/// What viewers were given since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames, in the order of [`FrameKind::ALL`].
    pub frames: [u64; FrameKind::ALL.len()],
    /// Bytes of them, not compressed.
    pub bytes: u64,
    /// Frames that were not read in time, and were merged into later ones.
    pub merged: u64,
    /// Viewers who came back and were told just what they had missed.
    pub resumed: u64,
    /// Viewers who came back, and had to be told everything.
    pub begun_anew: u64,
    /// Viewers who were ended because they did not read what must not be lost.
    pub overflows: u64,
}

impl Counts {
    fn frame(&mut self, frame: &Frame) {
        self.frames[frame.kind().index()] += 1;
        self.bytes += frame.len() as u64;
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
    /// The level of windows that it gets.
    level: usize,
    /// A frame was put, and it is not settled whether it was read in time.
    unsettled: bool,
    /// Whether it was told of all its devices.
    greeted: bool,
    /// Whether a data frame was ever put.
    begun: bool,
    pace: Pace,
}

/// Frames by level and by what a viewer knows, and up to where they tell; none = nothing to tell.
struct Rendered {
    level: usize,
    known: Option<Position>,
    parts: Arc<[Arc<Frame>]>,
    next: Position,
}

/// A snapshot that was rendered lately.
#[derive(Debug)]
struct Snapshot {
    tick: u64,
    level: usize,
    next: Position,
    parts: Arc<[Arc<Frame>]>,
}

/// The viewers of one subscription.
#[derive(Debug)]
pub(super) struct Group {
    subscription: Subscription,
    matcher: Matcher,
    seats: Vec<Seat>,
    pollers: Vec<Poller>,
    snapshots: Vec<Snapshot>,
    /// Kept until frames are due.
    status: Option<Arc<Frame>>,
    /// Where those are who were given the last frame that was due.
    before: Position,
}

impl Group {
    pub fn new(subscription: Subscription, next: Position) -> Group {
        Group {
            matcher: Matcher::new(subscription.clone()),
            subscription,
            seats: Vec::new(),
            pollers: Vec::new(),
            snapshots: Vec::new(),
            status: None,
            before: next,
        }
    }

    /// Adds a viewer who knows all before `cursor`.
    pub fn join(&mut self, mailbox: Arc<Mailbox>, cursor: Option<Position>) {
        self.seats.push(Seat {
            mailbox,
            cursor,
            cursor_before: cursor,
            level: self.subscription.level(),
            unsettled: false,
            greeted: false,
            begun: false,
            pace: Pace::new(),
        });
    }

    /// Adds somebody who waits for one answer.
    pub fn ask(&mut self, poller: Poller) {
        self.pollers.push(poller);
    }

    /// Forgets viewers who are gone; tells whether any are left.
    pub fn sweep(&mut self) -> bool {
        self.seats.retain(|seat| !seat.mailbox.is_over());
        self.pollers.retain(|poller| !poller.answer.is_closed());
        !(self.seats.is_empty() && self.pollers.is_empty())
    }

    /// Its viewers' places, and whether they are served as the slow ones are.
    pub fn mailboxes(&self) -> impl Iterator<Item = (&Mailbox, bool)> {
        self.seats.iter().map(|seat| (&*seat.mailbox, seat.pace.factor() > 1))
    }

    /// How many wait for an answer.
    pub fn pollers(&self) -> usize {
        self.pollers.len()
    }

    /// Puts what is due into every viewer's place.
    pub fn deliver(&mut self, tick: &mut Tick<'_>) {
        self.matcher.extend(tick.aggregate);
        let (mut seats, pollers) = (take(&mut self.seats), take(&mut self.pollers));
        let news = self.changed(tick);
        let beat = self.subscription.beat(tick.tick);
        let is_due = tick.number.is_multiple_of(beat);
        if let Some(status) = tick.status {
            self.status = Some(status.of_subscription(&self.subscription));
        }
        let status = self.status.take_if(|_| is_due);
        let (mut rendered, mut greeting) = (Vec::new(), None);
        for seat in &mut seats {
            // Who is greeted below is told of all devices.
            if seat.greeted {
                news.iter().for_each(|news| control(seat, news, tick));
            }
            if let Some(told) = self.deliver_data(seat, beat, tick, &mut rendered, &mut greeting) {
                let window = window_name(tick.aggregate.windows(), seat.level);
                let frame = self.compose(tick).degraded(told, &window);
                tick.counts.frame(&frame);
                seat.mailbox.put_degraded(frame);
            }
            if let Some(status) = &status {
                tick.counts.frame(status);
                seat.mailbox.put_status(status.clone());
            }
        }
        self.seats = seats;
        for poller in pollers {
            self.answer(poller, is_due, status.as_ref(), tick, &mut rendered);
        }
        if is_due {
            self.before = tick.aggregate.next();
        }
    }

    /// Puts a data frame, if one is due and there is something to tell; tells whether the viewer's pace
    /// changed.
    fn deliver_data(
        &mut self,
        seat: &mut Seat,
        beat: u64,
        tick: &mut Tick<'_>,
        rendered: &mut Vec<Rendered>,
        greeting: &mut Option<Vec<Arc<Frame>>>,
    ) -> Option<Degraded> {
        let every = beat.saturating_mul(u64::from(seat.pace.factor()));
        let is_due = !seat.begun || tick.number.is_multiple_of(every);
        let (mut told, mut is_behind) = (None, false);
        if seat.unsettled && (is_due || !seat.mailbox.has_data()) {
            match seat.mailbox.revoke_data() {
                Revoked::Read => told = seat.pace.read(),
                Revoked::Unread => {
                    seat.cursor = seat.cursor_before;
                    seat.pace.merge();
                    tick.counts.merged += 1;
                    (told, is_behind) = (self.unread(seat, beat, tick), true);
                }
                Revoked::Reading => {
                    let told = self.unread(seat, beat, tick);
                    self.adapt(seat, told, tick);
                    return told;
                }
            }
            seat.unsettled = false;
            self.adapt(seat, told, tick);
        }
        let forgotten = tick.aggregate.forgotten();
        seat.cursor = seat.cursor.filter(|&cursor| cursor >= forgotten);
        if is_due && (seat.cursor != Some(tick.aggregate.next()) || !seat.greeted) {
            let keeps_up = self.keeps_up(seat.cursor, tick);
            if keeps_up || seat.mailbox.is_waiting() {
                self.put_data(seat, tick, rendered, greeting);
            } else if !is_behind {
                seat.pace.merge();
                tick.counts.merged += 1;
                told = told.or_else(|| self.unread(seat, beat, tick));
                self.adapt(seat, told, tick);
            }
        }
        told
    }

    fn put_data(
        &mut self,
        seat: &mut Seat,
        tick: &mut Tick<'_>,
        rendered: &mut Vec<Rendered>,
        greeting: &mut Option<Vec<Arc<Frame>>>,
    ) {
        let Some((parts, next)) = self.rendered(seat.level, seat.cursor, tick, rendered) else {
            return;
        };
        if let Some(first) = parts.first() {
            // All devices are told after every snapshot.
            seat.greeted &= first.kind() != FrameKind::Snapshot;
            seat.cursor_before = seat.cursor;
            (seat.begun, seat.unsettled) = (true, true);
            parts.iter().for_each(|part| tick.counts.frame(part));
            seat.mailbox.put_data(&parts, tick.elapsed);
        }
        seat.cursor = Some(next);
        if !seat.greeted {
            seat.greeted = true;
            let greeting = greeting.get_or_insert_with(|| self.greeting(tick));
            greeting.iter().for_each(|frame| control(seat, frame, tick));
        }
    }

    fn unread(&self, seat: &mut Seat, beat: u64, tick: &Tick<'_>) -> Option<Degraded> {
        let beat = u32::try_from(beat).unwrap_or(u32::MAX);
        seat.pace.unread(seat.mailbox.age(tick.elapsed), tick.tick.saturating_mul(beat))
    }

    /// Gives a viewer whose pace changed the windows that go with it. What it knows of others is void:
    /// it gets a snapshot.
    fn adapt(&self, seat: &mut Seat, told: Option<Degraded>, tick: &Tick<'_>) {
        if told.is_none() || seat.mailbox.transport == Transport::Inside {
            return;
        }
        let coarsest = tick.aggregate.windows().levels() - 1;
        let level = (self.subscription.level() + seat.pace.coarser()).min(coarsest);
        if level != seat.level {
            (seat.level, seat.cursor, seat.cursor_before) = (level, None, None);
        }
    }

    fn keeps_up(&self, cursor: Option<Position>, tick: &Tick<'_>) -> bool {
        cursor.is_some_and(|cursor| cursor == tick.before || cursor == self.before)
    }

    /// The frames for who knows all before `cursor`, rendered once a tick, and up to where they tell.
    /// `None`: not in this tick any more; no frames: there is nothing to tell.
    fn rendered(
        &mut self,
        level: usize,
        cursor: Option<Position>,
        tick: &mut Tick<'_>,
        rendered: &mut Vec<Rendered>,
    ) -> Option<(Arc<[Arc<Frame>]>, Position)> {
        let same = |known: &&Rendered| known.known == cursor && known.level == level;
        if let Some(known) = rendered.iter().find(same) {
            return Some((known.parts.clone(), known.next));
        }
        let keeps_up = self.keeps_up(cursor, tick);
        if !keeps_up && tick.catch_up_bytes == 0 {
            return None;
        }
        let (parts, next) = match cursor {
            None => self.snapshot(level, tick),
            Some(cursor) => (self.rollups(level, cursor, tick), tick.aggregate.next()),
        };
        if !keeps_up {
            // Looking costs something even if nothing is found.
            let bytes = parts.iter().map(|part| part.len()).sum::<usize>() + 1024;
            tick.catch_up_bytes = tick.catch_up_bytes.saturating_sub(bytes);
        }
        rendered.push(Rendered { level, known: cursor, parts: parts.clone(), next });
        Some((parts, next))
    }

    fn snapshot(&mut self, level: usize, tick: &mut Tick<'_>) -> (Arc<[Arc<Frame>]>, Position) {
        let forgotten = tick.aggregate.forgotten();
        self.snapshots.retain(|s| tick.number - s.tick < SNAPSHOT_TICKS && s.next >= forgotten);
        if let Some(snapshot) = self.snapshots.iter().find(|s| s.level == level) {
            return (snapshot.parts.clone(), snapshot.next);
        }
        let wanted = self.wanted(level, Filter::Held, tick.aggregate);
        let parts = self.tables(&wanted, self.matcher.tables(), tick.renderer);
        let beat = tick.tick.as_millis().saturating_mul(self.subscription.beat(tick.tick).into());
        let tick_ms = Some(u64::try_from(beat).unwrap_or(u64::MAX));
        let parts: Arc<[_]> = self.frames(level, tick_ms, parts, tick).into();
        let next = tick.aggregate.next();
        self.snapshots.push(Snapshot { tick: tick.number, level, next, parts: parts.clone() });
        (parts, next)
    }

    fn rollups(&self, level: usize, cursor: Position, tick: &mut Tick<'_>) -> Arc<[Arc<Frame>]> {
        let wanted = self.wanted(level, Filter::Since(cursor), tick.aggregate);
        let parts = if cursor >= tick.before {
            let tables = self.matcher.tables_of(tick.changed_tables);
            self.tables(&wanted, tables, tick.renderer)
        } else {
            self.tables(&wanted, self.matcher.tables(), tick.renderer)
        };
        self.frames(level, None, parts, tick).into()
    }

    fn tables(
        &self,
        wanted: &Wanted<'_>,
        tables: impl Iterator<Item = TableId>,
        renderer: &mut Renderer,
    ) -> Parts {
        match self.subscription.form() {
            Form::Json => {
                let mut form = Json::default();
                renderer.tables(wanted, tables, &mut form);
                Parts::Json(form.finish())
            }
            Form::Protobuf => {
                let mut form = Tables::default();
                renderer.tables(wanted, tables, &mut form);
                Parts::Protobuf(form.finish())
            }
        }
    }

    fn frames(
        &self,
        level: usize,
        snapshot: Option<u64>,
        parts: Parts,
        tick: &Tick<'_>,
    ) -> Vec<Arc<Frame>> {
        let window = &window_name(tick.aggregate.windows(), level);
        let whole = level == self.subscription.level();
        let cursor = Cursor { whole, ..Cursor::new(tick.epoch, tick.aggregate.next()) };
        self.compose(tick).data(&About { window, snapshot, cursor }, parts)
    }

    fn compose(&self, tick: &Tick<'_>) -> Compose {
        Compose { form: self.subscription.form(), now_ms: tick.now.as_millis() }
    }

    fn wanted<'a>(&'a self, level: usize, filter: Filter, aggregate: &'a Aggregate) -> Wanted<'a> {
        let points_max = self.subscription.points_max();
        Wanted { aggregate, matcher: &self.matcher, level, filter, points_max }
    }

    /// All devices that belong to what is subscribed, and all open alerts: also if there are none, for
    /// who comes back may know of some that are over.
    fn greeting(&self, tick: &Tick<'_>) -> Vec<Arc<Frame>> {
        let all = tick.aggregate.devices();
        let wanted = all.filter(|(_, device)| self.matcher.wants_device(device));
        let (_, devices) = self.compose(tick).devices(wanted, tick.infos, tick.aggregate);
        let (open, more) = tick.alerts.open();
        let open = open.filter(|told| self.wants_alert(told));
        vec![devices, self.compose(tick).alerts(open, Some(more))]
    }

    /// What became of devices and alerts that belong to what is subscribed.
    fn changed(&self, tick: &Tick<'_>) -> Vec<Arc<Frame>> {
        self.news(tick.changed_devices.iter(), tick.alerts.changed(), tick)
    }

    fn news<'a>(
        &self,
        devices: impl Iterator<Item = &'a DeviceId>,
        alerts: impl Iterator<Item = &'a Arc<Told>> + Clone,
        tick: &Tick<'_>,
    ) -> Vec<Arc<Frame>> {
        let mut news = Vec::new();
        let mut devices = devices
            .map(|&id| (id, tick.aggregate.device(id)))
            .filter(|(_, device)| self.matcher.wants_device(device))
            .peekable();
        if devices.peek().is_some() {
            news.push(self.compose(tick).devices(devices, tick.infos, tick.aggregate).1);
        }
        let alerts = alerts.filter(|told| self.wants_alert(told));
        if alerts.clone().next().is_some() {
            news.push(self.compose(tick).alerts(alerts, None));
        }
        news
    }

    fn wants_alert(&self, told: &Told) -> bool {
        told.device().is_none_or(|device| self.subscription.wants_device(device))
    }
}

/// Puts a frame that must not be lost.
fn control(seat: &Seat, frame: &Arc<Frame>, tick: &mut Tick<'_>) {
    if !seat.mailbox.put_control(frame.clone(), tick.elapsed) {
        tick.counts.overflows += 1;
    }
    tick.counts.frame(frame);
}
