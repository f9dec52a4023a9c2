//! Takes webhooks: answers as it is told, and keeps what came.

use crate::daemon::PATIENCE;
use crate::port::Port;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver as Taken, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// With this status.
    Status(u16),
    /// Takes the message, and never says so.
    Hang,
}

/// A message as it came.
#[derive(Debug, Clone)]
pub struct Message {
    pub delivery: String,
    pub timestamp: String,
    pub signature: String,
    pub raw: String,
    pub body: Value,
}

impl Message {
    /// Whether it was signed with this secret.
    pub fn is_genuine(&self, secret: &str) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{}.{}", self.timestamp, self.raw).as_bytes());
        let code = mac.finalize().into_bytes();
        let hex: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
        self.signature == format!("sha256={hex}")
    }

    pub fn summary(&self) -> &str {
        self.body["summary"].as_str().unwrap()
    }
}

/// An endpoint at a port of its own, over all its restarts.
pub struct Endpoint {
    pub port: u16,
    _held: Port,
    script: Arc<Mutex<VecDeque<How>>>,
    sender: Sender<(How, Message)>,
    taken: Taken<(How, Message)>,
    running: Option<Running>,
}

struct Running {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Endpoint {
    /// One that does not run yet.
    pub fn away() -> Endpoint {
        let held = Port::hold();
        let (sender, taken) = channel();
        let (port, script) = (held.address.port(), Arc::default());
        Endpoint { port, _held: held, script, sender, taken, running: None }
    }

    /// One that takes everything.
    pub fn start() -> Endpoint {
        let mut endpoint = Endpoint::away();
        endpoint.come_back();
        endpoint
    }

    /// The next requests are answered so; then everything is taken.
    pub fn will(&self, answers: &[How]) {
        self.script.lock().unwrap().extend(answers);
    }

    pub fn come_back(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (script, sender, ends) = (self.script.clone(), self.sender.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            let mut hanging = Vec::new();
            for socket in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                let Some(message) = received(&socket) else { continue };
                let how = script.lock().unwrap().pop_front().unwrap_or(How::Status(200));
                match how {
                    How::Hang => hanging.push(socket),
                    How::Status(status) => {
                        let answer = format!(
                            "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                        );
                        // Who asked may have been killed.
                        drop((&socket).write_all(answer.as_bytes()));
                        drop(socket.shutdown(Shutdown::Write));
                    }
                }
                if sender.send((how, message)).is_err() {
                    return;
                }
            }
        });
        self.running = Some(Running { over, thread });
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks/7", self.port)
    }

    /// The next request that it answers so. Whoever was refused for a while comes back after twice as long.
    pub fn next(&self, how: How) -> Message {
        loop {
            let (was, message) = self.taken.recv_timeout(PATIENCE * 2).expect("a message");
            if was == how {
                return message;
            }
        }
    }

    /// The next message that it takes.
    pub fn taken(&self) -> Message {
        self.next(How::Status(200))
    }

    /// Nothing more comes for a while.
    pub fn is_silent(&self, time: Duration) -> bool {
        self.taken.recv_timeout(time).is_err()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(Running { over, thread }) = self.running.take() {
            over.store(true, Ordering::SeqCst);
            drop(TcpStream::connect(("127.0.0.1", self.port)));
            thread.join().ok();
        }
    }
}

fn received(socket: &TcpStream) -> Option<Message> {
    let mut reader = BufReader::new(socket);
    let mut headers = Vec::new();
    let mut asked = String::new();
    reader.read_line(&mut asked).ok()?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    if asked.starts_with("HEAD") {
        // Somebody only wants to know whether we are here.
        let mut writer = socket;
        writer.write_all(b"HTTP/1.1 405 X\r\nConnection: close\r\n\r\n").ok()?;
        return None;
    }
    let header = |name: &str| {
        let found = headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let mut raw = vec![0; header("content-length").parse().ok()?];
    reader.read_exact(&mut raw).ok()?;
    let raw = String::from_utf8(raw).ok()?;
    Some(Message {
        delivery: header("tidegate-delivery"),
        timestamp: header("tidegate-timestamp"),
        signature: header("tidegate-signature"),
        body: serde_json::from_str(&raw).ok()?,
        raw,
    })
}
