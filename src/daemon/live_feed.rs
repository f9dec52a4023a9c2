//! The log as live wants it: a [`Feed`] over a follower of the spool, and where it begins.
//!
//! Which part of the log the next process will need is noted in `live.position` beside the spool:
//! the log's id and a position, as text. The note is a hint: without it (or with one of another log)
//! live begins at the log's first record, which only takes longer.

use super::{DaemonError, Thread, thread_error};
use crate::aggregate::{self, ClockTerms, DeviceTerms, PresenceTerms, Seed, Windows};
use crate::clock;
use crate::config::Config;
use crate::devices::Register;
use crate::live::{self, Begin, ClientInfo, Feed, FeedNext, KnownDevice, Live};
use crate::model::{Position, Timestamp};
use crate::pulse::Pulse;
use crate::sinks::history::Reader;
use crate::spool::{Follower, Next, Spool};
use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Decoded batches taken from the log at a time.
const READ_BYTES_MAX: usize = 4 << 20;
/// How often the position is noted.
const NOTE_INTERVAL: Duration = Duration::from_secs(5);
/// With the log so full, live gives up what it keeps for viewers that come back after a restart:
/// live never makes the intake refuse.
/// Below where pressure begins to slow clients.
const SPOOL_FILL_MAX: f64 = 0.4;
/// After the log could not be read: how long until it is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Starts live behind the log.
pub(super) fn start(
    config: &Config,
    spool: &Spool,
    history: &Reader,
    pulse: Pulse,
) -> Result<(Live, Vec<Thread>), DaemonError> {
    let (register, written) = open_register(config);
    let note = Note { path: config.state_dir.join("live.position"), epoch: spool.id() };
    let begin = begin(&note, spool);
    let mut settings = live::Settings::new(spool.id(), begin);
    settings.aggregate = aggregate::Settings {
        windows: Windows::new(&config.live.windows).map_err(DaemonError::Windows)?,
        lateness: config.live.lateness,
        resume_bytes: config.live.resume_memory,
        devices: device_terms(config),
        series_max: config.limits.series_max,
        ..aggregate::Settings::default()
    };
    settings.started = Some(clock::now());
    settings.known = known(history, written);
    settings.tick = config.live.tick;
    settings.resume_keep = config.live.resume_keep;
    settings.viewers_max = config.live.viewers_max;
    let follower = spool.follow("live", begin.position());
    follower.commit(begin.position());
    let noted = Cell::new(None);
    let feed = LogFeed { follower, spool: spool.clone(), note, noted, shed: 0, pulse };
    let (live, thread) = Live::start(settings, feed).map_err(thread_error)?;
    let mut threads = vec![("live".to_owned(), thread)];
    if let Some(register) = register {
        threads.push(("devices".to_owned(), register.start(&live).map_err(thread_error)?));
    }
    Ok((live, threads))
}

/// How devices are judged.
pub(super) fn device_terms(config: &Config) -> DeviceTerms {
    DeviceTerms {
        presence: PresenceTerms {
            missed: config.devices.missed,
            offline_after: config.live.offline_after,
            reconnect_grace: config.devices.reconnect_grace,
        },
        clocks: ClockTerms { tolerance: config.clocks.tolerance, window: config.clocks.window },
        clock_policy: config.clocks.policy,
        inbox: config.devices.inbox,
    }
}

/// Opens the register of devices. Without it the daemon runs as well; it only forgets more.
fn open_register(config: &Config) -> (Option<Register>, Vec<KnownDevice>) {
    match Register::open(&config.state_dir.join("devices.db")) {
        Ok((register, known)) => (Some(register), known),
        Err(error) => {
            log::error!(error:err = error; "the register of devices can't be used: what operators say of devices is forgotten with the next restart");
            (None, Vec::new())
        }
    }
}

/// The devices that are known from before: as they are written down, and those of the history that
/// are not.
fn known(history: &Reader, written: Vec<KnownDevice>) -> Vec<KnownDevice> {
    let names: HashSet<_> = written.iter().map(|known| known.seed.name.clone()).collect();
    let others = history.devices().into_iter().filter(|device| !names.contains(&device.device));
    let stored = others.map(|device| KnownDevice {
        seed: Seed {
            name: device.device.clone(),
            first_seen: Timestamp(device.first),
            // Of its samples: a clock that is ahead is no receipt in the future.
            last_seen: Timestamp(device.last).min(clock::now()),
            rest: None,
        },
        info: ClientInfo::default(),
        labels: BTreeMap::new(),
        address: None,
    });
    written.into_iter().chain(stored).collect()
}

/// Where the noted position is still in the log, or else where the log begins.
fn begin(note: &Note, spool: &Spool) -> Begin {
    let first = spool.first();
    match note.read() {
        Some(noted) if noted >= first && noted <= spool.next() => Begin::Kept(noted),
        _ if first == Position(0) => Begin::Kept(first),
        _ => Begin::Cut(first),
    }
}

struct Note {
    path: PathBuf,
    epoch: u64,
}

impl Note {
    fn read(&self) -> Option<Position> {
        let text = std::fs::read_to_string(&self.path).ok()?;
        let (epoch, position) = text.trim().split_once(' ')?;
        (u64::from_str_radix(epoch, 16).ok()? == self.epoch)
            .then_some(Position(position.parse().ok()?))
    }

    /// Replaced in one step, so that a crash leaves the old or the new one.
    fn write(&self, position: Position) -> std::io::Result<()> {
        let fresh: &Path = &self.path.with_extension("position.new");
        std::fs::write(fresh, format!("{:x} {position}\n", self.epoch))?;
        std::fs::rename(fresh, &self.path)
    }
}

struct LogFeed {
    follower: Follower,
    spool: Spool,
    note: Note,
    noted: Cell<Option<Instant>>,
    /// Samples that a full log gave up before they were folded, as far as said.
    shed: u64,
    pulse: Pulse,
}

impl LogFeed {
    /// Live goes on with what there is: windows of that time lack what was given up.
    fn note_shed(&mut self) {
        let shed = self.follower.samples_shed();
        if shed > self.shed {
            log::warn!(samples = shed - self.shed; "live was so late that the full spool has given up what it had yet to show");
            self.shed = shed;
        }
    }
}

impl Feed for LogFeed {
    fn next(&mut self, timeout: Duration) -> FeedNext {
        self.pulse.beat("to read the spool");
        let next = self.follower.next(READ_BYTES_MAX, timeout);
        self.pulse.beat("to fold readings and render frames");
        self.note_shed();
        match next {
            Ok(Next::Entries(entries)) => FeedNext::Entries(
                entries
                    .into_iter()
                    .map(|entry| {
                        Arc::new(live::Entry {
                            position: entry.position,
                            received_at: entry.received_at,
                            protocol: entry.protocol,
                            client: entry.client.clone(),
                            batch: entry.batch.clone(),
                        })
                    })
                    .collect(),
            ),
            Ok(Next::Idle) => FeedNext::Idle,
            Ok(Next::Ended) => FeedNext::Ended,
            Err(error) => {
                log::error!(error:err = error; "live can't read the spool; it is tried again");
                std::thread::sleep(RETRY);
                // Not caught up: nothing is served that may lack something.
                FeedNext::Entries(Vec::new())
            }
        }
    }

    fn keep_from(&self, position: Position) {
        if self.spool.tightest_fill() > SPOOL_FILL_MAX {
            // Not noted: the next process finds its position gone, and begins with a cut.
            self.follower.commit(self.follower.position());
            return;
        }
        let now = clock::monotonic();
        if self.noted.get().is_some_and(|noted| now.duration_since(noted) < NOTE_INTERVAL) {
            return;
        }
        self.noted.set(Some(now));
        match self.note.write(position) {
            // Only what is noted is given up: the next process begins there.
            Ok(()) => self.follower.commit(position),
            Err(error) => {
                log::debug!(error:err = error; "live.position could not be written");
            }
        }
    }
}
