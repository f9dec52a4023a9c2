//! From bytes that a client sent to a decoded batch, or to the refusal that it gets.
//!
//! Hot path. What is inflated goes into a buffer that lives once per thread.

use super::http::{Part, Posted, PostedAs, RefusedPart, Taken};
use super::refusal::{Refusal, Retry};
use crate::admit::Objection;
use crate::config::FormsConfig;
use crate::decode::{
    self, ItemFaultKind, Items, LineNaming, Lines, OtlpNaming, PrometheusNaming, Stamp, Upstream,
    UpstreamError,
};
use crate::gate;
use crate::model::{Batch, ClientId, Reach, Seq, Timestamp};
use crate::wire::{
    COMPRESS_BYTES_MIN, CommandResult, Compression, Hello, InflateError, Limits, MessageError,
    Place, RefusalCode, Reported, Writer, compress, inflate, unsnap,
};
use bytes::Bytes;
use std::cell::RefCell;

thread_local! {
    /// At most `limits.inflated_bytes` long.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Records of the spool that we encode ourselves: fast, and half the size of plain.
const RECORD_COMPRESSION: (Compression, u32) = (Compression::Zstd, 1);

/// What a message after Hello was.
pub(super) enum Read {
    Batch {
        seq: Seq,
        batch: Batch,
        /// The record to be stored instead of what came.
        payload: Option<Bytes>,
    },
    Refused {
        seq: Seq,
        refusal: Refusal,
    },
    /// What became of something that we said.
    Said(Said),
    /// Not a message that may come here; a sentence for the closing.
    NotUpstream(String),
}

/// What a client says of commands and documents that it was sent.
pub(super) enum Said {
    /// How a command went.
    Result(CommandResult),
    /// What a device is set to.
    Reported(Reported),
    /// One of these two, but longer than it may be.
    TooLong,
}

impl From<InflateError> for Refusal {
    fn from(error: InflateError) -> Refusal {
        Refusal {
            code: error.code(),
            retry: Retry::Never,
            message: error.to_string(),
            at: Place::default(),
        }
    }
}

/// Reads the first message of a connection.
pub(super) fn hello(message: &[u8], limits: &Limits) -> Result<Hello, String> {
    SCRATCH.with_borrow_mut(|scratch| {
        let plain = inflate(message, limits, scratch).map_err(|error| error.to_string())?;
        match decode::upstream(plain).map_err(|error| error.to_string())? {
            Upstream::Hello(hello) => {
                crate::model::check_name(&hello.client, limits.name_bytes)
                    .map_err(|error| format!("client: {error}"))?;
                if hello.session.0 == 0 {
                    return Err("session must not be 0".to_owned());
                }
                if hello.labels.len() > LABELS_MAX {
                    return Err(format!("{} labels, {LABELS_MAX} are allowed", hello.labels.len()));
                }
                let texts = hello.labels.iter().flat_map(|(key, value)| [key, value]);
                for text in texts.chain([&hello.software]).filter(|text| !text.is_empty()) {
                    crate::model::check_name(text, limits.name_bytes)
                        .map_err(|error| format!("labels or software: {error}"))?;
                }
                Ok(hello)
            }
            Upstream::Batch(_) | Upstream::Result(_) | Upstream::Reported(_) => {
                Err("it is another message".to_owned())
            }
        }
    })
}

/// Labels of a client.
const LABELS_MAX: usize = 32;

/// Reads a message that came after Hello.
pub(super) fn upstream(
    message: &[u8],
    limits: &Limits,
    received_at: Timestamp,
    booted_at: Option<Timestamp>,
    client: &ClientId,
) -> Read {
    SCRATCH.with_borrow_mut(|scratch| {
        let plain = match inflate(message, limits, scratch) {
            Ok(plain) => plain,
            Err(error) => return Read::Refused { seq: 0, refusal: error.into() },
        };
        let batch = match decode::upstream(plain) {
            Ok(Upstream::Batch(batch)) => batch,
            Ok(Upstream::Result(result)) => return Read::Said(Said::Result(result)),
            Ok(Upstream::Reported(reported)) => return Read::Said(Said::Reported(reported)),
            Err(UpstreamError::Control(MessageError::TooLarge { .. })) => {
                return Read::Said(Said::TooLong);
            }
            Ok(Upstream::Hello(_)) => {
                return Read::NotUpstream("a second Hello came".to_owned());
            }
            Err(error) => return Read::NotUpstream(error.to_string()),
        };
        let stamp = Stamp { received_at, booted_at, client };
        match decode::batch(batch, limits, &stamp) {
            Ok(decoded) => Read::Batch { seq: decoded.seq, batch: decoded.batch, payload: None },
            Err(fault) => Read::Refused { seq: fault.seq, refusal: fault.into() },
        }
    })
}

/// Whether all devices of a batch may be written.
pub(super) fn reached(batch: &Batch, reach: &Reach) -> Result<(), Refusal> {
    if reach.is_all() {
        return Ok(());
    }
    match batch.tables().enumerate().find(|(_, table)| !reach.allows(table.device())) {
        None => Ok(()),
        Some((number, table)) => Err(Refusal::forbidden(number, table.device())),
    }
}

/// What a posted body held.
#[derive(Default)]
pub(super) struct Posting {
    pub seq: Seq,
    pub batch: Option<Batch>,
    /// The record of the spool: an `Upstream` message.
    pub payload: Option<Bytes>,
    pub refused: Vec<RefusedPart>,
    pub refused_total: usize,
    pub taken: Taken,
    pub unreadable: bool,
}

impl Posting {
    fn refused(seq: Seq, refusal: Refusal, unreadable: bool) -> Posting {
        let refused = vec![RefusedPart { part: Part::Whole, refusal }];
        Posting { seq, refused, refused_total: 1, unreadable, ..Posting::default() }
    }
}

/// Reads a posted body.
pub(super) fn posted(
    posted: &Posted,
    limits: &Limits,
    forms: &FormsConfig,
    received_at: Timestamp,
) -> Posting {
    SCRATCH.with_borrow_mut(|scratch| {
        let plain = match posted.form {
            PostedAs::RemoteWrite(_) => unsnap(&posted.body, limits, scratch),
            _ => inflate(&posted.body, limits, scratch),
        };
        let plain = match plain {
            Ok(plain) => plain,
            Err(error) => return Posting::refused(0, error.into(), true),
        };
        let stamp = Stamp { received_at, booted_at: None, client: &posted.client };
        let (reach, seq) = (&posted.reach, posted.seq);
        let otlp = OtlpNaming {
            device_attributes: &forms.otlp.device_attributes,
            resource_tags: forms.otlp.resource_tags.as_ref(),
        };
        match posted.form {
            PostedAs::Protobuf => protobuf(plain, limits, &stamp),
            PostedAs::Ndjson => {
                lines(decode::ndjson(plain, limits, &stamp, &posted.reach), posted.seq)
            }
            PostedAs::Lines { time_unit, all_or_none } => {
                let naming = LineNaming {
                    device_tags: &forms.lines.device_tags,
                    bare_measurement: &forms.lines.bare_measurement,
                    time_unit,
                };
                let read = decode::line_protocol(plain, &naming, limits, &stamp, &posted.reach);
                line_protocol(read, all_or_none, posted.seq)
            }
            PostedAs::Otlp => items(decode::otlp(plain, &otlp, limits, &stamp, reach), seq),
            PostedAs::OtlpJson => {
                items(decode::otlp_json(plain, &otlp, limits, &stamp, reach), seq)
            }
            PostedAs::RemoteWrite(version) => {
                let naming = PrometheusNaming { device_labels: &forms.prometheus.device_labels };
                let read = decode::remote_write(version, plain, &naming, limits, &stamp, reach);
                items(read, seq)
            }
        }
    })
}

fn protobuf(plain: &[u8], limits: &Limits, stamp: &Stamp<'_>) -> Posting {
    match decode::batch(plain, limits, stamp) {
        Ok(decoded) => Posting {
            seq: decoded.seq,
            batch: Some(decoded.batch),
            payload: Some(record(upstream_of(plain))),
            ..Posting::default()
        },
        Err(fault) => {
            let (seq, refusal) = (fault.seq, Refusal::from(fault));
            let unreadable = refusal.code == RefusalCode::Malformed;
            Posting::refused(seq, refusal, unreadable)
        }
    }
}

/// A posted `Batch` as the spool holds it: inside an `Upstream`.
fn upstream_of(batch: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.delimited(2, batch);
    writer.finish()
}

/// Lines whose sender knows nothing of our limits on one batch: agents that are told "too large" send half
/// as many, but give up lines that are refused one by one.
fn line_protocol(mut read: Lines, all_or_none: bool, seq: Seq) -> Posting {
    if let Some(full) = read.full.take() {
        let message = format!("{full}; send fewer lines at once");
        return Posting::refused(seq, Refusal::for_good(RefusalCode::TooLarge, message), true);
    }
    if all_or_none && read.refused > 0 {
        read.batch = Batch::default();
    }
    lines(read, seq)
}

/// What lines of either form came to.
fn lines(read: Lines, seq: Seq) -> Posting {
    let refused = read.faults.into_iter().map(|fault| RefusedPart {
        part: Part::Line(fault.line),
        refusal: Refusal::for_good(fault.kind.code(), &fault.kind),
    });
    gathered(read.batch, refused.collect(), read.refused, seq)
}

/// What items of either kind came to.
fn items(read: Result<Items, ItemFaultKind>, seq: Seq) -> Posting {
    let refusal = |kind: &ItemFaultKind| Refusal::for_good(kind.code(), kind);
    let read = match read {
        Ok(read) => read,
        Err(kind) => return Posting::refused(seq, refusal(&kind), true),
    };
    let Items { accepted, histograms, empty, left_out, .. } = read;
    let taken = Taken { items: accepted + empty, histograms, left_out };
    if read.refused == 0 && accepted == 0 {
        return Posting { seq, taken, ..Posting::default() };
    }
    let refused = read
        .faults
        .into_iter()
        .map(|fault| RefusedPart { refusal: refusal(&fault.kind), part: Part::Item(fault.at) });
    let posting = gathered(read.batch, refused.collect(), read.refused, seq);
    Posting { taken, ..posting }
}

/// What entered and what did not, of a body whose good items enter although others are at fault: the first
/// of those, and how many there are.
fn gathered(batch: Batch, refused: Vec<RefusedPart>, refused_total: usize, seq: Seq) -> Posting {
    if batch.samples() > 0 {
        let payload = Some(record(decode::encode(&batch, seq)));
        let batch = Some(batch);
        return Posting { seq, batch, payload, refused, refused_total, ..Posting::default() };
    }
    if refused_total == 0 {
        let empty = gate::Refusal::Objection(Objection::Empty);
        return Posting::refused(seq, empty.into(), true);
    }
    Posting { seq, refused, refused_total, unreadable: true, ..Posting::default() }
}

/// A plain `Upstream` message as the spool holds it.
pub(super) fn record(message: Vec<u8>) -> Bytes {
    if message.len() < COMPRESS_BYTES_MIN {
        return message.into();
    }
    let (compression, level) = RECORD_COMPRESSION;
    compress(compression, level, &message).into()
}
