//! A batch in an HTTP body: decoded, offered to the gate, answered when it is durable.

use super::Intake;
use super::clocks::Timed;
use super::reading::{self, Posting};
use super::refusal::{Refusal, Retry};
use crate::clock;
use crate::decode::{LeftOut, RemoteWrite, TimeUnit};
use crate::gate::{Offer, Outcome};
use crate::model::{ClientId, Reach, SessionId};
use crate::spool::Protocol;
use bytes::Bytes;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::mpsc;

/// The form of a posted body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostedAs {
    /// One `Batch`.
    Protobuf,
    /// One reading per line.
    Ndjson,
    /// Line protocol.
    Lines {
        /// What its times are in.
        time_unit: TimeUnit,
        /// Nothing of it enters if a line is at fault.
        all_or_none: bool,
    },
    /// OpenTelemetry's metrics, as protobuf.
    Otlp,
    /// The same as JSON.
    OtlpJson,
    /// Prometheus' remote write, always compressed by snappy.
    RemoteWrite(RemoteWrite),
}

impl PostedAs {
    /// As the metrics call it.
    fn name(self) -> &'static str {
        match self {
            PostedAs::Protobuf => "protobuf",
            PostedAs::Ndjson => "ndjson",
            PostedAs::Lines { .. } => "lines",
            PostedAs::Otlp | PostedAs::OtlpJson => "otlp",
            PostedAs::RemoteWrite(_) => "remote_write",
        }
    }
}

/// A posted body and who it is from.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Its form.
    pub form: PostedAs,
    /// The body as sent, compressed or not.
    pub body: Bytes,
    /// Who sends it; batches of a session are recognised when they come again.
    pub client: ClientId,
    /// Where it comes from, if that is known.
    pub peer: Option<IpAddr>,
    /// The devices that they may write.
    pub reach: Reach,
    /// The session; 0 = none.
    pub session: SessionId,
    /// Number of the batch, where the body has none itself.
    pub seq: u64,
}

/// What of a body a refusal is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// A line of it, from 1.
    Line(usize),
    /// An item of it, by its path: `resource_metrics[0].scope_metrics[1].metrics[3].data_points[2]`.
    Item(String),
}

/// What did not enter.
#[derive(Debug, Clone)]
pub struct RefusedPart {
    /// What of the body.
    pub part: Part,
    /// Why.
    pub refusal: Refusal,
}

/// What became of the good items of a body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Those that are durable now, and those that had nothing to be kept.
    pub items: usize,
    /// How many of those are histograms.
    pub histograms: usize,
    /// The values that can't be kept.
    pub left_out: LeftOut,
}

/// What became of a posted body.
#[derive(Debug, Default)]
pub struct PostAnswer {
    /// Number of the batch.
    pub seq: u64,
    /// Samples that entered, durable now.
    pub accepted: usize,
    /// It was durable before.
    pub duplicate: bool,
    /// What did not enter: the first of them.
    pub refused: Vec<RefusedPart>,
    /// How many lines or items did not enter, those not listed included.
    pub refused_total: usize,
    /// Of a body of items, what entered.
    pub taken: Taken,
    /// When all of it may be sent again.
    pub retry_after: Option<Duration>,
    /// Nothing of it could be read.
    pub unreadable: bool,
}

impl PostAnswer {
    fn refused(seq: u64, refusal: Refusal) -> PostAnswer {
        let retry_after = match refusal.retry {
            Retry::Never => None,
            Retry::Later(after) => Some(after),
        };
        PostAnswer {
            seq,
            retry_after,
            refused: vec![RefusedPart { part: Part::Whole, refusal }],
            refused_total: 1,
            ..PostAnswer::default()
        }
    }
}

impl Intake {
    /// Takes a posted body in; returns when it is durable or refused.
    ///
    /// If the caller goes away meanwhile the batch may still enter, as after any broken connection.
    pub async fn post(&self, posted: Posted) -> PostAnswer {
        let answer = self.take(&posted).await;
        if let Some(peer) = posted.peer {
            self.live.client_at(&posted.client, peer);
        }
        for part in &answer.refused {
            self.note(Protocol::Http, &posted.client, &part.refusal);
        }
        answer
    }

    async fn take(&self, posted: &Posted) -> PostAnswer {
        self.metrics.received(Protocol::Http, posted.body.len());
        self.metrics.listener.body(posted.form.name());
        let started = clock::monotonic();
        if self.stop.is_cancelled() {
            return self.refused_before_gate(posted, 0, Refusal::shutting_down());
        }
        let Ok(reserved) =
            self.gate.reserve(&self.gate.share(&posted.client), posted.body.len()).await
        else {
            return self.refused_before_gate(posted, 0, Refusal::shutting_down());
        };
        let received_at = clock::now();
        let caps = self.caps.now();
        let Posting { seq, batch, payload, refused, refused_total, taken, unreadable } =
            reading::posted(posted, self.reading_limits(&caps), &self.forms, received_at);
        let mut answer =
            PostAnswer { seq, refused, refused_total, taken, unreadable, ..PostAnswer::default() };
        let Some((batch, payload)) = batch.zip(payload) else {
            // Nothing to be kept is no fault of a report of what is now.
            if answer.refused_total > 0 {
                self.gate.count_refused(Protocol::Http, &posted.client);
            }
            self.count(taken.left_out);
            return answer;
        };
        if let Err(refusal) = reading::reached(&batch, &posted.reach) {
            return self.refused_before_gate(posted, seq, refusal);
        }
        let (batch, payload) = match self.timed(&caps, seq, batch, received_at) {
            Ok(Timed { batch, payload: instead }) => (batch, instead.unwrap_or(payload)),
            Err(refusal) => return self.refused_before_gate(posted, seq, refusal),
        };
        if let Err(after) = caps.rates.check(&posted.client, batch.samples()) {
            return self.refused_before_gate(posted, seq, Refusal::rate_limited(after));
        }
        let (answer_to, mut answers) = mpsc::channel(1);
        let Ok(permit) = answer_to.reserve_owned().await else {
            return self.refused_before_gate(posted, seq, Refusal::shutting_down());
        };
        let offer = Offer {
            received_at,
            protocol: Protocol::Http,
            client: posted.client.clone(),
            session: posted.session,
            seq,
            booted_at: None,
            payload,
            batch,
            answer: permit,
        };
        if let Err((_, refusal)) = self.gate.offer(reserved, offer) {
            return self.refused_before_gate(posted, seq, refusal.into());
        }
        match answers.recv().await.map(|answer| answer.outcome) {
            Some(Outcome::Stored { samples }) => {
                self.metrics.stored(Protocol::Http, samples, clock::monotonic() - started);
                self.count(taken.left_out);
                answer.accepted = samples;
                answer
            }
            Some(Outcome::Duplicate) => {
                self.metrics.duplicate(Protocol::Http);
                answer.duplicate = true;
                answer
            }
            Some(Outcome::Refused(refusal)) => PostAnswer::refused(seq, refusal.into()),
            // The gate's thread is gone: it may or may not be durable.
            None => PostAnswer::refused(seq, Refusal::shutting_down()),
        }
    }

    fn count(&self, LeftOut { no_value, not_finite }: LeftOut) {
        self.metrics.left_out("no_value", no_value);
        self.metrics.left_out("not_finite", not_finite);
    }

    fn refused_before_gate(&self, posted: &Posted, seq: u64, refusal: Refusal) -> PostAnswer {
        self.gate.count_refused(Protocol::Http, &posted.client);
        PostAnswer::refused(seq, refusal)
    }
}
