//! The daemon's status on its way to viewers.

use super::compose::Compose;
use super::frame::Frame;
use super::subscription::{Form, Subscription};
use std::sync::Arc;

/// The object of `/api/v1/status`, each a line of JSON.
#[derive(Debug, Clone)]
pub(super) struct StatusTold {
    /// For who reaches all devices.
    pub whole: Arc<str>,
    /// For who reaches some.
    pub within: Arc<str>,
}

/// The same as frames, made once for all viewers.
pub(super) struct StatusFrames {
    whole: [Arc<Frame>; 2],
    within: [Arc<Frame>; 2],
}

impl StatusFrames {
    pub fn of(told: &StatusTold, now_ms: i64) -> StatusFrames {
        let frames = |json: &str| {
            [Form::Json, Form::Protobuf].map(|form| Compose { form, now_ms }.status(json))
        };
        StatusFrames { whole: frames(&told.whole), within: frames(&told.within) }
    }

    /// The one for these viewers.
    pub fn of_subscription(&self, subscription: &Subscription) -> Arc<Frame> {
        let [json, protobuf] = match subscription.reach().is_all() {
            true => &self.whole,
            false => &self.within,
        };
        match subscription.form() {
            Form::Json => json.clone(),
            Form::Protobuf => protobuf.clone(),
        }
    }
}
