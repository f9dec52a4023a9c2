//! A viewer that only watches how fresh the picture is.

use crate::daemon::{Daemon, PATIENCE};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tidegate::clock;

/// Follows `/api/v1/live` by SSE.
pub struct Viewer {
    socket: TcpStream,
    /// Frames with rollups so far.
    frames: Arc<AtomicU64>,
    thread: JoinHandle<Watched>,
}

/// What it saw.
#[derive(Debug)]
pub struct Watched {
    /// The longest time between two frames with rollups, or until it was closed.
    pub longest_gap: Duration,
    last: Instant,
}

impl Viewer {
    /// Looks at all devices; returns when it has its first picture.
    pub fn open(daemon: &Daemon) -> Viewer {
        let mut socket = TcpStream::connect(daemon.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(b"GET /api/v1/live HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut lines = BufReader::new(socket.try_clone().unwrap()).lines().map_while(Result::ok);
        lines.find(|line| line.contains("\"type\":\"snapshot\"")).expect("no snapshot came");
        let frames = Arc::new(AtomicU64::new(0));
        let seen = frames.clone();
        let thread = std::thread::spawn(move || {
            let mut watched = Watched { longest_gap: Duration::ZERO, last: clock::monotonic() };
            for line in lines {
                if line.contains("\"type\":\"rollups\"") {
                    seen.fetch_add(1, Ordering::Relaxed);
                    watched.step();
                }
            }
            watched.step();
            watched
        });
        Viewer { socket, frames, thread }
    }

    /// Waits until it has seen so many frames with rollups more.
    pub fn sees(&self, more: u64) {
        let wanted = self.frames.load(Ordering::Relaxed) + more;
        let deadline = clock::monotonic() + PATIENCE;
        while self.frames.load(Ordering::Relaxed) < wanted {
            assert!(clock::monotonic() < deadline, "the picture stands still");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops watching.
    pub fn close(self) -> Watched {
        self.socket.shutdown(Shutdown::Both).ok();
        self.thread.join().unwrap()
    }
}

impl Watched {
    fn step(&mut self) {
        let now = clock::monotonic();
        self.longest_gap = self.longest_gap.max(now - self.last);
        self.last = now;
    }
}
