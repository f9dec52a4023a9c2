//! What a bridge publishes of what live tells.

use super::{Bridge, Phase};
use crate::live::Frame;

/// Publications that may wait in the client for the broker to take them.
const QUEUED_MAX: usize = 10_000;

impl Bridge {
    /// Publishes what is to be published now, as far as the broker takes it. Live tells something every
    /// second at least: what has no room waits for the next time.
    pub(super) fn publish(&mut self, frame: &Frame) {
        let Some(publisher) = &mut self.publisher else { return };
        publisher.hear(frame);
        if let (Phase::Connected { .. }, Some(link)) = (&self.phase, &self.link) {
            for publication in publisher.due(QUEUED_MAX.saturating_sub(link.queued())) {
                link.publish(publication);
            }
        }
        let counts = publisher.counts();
        self.shown.change(|view| {
            (view.published, view.not_published) = (counts.published, counts.dropped);
        });
    }
}
