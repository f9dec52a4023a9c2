//! Asks a running daemon over HTTP/1.1, for the commands that need one.

use super::way::{self, Way};
use super::{EXIT_DENIED, EXIT_UNAVAILABLE, EXIT_USAGE, Settings, fail, printable};
use crate::auth::local_key;
use crate::config::Config;
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::Url;

/// A daemon that is well answers in milliseconds; one that has not by now hangs.
const CONNECT_MAX: Duration = Duration::from_secs(3);
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The ledger of a hundred thousand clients has room.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Which daemon is meant.
#[derive(Debug, Args)]
pub(super) struct Whom {
    #[command(flatten)]
    pub settings: Settings,
    /// The daemon, as http://host:port, or https [default: where `listen` of the configuration says].
    #[arg(long, global = true)]
    pub url: Option<String>,
    /// A file with the token to show it [default: without --url that of this machine, for who may read it].
    #[arg(long, value_name = "FILE", env = "TIDEGATE_TOKEN_FILE", global = true)]
    pub token_file: Option<PathBuf>,
}

impl Whom {
    /// Where the daemon is; the configuration is read only if nobody says.
    pub fn daemon(&self) -> Result<Daemon, ExitCode> {
        let token = self.token_file.as_deref().map(Token::read).transpose()?;
        let usage = |mistake| fail(EXIT_USAGE, mistake);
        match &self.url {
            Some(url) => Ok(Daemon { token, ..Daemon::at(url).map_err(usage)? }),
            None => {
                let (config, _) = self.settings.load()?;
                let token = token.or_else(|| local_key(&config.state_dir).map(Token));
                Ok(Daemon { token, ..Daemon::listening(&config).map_err(usage)? })
            }
        }
    }
}

/// What is shown to a daemon. It is printed nowhere.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token(String);

impl Token {
    /// The one in the file.
    pub fn read(path: &Path) -> Result<Token, ExitCode> {
        let text = std::fs::read_to_string(path);
        let text =
            text.map_err(|error| fail(EXIT_USAGE, format!("{}: {error}", path.display())))?;
        let token = text.trim();
        match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Token(token.to_owned())),
            false => Err(fail(EXIT_USAGE, format!("{} holds no token", path.display()))),
        }
    }

    pub fn text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// A daemon's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Daemon {
    /// `host:port`.
    authority: String,
    /// What a reverse proxy has before `/api`; without a slash at its end.
    base: String,
    /// What it is shown.
    token: Option<Token>,
    way: Way,
}

/// What a daemon said.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub body: Bytes,
}

/// Nobody said anything, or somebody else did.
#[derive(Debug, Error)]
pub(super) enum Unanswered {
    #[error("no daemon answers at {at} ({source}); does it run, and is this its address (--url)?")]
    Connect { at: String, source: std::io::Error },
    #[error("{at} does not answer within {} s", .after.as_secs())]
    Late { at: String, after: Duration },
    #[error("the answer of {at} broke off: {source}")]
    Broken { at: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{at} answers, but not as a Tidegate daemon of this version does (status {status})")]
    Foreign { at: String, status: u16 },
    #[error(
        "{at} asks for a token, and {}: {why}\n`tidegate token issue` on its machine makes one, which is shown with \
         --token-file FILE or TIDEGATE_TOKEN_FILE; who may read its state directory needs none there",
        match .shown { true => "does not take this one", false => "none was shown" }
    )]
    Denied { at: String, shown: bool, why: String },
    #[error("{at} knows who asks, and refuses: {why}")]
    Forbidden { at: String, why: String },
}

impl Unanswered {
    /// Says it; nobody to ask is what 69 means, and 77 that he does not answer us.
    pub fn end(&self) -> ExitCode {
        match self {
            Unanswered::Denied { .. } | Unanswered::Forbidden { .. } => fail(EXIT_DENIED, self),
            _ => fail(EXIT_UNAVAILABLE, self),
        }
    }
}

impl Answer {
    /// The sentence of a problem document.
    pub fn detail(&self) -> Option<String> {
        let document: Json = serde_json::from_slice(&self.body).ok()?;
        Some(document.get("detail")?.as_str()?.to_owned())
    }
}

impl std::fmt::Display for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.way.scheme(), self.authority, self.base)
    }
}

/// Runs what asks; commands have nothing else to do meanwhile.
pub(super) fn wait<T>(asking: impl Future<Output = T>) -> Result<T, ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| fail(1, format!("the runtime could not be started: {error}")))?;
    Ok(runtime.block_on(asking))
}

impl Daemon {
    /// The one at this URL.
    pub fn at(url: &str) -> Result<Daemon, String> {
        let example = "--url is like http://127.0.0.1:8080";
        let url = Url::parse(url).map_err(|error| format!("{example}: {error}"))?;
        let way = match url.scheme() {
            "http" => Way::default(),
            "https" => Way::secured(),
            _ => return Err(example.to_owned()),
        };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(example.to_owned());
        };
        let base = url.path().trim_end_matches('/').to_owned();
        Ok(Daemon { authority: format!("{host}:{port}"), base, token: None, way })
    }

    /// The one of this machine that listens there.
    fn listening(config: &Config) -> Result<Daemon, String> {
        let listen = config.listen;
        if listen.port() == 0 {
            return Err("listen has port 0, which is any free one: say which with --url".to_owned());
        }
        let ip = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let authority = SocketAddr::new(ip, listen.port()).to_string();
        let way = Way::local(config, ip);
        Ok(Daemon { authority, base: String::new(), token: None, way })
    }

    /// The address of its WebSocket for devices.
    pub fn ingest(&self) -> String {
        let scheme = if self.way.scheme() == "https" { "wss" } else { "ws" };
        format!("{scheme}://{}{}/api/v1/ingest/ws", self.authority, self.base)
    }

    /// What it is shown.
    pub fn token(&self) -> Option<&str> {
        self.token.as_ref().map(Token::text)
    }

    pub async fn get(&self, path: &str) -> Result<Answer, Unanswered> {
        self.ask(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Json) -> Result<Answer, Unanswered> {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Result<Answer, Unanswered> {
        self.ask(Method::DELETE, path, None).await
    }

    pub async fn put(&self, path: &str, body: &Json) -> Result<Answer, Unanswered> {
        self.ask(Method::PUT, path, Some(body)).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
    ) -> Result<Answer, Unanswered> {
        let asking = async {
            let mut stream = self.open(method, path, body).await?;
            let status = stream.response.status().as_u16();
            let body = Limited::new(stream.response.body_mut(), ANSWER_BYTES_MAX).collect();
            let body = body.await.map_err(|error| self.broken(error))?.to_bytes();
            let answer = Answer { status, body };
            let why = || printable(&answer.detail().unwrap_or_default());
            let at = self.to_string();
            match status {
                401 => Err(Unanswered::Denied { at, shown: self.token.is_some(), why: why() }),
                403 => Err(Unanswered::Forbidden { at, why: why() }),
                _ => Ok(answer),
            }
        };
        let late = Unanswered::Late { at: self.to_string(), after: ANSWER_MAX };
        timeout(ANSWER_MAX, asking).await.unwrap_or(Err(late))
    }

    /// A connection to it.
    pub async fn connect(&self) -> Result<way::Stream, Unanswered> {
        let connecting = timeout(CONNECT_MAX, self.way.go(&self.authority)).await;
        let connected = connecting.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        connected.map_err(|source| Unanswered::Connect { at: self.to_string(), source })
    }

    /// Asks for an answer that may go on for ever, over a connection of its own.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
    ) -> Result<Stream, Unanswered> {
        let json = body.map(Json::to_string).unwrap_or_default();
        self.send(method, path, "application/json", json.into()).await
    }

    /// The same with a body of any type.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Stream, Unanswered> {
        let handshake = http1::handshake(TokioIo::new(self.connect().await?)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.broken(error))?;
        let mut driving = JoinSet::new();
        driving.spawn(async move {
            // What goes wrong here is told to whoever waits for the answer.
            connection.await.unwrap_or_default();
        });
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, content_type)
            .body(Full::new(body));
        let mut request = request.map_err(|error| self.broken(error))?;
        if let Some(token) = &self.token {
            let shown = HeaderValue::try_from(format!("Bearer {}", token.text()));
            let shown = shown.map_err(|error| self.broken(error))?;
            request.headers_mut().insert(header::AUTHORIZATION, shown);
        }
        let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
        Ok(Stream { response, _driving: driving })
    }

    fn broken(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Unanswered {
        Unanswered::Broken { at: self.to_string(), source: source.into() }
    }
}

/// An answer that is read as it comes.
pub(super) struct Stream {
    pub response: Response<Incoming>,
    /// The connection lives as long as this.
    _driving: JoinSet<()>,
}

impl Stream {
    /// The next bytes; `None` at the proper end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        loop {
            let Some(frame) = self.response.body_mut().frame().await else { return Ok(None) };
            if let Ok(bytes) = frame?.into_data() {
                return Ok(Some(bytes));
            }
        }
    }

    /// What is left of an answer that is a problem document.
    pub async fn problem(&mut self) -> Answer {
        let status = self.response.status().as_u16();
        let body = Limited::new(self.response.body_mut(), ANSWER_BYTES_MAX).collect().await;
        Answer { status, body: body.map(|body| body.to_bytes()).unwrap_or_default() }
    }

    /// The next bytes; `None` at the end, however it came.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            let frame = self.response.body_mut().frame().await?.ok()?;
            if let Ok(bytes) = frame.into_data() {
                return Some(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    #[test]
    fn a_daemon_is_found_where_it_listens_or_where_somebody_says() {
        let listening = |listen: &str| {
            let flags = vec![
                ("listen".to_owned(), listen.to_owned()),
                ("auth.anonymous".to_owned(), "anywhere".to_owned()),
            ];
            let (config, _) = load(&Sources { flags, ..Sources::default() }).unwrap();
            Daemon::listening(&config).map(|daemon| daemon.to_string())
        };
        assert_eq!(listening("0.0.0.0:8080").unwrap(), "http://127.0.0.1:8080");
        assert_eq!(listening("[::]:8080").unwrap(), "http://[::1]:8080");
        assert_eq!(listening("10.0.0.7:80").unwrap(), "http://10.0.0.7:80");
        assert!(listening("127.0.0.1:0").is_err());
        let at = |url: &str| Daemon::at(url).map(|daemon| daemon.to_string());
        assert_eq!(at("http://gate.example/north/").unwrap(), "http://gate.example:80/north");
        assert_eq!(at("http://[::1]:8080").unwrap(), "http://[::1]:8080");
        assert_eq!(Daemon::at("http://a:1").unwrap().ingest(), "ws://a:1/api/v1/ingest/ws");
        assert_eq!(at("https://gate.example").unwrap(), "https://gate.example:443");
        for wrong in ["127.0.0.1:8080", "unix:/run/x", ""] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
