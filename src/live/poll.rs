//! Long polls: one question, one answer, for networks that break streams.

use super::cursor::{Cursor, CursorError};
use super::frame::Frame;
use super::gzip::Gzip;
use super::mailbox::Permit;
use super::subscription::{LiveQuery, SubscriptionError};
use crate::aggregate::Windows;
use crate::model::Position;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long an answer may be waited for, and how long it is if nothing is said, in seconds.
const WAIT_S_MAX: u64 = 60;
const WAIT_S: u64 = 25;

/// What a poller knows: so much of the log, and so much of the news of devices and alerts. As text
/// `1f-42.1700000000000`; the id of a frame will do, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollCursor {
    /// The log.
    pub log: Cursor,
    /// The version of the news; `None` = all is to be told.
    pub news: Option<u64>,
}

impl fmt::Display for PollCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.news {
            Some(news) => write!(f, "{}.{news}", self.log),
            None => write!(f, "{}", self.log),
        }
    }
}

impl FromStr for PollCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<PollCursor, CursorError> {
        let Some((log, news)) = text.split_once('.') else {
            return Ok(PollCursor { log: text.parse()?, news: None });
        };
        if !news.bytes().all(|b| b.is_ascii_digit()) {
            return Err(CursorError);
        }
        let news = news.parse().map_err(|_| CursorError)?;
        Ok(PollCursor { log: log.parse()?, news: Some(news) })
    }
}

/// What the query of a poll asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct PollQuery {
    /// What is wanted.
    pub subscription: super::Subscription,
    /// What is known already.
    pub cursor: Option<PollCursor>,
    /// How long to wait for something to tell.
    pub wait: Duration,
}

impl PollQuery {
    /// Reads what [`LiveQuery::parse`] does, and `wait_s=25`.
    ///
    /// # Errors
    /// [`SubscriptionError`]; nothing is guessed.
    pub fn parse(query: &str, windows: &Windows) -> Result<PollQuery, SubscriptionError> {
        let (mut rest, mut cursor, mut wait) = (Vec::new(), None, None);
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("cursor", text)) => {
                    if cursor.replace(text.parse()?).is_some() {
                        return Err(SubscriptionError::Repeated { name: "cursor" });
                    }
                }
                Some(("wait_s", text)) => {
                    let seconds = text.parse().ok().filter(|&seconds| seconds <= WAIT_S_MAX);
                    let seconds = seconds.ok_or(SubscriptionError::Wait { max: WAIT_S_MAX })?;
                    if wait.replace(Duration::from_secs(seconds)).is_some() {
                        return Err(SubscriptionError::Repeated { name: "wait_s" });
                    }
                }
                _ => rest.push(pair),
            }
        }
        let subscription = LiveQuery::parse(&rest.join("&"), windows)?.subscription;
        let wait = wait.unwrap_or(Duration::from_secs(WAIT_S));
        Ok(PollQuery { subscription, cursor, wait })
    }
}

/// The answer to a poll.
#[derive(Debug)]
pub struct Polled {
    /// What came after the cursor; empty if nothing did in time.
    pub frames: Vec<Arc<Frame>>,
    /// What is known with them.
    pub cursor: PollCursor,
}

impl Polled {
    /// `{"frames":[…],"cursor":"…"}`.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        let bytes: usize = self.frames.iter().map(|frame| frame.len()).sum();
        let mut out = Vec::with_capacity(bytes + 64);
        out.extend_from_slice(b"{\"frames\":[");
        for (index, frame) in self.frames.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&frame.json());
        }
        out.extend_from_slice(self.tail().as_bytes());
        out
    }

    /// The same compressed, of frames that are deflated once for all.
    #[must_use]
    pub fn gzip(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut gzip = Gzip::begin(&mut out);
        gzip.stored(b"{\"frames\":[", &mut out);
        for (index, frame) in self.frames.iter().enumerate() {
            if index > 0 {
                gzip.stored(b",", &mut out);
            }
            if let Some(block) = frame.deflated() {
                gzip.block(block, &mut out);
            }
        }
        gzip.stored(self.tail().as_bytes(), &mut out);
        gzip.finish(&mut out);
        out
    }

    fn tail(&self) -> String {
        format!("],\"cursor\":\"{}\"}}", self.cursor)
    }
}

/// Somebody who waits for an answer. It goes when that is given, or when nobody waits for it any more.
#[derive(Debug)]
pub(super) struct Poller {
    pub cursor: Option<Position>,
    pub news: Option<u64>,
    /// When it is answered in any case, by the hub's time.
    pub deadline: Duration,
    pub answer: oneshot::Sender<Polled>,
    /// None if nobody counts the viewers.
    pub _permit: Option<Permit>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_of_a_poll_says_how_long_to_wait() {
        let parse = |query: &str| PollQuery::parse(query, &Windows::default());
        let query = parse("device=a&wait_s=5&cursor=1f-42.77&max_hz=1").unwrap();
        assert_eq!(query.wait, Duration::from_secs(5));
        let cursor = query.cursor.unwrap();
        assert_eq!(cursor.log, Cursor::new(0x1f, Position(42)));
        assert_eq!((cursor.news, cursor.to_string().as_str()), (Some(77), "1f-42.77"));
        assert_eq!(parse("cursor=1f-42").unwrap().cursor.unwrap().news, None);
        assert_eq!(parse("").unwrap().wait, Duration::from_secs(25));
        for bad in ["wait_s=61", "wait_s=x", "wait_s=1&wait_s=1", "cursor=1f-42.", "cursor=1f.1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
