//! A WebSocket client that can misbehave: every byte is the test's own.

use crate::daemon::{Daemon, PATIENCE};
use std::io::Write;
use std::net::TcpStream;
use tidegate::clock;
use tidegate::decode;
use tidegate::model::{Batch, BatchBuilder, SessionId};
use tidegate::wire::{Downstream, Hello, RefusalCode, Retry, Welcome, encode_hello};
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client::IntoClientRequest};

pub struct Client {
    pub socket: WebSocket<TcpStream>,
    acked: u64,
}

/// What the daemon said next.
#[derive(Debug, PartialEq)]
pub enum Said {
    Message(Downstream),
    Closed(u16),
    /// The connection broke off without a closing handshake.
    Gone,
}

impl Client {
    /// Connects; nothing is sent yet.
    pub fn connect(daemon: &Daemon) -> Client {
        Client::connect_with(daemon, "/api/v1/ingest/ws", Some("tidegate.v1")).unwrap().0
    }

    pub fn connect_with(
        daemon: &Daemon,
        path: &str,
        subprotocol: Option<&str>,
    ) -> Result<(Client, Response), String> {
        let stream = TcpStream::connect(daemon.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = format!("ws://{}{path}", daemon.address).into_client_request().unwrap();
        if let Some(subprotocol) = subprotocol {
            request.headers_mut().insert("sec-websocket-protocol", subprotocol.parse().unwrap());
        }
        match tokio_tungstenite::tungstenite::client(request, stream) {
            Ok((socket, response)) => Ok((Client { socket, acked: 0 }, response)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Connects and says hello.
    pub fn greet(daemon: &Daemon, client: &str, session: u64) -> (Client, Welcome) {
        let mut connected = Client::connect(daemon);
        let welcome = connected.hello(&Hello {
            client: client.to_owned(),
            session: SessionId(session),
            ..Hello::default()
        });
        (connected, welcome)
    }

    pub fn hello(&mut self, hello: &Hello) -> Welcome {
        self.send(&encode_hello(hello));
        match self.next() {
            Said::Message(Downstream::Welcome(welcome)) => welcome,
            other => panic!("{other:?} instead of Welcome"),
        }
    }

    /// Sends a binary message; if the daemon closed meanwhile the next read tells.
    pub fn send(&mut self, message: &[u8]) {
        self.send_message(Message::Binary(message.to_vec().into()));
    }

    pub fn send_message(&mut self, message: Message) {
        if let Err(error) = self.socket.send(message) {
            assert!(
                matches!(
                    error,
                    Error::Io(_)
                        | Error::ConnectionClosed
                        | Error::AlreadyClosed
                        | Error::Protocol(_)
                ),
                "{error}"
            );
        }
    }

    /// Writes bytes past all framing.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).unwrap();
    }

    pub fn batch(&mut self, seq: u64, batch: &Batch) {
        self.send(&decode::encode(batch, seq));
    }

    /// The next thing that is said, credits aside.
    pub fn next(&mut self) -> Said {
        let deadline = clock::monotonic() + PATIENCE;
        loop {
            assert!(clock::monotonic() < deadline, "nothing was said for {PATIENCE:?}");
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => match Downstream::decode(&bytes).unwrap() {
                    Downstream::Throttle { .. } | Downstream::Goodbye { .. } => {}
                    message => return Said::Message(message),
                },
                Ok(Message::Close(frame)) => {
                    return frame.map_or(Said::Gone, |frame| Said::Closed(frame.code.into()));
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("nothing was said for {PATIENCE:?}")
                }
                Err(_) => return Said::Gone,
            }
        }
    }

    /// Waits until everything up to `seq` is acknowledged.
    pub fn acked(&mut self, seq: u64) {
        while self.acked < seq {
            match self.next() {
                Said::Message(Downstream::Ack { seq, .. }) => self.acked = seq,
                other => panic!("{other:?} instead of Ack {seq}"),
            }
        }
    }

    /// The next refusal; acknowledgements before it pass by.
    pub fn refused(&mut self) -> (u64, RefusalCode, String) {
        loop {
            match self.next() {
                Said::Message(Downstream::Refusal { seq, code, message, .. }) => {
                    return (seq, code, message);
                }
                Said::Message(Downstream::Ack { .. }) => {}
                other => panic!("{other:?} instead of a refusal"),
            }
        }
    }

    /// The next refusal, which must be one for later: its seq, code and sentence.
    pub fn refused_for_later(&mut self) -> (u64, RefusalCode, String) {
        self.acked_or_refused(u64::MAX).unwrap_err()
    }

    /// As [`Client::acked`], unless a batch is refused for later before.
    pub fn acked_or_refused(&mut self, seq: u64) -> Result<(), (u64, RefusalCode, String)> {
        while self.acked < seq {
            match self.next() {
                Said::Message(Downstream::Ack { seq, .. }) => self.acked = seq,
                Said::Message(Downstream::Refusal { seq, code, retry, message, .. }) => {
                    assert!(matches!(retry, Retry::LaterAfterMs(1..)), "{code}: {retry:?}");
                    return Err((seq, code, message));
                }
                other => panic!("{other:?} instead of Ack {seq}"),
            }
        }
        Ok(())
    }

    /// Up to which seq the daemon has acknowledged.
    pub fn settled(&self) -> u64 {
        self.acked
    }

    /// The code that the daemon closes with; answers before it pass by.
    pub fn closed(&mut self) -> u16 {
        loop {
            match self.next() {
                Said::Closed(code) => return code,
                Said::Message(_) => {}
                Said::Gone => panic!("the connection broke off"),
            }
        }
    }
}

/// One reading, now.
pub fn reading(device: &str, metric: &str, value: f64) -> Batch {
    reading_at(device, metric, value, clock::now().0)
}

pub fn reading_at(device: &str, metric: &str, value: f64, time: i64) -> Batch {
    let mut builder = BatchBuilder::new();
    builder.table(device, &mut [], [time]).unwrap();
    builder.floats(metric, "", [value], &[]).unwrap();
    builder.finish()
}
