//! An authority, and what it signs, made by the commands of docs/tls.md; and clients that speak TLS.

use crate::client::reading;
use crate::daemon::{Daemon, PATIENCE, parsed};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tidegate::clock;
use tidegate::decode;
use tidegate::model::SessionId;
use tidegate::wire::{Downstream, Hello, encode_hello};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

/// A directory with an authority and a certificate for the daemon.
pub struct Plant {
    directory: tempfile::TempDir,
}

/// The blocks of docs/tls.md that are in this language.
pub fn blocks(language: &str) -> Vec<String> {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tls.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let opening = format!("```{language}\n");
    let blocks = manual.split(&opening).skip(1);
    let blocks: Vec<_> = blocks.map(|rest| rest.split("```").next().unwrap().to_owned()).collect();
    assert!(!blocks.is_empty(), "docs/tls.md has no {opening}");
    blocks
}

impl Plant {
    pub fn new() -> Plant {
        let plant = Plant { directory: tempfile::tempdir().unwrap() };
        plant.run("authority");
        plant.run("server");
        plant
    }

    /// Runs commands of the manual.
    pub fn run(&self, block: &str) {
        self.run_for("gateway-7", block);
    }

    /// The same for another client.
    pub fn run_for(&self, client: &str, block: &str) {
        let commands = blocks(&format!("sh {block}")).concat().replace("gateway-7", client);
        self.shell(&commands);
    }

    pub fn shell(&self, commands: &str) {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", commands])
            .current_dir(self.directory.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{commands}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.directory.path().join(name)).unwrap()
    }

    pub fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.directory.path().join(name), content).unwrap();
    }

    /// A daemon with TLS, and these settings.
    pub fn daemon(&self, settings: &[&str]) -> Daemon {
        let settings = self.settings(settings);
        Daemon::start(&settings.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// `@` in a setting stands for our directory.
    pub fn settings(&self, settings: &[&str]) -> Vec<String> {
        let tls = ["tls.certificate_file=@server.pem", "tls.key_file=@server.key"];
        let all = tls.iter().chain(settings);
        let directory = format!("{}/", self.directory.path().display());
        all.map(|setting| setting.replace('@', &directory)).collect()
    }

    fn config(&self, client: Option<&str>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let Some(client) = client else { return builder.with_no_client_auth() };
        let chain = CertificateDer::from_pem_file(self.path(&format!("{client}.pem"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{client}.key"))).unwrap();
        builder.with_client_auth_cert(vec![chain], key).unwrap()
    }

    /// A connection after its handshake.
    pub fn connect(&self, address: SocketAddr) -> std::io::Result<Secure> {
        self.secure(TcpStream::connect(address)?, None, &[])
    }

    /// Shakes hands on a socket, as a client that has a certificate, perhaps.
    pub fn secure(
        &self,
        mut socket: TcpStream,
        client: Option<&str>,
        protocols: &[&[u8]],
    ) -> std::io::Result<Secure> {
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut config = self.config(client);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
        session.complete_io(&mut socket)?;
        Ok(Secure(StreamOwned::new(session, socket)))
    }

    /// A WebSocket, of a client that has a certificate, perhaps, and shows a token if it is not empty.
    pub fn websocket(
        &self,
        daemon: &Daemon,
        client: Option<&str>,
        (path, subprotocol): (&str, &'static str),
        token: &str,
    ) -> Result<SecureSocket, String> {
        let stream = self.secure(TcpStream::connect(daemon.address).unwrap(), client, &[]);
        let stream = stream.map_err(|error| error.to_string())?.0;
        let mut request = format!("wss://localhost{path}").into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", subprotocol.parse().unwrap());
        if !token.is_empty() {
            headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let connected = tokio_tungstenite::tungstenite::client(request, stream);
        connected.map(|(socket, _)| socket).map_err(|error| error.to_string())
    }

    /// How a handshake begins.
    pub fn hello(&self) -> Vec<u8> {
        let name = ServerName::try_from("localhost").unwrap();
        let mut session = ClientConnection::new(Arc::new(self.config(None)), name).unwrap();
        let mut hello = Vec::new();
        session.write_tls(&mut hello).unwrap();
        hello
    }

    /// GET over a connection of its own.
    pub fn get(&self, daemon: &Daemon, path: &str) -> (u16, String) {
        self.get_at(daemon.address, path)
    }

    pub fn get_at(&self, address: SocketAddr, path: &str) -> (u16, String) {
        let mut connection = self.connect(address).unwrap();
        connection
            .ask(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
        let mut answer = Vec::new();
        // Some servers leave without a word of TLS; what came is judged.
        connection.0.read_to_end(&mut answer).unwrap_or_default();
        let (status, _, body) = parsed(&answer);
        (status, body)
    }

    pub fn json(&self, daemon: &Daemon, path: &str) -> serde_json::Value {
        let (status, body) = self.get(daemon, path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// `openssl s_client` asks for `/healthz`: everything that it printed.
    pub fn s_client(&self, daemon: &Daemon, arguments: &[&str]) -> String {
        let mut child = Command::new("openssl")
            .args(["s_client", "-ign_eof", "-connect", &daemon.address.to_string()])
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        // It may be gone already.
        child.stdin.take().unwrap().write_all(request).unwrap_or_default();
        let output = child.wait_with_output().unwrap();
        let (said, complained) = (output.stdout, output.stderr);
        String::from_utf8_lossy(&[said, complained].concat()).into_owned()
    }

    /// `curl`: what it printed.
    pub fn curl(&self, arguments: &[&str]) -> String {
        let patience = PATIENCE.as_secs().to_string();
        let output = Command::new("curl")
            .args(["-sS", "--cacert", &self.path("ca.pem"), "--max-time", &patience])
            .args(arguments)
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        format!("{}{complaint}", String::from_utf8_lossy(&output.stdout))
    }
}

/// A WebSocket over TLS.
pub type SecureSocket = WebSocket<StreamOwned<ClientConnection, TcpStream>>;

/// The code and the words that a WebSocket is closed with, whatever is said before.
pub fn closed(mut socket: SecureSocket) -> (u16, String) {
    let deadline = clock::monotonic() + PATIENCE;
    loop {
        assert!(clock::monotonic() < deadline, "it stays open");
        if let Message::Close(frame) = socket.read().unwrap() {
            let frame = frame.unwrap();
            return (frame.code.into(), frame.reason.to_string());
        }
    }
}

/// Says hello on a device's WebSocket.
pub fn greet(socket: &mut SecureSocket, client: &str) {
    let hello = Hello { client: client.to_owned(), session: SessionId(1), ..Hello::default() };
    socket.send(Message::Binary(encode_hello(&hello).into())).unwrap();
    assert!(matches!(said(socket), Downstream::Welcome(_)));
}

/// Sends a batch of a reading, and waits for its receipt.
pub fn sent(socket: &mut SecureSocket, device: &str, seq: u64) {
    let batch = decode::encode(&reading(device, "heat", 1.0), seq);
    socket.send(Message::Binary(batch.into())).unwrap();
    loop {
        match said(socket) {
            Downstream::Ack { seq: acked, .. } if acked >= seq => return,
            Downstream::Ack { .. } | Downstream::Throttle { .. } => {}
            other => panic!("{other:?} instead of Ack {seq}"),
        }
    }
}

fn said(socket: &mut SecureSocket) -> Downstream {
    let deadline = clock::monotonic() + PATIENCE;
    loop {
        assert!(clock::monotonic() < deadline, "nothing is said");
        if let Message::Binary(bytes) = socket.read().unwrap() {
            return Downstream::decode(&bytes).unwrap();
        }
    }
}

/// A connection with TLS.
pub struct Secure(pub StreamOwned<ClientConnection, TcpStream>);

impl Secure {
    pub fn ask(&mut self, request: &str) {
        self.0.write_all(request.as_bytes()).unwrap();
    }

    /// An answer with a length, on a connection that stays.
    pub fn answer(&mut self) -> std::io::Result<(u16, String)> {
        let mut answer = Vec::new();
        loop {
            let mut piece = [0; 4096];
            let read = self.0.read(&mut piece)?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            answer.extend_from_slice(&piece[..read]);
            let (status, head, body) = parsed(&answer);
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok());
            if length.is_some_and(|length| body.len() >= length) {
                return Ok((status, body));
            }
        }
    }

    /// Reads until a text comes.
    pub fn until(&mut self, text: &str) -> String {
        let mut all = Vec::new();
        while !String::from_utf8_lossy(&all).contains(text) {
            let mut piece = [0; 4096];
            let read = self.0.read(&mut piece).unwrap();
            assert!(read > 0, "it ended before {text:?}: {}", String::from_utf8_lossy(&all));
            all.extend_from_slice(&piece[..read]);
        }
        String::from_utf8_lossy(&all).into_owned()
    }

    /// The server's certificate.
    pub fn certificate(&self) -> Vec<u8> {
        self.0.conn.peer_certificates().unwrap()[0].to_vec()
    }
}

/// Asks again until it is so. Other people's programs need their time to start.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = clock::monotonic() + PATIENCE * 2;
    while !is_so() {
        assert!(clock::monotonic() < deadline, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
