//! The ways in, by name.

/// Over what a batch came. The spool stores it beside the payload, and the ledger counts by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// WebSocket; stored as 1.
    Ws,
    /// HTTP; stored as 2.
    Http,
    /// MQTT; stored as 3.
    Mqtt,
    /// A byte that this release has no name for; 0 in checkpoints.
    Other(u8),
}

impl Protocol {
    /// The byte that is stored.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Protocol::Ws => 1,
            Protocol::Http => 2,
            Protocol::Mqtt => 3,
            Protocol::Other(byte) => byte,
        }
    }

    /// As in labels, logs and dead letters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Ws => "ws",
            Protocol::Http => "http",
            Protocol::Mqtt => "mqtt",
            Protocol::Other(_) => "other",
        }
    }

    /// What a stored byte means.
    #[must_use]
    pub fn of_byte(byte: u8) -> Protocol {
        match byte {
            1 => Protocol::Ws,
            2 => Protocol::Http,
            3 => Protocol::Mqtt,
            other => Protocol::Other(other),
        }
    }
}
