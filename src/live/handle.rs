//! The door: a handle to the thread that owns the hub.

use super::cursor::Cursor;
use super::device_desk::{Amendment, DeviceDesk};
use super::feed::{Begin, Feed, FeedNext};
use super::group::Counts;
use super::hub::Hub;
use super::mailbox::{Mailbox, Permit, Reads, Transport, Viewer};
use super::poll::{PollQuery, Polled, Poller};
use super::presence::{ClientInfo, DeviceState, KnownDevice};
use super::remedies::InForce;
use super::status::StatusTold;
use super::subscription::Subscription;
use super::watch::{self, DeviceWatch, Teller};
use crate::aggregate::{self, Windows};
use crate::clock;
use crate::model::{Position, Timestamp};
use crate::rules::Alert;
use std::collections::{BTreeMap, HashMap};
use std::mem::take;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// How live works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is folded and kept.
    pub aggregate: aggregate::Settings,
    /// How often frames are rendered.
    pub tick: Duration,
    /// For how long cursors are good across a restart, in time of the log.
    pub resume_keep: Duration,
    /// The most viewers at once.
    pub viewers_max: usize,
    /// Names the log.
    pub epoch: u64,
    /// Where the feed begins.
    pub begin: Begin,
    /// Devices that are known from before the log begins.
    pub known: Vec<KnownDevice>,
    /// When the daemon started. Receipts before that are of another one's life, and between the two
    /// nobody was silent. `None` if all is one life.
    pub started: Option<Timestamp>,
}

impl Settings {
    /// The defaults, for the log named `epoch` and a feed that begins at `begin`.
    #[must_use]
    pub fn new(epoch: u64, begin: Begin) -> Settings {
        Settings {
            aggregate: aggregate::Settings::default(),
            tick: Duration::from_millis(250),
            resume_keep: Duration::from_secs(120),
            viewers_max: 10_000,
            epoch,
            begin,
            known: Vec::new(),
            started: None,
        }
    }
}

/// Why a viewer can't be had. For the client to try later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SubscribeError {
    /// There are as many viewers as there may be.
    #[error("there are {max} viewers, no more are taken")]
    TooManyViewers {
        /// How many there may be.
        max: usize,
    },
    /// The daemon stops.
    #[error("the daemon stops")]
    Ended,
}

/// The numbers of live.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Whether the log is caught up with, so that frames are served.
    pub serving: bool,
    /// The next record to be folded.
    pub next: Position,
    /// How old the last folded record is, while there are more; zero if there are none.
    pub lag: Duration,
    /// Series known.
    pub series: usize,
    /// Devices known.
    pub devices: usize,
    /// Those of them that are online.
    pub devices_online: usize,
    /// Those of them that wait in the inbox.
    pub devices_unknown: usize,
    /// Those of them whose clock is off.
    pub clocks_off: usize,
    /// Samples folded.
    pub samples: u64,
    /// Samples whose window was closed when they came.
    pub late_samples: u64,
    /// Samples of series above the most there may be.
    pub unfolded_samples: u64,
    /// How often a series went on with a type that can't be joined with the one before.
    pub type_changes: u64,
    /// Clients whose labels were not remembered, because there are too many.
    pub infos_dropped: u64,
    /// Distinct subscriptions.
    pub subscriptions: usize,
    /// Viewers.
    pub viewers: ViewerCounts,
    /// What viewers were given since the start.
    pub counts: Counts,
    /// The age of the oldest frame that any viewer had yet to read at the last tick.
    pub oldest_unread: Duration,
    /// Data and control frames that viewers took, and for how long they had lain, added up.
    pub reads: (u64, Duration),
}

/// How many viewers there are. One WebSocket with three subscriptions counts three times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ViewerCounts {
    /// By server-sent events.
    pub sse: usize,
    /// By WebSocket.
    pub ws: usize,
    /// By long poll: those whose question waits.
    pub poll: usize,
    /// Those of either who get frames less often, because they are slow.
    pub degraded: usize,
}

/// Wishes that wait for the thread; who finds it full waits.
const COMMANDS_MAX: usize = 256;
/// The thread looks for wishes at least so often.
const COMMANDS_INTERVAL: Duration = Duration::from_millis(50);

pub(super) enum Command {
    Subscribe(Subscription, Option<Cursor>, Arc<Mailbox>),
    Poll(PollQuery, oneshot::Sender<Polled>, Permit),
    Devices(oneshot::Sender<Vec<DeviceState>>),
    Device(String, oneshot::Sender<Option<DeviceState>>),
    Amend(Vec<String>, Amendment, oneshot::Sender<Vec<DeviceState>>),
}

/// What others leave for the thread without waiting. Each part is bounded: by its kind, or by the
/// number of clients that can say something, and of alerts that can change, between two looks.
#[derive(Debug, Default)]
pub(super) struct Desk {
    status: Option<StatusTold>,
    /// By id: the latest state of an alert wins.
    alerts: BTreeMap<u64, Arc<Alert>>,
    infos: HashMap<String, ClientInfo>,
    pub(super) devices: DeviceDesk,
    tellers: Vec<Teller>,
    stats: Stats,
}

/// A handle to live. Cheap to clone. The thread ends when the feed does.
#[derive(Debug, Clone)]
pub struct Live {
    pub(super) commands: mpsc::Sender<Command>,
    desk: Arc<Mutex<Desk>>,
    viewers: Arc<AtomicUsize>,
    viewers_max: Arc<AtomicUsize>,
    windows: Arc<Windows>,
    pub(super) in_force: Arc<InForce>,
    reads: Arc<Reads>,
}

/// The most clients that wait on the desk to be remembered; they were seen within 50 ms.
const DESK_INFOS_MAX: usize = 100_000;

impl Live {
    /// Starts the thread. Frames are served when it has caught up with the log: when the feed is idle
    /// for the first time, or brings records that were received after this call.
    ///
    /// The thread ends when the feed has ended; its viewers end with it.
    ///
    /// # Errors
    /// If the system has no thread to give.
    pub fn start(
        settings: Settings,
        feed: impl Feed + 'static,
    ) -> std::io::Result<(Live, JoinHandle<()>)> {
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let origin = clock::monotonic();
        let (tick, windows) = (settings.tick, Arc::new(settings.aggregate.windows.clone()));
        let viewers_max = Arc::new(AtomicUsize::new(settings.viewers_max));
        let hub = Hub::new(settings);
        let live = Live {
            commands,
            desk: Arc::default(),
            viewers: Arc::default(),
            viewers_max,
            windows,
            reads: Arc::new(Reads::new(origin)),
            in_force: hub.clocks.in_force.clone(),
        };
        let worker = Worker { hub, feed, inbox, desk: live.desk.clone(), tick, origin };
        let thread = std::thread::Builder::new().name("live".into()).spawn(move || worker.run())?;
        Ok((live, thread))
    }

    /// The widths of windows that can be subscribed to.
    #[must_use]
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// So many viewers at once from now on; nobody is sent away.
    pub fn set_viewers_max(&self, max: usize) {
        self.viewers_max.store(max, Ordering::Relaxed);
    }

    /// A viewer. Its first frame is `rollups` with everything after `cursor`, if that can still be told
    /// without a hole, else a `snapshot`.
    ///
    /// # Errors
    /// [`SubscribeError`] if there can't be one more.
    pub async fn subscribe(
        &self,
        subscription: Subscription,
        cursor: Option<Cursor>,
        transport: Transport,
    ) -> Result<Viewer, SubscribeError> {
        let max = self.viewers_max.load(Ordering::Relaxed);
        let permit =
            Permit::take(&self.viewers, max).ok_or(SubscribeError::TooManyViewers { max })?;
        let mailbox = Arc::new(Mailbox::new(transport).measured(self.reads.clone()));
        let viewer = Viewer::new(mailbox.clone(), Some(permit));
        let command = Command::Subscribe(subscription, cursor, mailbox);
        self.commands.send(command).await.map_err(|_| SubscribeError::Ended)?;
        Ok(viewer)
    }

    /// Asks once. The answer comes as soon as there is something after the cursor, else empty when the
    /// time to wait is over. The question counts as a viewer while it waits; dropping it takes it back.
    ///
    /// # Errors
    /// [`SubscribeError`] if there can't be one more.
    pub async fn poll(&self, query: PollQuery) -> Result<Polled, SubscribeError> {
        let max = self.viewers_max.load(Ordering::Relaxed);
        let permit =
            Permit::take(&self.viewers, max).ok_or(SubscribeError::TooManyViewers { max })?;
        let (answer, polled) = oneshot::channel();
        let command = Command::Poll(query, answer, permit);
        self.commands.send(command).await.map_err(|_| SubscribeError::Ended)?;
        polled.await.map_err(|_| SubscribeError::Ended)
    }

    /// Which devices come and go, from the states of all of them on; while live catches up with the
    /// log there is no news.
    #[must_use]
    pub fn watch_devices(&self) -> DeviceWatch {
        let (teller, watch) = watch::pair();
        self.desk().tellers.push(teller);
        watch
    }

    /// Sends the object of `/api/v1/status` to all viewers with the next tick: the whole to who reaches
    /// all devices, to the others what is for them. Each must be one line.
    pub fn publish_status(&self, whole: impl Into<Arc<str>>, within: impl Into<Arc<str>>) {
        self.desk().status = Some(StatusTold { whole: whole.into(), within: within.into() });
    }

    /// Shows viewers, with the next tick, alerts that changed; all open ones are to be told once at
    /// the start. Never waits.
    pub fn alerts(&self, changed: Vec<Arc<Alert>>) {
        self.desk().alerts.extend(changed.into_iter().map(|alert| (alert.id, alert)));
    }

    /// What a client said of itself when it connected.
    pub fn client_info(&self, client: &str, info: ClientInfo) {
        let mut desk = self.desk();
        if desk.infos.len() < DESK_INFOS_MAX {
            desk.infos.insert(client.to_owned(), info);
        }
    }

    /// The numbers, at most a tick old.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let reads = self.reads.counts();
        Stats { reads, ..self.desk().stats.clone() }
    }

    /// A panic elsewhere while it was locked leaves every field valid.
    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What runs on the thread.
struct Worker<F> {
    hub: Hub,
    feed: F,
    inbox: mpsc::Receiver<Command>,
    desk: Arc<Mutex<Desk>>,
    tick: Duration,
    /// Where the hub's time begins.
    origin: Instant,
}

impl<F: Feed> Worker<F> {
    fn run(mut self) {
        let started = clock::now();
        let mut next_tick = clock::monotonic();
        loop {
            let until_tick = next_tick.saturating_duration_since(clock::monotonic());
            match self.feed.next(until_tick.min(COMMANDS_INTERVAL)) {
                FeedNext::Entries(entries) => {
                    entries.iter().for_each(|entry| self.hub.fold(entry));
                    if entries.last().is_some_and(|entry| entry.received_at > started) {
                        self.hub.caught_up();
                    }
                }
                FeedNext::Idle => self.hub.idle(),
                FeedNext::Ended => return self.hub.end(),
            }
            self.read_inbox();
            if clock::monotonic() >= next_tick {
                self.tick(clock::now());
                next_tick = after(next_tick, self.tick);
            }
        }
    }

    fn read_inbox(&mut self) {
        // While the log is being caught up with, it can't be said which cursors are good.
        if !self.hub.is_serving() {
            return;
        }
        while let Ok(command) = self.inbox.try_recv() {
            match command {
                Command::Subscribe(subscription, cursor, mailbox) => {
                    self.hub.subscribe(subscription, cursor, mailbox);
                }
                Command::Device(id, answer) => {
                    drop(answer.send(self.hub.device(&id, clock::now())));
                }
                Command::Amend(ids, amendment, answer) => {
                    drop(answer.send(self.hub.amend(&ids, &amendment, clock::now())));
                }
                Command::Poll(query, answer, permit) => {
                    let deadline =
                        clock::monotonic().saturating_duration_since(self.origin) + query.wait;
                    self.hub.poll(query.subscription, query.cursor, |cursor, news| Poller {
                        cursor,
                        news,
                        deadline,
                        answer,
                        _permit: Some(permit),
                    });
                }
                Command::Devices(answer) => {
                    // Who asked may have gone.
                    drop(answer.send(self.hub.devices()));
                }
            }
        }
    }

    fn tick(&mut self, now: Timestamp) {
        let (status, alerts, infos, devices, tellers) = {
            let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
            let Desk { status, alerts, infos, devices, tellers, .. } = &mut *desk;
            let (status, alerts) = (status.take(), take(alerts));
            (status, alerts, take(infos), take(devices), take(tellers))
        };
        status.into_iter().for_each(|told| self.hub.set_status(told));
        alerts.into_values().for_each(|alert| self.hub.set_alert(alert));
        infos.into_iter().for_each(|(client, info)| self.hub.set_info(client, info));
        self.hub.take_desk(devices);
        tellers.into_iter().for_each(|teller| self.hub.watch_devices(teller));
        self.hub.tick_at(now, clock::monotonic().saturating_duration_since(self.origin));
        self.feed.keep_from(self.hub.keep_from());
        let stats = self.hub.stats(now);
        self.desk.lock().unwrap_or_else(PoisonError::into_inner).stats = stats;
    }
}

/// When to tick again: on the beat, or one beat from now if that was missed.
fn after(beat: Instant, tick: Duration) -> Instant {
    let now = clock::monotonic();
    let next = beat + tick;
    if next > now { next } else { now + tick }
}
