//! Wires the rooms into the running daemon, and lets the pipeline run dry at the end.
//!
//! Start, in this order: spool (its log is folded into admission), history, ledger, gate, live, the
//! followers, the listener. A follower starts, catches up and runs by one code path: it opens the log
//! at its committed position and reads on.
//!
//! End: the listener closes and every client is told to come back, bridges leave their brokers; the last
//! gate is dropped; the log ends; the followers read to its end and make durable what they hold. Each step waits for the one
//! before, all within the configured deadline; past it the process ends anyway, because what was
//! acknowledged is in the spool.

mod accepted;
mod alerts;
mod commands;
mod door;
pub(crate) mod formats;
mod history_follower;
mod listener;
mod live_feed;
#[cfg_attr(not(feature = "mqtt"), path = "no_mqtt.rs")]
mod mqtt;
mod notify;
mod onlooker;
mod reload;
mod sink_status;
#[cfg_attr(not(feature = "influx"), path = "no_sinks.rs")]
mod sinks;
mod status;
mod status_line;
mod status_within;
mod stores;

use crate::aggregate::WindowsError;
use crate::auth::DoorError;
use crate::config::{Config, buffers};
use crate::gate;
use crate::intake::{Caps, Intake};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::sinks::book::BookError;
use crate::sinks::history::{self, HistoryError};
use crate::sinks::influx::OpenError;
#[cfg(feature = "influx")]
use crate::sinks::influx::transport::HttpError;
use crate::spool::SpoolError;
use crate::systemd::Service;
use crate::web::{self, App};
use history_follower::HistoryFollower;
pub use listener::ListenError;
use onlooker::{Onlooker, Pulses};
use reload::{Changeable, Changed, Entrance};
pub use reload::{Failed, Fresh, Path, Reload};
use status::{Overview, Rooms};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
pub(crate) use stores::fold;
use stores::{know_series, open_spool, open_stores};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// With less on the disk the SQLite files may fail to open: their logs and indexes are made anew.
const STORES_ROOM_BYTES: u64 = 1 << 20;

/// Why the daemon could not start; the administrator acts.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// The state directory can't be made.
    #[error("the state directory {path} can't be made: {source}")]
    StateDirectory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Who may come can't be known.
    #[error("{0}")]
    Door(#[from] DoorError),
    /// A file was written by a newer release.
    #[error("{0}")]
    Newer(#[from] formats::Newer),
    /// The spool can't be opened.
    #[error("the spool can't be opened: {0}")]
    Spool(#[from] SpoolError),
    /// The history can't be opened.
    #[error("the history can't be opened: {0}")]
    History(#[from] HistoryError),
    /// What the sinks remember can't be opened.
    #[error("the file of the sinks can't be opened: {0}")]
    Book(#[from] BookError),
    /// The file of commands can't be opened.
    #[error("{0}")]
    Commands(crate::commands::BookError),
    /// A sink can't go on where it was.
    #[error("{0}")]
    Sink(#[from] OpenError),
    /// What the bridges keep can't be opened.
    #[cfg(feature = "mqtt")]
    #[error("the file of the bridges can't be opened: {0}")]
    Quarantine(crate::intake::mqtt::book::BookError),
    /// Who is told of alerts can't go on where he was.
    #[error("{0}")]
    Notify(#[from] crate::notify::OpenError),
    /// What is remembered of alerts can't be opened.
    #[error("the file of the alerts can't be opened: {0}")]
    Alerts(crate::alerts::BookError),
    /// No HTTP client can be made for a sink.
    #[cfg(feature = "influx")]
    #[error("{0}")]
    Http(HttpError),
    /// Nobody could come in.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The windows of live can't be kept.
    #[error("live.windows: {0}")]
    Windows(WindowsError),
    /// Threads, timers or signals can't be had.
    #[error("the operating system refuses: {0}")]
    Runtime(std::io::Error),
}

/// A thread of the pipeline, and its name.
type Thread = (String, JoinHandle<()>);

/// A started daemon.
pub struct Daemon {
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    overview: Arc<Overview>,
    threads: Vec<Thread>,
    onlooker: Onlooker,
    reload: Reload,
    changeable: Changeable,
    stop: CancellationToken,
    hurry: CancellationToken,
}

/// Opens everything and starts the threads; clients are served by [`Daemon::run`].
///
/// # Errors
/// [`DaemonError`]; nothing was changed that a later start would miss.
pub async fn start(config: Config, stop: CancellationToken) -> Result<Daemon, DaemonError> {
    start_as(config, Service::default(), stop).await
}

/// The same for a service manager: it is told how we are, and may have opened the listener.
///
/// # Errors
/// As [`start`].
pub async fn start_as(
    config: Config,
    service: Service,
    stop: CancellationToken,
) -> Result<Daemon, DaemonError> {
    make_private(&config.state_dir)?;
    let tls = listener::tls(&config)?;
    // Before anything is changed.
    formats::check(&config.state_dir)?;
    let pulses = Pulses::new();
    let metrics = Arc::new(Metrics::new());
    let (mut writer, spool, admission) = open_spool(&config)?;
    let open = || Ok((open_stores(&config, spool.id())?, door::open(&config, &metrics)?));
    let ((history, dead_letters), (door, door_thread)) = match open() {
        // Their files need a few pages to be opened. A full disk must not keep us from draining.
        Err(error) if spool.disk_free() < STORES_ROOM_BYTES => {
            let error: DaemonError = error;
            log::warn!(event = "disk-full", error:err = error; "the disk is full: the spool's reserve is given back for the start");
            writer.release_reserve()?;
            open()?
        }
        opened => opened?,
    };
    // The disk lost what it had told to be durable: its positions must not be used again.
    writer.skip_to(crate::sinks::Sink::position(&history.writer));
    writer.skip_to(sinks::head(&config, &spool)?);
    let ledger = Arc::new(Ledger::new(admission.tally().total().samples, spool.next()));
    let admission = know_series(admission, &history.reader);
    let (gate, gate_thread, gate_stats) =
        gate::open(writer, spool.clone(), admission, ledger.clone(), config.limits.gate_memory)
            .map_err(thread_error)?;

    compare_with_ceiling(&config, gate.pressure().ceiling());

    let hurry = CancellationToken::new();
    let reader = history.reader.clone();
    // All follow before any reads on, so that none gives up what another needs.
    let counts = reader.counts();
    let for_history = spool.follow_from(
        history::NAME,
        counts.durable,
        // Of every sample before its position one of these is true.
        counts.stored + counts.skipped + counts.shed,
    );
    let prepared = sinks::open(&config, &spool)?;
    let alerts = alerts::open(&config, &spool, pulses.alerts.clone())?;
    let (live, live_threads) = live_feed::start(&config, &spool, &reader, pulses.live.clone())?;
    let history_stalled = Arc::new(AtomicBool::new(false));
    let follower = HistoryFollower {
        follower: for_history,
        spool: spool.clone(),
        writer: history.writer,
        reader: history.reader,
        ledger: ledger.clone(),
        accepted: accepted::accepted_below(&config, &spool),
        hurry: hurry.clone(),
        stalled: history_stalled.clone(),
        pulse: pulses.history.clone(),
    };
    let history_thread = thread("history", move || follower.run())?;
    let sinking = prepared.start(&spool, &metrics, &stop, &hurry)?;
    let influx = sinking.list();
    let mut threads =
        vec![("gate".to_owned(), gate_thread), ("history".to_owned(), history_thread), door_thread];
    threads.extend(live_threads);
    let (alerts, alerts_thread) = alerts::start(alerts, &live, &stop, &hurry)?;
    threads.push(alerts_thread);

    let (commands, commands_thread) =
        commands::open(&config, &live, &metrics, pulses.commands.clone())?;
    threads.push(commands_thread);
    let caps = Caps::new(config.limits.clone());
    let connected = mqtt::Rooms {
        caps: caps.clone(),
        gate: gate.clone(),
        metrics: metrics.clone(),
        live: live.clone(),
        commands: commands.clone(),
    };
    let bridging = mqtt::open(&config, connected)?;
    let notifying = notify::open(&config, &alerts, &metrics, &stop)?;
    let notify = notifying.handle();
    let rooms = Rooms {
        pressure: gate.pressure().clone(),
        gate: gate_stats,
        spool: spool.clone(),
        history: reader.clone(),
        shed_before: counts.shed,
        live: live.clone(),
        ledger,
        metrics: metrics.clone(),
        history_stalled,
        influx: influx.clone(),
        bridges: bridging.told(),
        alerts: alerts.clone(),
        commands: commands.view(),
        notify: notify.clone(),
    };
    let overview = Arc::new(Overview::new(&config, rooms));
    let onlooker = Onlooker::start(service.notifier, &pulses, &gate)?;
    let watched = onlooker.of_sinks();
    watched.are(&influx.all());
    let intake = Intake::new(
        gate.clone(),
        caps.clone(),
        config.intake.forms.clone(),
        live.clone(),
        commands.clone(),
        metrics.clone(),
        stop.clone(),
    );
    let app = Arc::new(App {
        door: door.clone(),
        intake,
        live,
        commands,
        history: reader,
        influx,
        alerts,
        dead_letters,
        exports: web::Exports::new(),
        boards: web::Boards::new(config.state_dir.join("boards")),
        #[cfg(feature = "mqtt")]
        quarantine: web::Quarantined::new(config.state_dir.join("mqtt.db")),
        notify,
        spool,
        metrics,
        status: overview.clone(),
        stop: stop.clone(),
    });
    let listener = listener::open(&config, &door, service.listener).await?;
    let address = listener.local_addr().map_err(DaemonError::Runtime)?;
    let rooms = Changed {
        alerts: app.alerts.clone(),
        gate,
        caps,
        live: app.live.clone(),
        commands: app.commands.clone(),
        bridging,
        sinking,
        notifying,
        watched,
        entrance: Entrance { door, tls, address },
    };
    let (reload, changeable) = reload::begin(config.clone(), rooms);
    Ok(Daemon {
        config,
        listener,
        address,
        app,
        overview,
        threads,
        onlooker,
        reload,
        changeable,
        stop,
        hurry,
    })
}

impl Daemon {
    /// Where it listens; the port is the one that the system chose if 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What goes over to another configuration while the daemon runs.
    #[must_use]
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Serves until the token given to [`start`] is cancelled, then runs dry.
    ///
    /// # Errors
    /// If a thread of the pipeline ended early: a bug, and the daemon ends with it.
    pub async fn run(self) -> Result<(), DaemonError> {
        let Daemon { config, listener, address, app, overview, threads, stop, .. } = self;
        let Daemon { onlooker, changeable, hurry, .. } = self;
        log::info!(
            event = "started", address:% = address,
            state_dir:% = config.state_dir.display(),
            version = env!("CARGO_PKG_VERSION");
            "listening"
        );
        onlooker.ready();
        let serving = web::serve(listener, app.clone(), changeable.serving(), stop.clone());
        let reporting = status_line::tell(overview.clone(), &onlooker, stop.clone());
        // It holds on to rooms that end when nobody does any more.
        let watching = overview.watch(app.clone(), stop.clone());
        let changing = changeable.run(stop.clone());
        let guarding = app.door.clone().watch(stop.clone());
        let telling = alerts::tell_presence(app.alerts.clone(), app.live.clone(), stop.clone());
        let deadline = async {
            stop.cancelled().await;
            tokio::time::sleep(config.shutdown_deadline).await;
        };
        let drained = async {
            let (.., last_threads) =
                tokio::join!(serving, watching, reporting, telling, guarding, changing);
            // The last gate goes with the app: the log ends, and the followers finish.
            drop(app);
            join(threads.into_iter().chain(last_threads).collect()).await
        };
        tokio::select! {
            outcome = drained => {
                if outcome {
                    log::info!(event = "stopped"; "stopped; everything acknowledged is stored");
                }
            }
            () = deadline => {
                hurry.cancel();
                log::warn!(event = "drain-incomplete"; "the pipeline did not run dry in time (shutdown.deadline); the next start reads the rest from the spool");
            }
        }
        onlooker.end();
        Ok(())
    }
}

/// Waits for the pipeline's threads in their order; false if one of them panicked.
async fn join(threads: Vec<Thread>) -> bool {
    let joined = tokio::task::spawn_blocking(move || {
        threads.into_iter().fold(true, |all, (name, thread)| {
            let ended = thread.join().is_ok();
            if !ended {
                log::error!(event = "thread-panicked", thread = name.as_str(); "a thread of the pipeline panicked");
            }
            all && ended
        })
    });
    joined.await.unwrap_or(false)
}

fn thread_error(error: std::io::Error) -> DaemonError {
    DaemonError::Runtime(error)
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, DaemonError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(thread_error)
}

/// Says it if the buffers, full, would leave less than half of `MemoryHigh=` for the program, for what there is
/// for each series and connection, and for what people ask.
fn compare_with_ceiling(config: &Config, ceiling: Option<&gate::Ceiling>) {
    let buffers: u64 = buffers(config).iter().map(|line| line.bytes).sum();
    if let Some(high) = ceiling.map(gate::Ceiling::high).filter(|high| 2 * buffers > *high) {
        log::warn!(
            event = "memory-high-low", high, buffers;
            "the buffers that are configured take more than half of MemoryHigh= when they are full (tidegate \
             check): the kernel may slow the daemon down then"
        );
    }
}

/// Readings may be confidential: only the daemon's own user looks into the directory.
fn make_private(directory: &std::path::Path) -> Result<(), DaemonError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|source| DaemonError::StateDirectory { path: directory.to_owned(), source })
}
