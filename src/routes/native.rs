//! Our own messages: a `Batch`, or an `Upstream` with one, compressed or not.

use super::{Captures, Message, Puzzle, Route};
use crate::decode::{self, Stamp, Upstream};
use crate::model::{Batch, Seq, SessionId, check_name};
use crate::wire::{COMPRESS_BYTES_MIN, Compression, Limits, Writer, compress, inflate};
use std::borrow::Cow;

/// Records of the spool that we encode ourselves: fast, and half the size of plain.
const RECORD_COMPRESSION: (Compression, u32) = (Compression::Zstd, 1);

/// A native message.
#[derive(Debug, Clone, PartialEq)]
pub struct Native<'a> {
    /// Whose it is, if topic or user properties tell. Without it [`Native::session`] is 0.
    pub client: Option<Cow<'a, str>>,
    /// With it the batch is recognised when it comes again; 0 = it is not.
    pub session: SessionId,
    /// The batch's own number.
    pub seq: Seq,
    /// Its content.
    pub batch: Batch,
    /// What the spool keeps: an `Upstream` message, as it was sent (borrowed) or wrapped by us.
    pub record: Cow<'a, [u8]>,
}

/// Reads a message of a `tidegate` route.
///
/// The client is what the topic captures as `{client}`, else the user property `client`; likewise
/// `session`, a number in decimal. The topic comes first, because the broker says who may publish where;
/// anybody may write any property. Tables that don't name a device are of the route's device, or of the
/// client, or of `fallback`.
///
/// # Errors
/// [`Puzzle`].
pub fn native<'a>(
    route: &'a Route,
    captures: &Captures<'a>,
    message: &Message<'a>,
    limits: &Limits,
    fallback: &str,
    scratch: &mut Vec<u8>,
) -> Result<Native<'a>, Puzzle> {
    if message.payload.is_empty() {
        return Err(Puzzle::NoPayload);
    }
    let told = |name: &str| {
        route.captured(captures, name).or_else(|| {
            let told = message.properties.iter().find(|(key, _)| key == name);
            told.map(|(_, value)| value.as_str())
        })
    };
    let client = told("client").filter(|client| !client.is_empty());
    if let Some(client) = client {
        check_name(client, limits.name_bytes).map_err(Puzzle::Client)?;
    }
    let session = match (client, told("session")) {
        (Some(_), Some(text)) => {
            text.parse().map_err(|_| Puzzle::Session { text: super::puzzle::start(text) })?
        }
        _ => 0,
    };
    let device = route.fixed_device(captures);
    let stamp = Stamp {
        received_at: message.received_at,
        booted_at: None,
        client: device.as_deref().or(client).unwrap_or(fallback),
    };
    let plain = inflate(message.payload, limits, scratch)?;
    let (decoded, wrapped) = batch_of(plain, limits, &stamp)?;
    let record = match (&device, wrapped) {
        // Read back, tables without a name would be of the client.
        (Some(_), _) => packed(decode::encode(&decoded.batch, decoded.seq)),
        (None, true) => packed(upstream_of(plain)),
        (None, false) => Cow::Borrowed(message.payload),
    };
    Ok(Native {
        client: client.map(Cow::Borrowed),
        session: SessionId(session),
        seq: decoded.seq,
        batch: decoded.batch,
        record,
    })
}

/// Reads the batch; tells whether it came bare.
///
/// The two forms share field numbers, not types: what is no `Upstream` with a batch may be a `Batch`.
fn batch_of(
    plain: &[u8],
    limits: &Limits,
    stamp: &Stamp<'_>,
) -> Result<(decode::Decoded, bool), Puzzle> {
    let read = |bytes| decode::batch(bytes, limits, stamp);
    let fault = |fault| Puzzle::Batch(Box::new(fault));
    match decode::upstream(plain) {
        Ok(Upstream::Batch(batch)) => Ok((read(batch).map_err(fault)?, false)),
        Ok(Upstream::Hello(_)) => Err(Puzzle::NoBatch { kind: "Hello" }),
        Ok(Upstream::Reported(_)) => Err(Puzzle::NoBatch { kind: "Reported" }),
        Ok(Upstream::Result(_)) => match read(plain) {
            Ok(decoded) => Ok((decoded, true)),
            Err(_) => Err(Puzzle::NoBatch { kind: "CommandResult" }),
        },
        Err(error) => match read(plain) {
            Ok(decoded) => Ok((decoded, true)),
            Err(refused) if refused.code() == crate::wire::RefusalCode::Malformed => {
                Err(Puzzle::Upstream(error))
            }
            Err(refused) => Err(fault(refused)),
        },
    }
}

fn upstream_of(batch: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.delimited(2, batch);
    writer.finish()
}

fn packed<'a>(message: Vec<u8>) -> Cow<'a, [u8]> {
    let (compression, level) = RECORD_COMPRESSION;
    Cow::Owned(match message.len() < COMPRESS_BYTES_MIN {
        true => message,
        false => compress(compression, level, &message),
    })
}

#[cfg(test)]
mod tests;
