//! The live aggregate: a fold over the log into rollups per series, and who of the devices is there.
//!
//! In: [`Aggregate::apply`], record by record, in the order of the log. Out: the state of any series
//! at any level ([`SeriesView::rollups`]), all of it or what changed since a position. Pure and
//! synchronous: it knows of no clock, no file and no viewer, and the same records give the same state.
//!
//! # How a sample becomes a rollup
//! ```text
//! level 0   1 s   [ 7 ][ 8 ][ 9 ][10 ]      only this level is touched by a sample
//!                   │ closes: end + lateness <= watermark of the device
//! level 1  10 s   [ 0 ── acc ──────][10 ─   closed windows are merged in, oldest first
//!                   │ closes
//! level 2   1 min [ 0 ── acc ──────────     what is shown = acc + the open finer windows in it
//!                   ▼ closed ones of every level
//!         ring of closed rollups, bounded in bytes, oldest forgotten first
//! ```
//! - Time is event time. The watermark of a device is the latest timestamp seen of it; it advances
//!   when a whole batch is folded, so that the order of tables within a batch does not matter.
//! - A sample of a window that the watermark has closed is counted as late and not folded; its table
//!   remembers when that last happened, so that viewers can be told to ask history.
//! - The newest window of a series stays where it is until a newer one comes, however long that
//!   takes: so a series that fell silent still shows its last value, at no extra cost.
//! - Windows are closed when their series gets a new one. That is later than it could be and changes
//!   nothing that can be seen: what is shown merges open windows anyway, and lateness is judged by the
//!   watermark alone.
//!
//! Memory: about 300 bytes per series at one sample per second, the names included
//! (`benches/aggregate.rs` measures it), and [`Settings::resume_bytes`] for the ring.

mod arena;
mod batch_rollups;
mod devices;
mod fold;
mod names;
mod ring;
mod rollup;
mod series;
mod settings;
mod view;

#[cfg(test)]
mod model_tests;

pub use devices::{
    Clock, ClockPolicy, ClockState, ClockTerms, Device, DeviceId, Fact, MINUTES, Seed, SeedRest,
    Via,
};
pub use fold::{Aggregate, Counts};
pub use names::{MetricId, SeriesId, TableId};
pub use rollup::{Numbers, Rollup, TEXT_BYTES_MAX, Texts};
pub use series::Kind;
pub use settings::{DeviceTerms, LEVELS_MAX, PresenceTerms, Settings, Windows, WindowsError};
pub use view::{Filter, SeriesView, TableView};
