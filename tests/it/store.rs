//! A scripted store: real sockets, the write API, and answers as a test wants them. The bodies are
//! those of InfluxDB 2 and 3, against which `src/sinks/influx/answers.rs` was written.

use crate::daemon::PATIENCE;
use crate::port::Port;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tidegate::clock;

/// InfluxDB 3 lists no more refused lines than this.
const LISTED_MAX: usize = 100;

/// A store that listens, or is stopped and can be started again at the same address.
pub struct Store {
    pub address: SocketAddr,
    _held: Port,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

/// A write as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub at: Instant,
    /// With its query.
    pub path: String,
    pub token: Option<String>,
    pub lines: Vec<String>,
    /// What it was answered; 0 as long as it was not.
    pub status: u16,
}

impl Request {
    /// Stored, after the time that it takes at so many lines a second.
    pub fn stored_at(&self, lines_per_s: u64) -> Reaction {
        let takes = self.lines.len() as u64 * 1_000_000 / lines_per_s;
        Reaction::stored().after(Duration::from_micros(takes))
    }
}

/// A line that was accepted.
#[derive(Debug, Clone)]
pub struct Stored {
    pub line: String,
    pub at: Instant,
    /// With which of the requests it came, counted from 0.
    pub request: usize,
}

/// The row of a line of `load`: 0 is what was measured first.
pub fn row(line: &str) -> i64 {
    let value = line.split_once(" n=").and_then(|(_, rest)| rest.split_once("i "));
    value
        .and_then(|(value, _)| value.parse().ok())
        .unwrap_or_else(|| panic!("another line: {line}"))
}

/// What the store does with a request.
#[derive(Debug, Clone)]
pub struct Reaction {
    keeps: Keeps,
    end: End,
    delay: Duration,
}

#[derive(Debug, Clone)]
enum Keeps {
    All,
    Nothing,
    /// All but these, ascending.
    But(Vec<usize>),
}

#[derive(Debug, Clone)]
enum End {
    Answer {
        status: u16,
        head: String,
        body: String,
    },
    /// The connection is closed without a word.
    Close,
    /// Nothing comes for as long as the store runs.
    Hang,
}

impl Reaction {
    fn new(keeps: Keeps, end: End) -> Reaction {
        Reaction { keeps, end, delay: Duration::ZERO }
    }

    fn answer(keeps: Keeps, status: u16, body: String) -> Reaction {
        Reaction::new(keeps, End::Answer { status, head: String::new(), body })
    }

    /// Stores everything, and says 204.
    pub fn stored() -> Reaction {
        Reaction::answer(Keeps::All, 204, String::new())
    }

    /// Stores nothing, and says so.
    pub fn says(status: u16, body: &str) -> Reaction {
        Reaction::answer(Keeps::Nothing, status, body.to_owned())
    }

    /// Stores nothing, and closes the connection.
    pub fn closes() -> Reaction {
        Reaction::new(Keeps::Nothing, End::Close)
    }

    /// Stores everything, and closes the connection without saying so.
    pub fn stored_and_closes() -> Reaction {
        Reaction::new(Keeps::All, End::Close)
    }

    /// Stores nothing, and says nothing as long as it runs.
    pub fn hangs() -> Reaction {
        Reaction::new(Keeps::Nothing, End::Hang)
    }

    /// With a header in its answer.
    pub fn with(mut self, name: &str, value: &str) -> Reaction {
        if let End::Answer { head, .. } = &mut self.end {
            *head += &format!("{name}: {value}\r\n");
        }
        self
    }

    /// After a while, at the end of which it stores.
    pub fn after(mut self, delay: Duration) -> Reaction {
        self.delay = delay;
        self
    }

    /// As InfluxDB 2 with lines that it can't read: nothing is stored if there is one.
    pub fn influx_2_unreadable(lines: &[String], bad: impl Fn(&str) -> bool) -> Reaction {
        let Some(line) = lines.iter().find(|line| bad(line)) else { return Reaction::stored() };
        let message = format!("unable to parse '{line}': missing tag value");
        let body = serde_json::json!({ "code": "invalid", "message": message });
        Reaction::says(400, &body.to_string())
    }

    /// As InfluxDB 2 with fields of another type than before: it stores the other lines.
    pub fn influx_2_conflict(lines: &[String], bad: impl Fn(&str) -> bool) -> Reaction {
        let refused = numbers(lines, bad);
        if refused.is_empty() {
            return Reaction::stored();
        }
        let message = format!(
            "failure writing points to database: partial write: field type conflict: input field \
             \"v\" on measurement \"m\" is type integer, already exists as type float dropped={}",
            refused.len()
        );
        let body = serde_json::json!({ "code": "unprocessable entity", "message": message });
        Reaction::answer(Keeps::But(refused), 422, body.to_string())
    }

    /// As InfluxDB 3 where part of a request may be stored: it stores the other lines, and lists the
    /// first hundred that it refused.
    pub fn influx_3_partial(lines: &[String], bad: impl Fn(&str) -> bool) -> Reaction {
        let refused = numbers(lines, bad);
        if refused.is_empty() {
            return Reaction::stored();
        }
        let listed = refused.iter().take(LISTED_MAX).map(|&number| {
            serde_json::json!({
                "original_line": lines[number],
                "line_number": number + 1,
                "error_message": "invalid column type for column 'v', expected \
                    iox::column_type::field::float, got iox::column_type::field::string",
            })
        });
        let body = serde_json::json!({
            "error": "partial write of line protocol occurred",
            "data": listed.collect::<Vec<_>>(),
        });
        Reaction::answer(Keeps::But(refused), 400, body.to_string())
    }

    /// As InfluxDB 3 on the path of the second version: nothing is stored, and the line is named.
    pub fn influx_3_whole(lines: &[String], bad: impl Fn(&str) -> bool) -> Reaction {
        let Some(&number) = numbers(lines, bad).first() else { return Reaction::stored() };
        let body = serde_json::json!({
            "error": "parsing failed for write_lp endpoint",
            "data": {
                "original_line": lines[number],
                "line_number": number + 1,
                "error_message": "No fields were provided",
            },
        });
        Reaction::says(400, &body.to_string())
    }
}

fn numbers(lines: &[String], bad: impl Fn(&str) -> bool) -> Vec<usize> {
    (0..lines.len()).filter(|&number| bad(&lines[number])).collect()
}

type Script = Box<dyn FnMut(&Request) -> Reaction + Send>;

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    script: Script,
    /// Whoever has another is answered 401.
    token: Option<String>,
    requests: Vec<Request>,
    stored: Vec<Stored>,
    under_way: usize,
    under_way_most: usize,
    /// Those that are open, numbered.
    connections: HashMap<usize, TcpStream>,
    /// Counts stops: what began before one is not answered after it.
    stops: u64,
    runs: bool,
}

impl Store {
    /// Listens on a free port; `script` decides about each request, one after another.
    pub fn start(script: impl FnMut(&Request) -> Reaction + Send + 'static) -> Store {
        let state = State {
            script: Box::new(script),
            token: None,
            requests: Vec::new(),
            stored: Vec::new(),
            under_way: 0,
            under_way_most: 0,
            connections: HashMap::new(),
            stops: 0,
            runs: false,
        };
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new() };
        let held = Port::hold();
        let address = held.address;
        let mut store = Store { address, _held: held, shared: Arc::new(shared), listening: None };
        store.restart();
        store
    }

    fn listen(&mut self, listener: TcpListener) {
        let shared = self.shared.clone();
        shared.state.lock().unwrap().runs = true;
        self.listening = Some(thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let stream = stream.unwrap();
                let mut state = shared.state.lock().unwrap();
                if !state.runs {
                    return;
                }
                let key = (state.stops as usize) << 32 | number;
                state.connections.insert(key, stream.try_clone().unwrap());
                drop(state);
                let shared = shared.clone();
                thread::spawn(move || shared.serve(stream, key));
            }
        }));
    }

    /// Nobody listens any more, and connections break. What it stored it keeps.
    pub fn stop(&mut self) {
        let Some(listening) = self.listening.take() else { return };
        let mut state = self.shared.state.lock().unwrap();
        state.runs = false;
        state.stops += 1;
        for (_, connection) in state.connections.drain() {
            connection.shutdown(Shutdown::Both).ok();
        }
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the listener, which sees that it is over.
        TcpStream::connect(self.address).ok();
        listening.join().unwrap();
    }

    /// Listens again at the same address.
    pub fn restart(&mut self) {
        assert!(self.listening.is_none(), "it was not stopped");
        self.listen(TcpListener::bind(self.address).unwrap());
    }

    /// From now on, decides by this.
    pub fn script(&self, script: impl FnMut(&Request) -> Reaction + Send + 'static) {
        self.shared.state.lock().unwrap().script = Box::new(script);
    }

    /// From now on, takes only this token.
    pub fn require_token(&self, token: &str) {
        self.shared.state.lock().unwrap().token = Some(token.to_owned());
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state.lock().unwrap().requests.clone()
    }

    /// Every line that was accepted, in that order.
    pub fn stored(&self) -> Vec<Stored> {
        self.shared.state.lock().unwrap().stored.clone()
    }

    /// How many requests were there at the same time, at most.
    pub fn under_way_most(&self) -> usize {
        self.shared.state.lock().unwrap().under_way_most
    }

    /// Waits until requests and stored lines are as wanted; gives the lines.
    pub fn wait(&self, wanted: impl Fn(&[Request], &[Stored]) -> bool) -> Vec<Stored> {
        let deadline = clock::monotonic() + PATIENCE;
        let mut state = self.shared.state.lock().unwrap();
        while !wanted(&state.requests, &state.stored) {
            let left = deadline.saturating_duration_since(clock::monotonic());
            let (requests, stored) = (state.requests.len(), state.stored.len());
            assert!(!left.is_zero(), "it stays at {requests} requests, {stored} lines");
            state = self.shared.changed.wait_timeout(state, left).unwrap().0;
        }
        state.stored.clone()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream, key: usize) {
        let mut reader = BufReader::new(stream);
        while let Some((request, last)) = read(&mut reader) {
            if !self.react(request, reader.get_mut()) || last {
                break;
            }
        }
        reader.get_ref().shutdown(Shutdown::Both).ok();
        self.state.lock().unwrap().connections.remove(&key);
    }

    /// Handles a request; whether the connection goes on.
    fn react(&self, request: Request, stream: &mut TcpStream) -> bool {
        let mut state = self.state.lock().unwrap();
        let (number, stops) = (state.requests.len(), state.stops);
        state.requests.push(request.clone());
        state.under_way += 1;
        state.under_way_most = state.under_way_most.max(state.under_way);
        self.changed.notify_all();
        let reaction = if state.token.is_some() && state.token != request.token {
            Reaction::says(401, r#"{"code":"unauthorized","message":"unauthorized access"}"#)
        } else {
            (state.script)(&request)
        };
        let hangs = matches!(reaction.end, End::Hang);
        let until = clock::monotonic() + reaction.delay;
        while state.stops == stops && (hangs || clock::monotonic() < until) {
            let left = until.saturating_duration_since(clock::monotonic());
            let left = if hangs { PATIENCE } else { left };
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
        state.under_way -= 1;
        if state.stops != stops {
            return false;
        }
        let at = clock::monotonic();
        for (line, text) in request.lines.into_iter().enumerate() {
            let kept = match &reaction.keeps {
                Keeps::All => true,
                Keeps::Nothing => false,
                Keeps::But(refused) => refused.binary_search(&line).is_err(),
            };
            if kept {
                state.stored.push(Stored { line: text, at, request: number });
            }
        }
        let End::Answer { status, head, body } = reaction.end else {
            self.changed.notify_all();
            return false;
        };
        state.requests[number].status = status;
        self.changed.notify_all();
        drop(state);
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} X\r\n{head}content-length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).is_ok()
    }
}

/// The next request on a connection, and whether it is to be the last; `None` at its end.
fn read(reader: &mut impl BufRead) -> Option<(Request, bool)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    };
    let mut body = vec![0; header("content-length")?.parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    if header("content-encoding") == Some("gzip") {
        let mut inflated = flate2::write::GzDecoder::new(Vec::new());
        inflated.write_all(&body).unwrap();
        body = inflated.finish().unwrap();
    }
    let token = header("authorization").map(|value| value.trim_start_matches("Token ").to_owned());
    let last = header("connection") == Some("close");
    let request = Request {
        at: clock::monotonic(),
        path: head.split(' ').nth(1)?.to_owned(),
        token,
        lines: String::from_utf8(body).unwrap().lines().map(str::to_owned).collect(),
        status: 0,
    };
    Some((request, last))
}

#[path = "store_tests.rs"]
mod tests;
