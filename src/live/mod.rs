//! Live: what happens now, on every screen that wants to see it.
//!
//! In: a [`Feed`], which reads the log, and subscriptions. Out: [`Frame`]s, through a [`Viewer`] that
//! a transport ([`sse`], [`ws`]) sends on. One thread owns the [`Aggregate`](crate::aggregate): it
//! folds what the feed brings and, tick by tick, renders for each distinct subscription one frame
//! that all its viewers share. It waits for nobody.
//!
//! # A viewer who does not keep up
//! It has two places where frames wait for it: control frames in a small queue, none of which is
//! lost (if that queue overflows, the viewer is ended), and one place for data. A data frame that
//! still lies there when the next one is due is taken back; when the viewer asks again, it gets all
//! that it missed in one frame, rendered for its cursor, or a fresh snapshot if that is no longer
//! known. So a viewer that never reads holds on to nothing. How long frames lie unread is measured: the
//! longer, the less often a viewer gets them, and at last in coarser windows, which hold the same in
//! fewer rollups; it is told (`degraded`).
//!
//! # Resuming, also across a restart
//! A frame's id is the log's epoch and the position up to which it was folded, so it means the same to
//! the next process. [`Feed::keep_from`] says which part of the log that process will need: all that
//! tells of windows that were open [`Settings::resume_keep`] ago.

mod alerts;
mod compose;
mod cursor;
mod device_desk;
mod feed;
mod floors;
mod frame;
mod group;
mod gzip;
mod handle;
mod hub;
mod hub_clocks;
mod hub_devices;
mod mailbox;
mod matcher;
mod news;
mod pace;
mod poll;
mod presence;
mod protobuf;
mod remedies;
mod render;
pub mod sse;
mod status;
mod subscription;
mod unsaved;
mod watch;
pub mod ws;
mod ws_messages;

#[cfg(test)]
mod alerts_tests;
#[cfg(test)]
mod hub_tests;
#[cfg(test)]
mod limits_tests;
#[cfg(test)]
mod poll_tests;
#[cfg(test)]
mod reach_tests;
#[cfg(test)]
mod resume_tests;
#[cfg(test)]
mod rig;

pub use crate::aggregate::{Clock, ClockPolicy, ClockState, Seed, SeedRest, Via};
pub use cursor::{Cursor, CursorError};
pub use device_desk::{Amendment, Connected};
pub use feed::{Begin, Entry, Feed, FeedNext};
pub use frame::{Frame, FrameKind};
pub use group::Counts;
pub use handle::{Live, Settings, Stats, SubscribeError, ViewerCounts};
pub use hub::Hub;
pub use mailbox::{End, Transport, Viewer};
pub use poll::{PollCursor, PollQuery, Polled};
pub use presence::{ClientInfo, DeviceDetail, DeviceState, KnownDevice, RefusalNote};
pub use remedies::{Remedies, Remedy};
pub use subscription::{Form, LiveQuery, Subscription, SubscriptionError, window_name};
pub use watch::{DeviceNews, DeviceWatch, Heard};
