//! What a device should be set to, and what it says that it is.

use super::message::{MessageError, decode, encode_upstream};
use super::proto::{self, upstream};

/// What a device should be set to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Desired {
    /// Rises with each change.
    pub version: u64,
    /// Which device.
    pub device: String,
    /// JSON.
    pub document: Vec<u8>,
}

/// What a device says that it is set to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Reported {
    /// Which device; empty = the client itself.
    pub device: String,
    /// The version of which it speaks.
    pub version: u64,
    /// Whether it took it.
    pub ok: bool,
    /// For a person to read.
    pub message: String,
    /// What it is set to: JSON, or nothing.
    pub document: Vec<u8>,
}

impl Reported {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Reported, MessageError> {
        let proto::Reported { device, version, ok, message, document } = decode(bytes)?;
        Ok(Reported { device, version, ok, message, document })
    }
}

/// An `Upstream` message with this report.
#[must_use]
pub fn encode_reported(reported: &Reported) -> Vec<u8> {
    let Reported { device, version, ok, message, document } = reported.clone();
    let reported = proto::Reported { device, version, ok, message, document };
    encode_upstream(upstream::Message::Reported(reported))
}

impl From<Desired> for proto::Desired {
    fn from(Desired { version, device, document }: Desired) -> proto::Desired {
        proto::Desired { version, device, document }
    }
}

impl From<proto::Desired> for Desired {
    fn from(proto::Desired { version, device, document }: proto::Desired) -> Desired {
        Desired { version, device, document }
    }
}
