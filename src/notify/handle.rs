//! The door: answers who asks how the channels are.

use super::book::{Book, BookError, Letter};
use super::channel::{Shared, SharedBook, with};
use super::{Channel, Undelivered};
use crate::model::Timestamp;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use thiserror::Error;

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
    /// The daemon stops.
    #[error("the daemon stops")]
    Ended,
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

/// A handle to notifications. Cheap to clone: all clones see the same channels, which may come and go.
#[derive(Clone, Default)]
pub struct Notify {
    channels: Arc<Mutex<Arc<[Arc<Shared>]>>>,
    /// Opened with the first channel.
    pub(super) book: Arc<OnceLock<SharedBook>>,
}

impl Notify {
    /// These from now on.
    pub(super) fn set(&self, channels: Vec<Arc<Shared>>) {
        *self.lock() = channels.into();
    }

    fn channels(&self) -> Arc<[Arc<Shared>]> {
        self.lock().clone()
    }

    /// Never held for longer than that: a panic elsewhere does not matter.
    fn lock(&self) -> MutexGuard<'_, Arc<[Arc<Shared>]>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the channels are.
    #[must_use]
    pub fn views(&self) -> Vec<View> {
        self.channels().iter().map(|channel| channel.view().clone()).collect()
    }

    /// Names of those whose last attempt failed.
    #[must_use]
    pub fn failing(&self) -> Vec<String> {
        let channels = self.channels();
        let failing = channels.iter().filter(|channel| channel.view().state == "failing");
        failing.map(|channel| channel.name.clone()).collect()
    }

    /// Sends a message that says that the channel works, past all that waits.
    ///
    /// # Errors
    /// [`TestError`].
    pub async fn test(&self, name: &str) -> Result<(), TestError> {
        let channel = self.channels().iter().find(|channel| channel.name == name).cloned();
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
        let Some(book) = self.book.get() else { return Ok(Vec::new()) };
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
        let Some(book) = self.book.get() else { return Ok(0) };
        let channels = self.channels();
        let names: Vec<_> = channels.iter().map(|channel| channel.name.clone()).collect();
        let (changed, dead) = with(book, move |book| {
            let changed = work(book)?;
            let dead = names.iter().map(|name| book.dead(name)).collect::<Result<Vec<_>, _>>()?;
            Ok((changed, dead))
        })
        .await?;
        for (channel, dead) in channels.iter().zip(dead) {
            channel.view().dead_letters = dead;
            channel.wake.notify_one();
        }
        Ok(changed)
    }
}
