//! What a client's message is.

use super::reader::{DEPTH_MAX, Fields, Malformed};
use crate::wire::{CommandResult, Hello, MessageError, Reported};
use thiserror::Error;

/// A client's message.
#[derive(Debug, Clone, PartialEq)]
pub enum Upstream<'a> {
    /// Who is speaking.
    Hello(Hello),
    /// A `Batch`, not yet read: for [`batch`](super::batch()).
    Batch(&'a [u8]),
    /// The answer to a command.
    Result(CommandResult),
    /// What a device is set to.
    Reported(Reported),
}

/// Why a message can't be one. The connection is closed: nothing after it can be trusted either.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UpstreamError {
    /// It is not protobuf.
    #[error("not a valid protobuf Upstream")]
    Malformed,
    /// It holds nothing that this version knows.
    #[error("an Upstream without a hello, batch, result or report")]
    Unknown,
    /// It holds more than one message. (Protobuf would merge or drop them; no writer makes these.)
    #[error("an Upstream with more than one message")]
    Several,
    /// Its hello, result or report can't be read.
    #[error(transparent)]
    Control(#[from] MessageError),
}

impl From<Malformed> for UpstreamError {
    fn from(_: Malformed) -> UpstreamError {
        UpstreamError::Malformed
    }
}

/// Tells what an inflated message is. A batch is not read yet, so that it costs nothing to refuse it
/// for the lack of credit, say.
///
/// # Errors
/// [`UpstreamError`].
pub fn upstream(bytes: &[u8]) -> Result<Upstream<'_>, UpstreamError> {
    let mut fields = Fields::new(bytes, DEPTH_MAX);
    let mut found = None;
    while let Some((tag, value)) = fields.next()? {
        if let 1..=4 = tag
            && found.replace((tag, value.bytes()?)).is_some()
        {
            return Err(UpstreamError::Several);
        }
    }
    match found {
        Some((1, hello)) => Ok(Upstream::Hello(Hello::decode(hello)?)),
        Some((2, batch)) => Ok(Upstream::Batch(batch)),
        Some((3, result)) => Ok(Upstream::Result(CommandResult::decode(result)?)),
        Some((_, reported)) => Ok(Upstream::Reported(Reported::decode(reported)?)),
        None => Err(UpstreamError::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SessionId;
    use crate::wire::{Compression, encode_hello, encode_reported, encode_result};

    #[test]
    fn each_kind_of_message_is_told_apart() {
        let hello = Hello {
            client: "pump-7".into(),
            session: SessionId(9),
            labels: [("site".into(), "a".into())].into(),
            accept: Compression::Zstd,
            ..Hello::default()
        };
        assert_eq!(upstream(&encode_hello(&hello)), Ok(Upstream::Hello(hello)));
        let result = CommandResult { id: 3, ok: true, ..CommandResult::default() };
        assert_eq!(upstream(&encode_result(&result)), Ok(Upstream::Result(result)));
        let reported = Reported { version: 3, ok: true, ..Reported::default() };
        assert_eq!(upstream(&encode_reported(&reported)), Ok(Upstream::Reported(reported)));
        assert_eq!(upstream(&[0x12, 2, 8, 1]), Ok(Upstream::Batch(&[8, 1])));
        // An unknown field beside it is skipped.
        assert_eq!(upstream(&[0x78, 5, 0x12, 2, 8, 1]), Ok(Upstream::Batch(&[8, 1])));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for (bytes, expected) in [
            (&[][..], UpstreamError::Unknown),
            (&[0x78, 5], UpstreamError::Unknown),
            (&[0x12, 0, 0x12, 0], UpstreamError::Several),
            (&[0x12, 9], UpstreamError::Malformed),
            (&[0x10, 9], UpstreamError::Malformed),
            (b"hello", UpstreamError::Malformed),
        ] {
            assert_eq!(upstream(bytes), Err(expected), "{bytes:x?}");
        }
        assert!(matches!(upstream(&[0x0a, 1, 7]), Err(UpstreamError::Control(_))));
    }
}
