//! One channel: reads the journal, makes messages, and has each delivered before it makes the next.

use super::book::{Book, BookError, Message};
use super::email::Email;
use super::grouping::{Draft, Grouping, Rhythm};
use super::handle::View;
use super::patience::{self, Next};
use super::webhook::Webhook;
use super::{Journal, Target, Undelivered, wording};
use crate::clock;
use crate::model::Timestamp;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Events of the journal that are read at once.
const PAGE: usize = 500;
/// The journal or our file can't be used: how long until it is tried again.
const TROUBLE_WAIT: Duration = Duration::from_secs(5);
/// A channel that goes waits so long for the answer to what is under way.
const LEAVE_GRACE: Duration = Duration::from_secs(2);
/// How often a position is written down without a message.
const STAND_INTERVAL: Duration = Duration::from_secs(60);

/// What the channel's task and who asks for it have in common.
pub(super) struct Shared {
    pub name: String,
    pub target: Target,
    post: Post,
    view: Mutex<View>,
    /// Somebody wants messages to be tried now.
    pub wake: tokio::sync::Notify,
    /// One test at a time.
    pub testing: Semaphore,
}

/// Who carries messages.
enum Post {
    Webhook(Webhook),
    Email(Email),
    /// Nobody can, because of this.
    None(Undelivered),
}

impl Shared {
    pub fn new(name: &str, target: Target, view: View) -> Shared {
        let post = match &target {
            Target::Webhook(target) => Webhook::new(target).map_or_else(Post::None, Post::Webhook),
            Target::Email(target) => Post::Email(Email::new(target.clone())),
        };
        Shared {
            name: name.to_owned(),
            target,
            post,
            view: Mutex::new(view),
            wake: tokio::sync::Notify::new(),
            testing: Semaphore::new(1),
        }
    }

    /// A panic elsewhere while it was locked leaves every field valid.
    pub fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries to deliver a message, once.
    pub async fn deliver(&self, message: &mut Message) -> Result<(), Undelivered> {
        match &self.post {
            Post::Webhook(webhook) => webhook.deliver(message).await,
            Post::Email(email) => email.deliver(message).await,
            Post::None(why) => Err(why.clone()),
        }
    }

    /// A message that says that the channel works.
    pub fn test(&self) -> Message {
        let summary = wording::test_summary(&self.name);
        let draft = Draft { parts: Vec::new(), events: Vec::new() };
        self.message(&draft, summary, None)
    }

    fn message(&self, draft: &Draft, summary: String, page_url: Option<&str>) -> Message {
        let (id, now) = (format!("{:032x}", rand::random::<u128>()), clock::now());
        let body = match &self.target {
            Target::Webhook(_) => wording::body(draft, &id, &self.name, &summary, now),
            Target::Email(_) => wording::letter(draft, &summary, page_url),
        };
        Message {
            id,
            made_at: now,
            events: draft.count(),
            summary,
            body,
            done: Vec::new(),
            attempts: 0,
            since: None,
            reason: String::new(),
        }
    }
}

/// A connection to the file that all channels share: each use of it is short.
pub(super) type SharedBook = Arc<Mutex<Book>>;

/// Works with the book: it is a file, so not on the thread that serves sockets.
pub(super) async fn with<T: Send + 'static>(
    book: &SharedBook,
    work: impl FnOnce(&mut Book) -> Result<T, BookError> + Send + 'static,
) -> Result<T, BookError> {
    let book = book.clone();
    let done = tokio::task::spawn_blocking(move || {
        // Every change is a transaction: a panic in one leaves the book as it was.
        work(&mut book.lock().unwrap_or_else(PoisonError::into_inner))
    });
    done.await.unwrap_or_else(|error| Err(BookError::Make(std::io::Error::other(error))))
}

/// What holds for all channels, and may be changed while they run.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub rhythm: Rhythm,
    pub give_up_after: Duration,
    pub page_url: Option<Arc<str>>,
}

/// The task of a channel.
pub(super) struct Task {
    pub shared: Arc<Shared>,
    pub journal: Arc<dyn Journal>,
    pub book: SharedBook,
    pub grouping: Grouping,
    pub terms: watch::Receiver<Terms>,
    /// The daemon stops.
    pub stop: CancellationToken,
    /// The channel goes, or becomes another.
    pub leave: CancellationToken,
    /// Tells that it has ended.
    pub gone: DropGuard,
    /// What is being delivered.
    pub message: Option<Message>,
    /// When it is tried next.
    pub next_try: Instant,
    /// It may be that there are messages in the file.
    pub look: bool,
    /// The position that is written down, and when it was.
    pub stands: (u64, Instant),
    /// The journal or the file could not be used.
    pub is_in_trouble: bool,
}

type Trouble = Box<dyn Error + Send + Sync>;

impl Task {
    /// Until it is stopped. A message that is under way then is tried again after the next start.
    pub async fn run(mut self) {
        let mut changed = self.journal.changed();
        let mut is_over = false;
        while !self.is_to_end() {
            changed.borrow_and_update();
            self.grouping.set_rhythm(self.terms.borrow_and_update().rhythm);
            let wait = match self.step().await {
                Ok(wait) => {
                    if std::mem::take(&mut self.is_in_trouble) {
                        log::info!(channel = self.shared.name.as_str(); "notifications go on");
                    }
                    wait
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.is_in_trouble, true) {
                        log::error!(
                            channel = self.shared.name.as_str(), error:% = error;
                            "notifications wait: the journal of alerts or notify.db can't be used"
                        );
                    }
                    TROUBLE_WAIT
                }
            };
            self.tell();
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.leave.cancelled() => {}
                Ok(()) = self.terms.changed() => {}
                () = self.shared.wake.notified() => {
                    (self.look, self.next_try) = (true, clock::monotonic());
                }
                news = changed.changed(), if !is_over => is_over = news.is_err(),
                () = tokio::time::sleep(wait) => {}
            }
        }
        if let Err(error) = self.stand().await {
            log::warn!(channel = self.shared.name.as_str(), error:err = error; "its position is not written down; nothing is lost by that");
        }
        drop(self.gone);
    }

    fn is_to_end(&self) -> bool {
        self.stop.is_cancelled() || self.leave.is_cancelled()
    }

    /// Does what there is to do now; tells how long there is nothing else.
    async fn step(&mut self) -> Result<Duration, Trouble> {
        self.read().await?;
        if self.message.is_none() && self.look {
            let name = self.shared.name.clone();
            self.message = with(&self.book, move |book| book.next(&name)).await?;
            self.look = self.message.is_some();
        }
        if self.message.is_none() {
            self.make().await?;
        }
        if self.message.is_some() {
            if self.next_try <= clock::monotonic() {
                // One that was made just now may be under way for long, and is not idleness.
                self.tell();
                self.attempt().await?;
            }
            if self.message.is_some() {
                return Ok(self.next_try.saturating_duration_since(clock::monotonic()));
            }
            // The next one.
            return Ok(Duration::ZERO);
        }
        let (position, at) = self.stands;
        if position < self.grouping.standing().position
            && clock::monotonic().saturating_duration_since(at) >= STAND_INTERVAL
        {
            self.stand().await?;
        }
        let now = clock::now();
        Ok(self
            .grouping
            .next_at(now)
            .map_or(STAND_INTERVAL, |at| at.since(now))
            .min(STAND_INTERVAL))
    }

    /// Hears of everything that is in the journal.
    async fn read(&mut self) -> Result<(), Trouble> {
        let missed = self.grouping.missed;
        loop {
            let (journal, read) = (self.journal.clone(), self.grouping.read());
            let page = tokio::task::spawn_blocking(move || journal.after(read, PAGE)).await??;
            let now = clock::now();
            let count = page.len();
            page.into_iter().for_each(|event| self.grouping.hear(event, now));
            if count < PAGE || self.is_to_end() {
                break;
            }
        }
        let missed = self.grouping.missed - missed;
        if missed > 0 {
            log::error!(
                channel = self.shared.name.as_str(), events = missed;
                "the journal of alerts has given up events before this channel was told"
            );
        }
        Ok(())
    }

    /// Makes the message that is due.
    async fn make(&mut self) -> Result<(), Trouble> {
        let now = clock::now();
        let Some(draft) = self.grouping.due(now) else { return Ok(()) };
        let summary = wording::summary(&draft);
        let page_url = self.terms.borrow().page_url.clone();
        let message = self.shared.message(&draft, summary, page_url.as_deref());
        let standing = self.grouping.standing_with(&draft, now);
        let (name, written, position) =
            (self.shared.name.clone(), message.clone(), standing.position);
        with(&self.book, move |book| book.make(&name, &written, &standing)).await?;
        self.grouping.made(&draft, now);
        self.stands = (position, clock::monotonic());
        (self.message, self.next_try) = (Some(message), clock::monotonic());
        Ok(())
    }

    /// Tries to deliver the message.
    async fn attempt(&mut self) -> Result<(), Trouble> {
        let Some(mut message) = self.message.take() else { return Ok(()) };
        let outcome = tokio::select! {
            () = self.stop.cancelled() => return Ok(()),
            () = past(&self.leave) => return Ok(()),
            outcome = self.shared.deliver(&mut message) => outcome,
        };
        let now = clock::now();
        let name = self.shared.name.clone();
        match outcome {
            Ok(()) => {
                if message.attempts > 0 {
                    log::info!(channel = name.as_str(); "notifications are taken again");
                }
                {
                    let mut view = self.shared.view();
                    view.sent += 1;
                    (view.last_sent_at, view.last_error) = (Some(now), None);
                }
                let id = message.id.clone();
                self.record(move |book| book.delivered(&name, &id, now)).await;
                self.look = true;
            }
            Err(failure) => self.failed(message, &failure, now).await,
        }
        Ok(())
    }

    async fn failed(&mut self, mut message: Message, failure: &Undelivered, now: Timestamp) {
        let name = self.shared.name.clone();
        message.attempts += 1;
        message.reason = failure.to_string();
        let since = *message.since.get_or_insert(now);
        let next = patience::after(
            failure,
            message.attempts,
            now.since(since),
            self.terms.borrow().give_up_after,
            rand::random(),
        );
        if message.attempts == 1 {
            log::warn!(
                channel = name.as_str(), to = self.shared.target.place(), cause:% = failure;
                "a notification is not taken; it is tried again"
            );
        }
        let dead = next == Next::GiveUp;
        {
            let mut view = self.shared.view();
            view.failed += 1;
            view.last_error = Some(message.reason.clone());
            view.dead_lettered += u64::from(dead);
        }
        if dead {
            log::error!(
                channel = name.as_str(), id = message.id.as_str(), summary = message.summary.as_str(),
                attempts = message.attempts, cause:% = failure;
                "a notification is given up; it is among the dead letters"
            );
        }
        let written = message.clone();
        self.record(move |book| book.failed(&name, &written, now, dead)).await;
        if dead {
            let name = self.shared.name.clone();
            // It is told wrong at worst, until the next one.
            if let Ok(letters) = with(&self.book, move |book| book.dead(&name)).await {
                self.shared.view().dead_letters = letters;
            }
        }
        match next {
            Next::GiveUp => self.look = true,
            Next::Again(wait) => {
                self.next_try = clock::monotonic() + wait;
                self.message = Some(message);
            }
        }
    }

    /// Writes down what happened. It did happen: until that can be written, nothing else is done, so that
    /// no message that is taken is sent again.
    async fn record(
        &mut self,
        work: impl Fn(&mut Book) -> Result<(), BookError> + Clone + Send + 'static,
    ) {
        loop {
            let Err(error) = with(&self.book, work.clone()).await else { return };
            if !std::mem::replace(&mut self.is_in_trouble, true) {
                log::error!(
                    channel = self.shared.name.as_str(), error:err = error;
                    "notifications wait: what was delivered can't be written to notify.db"
                );
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.leave.cancelled() => return,
                () = tokio::time::sleep(TROUBLE_WAIT) => {}
            }
        }
    }

    async fn stand(&mut self) -> Result<(), BookError> {
        let standing = self.grouping.standing();
        let position = standing.position;
        if position > self.stands.0 {
            let name = self.shared.name.clone();
            with(&self.book, move |book| book.stand(&name, &standing)).await?;
            self.stands = (position, clock::monotonic());
        }
        Ok(())
    }

    /// Tells who asks how it is.
    fn tell(&self) {
        let mut view = self.shared.view();
        let message = self.message.as_ref();
        let waiting = self.grouping.waiting();
        view.pending_events = waiting + message.map_or(0, |message| message.events);
        (view.silenced, view.missed) = (self.grouping.silenced, self.grouping.missed);
        let is_failing = message.is_some_and(|message| message.attempts > 0);
        view.state = match view.pending_events {
            _ if is_failing => "failing",
            0 => "idle",
            _ => "waiting",
        };
        view.next_try_at = message.filter(|_| is_failing).map(|_| {
            clock::now().saturating_add(self.next_try.saturating_duration_since(clock::monotonic()))
        });
    }
}

/// When a channel is to go, and what is under way had time to be answered.
async fn past(leave: &CancellationToken) {
    leave.cancelled().await;
    tokio::time::sleep(LEAVE_GRACE).await;
}
