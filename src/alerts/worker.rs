//! The thread: follows the log, does what people ask, writes, and tells.

use super::book::{Book, BookError, Remembered};
use super::desk::Desk;
use super::handle::{Alerts, Answer, Asked, Done, Reader, Refused, Shown, Stats, Told, Tray, lock};
use super::rulebook::Rulebook;
use super::{Options, SILENCES_MAX};
use crate::clock;
use crate::model::{Position, Timestamp};
use crate::rules::{Alert, Rule, Watch};
use crate::spool::{Entry, Follower, Next, Spool};
use crate::sqlite::SetAside;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Its name among the followers.
const NAME: &str = "alerts";
/// Decoded batches taken from the log at a time.
const READ_BYTES_MAX: usize = 4 << 20;
/// How often what people ask for, and the time, are looked at when nothing comes.
const IDLE: Duration = Duration::from_millis(50);
/// What nobody waits for is written this often.
const WRITE_INTERVAL: Duration = Duration::from_secs(5);
/// With nothing new but the time, this often: so well it is known how long nobody listened.
const CLOCK_INTERVAL: Duration = Duration::from_secs(15);
/// Writing takes at most about this share of the time: one part in so many.
const WRITE_SHARE: u32 = 5;
/// A batch gets its time when it is received, and its place in the log a moment later: with nothing
/// coming from the log it is taken to be so much earlier than it is.
const GRACE: Duration = Duration::from_secs(2);
/// After the file could not be written, or the log not be read: how long until it is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// With the log so full, what would have to wait is passed over: alerts never make the intake refuse.
/// Below where pressure begins to slow clients.
const SPOOL_FILL_MAX: f64 = 0.4;
/// And so does who is so late.
const LAG_MAX: Duration = Duration::from_secs(60);
/// How often what is too old is deleted.
const TRIM_INTERVAL: Duration = Duration::from_secs(60);
/// How often numbers and tallies are shown.
const SHOW_INTERVAL: Duration = Duration::from_millis(500);
/// What people ask for and the thread has not looked at; who finds it full waits.
const ASKED_MAX: usize = 256;
/// A disk that stays full is said this often.
const TROUBLE_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What viewers are told with: alerts as they are now.
pub type Tell = Box<dyn Fn(Vec<Arc<Alert>>) + Send>;

/// Alerts that will follow the log.
pub struct Opened {
    worker: Worker,
    handle: Alerts,
    /// A damaged file that was replaced by an empty one.
    pub set_aside: Option<SetAside>,
}

/// Opens the file, or makes it, and begins to follow the log, which is read by [`Opened::start`].
///
/// # Errors
/// [`BookError`]; damage is none.
pub fn open(options: Options, spool: &Spool) -> Result<Opened, BookError> {
    let (book, remembered, set_aside) = Book::open(&options.path)?;
    let now = clock::now();
    let Remembered { position, now: known, watch, open, silences, rules, next } = remembered;
    let is_new = position.is_none();
    // Of another log nothing is known, and what lies before a first start is the past.
    let position = position.filter(|(log, _)| *log == spool.id()).map(|(_, position)| position);
    let position = position.unwrap_or_else(|| spool.next());
    let follower = spool.follow(NAME, position);
    follower.commit(follower.position());
    let rulebook = Rulebook::new(options.changed.rules.clone(), rules);
    let at = if is_new { now } else { known };
    let (watch, bad) = Watch::restore(rulebook.rules(), options.watch(), at, watch);
    if bad > 0 {
        log::warn!(rows = bad; "what some rules had seen can't be read back: they begin anew there");
    }
    let desk = Desk::new(open, silences, next);
    let (asked, inbox) = mpsc::channel(ASKED_MAX);
    let (told, changed) = tokio::sync::watch::channel(desk.last_event());
    let reader = Reader { path: options.path.clone(), book: Mutex::new(None) };
    let shown: Arc<Mutex<Shown>> = Arc::default();
    let tray: Arc<Mutex<Tray>> = Arc::default();
    let handle = Alerts {
        asked,
        shown: shown.clone(),
        tray: tray.clone(),
        changed,
        reader: Arc::new(reader),
    };
    let mut worker = Worker {
        options,
        book,
        spool: spool.clone(),
        follower,
        watch,
        desk,
        rulebook,
        inbox,
        shown,
        tray,
        changed: told,
        tell: Box::new(|_| {}),
        stop: CancellationToken::new(),
        hurry: CancellationToken::new(),
        started: now,
        is_awake: false,
        last_received: None,
        stalled: false,
        passed_over: 0,
        written: Written::default(),
        trimmed: None,
        showed: None,
        complained: None,
    };
    worker.sort_out_rules(now);
    // So that a log that grows before the first write is not taken for the past.
    worker.write()?;
    worker.show();
    Ok(Opened { worker, handle, set_aside })
}

impl Opened {
    /// The handle.
    #[must_use]
    pub fn handle(&self) -> Alerts {
        self.handle.clone()
    }

    /// Starts the thread, which ends when the log does, when `hurry` is cancelled, or when `stop` is and
    /// its file can't be written. `tell` gets every
    /// alert that changed, once it is on disk, and at the start all that are open.
    ///
    /// # Errors
    /// If the system has no thread to give.
    pub fn start(
        self,
        tell: Tell,
        stop: CancellationToken,
        hurry: CancellationToken,
    ) -> std::io::Result<JoinHandle<()>> {
        let mut worker = self.worker;
        (worker.tell, worker.stop, worker.hurry) = (tell, stop, hurry);
        std::thread::Builder::new().name(NAME.into()).spawn(move || worker.run())
    }
}

/// When was written last.
#[derive(Debug, Default)]
struct Written {
    at: Option<Instant>,
    /// Not again before.
    next: Option<Instant>,
    position: Position,
}

struct Worker {
    options: Options,
    book: Book,
    spool: Spool,
    follower: Follower,
    watch: Watch,
    desk: Desk,
    rulebook: Rulebook,
    inbox: mpsc::Receiver<(Asked, Answer)>,
    shown: Arc<Mutex<Shown>>,
    tray: Arc<Mutex<Tray>>,
    changed: watch::Sender<u64>,
    tell: Tell,
    stop: CancellationToken,
    hurry: CancellationToken,
    started: Timestamp,
    /// Whether what the log had at the start is behind us.
    is_awake: bool,
    /// When the last record was received that was read.
    last_received: Option<Timestamp>,
    stalled: bool,
    passed_over: u64,
    written: Written,
    trimmed: Option<Instant>,
    showed: Option<Instant>,
    complained: Option<Instant>,
}

impl Worker {
    fn run(mut self) {
        (self.tell)(self.desk.open());
        while !self.hurry.is_cancelled() {
            self.options.pulse.beat("to read the spool");
            // What can't be written is not read on from; the spool keeps what comes.
            if self.stalled {
                std::thread::sleep(RETRY);
                self.write_or_complain();
                self.give_way();
                self.refuse_all();
                self.show();
                // The next start reads on from where the file is.
                if self.stop.is_cancelled() {
                    return;
                }
                continue;
            }
            match self.follower.next(READ_BYTES_MAX, IDLE) {
                Ok(Next::Entries(entries)) => entries.iter().for_each(|entry| self.read(entry)),
                Ok(Next::Idle) => self.idle(),
                Ok(Next::Ended) => break,
                Err(error) => {
                    self.complain(
                        "the spool can't be read for the alerts; it is tried again",
                        &error,
                    );
                    std::thread::sleep(RETRY);
                }
            }
            self.options.pulse.beat("to fold the rules, or to write alerts.db");
            self.take_transitions();
            let answers = self.do_what_is_asked();
            self.desk.pass(clock::now());
            if !answers.is_empty() || self.is_to_be_written() {
                self.write_or_complain();
            }
            if !answers.is_empty() {
                self.showed = None;
                self.show();
            }
            self.answer(answers);
            self.give_way();
            self.trim();
            self.show();
        }
        self.take_transitions();
        self.write_or_complain();
        self.show();
    }

    fn read(&mut self, entry: &Entry) {
        if !self.is_awake && entry.received_at > self.started {
            self.wake();
        }
        if self.is_awake {
            self.hear(entry.received_at);
        }
        self.watch.record(entry.received_at, &entry.batch);
        self.last_received = Some(entry.received_at);
    }

    /// Nothing comes from the log: what was told, and the time, count.
    fn idle(&mut self) {
        self.wake();
        let now = clock::now().saturating_sub(GRACE);
        self.hear(now);
        self.watch.advance(now);
        self.last_received = None;
    }

    /// While no daemon ran nobody could be heard: that is no silence.
    fn wake(&mut self) {
        if !self.is_awake {
            self.is_awake = true;
            self.watch.slept(self.started);
        }
    }

    /// What was told until then.
    fn hear(&mut self, until: Timestamp) {
        loop {
            let mut tray = lock(&self.tray);
            let next = tray.told.pop_front_if(|(at, _)| *at <= until);
            drop(tray);
            match next {
                Some((at, Told::Presence { device, online, reason })) => {
                    self.watch.presence(at, &device, online, &reason);
                }
                Some((at, Told::Facts(facts))) => self.watch.facts(at, &facts),
                None => return,
            }
        }
    }

    fn take_transitions(&mut self) {
        let now = clock::now();
        for transition in self.watch.take_transitions() {
            self.desk.apply(&transition, now);
        }
    }

    fn do_what_is_asked(&mut self) -> Vec<(Answer, Result<Done, Refused>)> {
        let mut answers = Vec::new();
        while let Ok((asked, answer)) = self.inbox.try_recv() {
            let done = self.act(asked, clock::now());
            answers.push((answer, done));
        }
        answers
    }

    fn act(&mut self, asked: Asked, now: Timestamp) -> Result<Done, Refused> {
        match asked {
            Asked::Acknowledge(ids, reach, by, note) => {
                let (done, not) = self.desk.acknowledge(&ids, &reach, &by, &note, now);
                Ok(Done::Acknowledged(done, not))
            }
            Asked::PutRule(spec) => {
                Rule::new(&spec).map_err(Refused::Rule)?;
                let name = spec.name.clone();
                if self.rulebook.is_of_file(&name) {
                    let detail =
                        format!("the rule \"{name}\" is the configuration's: change it there");
                    return Err(Refused::Taken(detail));
                }
                if !self.rulebook.has_room(&name) {
                    let detail = format!("there are {} rules, no more are taken", super::RULES_MAX);
                    return Err(Refused::Full(detail));
                }
                let is_new = !self.rulebook.is_of_page(&name);
                self.desk.round().rules.insert(name, Some(Clone::clone(&spec)));
                self.rulebook.put(*spec);
                self.sort_out_rules(now);
                Ok(Done::Put(is_new))
            }
            Asked::DeleteRule(name) => {
                if !self.rulebook.remove(&name) {
                    return Err(match self.rulebook.is_of_file(&name) {
                        true => {
                            Refused::Taken(format!("the rule \"{name}\" is the configuration's"))
                        }
                        false => Refused::Missing(format!("there is no rule \"{name}\" to remove")),
                    });
                }
                self.desk.round().rules.insert(name, None);
                self.sort_out_rules(now);
                Ok(Done::Nothing)
            }
            Asked::Configure(changed) => {
                self.rulebook.set_file(changed.rules.clone());
                self.options.changed = changed;
                self.sort_out_rules(now);
                Ok(Done::Nothing)
            }
            Asked::Silence(silence) => {
                let open = self.desk.silences();
                if open.iter().filter(|it| !it.is_over(now)).count() >= SILENCES_MAX {
                    let detail = format!("there are {SILENCES_MAX} silences, no more are taken");
                    return Err(Refused::Full(detail));
                }
                self.desk.silence(silence).map(Done::Silenced).map_err(Refused::Wrong)
            }
            Asked::EndSilence(id) => {
                let missing =
                    || Refused::Missing(format!("there is no silence {id}, or it is over"));
                self.desk.end_silence(id, now).ok_or_else(missing)?;
                Ok(Done::Nothing)
            }
        }
    }

    /// The rules have changed, or may have.
    fn sort_out_rules(&mut self, now: Timestamp) {
        let rules = self.rulebook.rules();
        let names = rules.iter().map(|rule| (rule.fingerprint, rule.name.clone())).collect();
        self.watch.set_rules(rules);
        self.desk.resolve_others(&names, &self.watch.holding(), now);
    }

    fn answer(&self, answers: Vec<(Answer, Result<Done, Refused>)>) {
        for (answer, done) in answers {
            let done = match self.stalled && done.is_ok() {
                true => Err(Refused::Unavailable(
                    "alerts.db can't be written now; it is done when it can".to_owned(),
                )),
                false => done,
            };
            // Who asked may have gone.
            drop(answer.send(done));
        }
    }

    fn refuse_all(&mut self) {
        while let Ok((_, answer)) = self.inbox.try_recv() {
            let why = "alerts.db can't be written now".to_owned();
            drop(answer.send(Err(Refused::Unavailable(why))));
        }
    }

    fn is_to_be_written(&self) -> bool {
        let now = clock::monotonic();
        if self.written.next.is_some_and(|next| now < next) {
            return false;
        }
        let interval = match self.written.position == self.follower.position() {
            _ if self.desk.has_news() => return true,
            false => WRITE_INTERVAL,
            true => CLOCK_INTERVAL,
        };
        self.written.at.is_none_or(|at| now.duration_since(at) >= interval)
    }

    fn write_or_complain(&mut self) {
        let done = self.write();
        self.stalled = done.is_err();
        if let Err(error) = done {
            self.complain("alerts.db can't be written; it is tried again", &error);
        }
    }

    /// Writes what has changed; then others are told.
    fn write(&mut self) -> Result<(), BookError> {
        let began = clock::monotonic();
        let round = self.desk.round();
        round.watch.extend(self.watch.take_changed());
        (round.position, round.now) = (self.follower.position(), self.watch.now());
        self.book.write(self.spool.id(), round)?;
        let position = round.position;
        self.follower.commit(position);
        let changed = self.desk.written();
        if !changed.is_empty() {
            // Who learns of it may look at once.
            self.showed = None;
            self.show();
            (self.tell)(changed);
        }
        let last = self.desk.last_event();
        self.changed.send_if_modified(|known| std::mem::replace(known, last) != last);
        let now = clock::monotonic();
        let next = now.checked_add(now.duration_since(began) * (WRITE_SHARE - 1));
        self.written = Written { at: Some(now), next, position };
        Ok(())
    }

    /// The log must not fill up because of us.
    fn give_way(&mut self) {
        if self.spool.tightest_fill() <= SPOOL_FILL_MAX {
            return;
        }
        if self.spool.waits_for(NAME) && !self.stalled {
            self.write_or_complain();
        }
        let stats = self.spool.stats();
        let Some(ours) = stats.followers.iter().find(|it| it.name == NAME) else { return };
        let is_last = stats.followers.iter().all(|it| it.committed >= ours.committed);
        let lag = self.last_received.map_or(Duration::ZERO, |at| clock::now().since(at));
        if !is_last || ours.samples_behind == 0 || !(self.stalled || lag > LAG_MAX) {
            return;
        }
        let behind = ours.samples_behind;
        self.passed_over += behind;
        self.follower.skip_to(stats.next);
        self.follower.commit(self.follower.position());
        log::error!(samples = behind; "the spool fills up and the alerts are behind: readings are passed over that no rule has judged; the stores have them");
    }

    fn trim(&mut self) {
        let now = clock::monotonic();
        if self.stalled || self.trimmed.is_some_and(|at| now.duration_since(at) < TRIM_INTERVAL) {
            return;
        }
        let before = self.options.changed.keep.map(|keep| clock::now().saturating_sub(keep));
        if let Some(before) = before {
            self.desk.forget_silences(before);
        }
        match self.book.trim(before, self.options.changed.events_max) {
            Ok(true) => {}
            Ok(false) => self.trimmed = Some(now),
            Err(error) => {
                self.trimmed = Some(now);
                self.complain("old alerts can't be deleted; it is tried again", &error);
            }
        }
    }

    /// What others may see, from time to time: it costs with the number of open alerts and rules.
    fn show(&mut self) {
        let now = clock::monotonic();
        if self.showed.is_some_and(|at| now.duration_since(at) < SHOW_INTERVAL) {
            return;
        }
        self.showed = Some(now);
        let stats = Stats {
            counts: self.desk.counts(),
            events: self.desk.events(),
            rules: self.watch.rules().len() as u64,
            subjects: self.watch.subjects() as u64,
            passed_over: self.passed_over,
            stalled: self.stalled,
        };
        let rules = self.rulebook.views(self.watch.tallies());
        *lock(&self.shown) = Shown { stats, rules, silences: self.desk.silences() };
    }

    /// Says the same trouble once per interval.
    fn complain(&mut self, what: &str, error: &dyn std::error::Error) {
        let now = clock::monotonic();
        if self.complained.is_none_or(|at| now.duration_since(at) >= TROUBLE_LOG_INTERVAL) {
            self.complained = Some(now);
            log::error!(error:% = error; "{what}");
        }
    }
}
