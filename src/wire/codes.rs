//! The enumerated answers: why a batch was refused, why a connection was closed.

use std::fmt;

/// Declares an enum whose numbers and names are those of the `.proto`, which a test compares.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident : $int:ty {
        $($(#[$variant_doc:meta])* $variant:ident = $number:literal $proto:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr($int)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $number,)*
        }

        impl $name {
            /// Every code there is.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// Its number on the wire.
            #[must_use]
            pub fn number(self) -> $int {
                self as $int
            }

            /// Its name in the `.proto`: what people read in answers, logs and metrics.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $proto,)* }
            }

            /// The code with that number, if there is one.
            #[must_use]
            pub fn from_number(number: $int) -> Option<$name> {
                match number { $($number => Some($name::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

codes! {
    /// Why a batch was refused.
    RefusalCode: i32 {
        /// Not a protobuf Batch, or damaged compression.
        Malformed = 1 "MALFORMED",
        /// Inflates to more than allowed.
        TooLarge = 2 "TOO_LARGE",
        /// More tables, columns, rows, samples or tags than allowed.
        LimitExceeded = 3 "LIMIT_EXCEEDED",
        /// A name is empty, too long, has control characters, or is given twice.
        BadName = 4 "BAD_NAME",
        /// A column does not fit its table, or not exactly one type is filled.
        BadShape = 5 "BAD_SHAPE",
        /// NaN or infinity.
        NotFinite = 6 "NOT_FINITE",
        /// Older than allowed.
        TimeTooOld = 7 "TIME_TOO_OLD",
        /// Too far in the future.
        TimeTooFarAhead = 8 "TIME_TOO_FAR_AHEAD",
        /// Seq 0, or too many gaps.
        BadSeq = 9 "BAD_SEQ",
        /// No samples in it.
        Empty = 10 "EMPTY",
        /// A text value is too long.
        TextTooLong = 11 "TEXT_TOO_LONG",
        /// This client may not write this device; comes with tokens.
        Forbidden = 12 "FORBIDDEN",
        /// More unanswered batches or bytes than granted.
        OverCredit = 20 "OVER_CREDIT",
        /// More batches or samples per second than this client may send.
        RateLimited = 21 "RATE_LIMITED",
        /// New series arrive faster, or are more in all, than the daemon takes.
        TooManySeries = 22 "TOO_MANY_SERIES",
        /// The daemon's intake is full.
        Overloaded = 23 "OVERLOADED",
        /// The spool has reached its cap.
        SpoolFull = 24 "SPOOL_FULL",
        /// The disk refused the write.
        StorageFailed = 25 "STORAGE_FAILED",
        /// The daemon is stopping (over HTTP; a WebSocket is closed with `Restart`).
        ShuttingDown = 26 "SHUTTING_DOWN",
        /// The device's clock is off, and the operator wants no such readings.
        ClockOff = 27 "CLOCK_OFF",
    }
}

codes! {
    /// Why a WebSocket connection was closed; the `.proto` says of each whether to reconnect.
    CloseCode: u16 {
        /// The client closed.
        Normal = 1000 "NORMAL",
        /// Not WebSocket as RFC 6455 has it.
        ProtocolError = 1002 "PROTOCOL_ERROR",
        /// A text message.
        UnsupportedData = 1003 "UNSUPPORTED_DATA",
        /// Not an Upstream message.
        BadPayload = 1007 "BAD_PAYLOAD",
        /// Not allowed; comes with tokens.
        Policy = 1008 "POLICY",
        /// Above `limits.message_bytes`.
        MessageTooBig = 1009 "MESSAGE_TOO_BIG",
        /// The daemon stops or restarts.
        Restart = 1012 "RESTART",
        /// Too many clients connect at once.
        TryLater = 1013 "TRY_LATER",
        /// A newer connection of the same client and session came.
        Replaced = 4001 "REPLACED",
        /// The client went on sending over its credit.
        OverCredit = 4002 "OVER_CREDIT_CLOSE",
        /// The first message was not a valid Hello, or none came in time.
        HelloExpected = 4003 "HELLO_EXPECTED",
        /// No answer to a ping.
        PongTimeout = 4004 "PONG_TIMEOUT",
        /// Nothing sent for the configured time.
        Idle = 4005 "IDLE",
    }
}

impl RefusalCode {
    /// Whether the same bytes may enter later; otherwise the batch itself is at fault.
    #[must_use]
    pub fn may_enter_later(self) -> bool {
        self.number() >= RefusalCode::OverCredit.number()
    }
}

/// Where in a batch a fault is, as far as it is in one place; counted from 0.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which table of the batch.
    pub table: Option<u32>,
    /// Which column of the table.
    pub column: Option<u32>,
    /// Which row of the table.
    pub row: Option<u32>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("table", self.table), ("column", self.column), ("row", self.row)];
        let mut separator = "";
        for (what, index) in parts {
            if let Some(index) = index {
                write!(f, "{separator}{what} {index}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::proto;

    #[test]
    fn every_code_is_as_the_contract_has_it() {
        for code in RefusalCode::ALL {
            let generated = proto::RefusalCode::try_from(code.number()).unwrap();
            assert_eq!(code.name(), generated.as_str_name());
            assert_eq!(RefusalCode::from_number(code.number()), Some(*code));
        }
        let generated = (1..1000).filter(|&n| proto::RefusalCode::try_from(n).is_ok()).count();
        assert_eq!(generated, RefusalCode::ALL.len());
        for code in CloseCode::ALL {
            let generated = proto::CloseCode::try_from(i32::from(code.number())).unwrap();
            assert_eq!(code.name(), generated.as_str_name());
        }
        let generated = (1..9999).filter(|&n| proto::CloseCode::try_from(n).is_ok()).count();
        assert_eq!(generated, CloseCode::ALL.len());
    }

    #[test]
    fn a_place_reads_well() {
        let place = Place { table: Some(0), column: None, row: Some(7) };
        assert_eq!(place.to_string(), "table 0, row 7");
        assert_eq!(Place::default().to_string(), "");
    }
}
