//! A viewer that only watches how fresh the picture is.

use crate::daemon::{Daemon, PATIENCE};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tidegate::clock;

/// Follows `/api/v1/live` by SSE.
pub struct Viewer {
    socket: TcpStream,
    thread: JoinHandle<Watched>,
}

/// What it saw.
#[derive(Debug)]
pub struct Watched {
    /// Frames with rollups.
    pub frames: u64,
    /// The longest time between two of them, or until it was closed.
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
        let thread = std::thread::spawn(move || {
            let mut watched =
                Watched { frames: 0, longest_gap: Duration::ZERO, last: clock::monotonic() };
            for line in lines {
                if line.contains("\"type\":\"rollups\"") {
                    watched.frames += 1;
                    watched.step();
                }
            }
            watched.step();
            watched
        });
        Viewer { socket, thread }
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
