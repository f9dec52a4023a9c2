//! The hub: owns the aggregate and all viewers; told the records, the wishes and the time.
//!
//! Synchronous, without a clock and without waiting; [`super::handle`] runs it on its thread.

use super::alerts::Alerts;
use super::cursor::Cursor;
use super::feed::{Begin, Entry};
use super::floors::Floors;
use super::group::{Counts, Group, Tick};
use super::handle::{Settings, Stats, ViewerCounts};
use super::hub_clocks::Clocks;
use super::hub_devices::Outlook;
use super::mailbox::{End, Mailbox, Transport, Viewer};
use super::news::News;
use super::poll::{PollCursor, Poller};
use super::presence::Infos;
use super::render::Renderer;
use super::status::{StatusFrames, StatusTold};
use super::subscription::Subscription;
use crate::aggregate::{Aggregate, Via};
use crate::model::{Position, Timestamp};
use crate::rules::Alert;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// About how many bytes per tick are rendered for viewers who come or missed some: 40 ms of work.
const CATCH_UP_BYTES: usize = 16 << 20;

/// The state behind all live streams, without the thread: for who drives it himself, as
/// `benches/fan_out.rs` does. The daemon starts a [`Live`](super::Live).
pub struct Hub {
    pub(super) settings: Settings,
    pub(super) aggregate: Aggregate,
    pub(super) infos: Infos,
    groups: HashMap<Subscription, Group>,
    floors: Floors,
    /// Cursors from here on can be served; `None` while the log is being caught up with.
    resume_from: Option<Position>,
    /// All of the log was read when it was last looked.
    pub(super) is_idle: bool,
    status: Option<StatusTold>,
    alerts: Alerts,
    news: News,
    ticks: u64,
    ticked_at: Position,
    pub(super) outlook: Outlook,
    pub(super) clocks: Clocks,
    renderer: Renderer,
    counts: Counts,
    /// The age of the oldest frame that any viewer has yet to read.
    oldest_unread: Duration,
}

impl Hub {
    /// A hub that is not caught up yet.
    #[must_use]
    pub fn new(mut settings: Settings) -> Hub {
        let known = std::mem::take(&mut settings.known);
        let begin = settings.begin.position();
        let mut hub = Hub {
            aggregate: Aggregate::begin_at(settings.aggregate.clone(), begin),
            infos: Infos::default(),
            groups: HashMap::new(),
            floors: Floors::new(settings.resume_keep, begin),
            resume_from: None,
            is_idle: false,
            status: None,
            alerts: Alerts::default(),
            news: News::default(),
            ticks: 0,
            ticked_at: begin,
            outlook: Outlook::default(),
            clocks: Clocks::default(),
            renderer: Renderer::default(),
            counts: Counts::default(),
            oldest_unread: Duration::ZERO,
            settings,
        };
        hub.seed(known);
        hub.look_at_clocks();
        hub
    }

    /// Folds a record.
    pub fn fold(&mut self, entry: &Entry) {
        self.is_idle = false;
        let via = Via { protocol: entry.protocol, client: entry.client.clone() };
        let (position, received_at) = (entry.position, entry.received_at);
        self.note_receipt(received_at);
        self.aggregate.apply_from(position, received_at, Some(&via), &entry.batch);
        if let Some(log_time) = self.aggregate.log_time()
            && self.floors.is_due(log_time)
        {
            self.floors.note(log_time, self.aggregate.next(), self.aggregate.oldest_open());
        }
    }

    /// Hears that all of the log was read.
    pub fn idle(&mut self) {
        self.is_idle = true;
        self.caught_up();
    }

    /// Begins to serve: what there was when the daemon started is folded.
    pub(super) fn caught_up(&mut self) {
        if self.resume_from.is_none() {
            let from = match self.settings.begin {
                Begin::Kept(_) => self.floors.resume_from(),
                Begin::Cut(_) => self.aggregate.next(),
            };
            self.aggregate.set_whole_from(from);
            self.resume_from = Some(from);
        }
    }

    /// Whether frames are served.
    pub(super) fn is_serving(&self) -> bool {
        self.resume_from.is_some()
    }

    /// Nothing of the log before this will be needed.
    pub(super) fn keep_from(&self) -> Position {
        self.floors.keep_from()
    }

    /// A viewer who knows all before `cursor`. Its first frame comes with the next tick.
    #[must_use]
    pub fn view(&mut self, subscription: Subscription, cursor: Option<Cursor>) -> Viewer {
        let mailbox = Arc::new(Mailbox::new(Transport::Sse));
        self.subscribe(subscription, cursor, mailbox.clone());
        Viewer::new(mailbox, None)
    }

    /// Adds a viewer. Its first frame comes with the next tick.
    pub(super) fn subscribe(
        &mut self,
        subscription: Subscription,
        cursor: Option<Cursor>,
        mailbox: Arc<Mailbox>,
    ) {
        let known = cursor.filter(|cursor| self.can_resume(*cursor));
        match (cursor, known) {
            (_, Some(_)) => self.counts.resumed += 1,
            (Some(_), None) => self.counts.begun_anew += 1,
            (None, None) => {}
        }
        self.group(subscription).join(mailbox, known.map(|cursor| cursor.position));
    }

    /// Adds somebody who waits for one answer, and knows all before `cursor`.
    pub(super) fn poll(
        &mut self,
        subscription: Subscription,
        cursor: Option<PollCursor>,
        poller: impl FnOnce(Option<Position>, Option<u64>) -> Poller,
    ) {
        let known = cursor.filter(|cursor| self.can_resume(cursor.log));
        if cursor.is_some() && known.is_none() {
            self.counts.begun_anew += 1;
        }
        let position = known.map(|cursor| cursor.log.position);
        let poller = poller(position, known.and_then(|cursor| cursor.news));
        self.group(subscription).ask(poller);
    }

    fn group(&mut self, subscription: Subscription) -> &mut Group {
        let next = self.ticked_at;
        let new = || Group::new(subscription.clone(), next);
        self.groups.entry(subscription.clone()).or_insert_with(new)
    }

    fn can_resume(&self, cursor: Cursor) -> bool {
        cursor.whole
            && cursor.epoch == self.settings.epoch
            && cursor.position <= self.aggregate.next()
            && cursor.position >= self.aggregate.forgotten()
            && self.resume_from.is_some_and(|from| cursor.position >= from)
    }

    /// Sends the daemon's status with the next tick.
    pub(super) fn set_status(&mut self, told: StatusTold) {
        self.status = Some(told);
    }

    /// Tells of an alert with the next tick.
    pub(super) fn set_alert(&mut self, alert: Arc<Alert>) {
        self.alerts.set(alert);
    }

    /// Renders what changed since the last tick and puts it where viewers find it.
    pub fn tick(&mut self, now: Timestamp) {
        self.tick_at(now, Duration::from_nanos(now.0.unsigned_abs()));
    }

    /// As [`Hub::tick`]; `elapsed` is the time by which ages are measured: it only goes on.
    pub(super) fn tick_at(&mut self, now: Timestamp, elapsed: Duration) {
        if !self.is_serving() {
            return;
        }
        self.ticks += 1;
        self.look_at_devices(now);
        self.groups.retain(|_, group| group.sweep());
        self.look_how_long_frames_wait(elapsed);
        let changed_tables = self.aggregate.take_changed_tables();
        let changed_devices = self.aggregate.take_changed_devices();
        self.save_changed(&changed_devices, now);
        self.outlook.tellers.retain(|teller| teller.tell(&self.aggregate, &changed_devices));
        let status = self.status.take().map(|told| StatusFrames::of(&told, now.as_millis()));
        self.news.note(now.as_millis(), &changed_devices, self.alerts.changed());
        let mut tick = Tick {
            aggregate: &self.aggregate,
            infos: &self.infos,
            epoch: self.settings.epoch,
            now,
            elapsed,
            number: self.ticks,
            tick: self.settings.tick,
            before: self.ticked_at,
            changed_tables: &changed_tables,
            changed_devices: &changed_devices,
            status: status.as_ref(),
            alerts: &self.alerts,
            news: &self.news,
            renderer: &mut self.renderer,
            catch_up_bytes: CATCH_UP_BYTES,
            counts: &mut self.counts,
        };
        // Each time another one is first, so that none always finds no bytes left.
        let first = (self.ticks % self.groups.len().max(1) as u64) as usize;
        self.groups.values_mut().skip(first).for_each(|group| group.deliver(&mut tick));
        self.groups.values_mut().take(first).for_each(|group| group.deliver(&mut tick));
        self.alerts.told();
        self.ticked_at = self.aggregate.next();
    }

    fn look_how_long_frames_wait(&mut self, elapsed: Duration) {
        let mailboxes = self.groups.values().flat_map(Group::mailboxes);
        let ages = mailboxes.map(|(mailbox, _)| mailbox.age(elapsed));
        self.oldest_unread = ages.max().unwrap_or_default();
    }

    /// Tells all viewers that there will be no more.
    pub(super) fn end(&mut self) {
        self.save_rest();
        for group in self.groups.values() {
            group.mailboxes().for_each(|(mailbox, _)| mailbox.end(End::Shutdown));
        }
        self.groups.clear();
    }

    /// The numbers of this moment.
    pub(super) fn stats(&self, now: Timestamp) -> Stats {
        let counts = self.aggregate.counts();
        let lag = match self.aggregate.log_time() {
            Some(log_time) if !self.is_idle => now.since(log_time),
            _ => Duration::ZERO,
        };
        Stats {
            serving: self.is_serving(),
            next: self.aggregate.next(),
            lag,
            series: self.aggregate.series_len(),
            devices: self.aggregate.devices().len(),
            devices_online: self.clocks.counts.online,
            devices_unknown: self.clocks.counts.unknown,
            clocks_off: self.clocks.counts.off,
            samples: counts.samples,
            late_samples: counts.late_samples,
            unfolded_samples: counts.unfolded_samples,
            type_changes: counts.type_changes,
            infos_dropped: self.infos.dropped,
            subscriptions: self.groups.len(),
            viewers: self.viewers(),
            counts: self.counts.clone(),
            oldest_unread: self.oldest_unread,
            reads: (0, Duration::ZERO),
        }
    }

    fn viewers(&self) -> ViewerCounts {
        let mut counts = ViewerCounts::default();
        for (mailbox, is_degraded) in self.groups.values().flat_map(Group::mailboxes) {
            match mailbox.transport {
                Transport::Sse => counts.sse += 1,
                Transport::Ws => counts.ws += 1,
                Transport::Inside => {}
            }
            counts.degraded += usize::from(is_degraded);
        }
        counts.poll = self.groups.values().map(Group::pollers).sum();
        counts
    }
}
