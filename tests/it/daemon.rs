//! Starts, kills and asks the real binary.

use crate::port::Port;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Anything that takes longer than this hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A state directory and the daemon that runs on it, at one address over all its restarts.
pub struct Daemon {
    pub state_dir: tempfile::TempDir,
    pub address: SocketAddr,
    _held: Port,
    settings: Vec<String>,
    running: Option<Running>,
}

struct Running {
    child: Child,
    log: Arc<Log>,
    /// Ends when the daemon has, and all that it logged is in `log`.
    reader: std::thread::JoinHandle<()>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Daemon {
    /// Starts a daemon with settings as `--set` takes them; returns when it listens.
    pub fn start(settings: &[&str]) -> Daemon {
        Daemon::start_in(tempfile::tempdir().unwrap(), settings)
    }

    /// Starts it on this state directory.
    pub fn start_in(state_dir: tempfile::TempDir, settings: &[&str]) -> Daemon {
        let held = Port::hold();
        let mut daemon = Daemon {
            state_dir,
            address: held.address,
            _held: held,
            settings: settings.iter().map(ToString::to_string).collect(),
            running: None,
        };
        daemon.restart();
        daemon
    }

    /// Starts it again on the same state, after [`Daemon::kill`] or [`Daemon::stop`].
    pub fn restart(&mut self) {
        let mut child =
            self.command("run").stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let written = log.clone();
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                written.lines.lock().unwrap().push(line);
                written.more.notify_all();
            }
        });
        self.running = Some(Running { child, log, reader });
        self.wait_for_log("msg=listening");
    }

    /// A command of the binary on this daemon's state.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args([name, "--state-dir"]).arg(self.state_dir.path());
        let file = self.configuration();
        if file.exists() {
            command.arg("--config").arg(file);
        }
        command.args(["--listen", &self.address.to_string()]);
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        command.env("NO_COLOR", "1");
        command
    }

    /// From its next start on, with these settings.
    pub fn set(&mut self, settings: &[&str]) {
        self.settings = settings.iter().map(ToString::to_string).collect();
    }

    /// One of `VmRSS` (memory now) and `VmHWM` (its peak), in MiB.
    pub fn memory_mib(&self, key: &str) -> u64 {
        let pid = self.running.as_ref().unwrap().child.id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap().split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
    }

    /// What status says of a sink.
    pub fn sink(&self, name: &str) -> serde_json::Value {
        sink(&self.json("/api/v1/status"), name).clone()
    }

    /// Asks again until status says of a sink what is wanted.
    pub fn until_sink(
        &self,
        name: &str,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        self.until_sink_within(PATIENCE, name, wanted)
    }

    /// The same, for as long as a story takes.
    pub fn until_sink_within(
        &self,
        patience: Duration,
        name: &str,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let wanted = |status: &serde_json::Value| wanted(sink(status, name));
        sink(&self.eventually_within(patience, "/api/v1/status", wanted), name).clone()
    }

    /// Waits for a log line that contains the text, and gives it.
    pub fn wait_for_log(&mut self, text: &str) -> String {
        let running = self.running.as_mut().unwrap();
        let deadline = tidegate::clock::monotonic() + PATIENCE;
        loop {
            // Asked before the lines are looked at: then they are all that it said.
            let is_all = running.reader.is_finished();
            let lines = running.log.lines.lock().unwrap();
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            if is_all && let Some(status) = running.child.try_wait().unwrap() {
                panic!("the daemon ended ({status}) before {text:?}: {lines:#?}");
            }
            assert!(tidegate::clock::monotonic() < deadline, "no {text:?} in {lines:#?}");
            drop(running.log.more.wait_timeout(lines, Duration::from_millis(100)).unwrap());
        }
    }

    /// Everything logged since the last start.
    pub fn log(&self) -> Vec<String> {
        self.running
            .as_ref()
            .map(|running| running.log.lines.lock().unwrap().clone())
            .unwrap_or_default()
    }

    /// SIGKILL: no chance to write anything.
    pub fn kill(&mut self) {
        let mut running = self.running.take().unwrap();
        running.child.kill().unwrap();
        running.child.wait().unwrap();
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        let mut running = self.running.take().unwrap();
        signal(&running.child, rustix::process::Signal::TERM);
        wait(&mut running.child)
    }

    /// As [`Daemon::stop`]; gives everything that it logged, too.
    pub fn stop_and_log(&mut self) -> (ExitStatus, Vec<String>) {
        let mut running = self.running.take().unwrap();
        signal(&running.child, rustix::process::Signal::TERM);
        let status = wait(&mut running.child);
        running.reader.join().unwrap();
        let lines = running.log.lines.lock().unwrap().clone();
        (status, lines)
    }

    /// Sends SIGTERM only.
    pub fn terminate(&self) {
        signal(&self.running.as_ref().unwrap().child, rustix::process::Signal::TERM);
    }

    /// The configuration file, used if it exists.
    pub fn configuration(&self) -> PathBuf {
        self.state_dir.path().join("tidegate.toml")
    }

    /// Writes the configuration file, sends SIGHUP, and gives what is logged until that is done.
    pub fn reload(&self, toml: &str) -> Vec<String> {
        std::fs::write(self.configuration(), toml).unwrap();
        let before = self.log().len();
        signal(&self.running.as_ref().unwrap().child, rustix::process::Signal::HUP);
        let deadline = tidegate::clock::monotonic() + PATIENCE;
        loop {
            let said = self.log().split_off(before);
            let is_said = |event: &str| said.iter().any(|line| line.contains(event));
            if is_said("event=reload-refused") || is_said("event=reloaded") {
                return said;
            }
            assert!(tidegate::clock::monotonic() < deadline, "no reload: {said:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGSTOP: connections are taken (by the kernel), nothing is answered. It has stopped when this returns.
    pub fn pause(&self) {
        pause(&self.running.as_ref().unwrap().child);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        signal(&self.running.as_ref().unwrap().child, rustix::process::Signal::CONT);
    }

    /// Waits for the end of a daemon that was told to stop.
    pub fn wait(&mut self) -> ExitStatus {
        wait(&mut self.running.take().unwrap().child)
    }

    pub fn ws_url(&self) -> String {
        format!("ws://{}/api/v1/ingest/ws", self.address)
    }

    /// GET; the body as text.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.request("GET", path, &[], b"")
    }

    /// GET; the body as JSON, which a 200 must be.
    pub fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// Asks again until the answer is as wanted.
    pub fn eventually(
        &self,
        path: &str,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        self.eventually_within(PATIENCE, path, wanted)
    }

    fn eventually_within(
        &self,
        patience: Duration,
        path: &str,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let deadline = tidegate::clock::monotonic() + patience;
        loop {
            let (status, body) = self.get(path);
            let value = serde_json::from_str(&body).unwrap_or_default();
            if status == 200 && wanted(&value) {
                return value;
            }
            assert!(tidegate::clock::monotonic() < deadline, "{path} stays {value:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// One request over a connection of its own.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, String) {
        let (status, _, body) = self.exchange(method, path, headers, body);
        (status, body)
    }

    /// As [`Daemon::request`], with the head of the answer between status and body.
    pub fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, String, String) {
        exchange(self.address, method, path, headers, body)
    }

    /// Waits until `GET path` answers with this status; gives the body.
    pub fn until(&self, path: &str, wanted: u16) -> String {
        let deadline = tidegate::clock::monotonic() + PATIENCE;
        loop {
            let (status, body) = self.get(path);
            if status == wanted {
                return body;
            }
            assert!(tidegate::clock::monotonic() < deadline, "{path} stays {status}: {body}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops it in order, and asks `tidegate audit` whether everything is there, of every client and in
    /// every sink.
    pub fn stop_and_audit(&mut self) {
        let status = self.stop();
        assert!(status.success(), "the daemon ended with {status}");
        let audit = self.command("audit").arg("--clients").output().unwrap();
        let report = String::from_utf8_lossy(&audit.stdout);
        let problems = String::from_utf8_lossy(&audit.stderr);
        assert!(audit.status.success(), "{report} {problems}");
    }

    /// How many batches `/metrics` says were refused so.
    pub fn refused(&self, protocol: &str, code: &str) -> u64 {
        let (_, metrics) = self.get("/metrics");
        let name =
            format!("tidegate_batches_refused_total{{protocol=\"{protocol}\",code=\"{code}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0, |count| count.parse().unwrap())
    }

    pub fn spool_files(&self) -> Vec<PathBuf> {
        files(&self.state_dir.path().join("spool"), "seg")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let killed = running.child.kill().and_then(|()| running.child.wait());
            if std::thread::panicking() {
                // Whoever waited for a line may have panicked with it.
                let lines = running.log.lines.lock().unwrap_or_else(PoisonError::into_inner);
                eprintln!("the daemon ({killed:?}) had logged: {lines:#?}");
            }
        }
    }
}

/// A sink in the status; null if there is none.
pub fn sink<'a>(status: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let sinks = status["sinks"].as_array().map_or(&[][..], Vec::as_slice);
    sinks.iter().find(|sink| sink["name"] == name).unwrap_or(&serde_json::Value::Null)
}

/// Files of a directory by extension, in the order of names.
pub fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

/// One request to a server, over a connection of its own.
pub fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, String, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n",
        address,
        body.len()
    );
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    // A server that refuses early closes while we still write: its answer tells.
    let sent = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(b"\r\n"));
    sent.and_then(|()| socket.write_all(body)).unwrap_or_default();
    let mut answer = Vec::new();
    if socket.read_to_end(&mut answer).is_err() && answer.is_empty() {
        panic!("{method} {path} was not answered");
    }
    parsed(&answer)
}

/// Status, head and body of an answer.
pub fn parsed(answer: &[u8]) -> (u16, String, String) {
    let answer = String::from_utf8_lossy(answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let head = head.to_ascii_lowercase();
    let chunked = head.contains("transfer-encoding: chunked");
    (status.unwrap_or(0), head, if chunked { unchunk(body) } else { body.to_owned() })
}

/// SIGSTOP; returns once all of its threads have stopped.
pub fn pause(child: &Child) {
    signal(child, rustix::process::Signal::STOP);
    let deadline = tidegate::clock::monotonic() + PATIENCE;
    let has_stopped = |task: std::fs::DirEntry| {
        // A thread may have ended meanwhile.
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
    };
    let tasks = format!("/proc/{}/task", child.id());
    while !std::fs::read_dir(&tasks).unwrap().all(|task| has_stopped(task.unwrap())) {
        assert!(tidegate::clock::monotonic() < deadline, "it does not stop");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

fn wait(child: &mut Child) -> ExitStatus {
    let deadline = tidegate::clock::monotonic() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(tidegate::clock::monotonic() < deadline, "the daemon does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn unchunk(body: &str) -> String {
    let mut rest = body;
    let mut whole = String::new();
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || tail.len() < size {
            whole += &tail[..tail.len().min(size)];
            break;
        }
        whole += &tail[..size];
        rest = tail[size..].trim_start_matches("\r\n");
    }
    whole
}
