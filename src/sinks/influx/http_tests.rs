//! Every way of not being answered, against real sockets; and what a request looks like there.

use super::super::answers::{TokenFault, Unreached};
use super::super::target::{Target, write_url};
use super::super::transport::{Reply, Transport};
use super::{Http, REPLY_BYTES_MAX};
use bytes::Bytes;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// For tests in which it passes; half of it is time enough to connect.
const IMPATIENCE: Duration = Duration::from_secs(2);

fn target(url: &str, timeout: Duration) -> Target {
    let url = write_url(url, "plant", "north").unwrap();
    Target { url, token_file: None, timeout, connections_max: 4 }
}

/// Calls `answer` with each connection, in a thread for each, as long as the test lives.
fn listen<F: Fn(TcpStream) + Send + Sync + 'static>(answer: F) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || answer(stream));
        }
    });
    address
}

/// The head and the body of the next request on a connection; `None` at its end.
fn request(stream: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
        if head[before..].trim().is_empty() {
            break;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// A server that answers every request with `answer`, and gives what it was asked.
fn answering(answer: &str) -> (SocketAddr, Receiver<(SocketAddr, String, Vec<u8>)>) {
    let (asked, questions) = channel();
    let answer = answer.to_owned();
    let address = listen(move |stream| {
        let peer = stream.peer_addr().unwrap();
        let mut reader = BufReader::new(stream);
        while let Some((head, body)) = request(&mut reader) {
            asked.send((peer, head, body)).ok();
            if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    (address, questions)
}

async fn write(target: &Target) -> Result<Reply, Unreached> {
    Http::trusting(target, authorities()).unwrap().write(Bytes::from_static(b"gzipped")).await
}

async fn check(url: &str, timeout: Duration, expected: Unreached) {
    assert_eq!(write(&target(url, timeout)).await, Err(expected), "{url}");
}

#[tokio::test]
async fn a_request_is_as_the_write_api_wants_it() {
    let (address, questions) = answering(
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy",
    );
    let reply = write(&target(&format!("http://{address}/tsdb"), PATIENCE)).await.unwrap();
    let expected = Reply { status: 429, retry_after: Some("7".to_owned()), body: b"busy".to_vec() };
    assert_eq!(reply, expected);
    let (_, head, body) = questions.recv().unwrap();
    assert_eq!(body, b"gzipped");
    let mut lines = head.lines();
    let first = "post /tsdb/api/v2/write?org=plant&bucket=north&precision=ns http/1.1";
    assert_eq!(lines.next(), Some(first));
    let lines: Vec<_> = lines.collect();
    for line in [
        "content-encoding: gzip",
        "content-type: text/plain; charset=utf-8",
        concat!("user-agent: tidegate/", env!("CARGO_PKG_VERSION")),
        "content-length: 7",
    ] {
        assert!(lines.contains(&line), "{line} is not in {head}");
    }
    assert!(!head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn connections_are_kept() {
    let (address, questions) = answering("HTTP/1.1 204 No Content\r\n\r\n");
    let http = Http::new(&target(&format!("http://{address}"), PATIENCE)).unwrap();
    let mut peers = Vec::new();
    for _ in 0..3 {
        assert_eq!(http.write(Bytes::new()).await.unwrap().status, 204);
        peers.push(questions.recv().unwrap().0);
    }
    assert!(peers.iter().all(|peer| *peer == peers[0]), "{peers:?}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (address, questions) =
        answering("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n");
    let reply = write(&target(&format!("http://{address}"), PATIENCE)).await.unwrap();
    assert_eq!((reply.status, questions.try_iter().count()), (302, 1));
}

#[tokio::test]
async fn a_token_is_read_for_each_request() {
    let (address, questions) = answering("HTTP/1.1 204 No Content\r\n\r\n");
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut target = target(&format!("http://{address}"), PATIENCE);
    target.token_file = Some(file.path().to_owned());
    let http = Http::new(&target).unwrap();
    for token in ["first==", "second"] {
        std::fs::write(file.path(), format!(" {token}\n\n")).unwrap();
        http.write(Bytes::new()).await.unwrap();
        let (_, head, _) = questions.recv().unwrap();
        let line = format!("authorization: token {token}");
        assert!(head.lines().any(|found| found == line), "{head}");
    }
    assert!(!format!("{http:?}").contains("second"));
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_file_is_named() {
    let (address, questions) = answering("HTTP/1.1 204 No Content\r\n\r\n");
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    std::fs::write(file("empty"), " \n").unwrap();
    std::fs::write(file("two lines"), "a\nb\n").unwrap();
    std::fs::write(file("long"), "a".repeat(9000)).unwrap();
    std::fs::write(file("blanks"), format!("a{}", " ".repeat(9000))).unwrap();
    let check = async |path: PathBuf, fault: TokenFault| {
        let mut target = target(&format!("http://{address}"), PATIENCE);
        target.token_file = Some(path.clone());
        let expected = Unreached::TokenFile { path: path.into(), fault };
        assert_eq!(write(&target).await, Err(expected));
    };
    check(file("none"), TokenFault::Unreadable(io::ErrorKind::NotFound)).await;
    check(file(""), TokenFault::Unreadable(io::ErrorKind::IsADirectory)).await;
    check(file("empty"), TokenFault::Empty).await;
    check(file("two lines"), TokenFault::NoToken).await;
    check(file("long"), TokenFault::NoToken).await;
    check(file("blanks"), TokenFault::NoToken).await;
    assert_eq!(questions.try_iter().count(), 0);
}

#[tokio::test]
async fn nobody_listens() {
    // It has a port, which nobody else can get, and never listens.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    check(&format!("http://{address}"), PATIENCE, Unreached::Refused).await;
    check(&format!("https://{address}"), PATIENCE, Unreached::Refused).await;
}

#[tokio::test]
async fn nobody_takes_the_connection() {
    // The kernel takes a few connections for a listener that accepts none, and lets others knock.
    let full = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    rustix::net::listen(&full, 0).unwrap();
    let address = full.local_addr().unwrap();
    let first = TcpStream::connect(address).unwrap();
    let taken = || TcpStream::connect_timeout(&address, IMPATIENCE).ok();
    let taken: Vec<_> = std::iter::once(first).chain(std::iter::from_fn(taken)).collect();
    // What a connection may take (CONNECT_MAX) and another (SECOND_CONNECT_MAX) is far from all the time
    // that a request has: which of them is over first does not depend on who is held up.
    let [plain, tls] = ["http", "https"].map(|scheme| format!("{scheme}://{address}"));
    tokio::join!(
        check(&plain, PATIENCE, Unreached::NoConnection),
        check(&tls, PATIENCE, Unreached::NoConnection),
    );
    drop(taken);
}

#[tokio::test]
async fn the_connection_breaks() {
    let reset = listen(|mut stream| {
        stream.read_exact(&mut [0; 16]).unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    check(&format!("http://{reset}"), PATIENCE, Unreached::Reset).await;
    let closed = listen(|stream| {
        request(&mut BufReader::new(stream));
    });
    check(&format!("http://{closed}"), PATIENCE, Unreached::Reset).await;
    let half = listen(|mut stream| {
        request(&mut BufReader::new(&stream));
        stream.write_all(b"HTTP/1.1 500 Internal Server Error\r\nConte").unwrap();
    });
    check(&format!("http://{half}"), PATIENCE, Unreached::Reset).await;
    let body = listen(|mut stream| {
        request(&mut BufReader::new(&stream));
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\nhalf").unwrap();
    });
    check(&format!("http://{body}"), PATIENCE, Unreached::Reset).await;
}

#[tokio::test]
async fn no_answer_in_time() {
    let (ends, end) = channel::<()>();
    // Listens, and never accepts: the kernel does.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = silent.local_addr().unwrap();
    let [plain, tls] = ["http", "https"].map(|scheme| format!("{scheme}://{address}"));
    tokio::join!(
        check(&plain, IMPATIENCE, Unreached::Timeout),
        check(&tls, IMPATIENCE, Unreached::Timeout),
    );
    // The head comes, the body does not.
    let end = std::sync::Mutex::new(end);
    let slow = listen(move |mut stream| {
        request(&mut BufReader::new(&stream));
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\nhalf").unwrap();
        end.lock().unwrap().recv().ok();
    });
    check(&format!("http://{slow}"), IMPATIENCE, Unreached::Timeout).await;
    drop(ends);
}

#[tokio::test]
async fn what_is_stored_is_stored_however_the_answer_ends() {
    let broken = listen(|mut stream| {
        request(&mut BufReader::new(&stream));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").unwrap();
    });
    let reply = write(&target(&format!("http://{broken}"), PATIENCE)).await.unwrap();
    assert_eq!(reply, Reply { status: 200, retry_after: None, body: Vec::new() });
}

#[tokio::test]
async fn a_name_that_does_not_resolve() {
    // A label that is longer than any may be: no name server is asked, who may be far away or silent.
    let url = format!("http://{}.invalid:8086", "a".repeat(64));
    check(&url, PATIENCE, Unreached::NoSuchName).await;
    // With TLS a name must look like one; who is asked knows none.
    struct Nobody;
    impl reqwest::dns::Resolve for Nobody {
        fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
            Box::pin(async { Err(super::Unresolved(io::ErrorKind::NotFound.into()).into()) })
        }
    }
    let target = target("https://name.invalid", PATIENCE);
    let http = Http::asking(&target, authorities(), Nobody).unwrap();
    assert_eq!(http.write(Bytes::new()).await, Err(Unreached::NoSuchName));
}

#[tokio::test]
async fn something_else_than_http_answers() {
    let ssh = listen(|mut stream| {
        stream.read_exact(&mut [0; 16]).unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n").unwrap();
        request(&mut BufReader::new(stream));
    });
    check(&format!("http://{ssh}"), PATIENCE, Unreached::Other).await;
}

#[tokio::test]
async fn only_the_beginning_of_a_long_answer_is_read() {
    let endless = listen(|mut stream| {
        request(&mut BufReader::new(&stream));
        let head = b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\n";
        let mut sent = stream.write_all(head);
        while sent.is_ok() {
            sent = stream.write_all(&[b'x'; 5000]);
        }
    });
    let reply = write(&target(&format!("http://{endless}"), PATIENCE)).await.unwrap();
    assert_eq!((reply.status, reply.body.len()), (500, REPLY_BYTES_MAX));
}

#[tokio::test]
async fn a_server_without_tls_is_asked_with_it() {
    let plain = listen(|mut stream| {
        stream.read_exact(&mut [0; 16]).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").unwrap();
        // Until the client has had enough.
        io::copy(&mut stream, &mut io::sink()).ok();
    });
    let target = target(&format!("https://{plain}"), PATIENCE);
    let http = Http::trusting(&target, authorities()).unwrap();
    assert_eq!(http.write(Bytes::new()).await, Err(Unreached::Tls));
}

/// An authority of the tests' own.
fn authorities() -> RootCertStore {
    let pem = include_bytes!("../../../tests/fixtures/tls/authority.pem");
    let mut authorities = RootCertStore::empty();
    authorities.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
    authorities
}

/// A server called localhost, with a certificate by that authority.
fn with_tls() -> SocketAddr {
    let certificate = include_bytes!("../../../tests/fixtures/tls/server.pem");
    let key = include_bytes!("../../../tests/fixtures/tls/server.key");
    let config = ServerConfig::builder_with_provider(Arc::new(super::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate).unwrap()],
            PrivateKeyDer::from_pem_slice(key).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    listen(move |stream| {
        let connection = ServerConnection::new(config.clone()).unwrap();
        let mut stream = BufReader::new(StreamOwned::new(connection, stream));
        while request(&mut stream).is_some() {
            stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        }
    })
}

#[tokio::test]
async fn tls_with_a_certificate_that_is_trusted() {
    let port = with_tls().port();
    let target = target(&format!("https://localhost:{port}"), PATIENCE);
    let http = Http::trusting(&target, authorities()).unwrap();
    assert_eq!(http.write(Bytes::from_static(b"gzipped")).await.unwrap().status, 204);
}

#[tokio::test]
async fn tls_with_a_certificate_that_is_not() {
    let port = with_tls().port();
    // Right name, but nobody whom this machine trusts has signed it; or right authority, wrong name.
    let named = target(&format!("https://localhost:{port}"), PATIENCE);
    let pem = include_bytes!("../../../tests/fixtures/tls/server.pem");
    let mut others = RootCertStore::empty();
    others.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
    let numbered = target(&format!("https://127.0.0.1:{port}"), PATIENCE);
    for (target, authorities) in [(named, others), (numbered, authorities())] {
        let http = Http::trusting(&target, authorities).unwrap();
        assert_eq!(http.write(Bytes::new()).await, Err(Unreached::Tls), "{}", target.url);
    }
}

#[tokio::test]
async fn a_machine_without_authorities_can_write_without_tls() {
    let (address, _questions) = answering("HTTP/1.1 204 No Content\r\n\r\n");
    let plain = target(&format!("http://{address}"), PATIENCE);
    let http = Http::trusting(&plain, RootCertStore::empty()).unwrap();
    assert_eq!(http.write(Bytes::new()).await.unwrap().status, 204);
    let tls = target(&format!("https://{address}"), PATIENCE);
    let http = Http::trusting(&tls, RootCertStore::empty()).unwrap();
    assert_eq!(http.write(Bytes::new()).await, Err(Unreached::NoAuthorities));
}
