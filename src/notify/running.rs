//! The channels that run, on one thread: each goes on where it was, and may come, change and go while the
//! others notice nothing.
//!
//! A channel that goes, or becomes another, finishes the attempt that is under way, if that is soon
//! answered; what it has not delivered stands in the file, under its name. The next of that name goes on
//! with it.

use super::book::{Book, BookError, Known};
use super::channel::{Shared, SharedBook, Task, Terms, with};
use super::grouping::{Grouping, Rhythm};
use super::handle::{Notify, OpenError, Settings, View};
use super::{CHANNELS_MAX, Channel, Journal};
use crate::clock;
use crate::sqlite::SetAside;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Opened channels.
pub struct Opened {
    /// The handle.
    pub notify: Notify,
    /// They run, and may be changed.
    pub channels: Channels,
    /// A damaged file that was replaced by an empty one.
    pub set_aside: Option<SetAside>,
}

/// The channels that run.
pub struct Channels {
    path: PathBuf,
    journal: Arc<dyn Journal>,
    notify: Notify,
    terms: watch::Sender<Terms>,
    running: Vec<Running>,
    /// What takes tasks, and runs them; made with the first.
    thread: Option<(mpsc::Sender<Task>, JoinHandle<()>)>,
    stop: CancellationToken,
}

struct Running {
    channel: Channel,
    shared: Arc<Shared>,
    leave: CancellationToken,
    /// Cancelled when it has.
    gone: CancellationToken,
}

/// What the file knows of a channel.
struct Found {
    known: Known,
    pending_events: u64,
}

/// Opens the channels and starts them. Each goes on where it was; a new one begins with what happens from
/// now on. What is known of channels that are configured no more is forgotten. They end soon after `stop`:
/// what is not delivered then is delivered after the next start.
///
/// # Errors
/// [`OpenError`]; damage is none.
pub fn open(
    settings: Settings,
    journal: Arc<dyn Journal>,
    stop: &CancellationToken,
) -> Result<Opened, OpenError> {
    let (terms, path) = (watch::Sender::new(terms(&settings)), settings.path);
    let (notify, stop) = (Notify::default(), stop.clone());
    let (running, thread) = (Vec::new(), None);
    let mut channels =
        Channels { path, journal, notify: notify.clone(), terms, running, thread, stop };
    if settings.channels.is_empty() && !channels.path.exists() {
        return Ok(Opened { notify, channels, set_aside: None });
    }
    let (mut book, set_aside) = Book::open(&channels.path)?;
    keep_only(&mut book, &settings.channels)?;
    let newest = channels.newest();
    let found = settings.channels.iter().map(|channel| find(&mut book, channel, newest));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    let book = channels.notify.book.get_or_init(|| Arc::new(Mutex::new(book))).clone();
    for (channel, found) in settings.channels.into_iter().zip(found) {
        let task = channels.task(&channel, found, None, book.clone());
        let tasks = channels.tasks()?;
        // There is room for all.
        tasks.try_send(task.1).map_err(|_| OpenError::Ended)?;
        channels.running.push(task.0);
    }
    channels.tell();
    Ok(Opened { notify, channels, set_aside })
}

impl Channels {
    /// The channels of these names are gone, are new, or are others now; what holds for all does so from
    /// now on. Those that stay as they were, and why.
    pub async fn change(&mut self, names: &[String], settings: Settings) -> Vec<(String, String)> {
        self.terms.send_replace(terms(&settings));
        let mut failed = Vec::new();
        for name in names {
            let wanted = settings.channels.iter().find(|channel| channel.name == *name);
            if wanted.is_some()
                && let Err(error) = self.book().await
            {
                failed.push((name.clone(), error.to_string()));
                continue;
            }
            let before = self.leave(name).await;
            let Some(wanted) = wanted else { continue };
            let view = before.as_ref().map(|before| before.shared.view().clone());
            if let Err(error) = self.begin(wanted, view.clone()).await {
                failed.push((name.clone(), error.to_string()));
                if let Some(before) = before
                    && let Err(error) = self.begin(&before.channel, view).await
                {
                    log::error!(channel = name.as_str(), error:err = error; "the channel does not run until the next start");
                }
            }
        }
        let order = |name: &str| settings.channels.iter().position(|other| other.name == name);
        self.running.sort_by_key(|running| order(&running.channel.name));
        self.tell();
        if let Some(book) = self.notify.book.get() {
            let kept = with(book, move |book| keep_only(book, &settings.channels)).await;
            if let Err(error) = kept {
                log::warn!(error:err = error; "what channels left behind that are gone is forgotten with the next start");
            }
        }
        failed
    }

    /// The thread, which ends with what they run until.
    pub fn end(self) -> Option<JoinHandle<()>> {
        self.thread.map(|(_, thread)| thread)
    }

    fn newest(&self) -> u64 {
        *self.journal.changed().borrow()
    }

    fn tell(&self) {
        self.notify.set(self.running.iter().map(|running| running.shared.clone()).collect());
    }

    /// The file, opened with the first channel.
    async fn book(&self) -> Result<SharedBook, OpenError> {
        if let Some(book) = self.notify.book.get() {
            return Ok(book.clone());
        }
        let path = self.path.clone();
        let opened = tokio::task::spawn_blocking(move || Book::open(&path)).await;
        let (book, set_aside) = opened.map_err(|_| OpenError::Ended)??;
        if let Some(set_aside) = set_aside {
            log::error!(
                path:% = set_aside.path.display(), bytes = set_aside.bytes;
                "the file of notifications was damaged: it was set aside and a new one begun"
            );
        }
        Ok(self.notify.book.get_or_init(|| Arc::new(Mutex::new(book))).clone())
    }

    /// Returns when the channel of this name has ended, if there is one, with what it was. Cancelled
    /// meanwhile, it still ends.
    async fn leave(&mut self, name: &str) -> Option<Running> {
        let at = self.running.iter().position(|running| running.channel.name == name)?;
        self.running[at].leave.cancel();
        self.running[at].gone.cancelled().await;
        Some(self.running.remove(at))
    }

    /// `before` is how it was, if it was.
    async fn begin(&mut self, channel: &Channel, before: Option<View>) -> Result<(), OpenError> {
        let book = self.book().await?;
        let (sought, newest) = (channel.clone(), self.newest());
        let found = with(&book, move |book| find(book, &sought, newest)).await?;
        let (running, task) = self.task(channel, found, before, book);
        self.tasks()?.send(task).await.map_err(|_| OpenError::Ended)?;
        self.running.push(running);
        Ok(())
    }

    fn task(
        &self,
        channel: &Channel,
        found: Found,
        before: Option<View>,
        book: SharedBook,
    ) -> (Running, Task) {
        let Channel { name, wanted, target } = channel.clone();
        let Found { known, pending_events } = found;
        let before = before.as_ref();
        let view = View {
            name: name.clone(),
            kind: target.kind(),
            state: if pending_events > 0 { "waiting" } else { "idle" },
            sent: known.sent,
            failed: known.failed,
            dead_lettered: before.map_or(0, |before| before.dead_lettered),
            dead_letters: known.dead,
            pending_events,
            silenced: before.map_or(0, |before| before.silenced),
            missed: before.map_or(0, |before| before.missed),
            last_error: None,
            last_sent_at: (known.last_sent_at.0 != 0).then_some(known.last_sent_at),
            next_try_at: None,
        };
        let (now, position) = (clock::monotonic(), known.standing.position);
        let terms = self.terms.subscribe();
        let mut grouping = Grouping::new(&name, wanted, terms.borrow().rhythm, known.standing);
        (grouping.silenced, grouping.missed) = (view.silenced, view.missed);
        let shared = Arc::new(Shared::new(&name, target, view));
        let (leave, gone) = (CancellationToken::new(), CancellationToken::new());
        let task = Task {
            shared: shared.clone(),
            journal: self.journal.clone(),
            book,
            stands: (position, now),
            grouping,
            terms,
            stop: self.stop.clone(),
            leave: leave.clone(),
            gone: gone.clone().drop_guard(),
            message: None,
            next_try: now,
            look: true,
            is_in_trouble: false,
        };
        (Running { channel: channel.clone(), shared, leave, gone }, task)
    }

    fn tasks(&mut self) -> Result<mpsc::Sender<Task>, OpenError> {
        if self.thread.is_none() {
            self.thread = Some(thread(self.stop.clone())?);
        }
        self.thread.as_ref().map(|(tasks, _)| tasks.clone()).ok_or(OpenError::Ended)
    }
}

/// What runs tasks until `stop`, and until they have ended then.
fn thread(stop: CancellationToken) -> Result<(mpsc::Sender<Task>, JoinHandle<()>), OpenError> {
    // Full: who begins a channel waits.
    let (sender, mut tasks) = mpsc::channel::<Task>(CHANNELS_MAX);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Files are read one at a time by each channel, and names are looked up.
        .max_blocking_threads(2 + 2 * CHANNELS_MAX)
        .build()
        .map_err(OpenError::Runtime)?;
    let run = move || {
        runtime.block_on(async {
            let mut running = JoinSet::new();
            loop {
                tokio::select! {
                    Some(task) = tasks.recv() => drop(running.spawn(task.run())),
                    Some(ended) = running.join_next() => say(ended),
                    () = stop.cancelled() => break,
                }
            }
            while let Some(ended) = running.join_next().await {
                say(ended);
            }
        });
        // A file or a resolver that hangs keeps nobody.
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("notify".into()).spawn(run);
    Ok((sender, thread.map_err(OpenError::Runtime)?))
}

fn say(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        log::error!(error:err = error; "a channel of notifications ended");
    }
}

fn terms(settings: &Settings) -> Terms {
    Terms {
        rhythm: Rhythm {
            group_wait: settings.group_wait,
            group_interval: settings.group_interval,
            messages_per_hour: settings.messages_per_hour,
        },
        give_up_after: settings.give_up_after,
        page_url: settings.page_url.as_deref().map(Arc::from),
    }
}

/// Forgets channels that are configured no more.
fn keep_only(book: &mut Book, channels: &[Channel]) -> Result<(), BookError> {
    let names: Vec<_> = channels.iter().map(|channel| channel.name.as_str()).collect();
    for forgotten in book.keep_only(&names)? {
        log::warn!(
            channel = forgotten.name, messages = forgotten.messages;
            "a channel is not configured any more: its position, and messages that it had, are forgotten"
        );
    }
    Ok(())
}

fn find(book: &mut Book, channel: &Channel, newest: u64) -> Result<Found, BookError> {
    let name = channel.name.as_str();
    let (known, is_cut) = book.channel(name, channel.target.kind(), newest)?;
    if is_cut {
        log::warn!(
            channel = name;
            "the journal of alerts has lost its end, or was begun anew: the channel is told what happens from now on"
        );
        book.stand(name, &known.standing)?;
    }
    Ok(Found { known, pending_events: book.events(name)? })
}

#[cfg(test)]
#[path = "running_tests.rs"]
mod tests;
