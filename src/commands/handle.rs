//! The door: a handle to the thread that owns the book.

use super::book::{Book, BookError, Opened};
use super::command::{CancelError, Carrier, Command, Wish};
use super::desired::Desired;
use super::desk::Full;
use super::lines::{Line, Lines};
use super::worker::{Request, Worker};
use crate::metrics::Metrics;
use crate::pulse::Pulse;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for the thread; who finds it full waits.
const REQUESTS_MAX: usize = 256;

/// How commands are kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file.
    pub path: PathBuf,
    /// What is over is kept for so long,
    pub keep: Duration,
    /// and so many at most.
    pub keep_max: usize,
    /// The longest time to live.
    pub ttl_max: Duration,
    /// Commands of one device that may be open.
    pub per_device_max: usize,
    /// Of all devices.
    pub open_max: usize,
    /// Their bytes.
    pub open_bytes_max: usize,
    /// When a command that is sent at least once is sent again, if nothing is heard.
    pub resend: Duration,
}

/// Who speaks for devices, as far as it is known.
pub trait Whereabouts: Send + 'static {
    /// Finds the carriers of these devices, which are sorted; one that is nowhere is left out.
    fn find(&self, devices: Vec<Arc<str>>) -> Looking;
}

/// Devices and their carriers, soon.
pub type Looking = Pin<Box<dyn Future<Output = Vec<(Arc<str>, Carrier)>> + Send>>;

/// Why something was not done.
#[derive(Debug, Error)]
pub enum CommandsError {
    /// As much is open as may be: later.
    #[error(transparent)]
    Full(#[from] Full),
    /// As many desired documents are kept as may be.
    #[error("as many desired documents are kept as there may be")]
    DesiredFull,
    /// There is no such command.
    #[error("there is no command {id}; it may be so old that it is not kept any more")]
    Unknown {
        /// As asked for.
        id: u64,
    },
    /// It can't be taken back.
    #[error(transparent)]
    Cancel(#[from] CancelError),
    /// The disk, or SQLite: the operator acts.
    #[error("it could not be written down, so it is not done: {0}")]
    Store(String),
    /// The daemon stops.
    #[error("the daemon stops")]
    Ended,
}

/// How it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Commands that wait for their device.
    pub queued: usize,
    /// Commands that are on their way.
    pub sent: usize,
    /// Conversations that commands can be handed to.
    pub lines: usize,
    /// Devices that have not reported the desired version.
    pub desired_pending: usize,
    /// Rows that could not be written yet.
    pub unwritten: usize,
}

/// A handle; cheap to clone. The thread ends when the last one is dropped.
#[derive(Clone)]
pub struct Commands {
    requests: mpsc::Sender<Request>,
    lines: Lines,
    stats: Arc<Mutex<Stats>>,
    /// The worker's are the same.
    settings: Arc<Mutex<Arc<Settings>>>,
}

/// Looks at how it stands; does not keep the thread from ending. Cheap to clone.
#[derive(Clone)]
pub struct View {
    lines: Lines,
    stats: Arc<Mutex<Stats>>,
}

impl View {
    /// How it stands.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let stats = *self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        Stats { lines: self.lines.len(), ..stats }
    }
}

/// Opens the book and starts the thread. A damaged file is set aside.
///
/// # Errors
/// [`BookError`].
pub fn open(
    settings: Settings,
    pulse: Pulse,
    whereabouts: impl Whereabouts,
    metrics: &Arc<Metrics>,
) -> Result<(Commands, JoinHandle<()>), BookError> {
    let Opened { book, set_aside } = Book::open(&settings.path)?;
    if let Some(set_aside) = set_aside {
        log::error!(
            path:% = set_aside.path.display(), bytes = set_aside.bytes;
            "the file of commands was damaged: it was set aside and a new one begun; open commands and desired documents in it are not known any more"
        );
    }
    let settings = Arc::new(settings);
    let lines = Lines::new(metrics.clone());
    let stats = Arc::<Mutex<Stats>>::default();
    let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
    let worker = Worker::new(
        book,
        settings.clone(),
        lines.clone(),
        Box::new(whereabouts),
        metrics.clone(),
        stats.clone(),
    )?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let thread = std::thread::Builder::new().name("commands".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = worker.run(inbox) => {}
                () = pulse.keep_beating("to write commands.db") => {}
            }
        });
    })?;
    let settings = Arc::new(Mutex::new(settings));
    Ok((Commands { requests, lines, stats, settings }, thread))
}

impl Commands {
    /// Takes a command: it is on disk when this returns.
    ///
    /// # Errors
    /// [`CommandsError::Full`], [`CommandsError::Store`], [`CommandsError::Ended`].
    pub async fn create(&self, wish: Wish) -> Result<Command, CommandsError> {
        self.ask(|answer| Request::Create(wish, answer)).await?
    }

    /// A command, open or over; `None` if it is not known any more.
    ///
    /// # Errors
    /// [`CommandsError::Store`], [`CommandsError::Ended`].
    pub async fn get(&self, id: u64) -> Result<Option<Command>, CommandsError> {
        self.ask(|answer| Request::Get(id, answer)).await?
    }

    /// Commands of a device with ids below `before`, newest first.
    ///
    /// # Errors
    /// [`CommandsError::Store`], [`CommandsError::Ended`].
    pub async fn list(
        &self,
        device: &str,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Command>, CommandsError> {
        let device = device.to_owned();
        self.ask(|answer| Request::List { device, before, limit, answer }).await?
    }

    /// Takes a command back.
    ///
    /// # Errors
    /// [`CommandsError`]; then nothing changed.
    pub async fn cancel(&self, id: u64, by: String) -> Result<Command, CommandsError> {
        self.ask(|answer| Request::Cancel { id, by, answer }).await?
    }

    /// Sets what a device should be set to, JSON of at most [`super::DOCUMENT_BYTES_MAX`]. The same as
    /// before changes nothing.
    ///
    /// # Errors
    /// [`CommandsError::DesiredFull`], [`CommandsError::Store`], [`CommandsError::Ended`].
    pub async fn set_desired(
        &self,
        device: &str,
        document: String,
        by: String,
    ) -> Result<Desired, CommandsError> {
        let device = device.into();
        self.ask(|answer| Request::SetDesired { device, document, by, answer }).await?
    }

    /// What a device should be set to.
    ///
    /// # Errors
    /// [`CommandsError::Store`], [`CommandsError::Ended`].
    pub async fn desired(&self, device: &str) -> Result<Option<Desired>, CommandsError> {
        let device = device.into();
        self.ask(|answer| Request::Desired { device, answer }).await?
    }

    /// Registers a conversation; it ends when the line is dropped. One that `asks` is asked whether
    /// a command can be sent before it is handed over.
    #[must_use]
    pub fn line(&self, carrier: Carrier, asks: bool) -> Line {
        self.lines.open(carrier, asks)
    }

    /// For who only looks.
    #[must_use]
    pub fn view(&self) -> View {
        View { lines: self.lines.clone(), stats: self.stats.clone() }
    }

    /// As it is set up.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes on with other settings; the file stays. Of what there is nothing goes because of that.
    ///
    /// # Errors
    /// [`CommandsError::Ended`].
    pub async fn configure(&self, settings: Settings) -> Result<(), CommandsError> {
        let settings = Arc::new(settings);
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings.clone();
        self.ask(|answer| Request::Configure(settings, answer)).await
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, CommandsError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).await.map_err(|_| CommandsError::Ended)?;
        answered.await.map_err(|_| CommandsError::Ended)
    }
}

#[cfg(test)]
#[path = "handle_tests.rs"]
mod tests;
