//! What a store's answer means: the one table from HTTP to what we do next.
//!
//! The rule behind the table: a line is refused for good only if the store itself said so of content
//! (400 and 422 in words of its own). Whatever else is strange (a proxy's page, an unknown status) is
//! a store that can't be written now, and nothing is given up for it. The bodies that this was written
//! against are in the tests; `docs/sinks.md` has the table for people.

use crate::model::Timestamp;
use crate::sinks::breaker::{Failure, FailureKind};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longer words of a server are cut: they go into logs, status and dead letters.
const WORDS_BYTES_MAX: usize = 1024;
/// InfluxDB 3's products list at most so many refused lines; exactly so many may not be all.
const LISTED_MAX: usize = 100;
/// How VictoriaMetrics answers (with 400) what goes to a path that it does not have.
const NO_SUCH_PATH: &str = "unsupported path requested";
/// How servers written in Go (InfluxDB 2, VictoriaMetrics) answer (with 400) what comes without TLS to
/// a port that wants it.
const WANTS_TLS: &str = "Client sent an HTTP request to an HTTPS server";

/// An answer, as far as it matters.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// The body, or its beginning.
    pub body: &'a [u8],
    /// The header `Retry-After`.
    pub retry_after: Option<&'a str>,
}

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreached {
    /// None came in time.
    Timeout,
    /// Nobody listens there.
    Refused,
    /// Nobody took the connection in time, or there is no way to the machine.
    NoConnection,
    /// The connection broke.
    Reset,
    /// The name does not resolve.
    NoSuchName,
    /// TLS could not be agreed on: a certificate that is expired, of another name, not trusted.
    Tls,
    /// TLS is wanted, but this machine trusts no authority at all.
    NoAuthorities,
    /// Nothing was sent, because there is no token in the file that has it.
    TokenFile {
        /// Which file.
        path: Arc<Path>,
        /// What is wrong with it.
        fault: TokenFault,
    },
    /// Something else on the way.
    Other,
}

/// What is wrong with a token file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// It can't be read.
    Unreadable(io::ErrorKind),
    /// It is empty.
    Empty,
    /// It is too long, or has blanks or unusual characters inside.
    NoToken,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// All lines are stored.
    Done,
    /// Some lines are refused for good; the others are stored.
    Partial {
        /// Which.
        refused: Refused,
        /// The server's words for it.
        words: Arc<str>,
    },
    /// At least one line is refused for good, and none is known to be stored: bisect.
    Rejected {
        /// The server's words.
        words: Arc<str>,
        /// A line that the server named, counted from 0.
        line: Option<u32>,
    },
    /// Send the same in smaller requests, and remember.
    TooLarge,
    /// The store can't keep up.
    SlowDown {
        /// How long it asked us to wait.
        after: Option<Duration>,
        /// For people.
        cause: Cause,
    },
    /// Send the same again later.
    Unavailable {
        /// How long it asked us to wait.
        after: Option<Duration>,
        /// For people.
        cause: Cause,
    },
    /// Send the same again when somebody has put it right.
    Misconfigured {
        /// For people; says what to fix.
        cause: Cause,
    },
}

/// What the server told of the lines that it refused while it stored the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Which, each with its reason.
    Listed {
        /// The lines, as the server numbered them less one.
        lines: Vec<RefusedLine>,
        /// Whether these are all.
        complete: bool,
    },
    /// Only how many; at least this.
    Counted(u32),
    /// Nothing.
    Untold,
}

/// A line that a server refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLine {
    /// Counted from 0 in the request.
    pub line: u32,
    /// The server's words.
    pub words: Arc<str>,
}

/// Why a store can't be written, in words: status, journal and lamp show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// There was no answer.
    Unreached(Unreached),
    /// It answered that it can't.
    Unwell {
        /// With this status.
        status: u16,
        /// And these words.
        words: Arc<str>,
    },
    /// It answered that it will not, and why must be put right.
    ToFix {
        /// What.
        fix: Fix,
        /// With this status.
        status: u16,
        /// And these words.
        words: Arc<str>,
    },
}

/// What the administrator has to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fix {
    /// 401.
    Token,
    /// 403.
    Permission,
    /// 404.
    Bucket,
    /// The address leads elsewhere than to a write API.
    Address,
    /// Any other status that repeating won't change.
    Request,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Unreached(Unreached::TokenFile { path, fault }) => {
                write!(f, "token_file {} {fault}", path.display())
            }
            Cause::Unreached(unreached) => f.write_str(unreached.words()),
            Cause::Unwell { status, words } if words.is_empty() => {
                write!(f, "the store answers {status}")
            }
            Cause::Unwell { status, words } => write!(f, "the store answers {status}: {words}"),
            Cause::ToFix { fix, status, words } => {
                write!(f, "{} (the store answers {status}", fix.words())?;
                if !words.is_empty() {
                    write!(f, ": {words}")?;
                }
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenFault::Unreadable(io::ErrorKind::NotFound) => {
                f.write_str("can't be read: there is no such file")
            }
            TokenFault::Unreadable(io::ErrorKind::PermissionDenied) => {
                f.write_str("can't be read: the daemon's user may not")
            }
            TokenFault::Unreadable(kind) => write!(f, "can't be read: {kind}"),
            TokenFault::Empty => f.write_str("is empty"),
            TokenFault::NoToken => f.write_str("holds something else than one token"),
        }
    }
}

impl Unreached {
    fn words(&self) -> &'static str {
        match self {
            Unreached::Timeout => "the store does not answer in time",
            Unreached::Refused => "nothing listens at the store's address",
            Unreached::NoConnection => {
                "no connection to the store: its machine is down, or something is on the way to it"
            }
            Unreached::Reset => "the connection to the store broke",
            Unreached::NoSuchName => "the store's host name does not resolve",
            Unreached::Tls => {
                "no TLS with the store: look at its certificate (expired, other name, not trusted)"
            }
            Unreached::NoAuthorities => {
                "no TLS: this machine trusts no certificate authority: install ca-certificates, and \
                 start the daemon again"
            }
            Unreached::TokenFile { .. } => "the token can't be read",
            Unreached::Other => "the store can't be reached",
        }
    }
}

impl Fix {
    fn words(self) -> &'static str {
        match self {
            Fix::Token => "the token is missing, wrong or expired: look at token_file",
            Fix::Permission => "the token may not write to this bucket: give it write permission",
            Fix::Bucket => "bucket or organisation does not exist: look at bucket, org and url",
            Fix::Address => "this is not the write API of a store: look at url",
            Fix::Request => "the store takes no such requests: look at url and what is before it",
        }
    }
}

/// What `answer` to a request means; `now` is for a `Retry-After` that is a date.
#[must_use]
pub fn answered(answer: &Answer<'_>, now: Timestamp) -> Meaning {
    let status = answer.status;
    let after = answer.retry_after.and_then(|value| wait_of(value, now));
    let told = Told::read(answer.body);
    let to_fix =
        |fix| Meaning::Misconfigured { cause: Cause::ToFix { fix, status, words: told.words() } };
    let unwell = || Cause::Unwell { status, words: told.words() };
    match status {
        200..=299 => Meaning::Done,
        300..=399 | 405 | 501 => to_fix(Fix::Address),
        400 if told.is_page => to_fix(Fix::Address),
        400 if [NO_SUCH_PATH, WANTS_TLS].iter().any(|said| told.text.contains(said)) => {
            to_fix(Fix::Address)
        }
        400 => told.refusal(false),
        401 => to_fix(Fix::Token),
        403 => to_fix(Fix::Permission),
        404 | 410 => to_fix(Fix::Bucket),
        408 | 409 | 423 | 425 => Meaning::Unavailable { after, cause: unwell() },
        413 => Meaning::TooLarge,
        422 if !told.is_page => told.refusal(true),
        429 | 503 => Meaning::SlowDown { after, cause: unwell() },
        500..=599 => Meaning::Unavailable { after, cause: unwell() },
        _ => to_fix(Fix::Request),
    }
}

/// What it means that there was no answer.
#[must_use]
pub fn unreached(unreached: Unreached) -> Meaning {
    match unreached {
        Unreached::TokenFile { .. } | Unreached::NoAuthorities => {
            Meaning::Misconfigured { cause: Cause::Unreached(unreached) }
        }
        Unreached::Timeout
        | Unreached::Refused
        | Unreached::NoConnection
        | Unreached::Reset
        | Unreached::NoSuchName
        | Unreached::Tls
        | Unreached::Other => {
            Meaning::Unavailable { after: None, cause: Cause::Unreached(unreached) }
        }
    }
}

impl Meaning {
    /// What the breaker is told; nothing if the store is well, whatever it thinks of the lines.
    #[must_use]
    pub fn failure(&self) -> Option<Failure<Cause>> {
        let (kind, retry_after, cause) = match self {
            Meaning::Done
            | Meaning::Partial { .. }
            | Meaning::Rejected { .. }
            | Meaning::TooLarge => return None,
            Meaning::Unavailable { after, cause: cause @ Cause::Unreached(Unreached::Timeout) } => {
                (FailureKind::Unanswered, *after, cause)
            }
            Meaning::Unavailable {
                after,
                cause:
                    cause @ Cause::Unreached(
                        Unreached::Refused | Unreached::NoConnection | Unreached::NoSuchName,
                    ),
            } => (FailureKind::Unreachable, *after, cause),
            Meaning::SlowDown { after, cause } | Meaning::Unavailable { after, cause } => {
                (FailureKind::Unavailable, *after, cause)
            }
            Meaning::Misconfigured { cause } => (FailureKind::Misconfigured, None, cause),
        };
        Some(Failure { kind, retry_after, cause: cause.clone() })
    }
}

/// `Retry-After` as a wait: seconds, or a date.
fn wait_of(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    let date = i64::try_from(date.as_nanosecond()).ok()?;
    Some(Timestamp(date).since(now))
}

/// What a body tells.
struct Told<'a> {
    text: String,
    /// It is a web page: not a store's answer.
    is_page: bool,
    json: Option<Json<'a>>,
}

/// The bodies of InfluxDB 2 (`code`, `message`) and 3 (`error`, `data`).
#[derive(Deserialize)]
struct Json<'a> {
    message: Option<String>,
    error: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// A refused line, as InfluxDB 3 tells it.
#[derive(Deserialize)]
struct JsonLine {
    /// Counted from 1.
    line_number: Option<u32>,
    error_message: String,
}

impl JsonLine {
    fn line(&self) -> Option<u32> {
        self.line_number?.checked_sub(1)
    }
}

impl<'a> Told<'a> {
    fn read(body: &'a [u8]) -> Told<'a> {
        let text = String::from_utf8_lossy(body).trim().to_owned();
        // Not every server answers in JSON: then the text itself is its words.
        let json = serde_json::from_slice(body).ok();
        Told { is_page: text.starts_with('<'), text, json }
    }

    fn data<T: Deserialize<'a>>(&self) -> Option<T> {
        // `data` has another shape with each fault; the caller asks for the one it knows.
        serde_json::from_str(self.json.as_ref()?.data?.get()).ok()
    }

    fn words(&self) -> Arc<str> {
        let Some(json) = &self.json else { return tidy(&self.text) };
        let said = json.message.as_deref().or(json.error.as_deref());
        match (said, self.data::<JsonLine>()) {
            (Some(said), Some(line)) => tidy(&format!("{said}: {}", line.error_message)),
            (Some(said), None) => tidy(said),
            (None, _) => tidy(&self.text),
        }
    }

    /// Of a 400, or of a 422 (`unprocessable`), after which InfluxDB 2 has stored what it could.
    fn refusal(&self, unprocessable: bool) -> Meaning {
        let words = self.words();
        if let Some(listed) = self.data::<Vec<JsonLine>>().filter(|listed| !listed.is_empty()) {
            let lines: Option<Vec<_>> = listed
                .iter()
                .map(|json| {
                    Some(RefusedLine { line: json.line()?, words: tidy(&json.error_message) })
                })
                .collect();
            let complete = listed.len() != LISTED_MAX;
            let listed = |lines| Refused::Listed { lines, complete };
            return Meaning::Partial { refused: lines.map_or(Refused::Untold, listed), words };
        }
        if unprocessable {
            let refused = dropped(&words).map_or(Refused::Untold, Refused::Counted);
            return Meaning::Partial { refused, words };
        }
        let line = self.data::<JsonLine>().and_then(|line| line.line());
        Meaning::Rejected { words, line }
    }
}

/// How many points InfluxDB 2 says that it dropped.
fn dropped(words: &str) -> Option<u32> {
    words.rsplit_once("dropped=")?.1.parse().ok()
}

/// A server's words as one line of bounded length.
fn tidy(words: &str) -> Arc<str> {
    let end = words.floor_char_boundary(WORDS_BYTES_MAX);
    words[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().into()
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
