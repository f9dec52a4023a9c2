//! Alert rules: what somebody wants to be told of, and when it is so.
//!
//! Pure: in go the records of the log, facts about devices and the daemon, and the time; out come
//! [`Transition`]s. The same input gives the same, however it is cut.
//!
//! ```text
//!   Spec ── Rule::new ──► Rule ─┐                        ┌──► Transition ──► Alert
//!   (TOML, JSON)  (checked)     ├──► Watch (the fold) ───┤
//!   record, presence, facts ────┘                        └──► rows of bytes, to go on from later
//! ```
//!
//! Live readings count, in the order of their own time: one that is not newer than the newest of its
//! series changes nothing, and neither do old readings that come out of a device's buffer.

mod alert;
mod check;
mod index;
mod instance;
mod json;
mod memory;
mod rule;
mod spec;
mod stored;
mod text;
mod tracked;
mod transition;
mod watch;

pub use alert::{Acknowledgement, Alert, Event, EventKind, Severity, State, Value};
pub use instance::Change;
pub use rule::{Rule, What};
pub use spec::{Equal, Spec, Wrong};
pub use tracked::Subject;
pub use transition::Transition;
pub use watch::{Fact, Settings, Tally, Watch};
