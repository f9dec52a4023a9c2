//! Brings the lines of a round to the store: sends, sends again, cuts smaller, bisects, until each line
//! is stored or refused for good.
//!
//! There is no other way out but the daemon's end: never is a line given up because time passed.

use super::answers::{Answer, answered, unreached};
use super::bisect::{Bisect, Findings, GivenUp, Verdict};
use super::round::{Part, Piece, Round};
use super::transport::Transport;
use super::valve::{Stopped, Valve};
use crate::clock;
use bytes::Bytes;
use futures_util::future::try_join_all;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Requests for finding the bad lines of one piece; then what is refused is given up as it is.
const BISECT_REQUESTS_MAX: u32 = 512;
/// No store refuses a request for its size below this.
const REQUEST_BYTES_MIN: usize = 4 << 10;
/// A store that hangs must not hold up the daemon's end: so long it may take for an answer then.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// A way to a store.
pub(super) struct Courier<T> {
    pub valve: std::sync::Arc<Valve>,
    pub transport: T,
    /// Line protocol of one request, at most. Shrinks when the store says that one is too large.
    pub request_bytes: AtomicUsize,
}

impl<T: Transport> Courier<T> {
    /// All parts of a round at the same time, as far as the valve lets them. Gives what was refused
    /// for good, part by part.
    ///
    /// # Errors
    /// [`Stopped`]; some lines may be stored by then.
    pub async fn deliver(&self, round: &Round) -> Result<Vec<Vec<GivenUp>>, Stopped> {
        try_join_all(round.parts.iter().map(|part| self.part(part))).await
    }

    /// One piece after another: a series stays in order.
    async fn part(&self, part: &Part) -> Result<Vec<GivenUp>, Stopped> {
        let mut given_up = Vec::new();
        for piece in &part.pieces {
            given_up.extend(self.piece(part, piece).await?);
        }
        Ok(given_up)
    }

    async fn piece(&self, part: &Part, piece: &Piece) -> Result<Vec<GivenUp>, Stopped> {
        let mut given_up = Vec::new();
        let mut rest = piece.lines.clone();
        while !rest.is_empty() {
            let end = part.body.fit(rest.clone(), self.request_bytes.load(Ordering::Relaxed));
            let lines = rest.start..end;
            let gzipped = match lines == piece.lines {
                true => piece.gzipped.clone(),
                false => Piece::new(&part.body, lines.clone()).gzipped,
            };
            let verdict = self.send(gzipped).await?;
            let bytes = part.body.slice(lines.clone()).len();
            if verdict == Verdict::TooLarge && lines.len() > 1 && bytes > REQUEST_BYTES_MIN {
                self.request_bytes.fetch_min(bytes / 2, Ordering::Relaxed);
                log::warn!(bytes = bytes; "the store takes no requests so large; they are made half as large");
                continue;
            }
            rest.start = end;
            if verdict != Verdict::Stored {
                given_up.extend(self.bisect(part, lines, verdict).await?.given_up);
            }
        }
        Ok(given_up)
    }

    async fn bisect(
        &self,
        part: &Part,
        lines: Range<u32>,
        verdict: Verdict,
    ) -> Result<Findings, Stopped> {
        let mut plan = Bisect::new(lines, verdict, BISECT_REQUESTS_MAX);
        while let Some(lines) = plan.next() {
            let piece = Piece::new(&part.body, lines);
            plan.tell(self.send(piece.gzipped).await?);
        }
        Ok(plan.finish())
    }

    /// Sends a request until the store has something to say of its lines.
    async fn send(&self, gzipped: Bytes) -> Result<Verdict, Stopped> {
        loop {
            let pass = self.valve.pass().await?;
            let answer = tokio::select! {
                answer = self.transport.write(gzipped.clone()) => answer,
                // Whether it was stored is not known: it is sent again after the next start.
                () = self.valve.stopped_for(STOP_GRACE) => return Err(Stopped),
            };
            let meaning = match answer {
                Ok(reply) => {
                    let (status, body) = (reply.status, reply.body.as_slice());
                    let retry_after = reply.retry_after.as_deref();
                    answered(&Answer { status, body, retry_after }, clock::now())
                }
                Err(why) => unreached(why),
            };
            pass.end(&meaning);
            if let Some(verdict) = Verdict::of(meaning) {
                return Ok(verdict);
            }
        }
    }
}
