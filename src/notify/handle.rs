//! The door: opens the channels, and answers who asks how they are.

use super::book::{Book, BookError, Letter};
use super::channel::{Shared, SharedBook, Task, with};
use super::grouping::{Grouping, Rhythm};
use super::{Channel, Journal, Undelivered};
use crate::clock;
use crate::model::Timestamp;
use crate::sqlite::SetAside;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// How notifications work; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file.
    pub path: PathBuf,
    /// How long events of a new group are collected.
    pub group_wait: Duration,
    /// How long until the next message of the same group.
    pub group_interval: Duration,
    /// Messages of a channel, at most.
    pub messages_per_hour: u32,
    /// How long a message is tried.
    pub give_up_after: Duration,
    /// Where the page is, for links.
    pub page_url: Option<String>,
    /// The ways out.
    pub channels: Vec<Channel>,
}

/// Notifications can't be opened; the administrator acts.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Their file.
    #[error("notify.db can't be opened: {0}")]
    Book(#[from] BookError),
    /// The system has no thread or timers to give.
    #[error("the operating system refuses: {0}")]
    Runtime(std::io::Error),
}

/// Why a test did not arrive.
#[derive(Debug, Error)]
pub enum TestError {
    /// Nobody has that name.
    #[error("there is no channel of that name")]
    Unknown,
    /// One is under way.
    #[error("a test of this channel is under way")]
    Busy,
    /// It was not taken.
    #[error("{0}")]
    Undelivered(Undelivered),
}

/// How a channel is.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Its name.
    pub name: String,
    /// "webhook" or "email".
    pub kind: &'static str,
    /// "idle", "waiting" (events will go, or go now) or "failing" (the last attempt failed).
    pub state: &'static str,
    /// Messages that were taken, ever.
    pub sent: u64,
    /// Attempts that failed, ever.
    pub failed: u64,
    /// Messages given up since the start.
    pub dead_lettered: u64,
    /// Messages given up that are kept.
    pub dead_letters: u64,
    /// Events that wait for their message, or are in one that is not taken yet.
    pub pending_events: u64,
    /// Events that a silence kept back, since the start.
    pub silenced: u64,
    /// Events that the journal gave up before, since the start.
    pub missed: u64,
    /// Why the last attempt failed; `None` if it did not.
    pub last_error: Option<String>,
    /// When a message was taken last.
    pub last_sent_at: Option<Timestamp>,
    /// When it is tried again.
    pub next_try_at: Option<Timestamp>,
}

/// A handle to notifications. Cheap to clone.
#[derive(Clone)]
pub struct Notify {
    channels: Arc<[Arc<Shared>]>,
    /// `None` if there is no channel.
    book: Option<SharedBook>,
}

/// Channels that know where they were.
pub struct Opened {
    /// The handle.
    pub notify: Notify,
    /// A damaged file that was replaced by an empty one.
    pub set_aside: Option<SetAside>,
    tasks: Vec<Task>,
}

/// Opens the channels. Each goes on where it was; a new one begins with what happens from now on. What
/// is known of channels that are configured no more is forgotten.
///
/// # Errors
/// [`OpenError::Book`]; damage is none.
pub fn open(settings: Settings, journal: Arc<dyn Journal>) -> Result<Opened, OpenError> {
    if settings.channels.is_empty() && !settings.path.exists() {
        let notify = Notify { channels: Arc::from([]), book: None };
        return Ok(Opened { notify, set_aside: None, tasks: Vec::new() });
    }
    let (mut book, set_aside) = Book::open(&settings.path)?;
    let names: Vec<_> = settings.channels.iter().map(|channel| channel.name.as_str()).collect();
    for forgotten in book.keep_only(&names)? {
        log::warn!(
            channel = forgotten.name, messages = forgotten.messages;
            "a channel is not configured any more: its position, and messages that it had, are forgotten"
        );
    }
    let newest = *journal.changed().borrow();
    let mut known = Vec::new();
    for channel in &settings.channels {
        let (state, is_cut) = book.channel(&channel.name, channel.target.kind(), newest)?;
        if is_cut {
            log::warn!(
                channel = channel.name.as_str();
                "the journal of alerts has lost its end, or was begun anew: the channel is told what happens from now on"
            );
            book.stand(&channel.name, &state.standing)?;
        }
        let events = book.events(&channel.name)?;
        known.push((state, events));
    }
    let book: SharedBook = Arc::new(Mutex::new(book));
    let mut tasks = Vec::new();
    for (channel, (known, pending_events)) in settings.channels.iter().zip(known) {
        let Channel { name, wanted, target } = channel.clone();
        let sent_ever = known.last_sent_at.0 != 0;
        let view = View {
            name: name.clone(),
            kind: target.kind(),
            state: if pending_events > 0 { "waiting" } else { "idle" },
            sent: known.sent,
            failed: known.failed,
            dead_lettered: 0,
            dead_letters: known.dead,
            pending_events,
            silenced: 0,
            missed: 0,
            last_error: None,
            last_sent_at: sent_ever.then_some(known.last_sent_at),
            next_try_at: None,
        };
        let rhythm = Rhythm {
            group_wait: settings.group_wait,
            group_interval: settings.group_interval,
            messages_per_hour: settings.messages_per_hour,
        };
        let now = clock::monotonic();
        tasks.push(Task {
            shared: Arc::new(Shared::new(&name, target, view)),
            journal: journal.clone(),
            book: book.clone(),
            stands: (known.standing.position, now),
            grouping: Grouping::new(&name, wanted, rhythm, known.standing),
            give_up_after: settings.give_up_after,
            page_url: settings.page_url.clone(),
            stop: CancellationToken::new(),
            message: None,
            next_try: now,
            look: true,
            is_in_trouble: false,
        });
    }
    let channels = tasks.iter().map(|task| task.shared.clone()).collect();
    let notify = Notify { channels, book: Some(book) };
    Ok(Opened { notify, set_aside, tasks })
}

impl Opened {
    /// Starts the channels; no thread if there are none. It ends soon after `stop`: what is not
    /// delivered then is delivered after the next start.
    ///
    /// # Errors
    /// If the system has no thread or timers to give.
    pub fn start(self, stop: &CancellationToken) -> Result<Option<JoinHandle<()>>, OpenError> {
        if self.tasks.is_empty() {
            return Ok(None);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // Files are read one at a time by each channel, and names are looked up.
            .max_blocking_threads(2 + 2 * self.tasks.len())
            .build()
            .map_err(OpenError::Runtime)?;
        let (tasks, stop) = (self.tasks, stop.clone());
        let run = move || {
            runtime.block_on(async {
                let mut running = tokio::task::JoinSet::new();
                for mut task in tasks {
                    task.stop = stop.clone();
                    running.spawn(task.run());
                }
                while let Some(ended) = running.join_next().await {
                    if let Err(error) = ended {
                        log::error!(error:err = error; "a channel of notifications ended");
                    }
                }
            });
            // A file or a resolver that hangs keeps nobody.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("notify".into()).spawn(run);
        thread.map(Some).map_err(OpenError::Runtime)
    }
}

impl Notify {
    /// How the channels are.
    #[must_use]
    pub fn views(&self) -> Vec<View> {
        self.channels.iter().map(|channel| channel.view().clone()).collect()
    }

    /// Names of those whose last attempt failed.
    #[must_use]
    pub fn failing(&self) -> Vec<String> {
        let failing = self.channels.iter().filter(|channel| channel.view().state == "failing");
        failing.map(|channel| channel.name.clone()).collect()
    }

    /// Sends a message that says that the channel works, past all that waits.
    ///
    /// # Errors
    /// [`TestError`].
    pub async fn test(&self, name: &str) -> Result<(), TestError> {
        let channel = self.channels.iter().find(|channel| channel.name == name);
        let channel = channel.ok_or(TestError::Unknown)?;
        let _one = channel.testing.try_acquire().map_err(|_| TestError::Busy)?;
        let mut message = channel.test();
        channel.deliver(&mut message).await.map_err(TestError::Undelivered)
    }

    /// Dead letters, newest first; at most so many.
    ///
    /// # Errors
    /// The file can't be read.
    pub async fn letters(&self, max: usize) -> Result<Vec<Letter>, BookError> {
        let Some(book) = &self.book else { return Ok(Vec::new()) };
        with(book, move |book| book.letters(max)).await
    }

    /// Tries dead letters again; tells how many of them there were.
    ///
    /// # Errors
    /// The file can't be changed.
    pub async fn retry(&self, ids: Vec<String>) -> Result<u64, BookError> {
        self.change(move |book| book.retry(&ids)).await
    }

    /// Drops dead letters; tells how many of them there were.
    ///
    /// # Errors
    /// The file can't be changed.
    pub async fn drop_letters(&self, ids: Vec<String>) -> Result<u64, BookError> {
        self.change(move |book| book.drop_letters(&ids)).await
    }

    async fn change(
        &self,
        work: impl FnOnce(&mut Book) -> Result<u64, BookError> + Send + 'static,
    ) -> Result<u64, BookError> {
        let Some(book) = &self.book else { return Ok(0) };
        let names: Vec<_> = self.channels.iter().map(|channel| channel.name.clone()).collect();
        let (changed, dead) = with(book, move |book| {
            let changed = work(book)?;
            let dead = names.iter().map(|name| book.dead(name)).collect::<Result<Vec<_>, _>>()?;
            Ok((changed, dead))
        })
        .await?;
        for (channel, dead) in self.channels.iter().zip(dead) {
            channel.view().dead_letters = dead;
            channel.wake.notify_one();
        }
        Ok(changed)
    }
}

#[cfg(test)]
#[path = "handle_tests.rs"]
mod tests;
