//! Commands: what people want devices to do, and what devices should be set to.
//!
//! ```text
//!  web ──requests──► thread ──────► commands.db      durable before anybody is told
//!                    │   ▲
//!          errands   ▼   │  answers, reports, who came and went
//!                    lines  ◄──► conversations: WebSockets of clients, bridges to brokers
//! ```
//!
//! One thread owns the book and the open commands. It asks live ([`Whereabouts`]) who speaks for a
//! device, and hands over through the [`Line`] of that conversation. A command is on disk before its id is
//! told, and "sent" is on disk before the command is handed over.
//!
//! Bounds: commands open of one device and of all ([`Settings`]), errands on a line, documents by
//! number and bytes, and what is kept of what is over, by age and number. Garbage that devices say
//! is counted at the line and costs no more.
//!
//! Door: [`open`], [`Commands`].

mod book;
mod command;
mod desired;
mod desk;
mod handle;
mod lines;
mod round;
mod worker;

pub use book::BookError;
pub(crate) use book::FORMAT;
pub use command::{Answer, CancelError, Carrier, Command, Delivery, State, Via, Wish};
pub use desired::{DOCUMENT_BYTES_MAX, Desired, Reported};
pub use desk::{Full, LineId};
pub use handle::{Commands, CommandsError, Looking, Settings, Stats, View, Whereabouts, open};
pub use lines::{Errand, Line, Reply};
