//! Sends readings to Tidegate and loses none while its disk lasts.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use tidegate_client::{Batch, Client, Options};
//! let client = Client::start(Options {
//!     url: "ws://127.0.0.1:8080/api/v1/ingest/ws".into(),
//!     name: "my-sensor".into(),
//!     buffer: "readings.log".into(),
//!     ..Options::default()
//! })?;
//! client.send(&Batch::now().float("temperature", "°C", 21.5))?;
//! client.flush()?;
//! # Ok(()) }
//! ```
//!
//! [`Client::send`] returns when the batch is on disk ([`buffer`] says how); a thread of its own speaks
//! with the daemon, as `docs/devices.md` says, and forgets what the daemon has on disk.

pub mod buffer;
mod conversation;
pub mod wire;

use buffer::Buffer;
use conversation::Conversation;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
pub use wire::Batch;

/// What a client is.
pub struct Options {
    /// `ws://host:port/api/v1/ingest/ws`.
    pub url: String,
    /// Its name, the same over all restarts.
    pub name: String,
    /// What is shown to be let in.
    pub token: Option<String>,
    /// The file of what is not settled yet.
    pub buffer: PathBuf,
    /// Batches that are held; beyond, the oldest is given up.
    pub held_max: usize,
    /// Is told what becomes of batches. Called in the thread in which it happens.
    pub on_event: Box<dyn Fn(Event<'_>) + Send + Sync>,
    /// Does what the operator wants: device, name, arguments as JSON or nothing; gives JSON or nothing, or
    /// the reason why not. A command that comes twice is done once.
    pub on_command: Option<Box<OnCommand>>,
    /// Takes what a device should be set to (device, JSON) and gives what it is set to.
    pub on_desired: Option<Box<OnDesired>>,
}

/// See [`Options::on_command`].
pub type OnCommand = dyn Fn(&str, &str, &[u8]) -> Result<Vec<u8>, String> + Send + Sync;
/// See [`Options::on_desired`].
pub type OnDesired = dyn Fn(&str, &[u8]) -> Result<Vec<u8>, String> + Send + Sync;

impl Default for Options {
    fn default() -> Options {
        Options {
            url: "ws://127.0.0.1:8080/api/v1/ingest/ws".to_owned(),
            name: "tidegate-client".to_owned(),
            token: None,
            buffer: "tidegate-buffer.log".into(),
            held_max: 100_000,
            on_event: Box::new(|_| {}),
            on_command: None,
            on_desired: None,
        }
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// It is in the buffer.
    Kept(u64),
    /// The daemon refused it for good, and says why.
    Refused(u64, &'a str),
    /// The buffer was full, and it was the oldest.
    GaveUp(u64),
}

/// What the program and the conversation share.
struct Shared {
    options: Options,
    state: Mutex<State>,
    settled: Condvar,
    /// There is more to send, or it is time to stop.
    news: Notify,
}

struct State {
    buffer: Buffer,
    /// Why the conversation is over.
    trouble: Option<String>,
    stop: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> io::Result<()> {
        match &self.state().trouble {
            Some(trouble) => Err(io::Error::other(trouble.clone())),
            None => Ok(()),
        }
    }
}

/// A connection to the daemon that lasts.
pub struct Client {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Client {
    /// Opens the buffer and begins to send what is in it.
    ///
    /// # Errors
    /// If the buffer can't be opened, or another process has it.
    pub fn start(options: Options) -> io::Result<Client> {
        let buffer = Buffer::open(&options.buffer, options.held_max)?;
        let state = Mutex::new(State { buffer, trouble: None, stop: false });
        let (settled, news) = (Condvar::new(), Notify::new());
        let shared = Arc::new(Shared { options, state, settled, news });
        let conversation = Conversation::new(shared.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name("tidegate".to_owned())
            .spawn(move || runtime.block_on(conversation.run()))?;
        Ok(Client { shared, thread: Some(thread) })
    }

    /// Keeps a batch, and has it sent. Returns its seq, once it is on disk.
    ///
    /// # Errors
    /// If it can't be written, or the daemon said not to come back.
    pub fn send(&self, batch: &Batch) -> io::Result<u64> {
        self.shared.look()?;
        let (seq, given_up) = self.shared.state().buffer.keep(|seq| batch.encode(seq))?;
        for seq in given_up {
            (self.shared.options.on_event)(Event::GaveUp(seq));
        }
        (self.shared.options.on_event)(Event::Kept(seq));
        self.shared.news.notify_one();
        Ok(seq)
    }

    /// Waits until all that is held is settled.
    ///
    /// # Errors
    /// If the daemon said not to come back.
    pub fn flush(&self) -> io::Result<()> {
        let open = |state: &mut State| state.trouble.is_none() && !state.buffer.is_empty();
        let state = self.shared.settled.wait_while(self.shared.state(), open);
        drop(state);
        self.shared.look()
    }
}

impl Drop for Client {
    /// What is not settled stays in the buffer for the next time.
    fn drop(&mut self) {
        self.shared.state().stop = true;
        self.shared.news.notify_one();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
