//! Guests who want to take more than their share, or to be taken for two: documented answers (docs/tls.md), bounded
//! memory, and a neighbour that is answered all the while.

use crate::client::{Client, reading};
use crate::daemon::{Daemon, PATIENCE, parsed};
use crate::plant::{Plant, eventually};
use crate::proxies::proxy_header;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tidegate::clock;

/// Asks all the time, over a connection of its own each time; every answer must be good.
struct Neighbour {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Neighbour {
    fn of(ask: impl Fn() -> (u16, String) + Send + 'static) -> Neighbour {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut took = Vec::new();
            loop {
                let since = clock::monotonic();
                let (status, body) = ask();
                assert_eq!(status, 200, "{body}");
                took.push(since.elapsed());
                if stopped.load(Ordering::Relaxed) {
                    return took;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Neighbour { stop, thread }
    }

    /// By plain HTTP.
    fn plain(daemon: &Daemon) -> Neighbour {
        let address = daemon.address;
        Neighbour::of(move || {
            let (status, _, body) = crate::daemon::exchange(address, "GET", "/readyz", &[], b"");
            (status, body)
        })
    }

    fn leave(self, while_: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let mut took = self.thread.join().unwrap();
        took.sort();
        let count = took.len();
        println!(
            "{while_}: {count} answers, median {:?}, slowest {:?}",
            took[count / 2],
            took[count - 1]
        );
    }
}

/// So many sockets as are needed.
fn allow_sockets() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// All that comes until it is closed, or reset; it must be either.
fn until_closed(mut connection: impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    let late = |error: std::io::Error| error.kind() == ErrorKind::WouldBlock;
    let ended = connection.read_to_end(&mut all);
    assert!(!ended.is_err_and(late), "never closed: {}", String::from_utf8_lossy(&all));
    all
}

/// Whether something came, or the end.
fn has_ended(socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    let came = socket.peek(&mut [0]).map_err(|error| error.kind());
    socket.set_nonblocking(false).unwrap();
    came != Err(ErrorKind::WouldBlock)
}

/// The statuses of what is answered to these bytes, until the connection ends.
fn answers(daemon: &Daemon, bytes: &[u8]) -> Vec<u16> {
    let mut socket = connect(daemon.address);
    // Who refuses early does not read all of it.
    socket.write_all(bytes).unwrap_or_default();
    let answer = String::from_utf8_lossy(&until_closed(socket)).into_owned();
    let statuses = answer.split("HTTP/1.1 ").skip(1);
    statuses.map(|rest| rest[..3].parse().unwrap()).collect()
}

const POST: &str = "POST /api/v1/ingest?client=c HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n";
const GET: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n";
/// What a smuggler wants to have answered as a request of its own, the last one.
const SMUGGLED: &str =
    "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-smuggled: yes\r\nconnection: close\r\n\r\n";

#[test]
fn a_request_that_can_be_read_two_ways_is_none() {
    // So long that nothing is answered because it came late.
    let daemon = Daemon::start(&["limits.header_timeout=30 s"]);
    let with_body = |headers: &str, body: &str| format!("{POST}{headers}\r\n\r\n{body}{SMUGGLED}");
    let chunked = |chunks: &str| with_body("transfer-encoding: chunked", chunks);
    for (what, request) in [
        ("both lengths", with_body("content-length: 4\r\ntransfer-encoding: chunked", "0\r\n\r\n")),
        (
            "the other way",
            with_body("transfer-encoding: chunked\r\ncontent-length: 4", "0\r\n\r\n"),
        ),
        ("two lengths", with_body("content-length: 4\r\ncontent-length: 5", "abcde")),
        ("a list of lengths", with_body("content-length: 2, 2", "{}")),
        ("a length with a sign", with_body("content-length: +4", "abcd")),
        ("a negative length", with_body("content-length: -1", "")),
        ("a length in hex", with_body("content-length: 0x4", "abcd")),
        ("a length past all", with_body("content-length: 99999999999999999999", "")),
        ("an unknown encoding", with_body("transfer-encoding: xchunked", "0\r\n\r\n")),
        ("chunked not last", with_body("transfer-encoding: chunked, identity", "0\r\n\r\n")),
        ("identity", with_body("transfer-encoding: identity", "0\r\n\r\n")),
        ("chunked in HTTP/1.0", chunked("0\r\n\r\n").replacen("HTTP/1.1", "HTTP/1.0", 1)),
        ("a negative chunk", chunked("-1\r\n{}\r\n0\r\n\r\n")),
        ("a chunk in hex of C", chunked("0x2\r\n{}\r\n0\r\n\r\n")),
        ("a chunk past all", chunked("fffffffffffffffff\r\n{}\r\n0\r\n\r\n")),
        ("a chunk without its end", chunked("2\r\n{}xx0\r\n\r\n")),
        ("chunks of lines without CR", chunked("2\n{}\n0\n\n")),
        (
            "a chunk with a long extension",
            chunked(&format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "a".repeat(20_000))),
        ),
        ("a folded line", format!("{GET}x-a: b\r\n c\r\n\r\n{SMUGGLED}")),
        (
            "a CR within a line",
            format!("{GET}x-a: b\rtransfer-encoding: chunked\r\n\r\n{SMUGGLED}"),
        ),
        ("a space before the colon", format!("{GET}transfer-encoding : chunked\r\n\r\n{SMUGGLED}")),
        ("a NUL", format!("{GET}x-a: a\0b\r\n\r\n{SMUGGLED}")),
        ("two hosts", format!("{GET}host: y\r\nconnection: close\r\n\r\n")),
        ("HTTP/0.9", "GET /healthz\r\n\r\n".to_owned()),
    ] {
        assert_eq!(answers(&daemon, request.as_bytes()), [400], "{what}");
    }
    for (what, request) in [
        (
            "65 headers",
            format!("{GET}{}\r\n", (0..65).map(|n| format!("x-{n}: 1\r\n")).collect::<String>()),
        ),
        ("a long header", format!("{GET}x: {}\r\n\r\n", "a".repeat(20_000))),
        ("headers without end", format!("{GET}{}", "x: y\r\n".repeat(20_000))),
        ("a long path", format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(20_000))),
    ] {
        assert_eq!(answers(&daemon, request.as_bytes()), [431], "{what}");
    }
    // The body of a request that nobody reads is none of the next one's.
    let unread = format!("{GET}content-length: 5\r\n\r\nhello{SMUGGLED}");
    assert_eq!(answers(&daemon, unread.as_bytes()), [200, 200]);
    for path in ["/assets/../../../etc/passwd", "/assets/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd"]
    {
        let (status, body) = daemon.get(path);
        assert!(!body.contains("root:"), "{path}: {status} {body}");
    }
}

#[test]
fn who_sends_byte_by_byte_is_closed_and_holds_nobody_up() {
    let daemon = Daemon::start(&[
        "limits.header_timeout=10 s",
        "limits.body_timeout=10 s",
        "limits.ping_interval=5 s",
        "limits.pong_timeout=5 s",
    ]);
    let neighbour = Neighbour::plain(&daemon);
    let open = |beginning: &str| {
        let mut socket = connect(daemon.address);
        socket.write_all(beginning.as_bytes()).unwrap();
        socket
    };
    let of_headers: Vec<_> =
        (0..100).map(|_| open("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ")).collect();
    let of_bodies: Vec<_> =
        (0..100).map(|_| open(&format!("{POST}content-length: 100000\r\n\r\n"))).collect();
    let of_frames: Vec<_> = (0..100)
        .map(|number| {
            let mut client = Client::greet(&daemon, &format!("slow-{number}"), 7).0;
            // A binary message of 64 KiB, masked with zeros.
            client.send_raw(&[0x82, 0xfe, 0xff, 0xff, 0, 0, 0, 0]);
            client
        })
        .collect();
    let mut device = Client::greet(&daemon, "good", 1).0;
    let frames_closed =
        || daemon.get("/metrics").1.contains("tidegate_device_closes_total{code=\"4004\"} 100\n");
    let deadline = clock::monotonic() + PATIENCE;
    for seq in 1.. {
        for mut socket in of_headers
            .iter()
            .chain(&of_bodies)
            .chain(of_frames.iter().map(|client| client.socket.get_ref()))
        {
            // Those that are closed already refuse it.
            socket.write_all(b"a").unwrap_or_default();
        }
        device.batch(seq, &reading("good", "t", 1.0));
        device.acked(seq);
        if of_headers.iter().chain(&of_bodies).all(has_ended) && frames_closed() {
            break;
        }
        assert!(clock::monotonic() < deadline, "some may go on for ever");
        // The pace of the attack.
        std::thread::sleep(Duration::from_millis(100));
    }
    let statuses = |sockets: Vec<TcpStream>| {
        let statuses = sockets.into_iter().map(|socket| parsed(&until_closed(socket)).0);
        let mut statuses: Vec<_> = statuses.collect();
        statuses.dedup();
        statuses
    };
    // A late answer may be lost, because they go on sending.
    assert!(statuses(of_headers).iter().all(|status| [0, 408].contains(status)));
    assert!(statuses(of_bodies).iter().all(|status| [0, 408].contains(status)));
    for client in of_frames {
        let answer = until_closed(client.socket.get_ref());
        let close = [0x88_u8, 4004_u16.to_be_bytes()[0], 4004_u16.to_be_bytes()[1]];
        let said = answer.windows(4).any(|bytes| bytes[0] == close[0] && bytes[2..] == close[1..]);
        // The same: what was said may be lost.
        assert!(said || answer.len() < 1000, "{answer:?}");
    }
    neighbour.leave("300 clients send byte by byte");
}

#[test]
fn thousands_of_half_open_connections_cost_little_and_end() {
    allow_sockets();
    let plant = Plant::new();
    let daemon = plant.daemon(&["limits.hello_timeout=15 s"]);
    let before = daemon.memory_mib("VmRSS");
    let (address, neighbours) = (daemon.address, Arc::new(plant));
    let asking = neighbours.clone();
    let neighbour = Neighbour::of(move || asking.get_at(address, "/readyz"));
    let half_open: Vec<_> = (0..3000)
        .map(|number| {
            let mut socket = connect(address);
            // Half of them have begun a handshake.
            if number % 2 == 0 {
                socket.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
            }
            socket
        })
        .collect();
    let during = daemon.memory_mib("VmRSS");
    let count = half_open.len();
    for socket in half_open {
        until_closed(socket);
    }
    println!("{count} half-open connections: {before} MiB before, {during} MiB with them");
    neighbour.leave("3,000 half-open connections");
    assert!(during < before + 200, "{before} MiB before, {during} MiB with them");
    eventually("all are closed", || {
        neighbours.json(&daemon, "/api/v1/status")["intake"]["connections"].as_u64() < Some(10)
    });
    // And what connections that are through cost.
    let before = daemon.memory_mib("VmRSS");
    let mut open: Vec<_> = (0..500)
        .map(|_| {
            let mut connection = neighbours.connect(address).unwrap();
            connection.ask("GET /api/v1/live HTTP/1.1\r\nhost: localhost\r\n\r\n");
            connection
        })
        .collect();
    for connection in &mut open {
        connection.until("snapshot");
    }
    let after = daemon.memory_mib("VmRSS");
    println!("{} viewers over TLS: {before} MiB before, {after} MiB with them", open.len());
}

#[test]
fn thousands_of_handshakes_from_one_address_leave_room_for_others() {
    allow_sockets();
    let plant = Arc::new(Plant::new());
    let daemon = plant.daemon(&[
        "proxy.trusted=127.0.0.1",
        "proxy.protocol=v2",
        "auth.anonymous=anywhere",
        "limits.handshakes_per_second=10",
    ]);
    let address = daemon.address;
    let asking = plant.clone();
    let by = move |client: [u8; 4], path: &str| {
        let mut socket = connect(address);
        socket.write_all(&proxy_header(client)).unwrap();
        let mut connection = asking.secure(socket, None, &[]).unwrap();
        connection
            .ask(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
        let (status, _, body) = parsed(&until_closed(&mut connection.0));
        (status, body)
    };
    let ask = by.clone();
    // Of many addresses, in turns: as fast as it asks, each keeps to what it may.
    let turn = AtomicU8::new(0);
    let neighbour = Neighbour::of(move || {
        let last = turn.fetch_add(1, Ordering::Relaxed);
        ask([203, 0, 113, last], "/readyz")
    });
    let hello = plant.hello();
    let since = clock::monotonic();
    let (mut sent, mut turned_away) = (0_u64, 0);
    // At some pace, and until it is more than what it may on the slowest machine, too.
    while since.elapsed() < Duration::from_secs(5) || turned_away < 100 {
        assert!(since.elapsed() < 2 * PATIENCE, "{turned_away} of {sent} were turned away");
        let mut socket = connect(address);
        socket.write_all(&proxy_header([198, 51, 100, 7])).unwrap();
        socket.write_all(&hello).unwrap_or_default();
        // Waits for the answer: certificate, signature and all; or is reset.
        turned_away += u64::from(socket.read(&mut [0; 4096]).unwrap_or_default() == 0);
        sent += 1;
    }
    let seconds = since.elapsed().as_secs_f64();
    neighbour.leave("handshakes from one address");
    let (_, metrics) = by([198, 51, 100, 9], "/metrics");
    let name = "tidegate_connections_refused_total{reason=\"handshakes_per_second\"} ";
    let refused = metrics.lines().find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok());
    let refused = refused.unwrap_or(0);
    println!("{sent} handshakes in {seconds:.1} s, {refused} refused");
    let most = 100 + (10.0 * (seconds + 1.0)) as u64;
    assert!(sent - refused <= most, "{sent} came, {refused} were refused, {most} may be taken");
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;
/// `:method GET`, `:scheme https`, `:path /`, `:authority localhost`, compressed.
const ROOT: &[u8] = b"\x82\x87\x84\x41\x09localhost";

/// The errors of the GOAWAY frames in what a server sent.
fn goaways(mut sent: &[u8]) -> Vec<u32> {
    let mut errors = Vec::new();
    while sent.len() >= 9 {
        let length = u32::from_be_bytes([0, sent[0], sent[1], sent[2]]) as usize;
        let Some(payload) = sent.get(9..9 + length) else { break };
        if sent[3] == GOAWAY {
            errors.push(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        sent = &sent[9 + length..];
    }
    errors
}

#[test]
fn floods_of_http2_end_their_connection_only() {
    let plant = Arc::new(Plant::new());
    let daemon = plant.daemon(&[]);
    let (address, asking) = (daemon.address, plant.clone());
    let neighbour = Neighbour::of(move || asking.get_at(address, "/readyz"));
    let resets = (0..20_000_u32).flat_map(|number| {
        let stream = 2 * number + 1;
        [frame(HEADERS, 5, stream, ROOT), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())]
            .concat()
    });
    let mut continued = frame(HEADERS, 1, 1, ROOT);
    continued.extend((0..20_000).flat_map(|_| frame(CONTINUATION, 0, 1, b"\0\x01x\x01y")));
    for (what, flood) in [("rapid reset", resets.collect()), ("headers without end", continued)] {
        let mut all = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        all.extend(frame(SETTINGS, 0, 0, &[]));
        all.extend::<Vec<u8>>(flood);
        // For a second each, so that the neighbour feels it if there is anything to feel.
        let until = clock::monotonic() + Duration::from_secs(1);
        loop {
            let mut connection = plant.secure(connect(address), None, &[b"h2"]).unwrap();
            // It ends while we write.
            connection.0.write_all(&all).unwrap_or_default();
            let errors = goaways(&until_closed(&mut connection.0));
            // What was said may be lost, because we went on sending.
            assert!(errors.is_empty() || errors.contains(&ENHANCE_YOUR_CALM), "{what}: {errors:?}");
            if clock::monotonic() > until {
                break;
            }
        }
    }
    let (_, metrics) = plant.get(&daemon, "/metrics");
    let requests =
        metrics.lines().find_map(|line| line.strip_prefix("tidegate_http_requests_total "));
    println!(
        "requests that were looked at: {requests:?}; {} MiB at most",
        daemon.memory_mib("VmHWM")
    );
    neighbour.leave("floods of HTTP/2");
    let told: Vec<_> = daemon.log().into_iter().filter(|line| line.contains("module=h2")).collect();
    assert!(told.is_empty(), "who floods fills the log, too: {told:#?}");
}
