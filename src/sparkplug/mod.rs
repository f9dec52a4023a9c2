//! A Sparkplug B 3.0 host application, as a state machine that is told messages and the time.
//!
//! Edge *nodes* publish under `spBv1.0/group/type/node[/device]`: births with all their metrics, data
//! with what changed (often only numbers, the *aliases*, that the birth gave to names), deaths. Their
//! messages are numbered 0 to 255 and round again, all at QoS 0: what is missing is noticed, not
//! delivered again.
//!
//! Doors: [`Host`] is told what comes from the broker and answers with [`Heard`]: readings, who came
//! and went, and what is to be done at the broker. Who owns it also keeps what it wants remembered.
//! `docs/sparkplug.md` says what becomes of what.
//!
//! A message passes `topic` → `payload` (bounded reader) → `node` (births, `order`, `asking`) →
//! `table` (what an alias is) → `telling` and `value` (readings). A reading is attributed by a birth
//! or not at all. Requirements of the specification are cited by their ids (`tck-id-…`) where they
//! decide.

mod array;
mod asking;
mod command;
mod context;
mod datatype;
mod heard;
mod host;
mod node;
mod numbers;
mod order;
mod payload;
mod properties;
mod proto;
mod puzzle;
mod remembered;
mod scope;
mod settings;
mod state;
mod table;
mod telling;
mod topic;
mod value;
mod waiting;

pub use command::CommandError;
pub use datatype::DataType;
pub use heard::{Act, Heard, HeardReading, NodeId, Presence, REFUSALS_MAX, Standing, Will};
pub use host::Host;
pub use puzzle::{Puzzle, PuzzleKind};
pub use remembered::Damaged;
pub use settings::{
    CONFIRM_INTERVAL, Caps, DEVICE, Naming, NamingError, ONLINE_METRIC, REBIRTH_INTERVAL_MIN,
    REORDER_TIMEOUT, Settings,
};

#[cfg(test)]
mod broker_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod value_tests;
