//! What goes over the wire: messages, their compression, the caps they must keep, and the codes of
//! answers.
//!
//! The contract is `proto/tidegate/v1/ingest.proto`. Its generated types stay inside this room;
//! others see the plain types re-exported here. The one message that is not read here is `Batch`:
//! that is [`decode`](crate::decode)'s, because prost has no limits on elements and can be made to
//! allocate 138 MB by 1 KB.

mod codes;
mod compress;
mod desired;
mod inflate;
mod limits;
mod message;
pub(crate) mod proto;
mod snappy;
mod writer;

pub use codes::{CloseCode, Place, RefusalCode};
pub use compress::{COMPRESS_BYTES_MIN, compress};
pub use desired::{Desired, Reported, encode_reported};
pub use inflate::{Compression, InflateError, RATIO_FREE_BYTES, inflate, inflate_as, inflate_raw};
pub use limits::{
    COLUMNS, INFLATED_BYTES, INFLATED_RATIO, Limits, MAX_AGE, MAX_AHEAD, MESSAGE_BYTES, NAME_BYTES,
    ROWS, SAMPLES, TABLES, TAGS, TEXT_BYTES,
};
pub use message::{
    CONTROL_BYTES_MAX, Command, CommandResult, Credit, Downstream, Hello, MessageError, Retry,
    Welcome, encode_hello, encode_result,
};
pub use snappy::unsnap;
pub use writer::Writer;
