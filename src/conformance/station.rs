//! A daemon's address for one client, and the client's process.
//!
//! The command gets its part by environment variables and says on stdout what became of its readings
//! (`docs/clients.md`). It runs in a process group of its own, which is killed with the station.

use super::Fault;
use super::umpire::Umpire;
use crate::clock;
use crate::model::Seq;
use futures_util::StreamExt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

/// Batches that a client may hold, where the scenario is not about that.
const BUFFER: u64 = 1000;
/// Lines of a client's stdout on their way to us; further ones wait in its pipe.
const LINES_MAX: usize = 256;
/// How much of stderr is looked at.
const STDERR_BYTES: u64 = 4096;
const STDERR_LINES: usize = 6;
/// What a process may take at least until it connects: an interpreter on a busy machine is slow, and that is
/// not what the client is tried for.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// Between the end of its connection and its own.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Which client is tried, and where we listen for it.
#[derive(Debug, Clone)]
pub struct Bench {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where to listen; port 0: any free one, for each client its own.
    pub listen: SocketAddr,
    /// What the client shows.
    pub token: String,
    /// What takes longer is taken to never come. To be far above what a client needs; its longest
    /// back-off here is 4 s. The first connection of a process may take a minute in any case.
    pub patience: Duration,
    /// Where its stderr goes; `None`: nowhere.
    pub stderr: Option<Stderr>,
}

/// What the clients of a scenario write to stderr.
#[derive(Debug, Clone)]
pub struct Stderr(Arc<Option<File>>);

impl Stderr {
    /// Its last lines.
    pub(super) fn last_lines(&self) -> Vec<String> {
        let Some(mut file) = (*self.0).as_ref() else { return Vec::new() };
        let mut text = Vec::new();
        let end = file.seek(SeekFrom::End(0)).unwrap_or(0);
        let begin = file.seek(SeekFrom::Start(end.saturating_sub(STDERR_BYTES)));
        if begin.and_then(|_| file.read_to_end(&mut text)).is_err() {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines[lines.len().saturating_sub(STDERR_LINES)..].to_vec()
    }
}

impl Bench {
    /// A file of no name for stderr; nothing is kept if there can be none.
    pub(super) fn stderr(&self) -> Stderr {
        Stderr(Arc::new(tempfile::tempfile().ok()))
    }

    pub(super) fn writing_to(&self, stderr: &Stderr) -> Bench {
        Bench { stderr: Some(stderr.clone()), ..self.clone() }
    }

    /// A station whose client has just been started, with so many readings.
    pub(super) async fn station(&self, readings: u64) -> Result<Station, Fault> {
        self.station_with(readings, BUFFER).await
    }

    /// As [`Bench::station`], with a client that may hold so many batches.
    pub(super) async fn station_with(&self, readings: u64, buffer: u64) -> Result<Station, Fault> {
        let not_run = |error: std::io::Error| Fault::NotRun(error.to_string());
        let listener = TcpListener::bind(self.listen).await.map_err(not_run)?;
        let client = format!("conformance-{}", rand::random_range(1000..10_000));
        let mut station = Station {
            bench: self.clone(),
            umpire: Umpire::new(&client),
            address: listener.local_addr().map_err(not_run)?,
            listener,
            dir: tempfile::tempdir().map_err(not_run)?,
            client,
            buffer,
            readings: 0,
            running: None,
            is_starting: false,
            said: Vec::new(),
            socket: None,
            left_at: None,
            failures: 0,
            lost: false,
        };
        station.start(readings)?;
        Ok(station)
    }
}

/// One client, where it connects to, and all that is known of it.
pub(super) struct Station {
    pub bench: Bench,
    pub umpire: Umpire,
    pub client: String,
    address: SocketAddr,
    listener: TcpListener,
    dir: TempDir,
    buffer: u64,
    /// How many it was given in all.
    pub readings: u64,
    running: Option<Running>,
    /// Its process has not connected yet.
    pub is_starting: bool,
    /// Lines of its stdout.
    pub said: Vec<String>,
    pub socket: Option<WebSocketStream<TcpStream>>,
    /// When its connection was broken, while it has not come back.
    pub left_at: Option<Instant>,
    /// Connections in a row that were broken before a Welcome.
    pub failures: u32,
    /// It closed the connection before all was settled. If it has ended that tells more.
    pub lost: bool,
}

struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended; a group that is gone is as good as one that is killed.
        if let Some(group) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        }
        self.child.wait().ok();
    }
}

/// What happened next.
pub(super) enum Event {
    Came(TcpStream),
    Message(Option<Result<Message, WsError>>),
    Line,
    Ended(ExitStatus),
    /// It left without having been told to, and did not end.
    Lost,
    Over,
}

impl Station {
    /// Starts the command with the next readings.
    pub fn start(&mut self, readings: u64) -> Result<(), Fault> {
        let not_run = |error: std::io::Error| Fault::NotRun(error.to_string());
        let (program, arguments) = match self.bench.command.split_first() {
            Some(command) => command,
            None => return Err(Fault::NotRun("no command was given".to_owned())),
        };
        let stderr = match self.bench.stderr.as_ref().and_then(|stderr| stderr.0.as_ref().as_ref())
        {
            Some(file) => file.try_clone().map_err(not_run)?.into(),
            None => Stdio::null(),
        };
        let mut child = Command::new(program)
            .args(arguments)
            .env("CONFORMANCE_URL", format!("ws://{}/api/v1/ingest/ws", self.address))
            .env("CONFORMANCE_TOKEN", &self.bench.token)
            .env("CONFORMANCE_CLIENT", &self.client)
            .env("CONFORMANCE_DIR", self.dir.path())
            .env("CONFORMANCE_BUFFER", self.buffer.to_string())
            .env("CONFORMANCE_FIRST", (self.readings + 1).to_string())
            .env("CONFORMANCE_READINGS", readings.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .map_err(not_run)?;
        let (to_us, lines) = mpsc::channel(LINES_MAX);
        if let Some(stdout) = child.stdout.take() {
            // Ends with the client's stdout, or when nobody listens any more.
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if to_us.blocking_send(line).is_err() {
                        break;
                    }
                }
            });
        }
        self.readings += readings;
        self.running = Some(Running { child, lines });
        self.is_starting = true;
        self.left_at = None;
        Ok(())
    }

    /// How long its next connection is waited for.
    pub fn comes_within(&self) -> Duration {
        match self.is_starting {
            true => self.bench.patience.max(STARTS_WITHIN),
            false => self.bench.patience,
        }
    }

    /// As `kill -9` does, whatever the client is doing.
    pub fn kill(&mut self) {
        self.running = None;
        self.socket = None;
        self.left_at = None;
        self.failures = 0;
    }

    /// The next thing that happens before `until`.
    pub async fn event(&mut self, until: Instant) -> Event {
        if self.lost {
            self.lost = false;
            return match self.end(clock::monotonic() + ENDS_WITHIN).await {
                Event::Over => Event::Lost,
                ended => ended,
            };
        }
        // Every branch is cancel-safe: a listener's accept, a stream's next, a channel's recv, a sleep.
        let line = tokio::select! {
            biased;
            came = self.listener.accept(), if self.socket.is_none() => match came {
                Ok((stream, _)) => return Event::Came(stream),
                Err(_) => return Event::Over,
            },
            message = next(&mut self.socket) => return Event::Message(message),
            line = next_line(&mut self.running) => line,
            () = sleep_until(until.into()) => return Event::Over,
        };
        match line {
            Some(line) => {
                self.said.push(line);
                Event::Line
            }
            None => self.end(until).await,
        }
    }

    /// Waits until it has ended.
    async fn end(&mut self, until: Instant) -> Event {
        let Some(running) = &mut self.running else { return Event::Over };
        loop {
            if let Ok(Some(status)) = running.child.try_wait() {
                self.running = None;
                return Event::Ended(status);
            }
            if until <= clock::monotonic() {
                return Event::Over;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the client has said on stdout what became of a batch.
    pub async fn told(&mut self, word: &str, seq: Seq) -> Result<(), Fault> {
        let line = format!("{word} {seq}");
        let until = clock::monotonic() + self.bench.patience;
        while !self.has_said(&line) {
            match self.event(until).await {
                Event::Line => {}
                Event::Over => return Err(Fault::NotTold { line, within: self.bench.patience }),
                event => self.pass(event)?,
            }
        }
        Ok(())
    }

    pub fn has_said(&self, line: &str) -> bool {
        self.said.iter().any(|said| said.trim() == line)
    }
}

async fn next(socket: &mut Option<WebSocketStream<TcpStream>>) -> Option<Result<Message, WsError>> {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

async fn next_line(running: &mut Option<Running>) -> Option<String> {
    match running {
        Some(running) => running.lines.recv().await,
        None => std::future::pending().await,
    }
}
