//! Those of a subscription who ask again and again.

use super::{Group, Rendered, Tick};
use crate::live::cursor::Cursor;
use crate::live::frame::{Frame, FrameKind};
use crate::live::poll::{PollCursor, Polled, Poller};
use std::sync::Arc;

impl Group {
    /// Answers a poll, if there is something to tell or its time has come; else keeps it.
    pub(super) fn answer(
        &mut self,
        mut poller: Poller,
        is_due: bool,
        status: Option<&Arc<Frame>>,
        tick: &mut Tick<'_>,
        rendered: &mut Vec<Rendered>,
    ) {
        let is_over = tick.elapsed >= poller.deadline;
        poller.cursor = poller.cursor.filter(|&cursor| cursor >= tick.aggregate.forgotten());
        if !is_due && !is_over && poller.cursor.is_some() {
            return self.pollers.push(poller);
        }
        let level = self.subscription.level();
        let Some((parts, next)) = self.rendered(level, poller.cursor, tick, rendered) else {
            return self.pollers.push(poller);
        };
        let is_snapshot = parts.first().is_some_and(|part| part.kind() == FrameKind::Snapshot);
        let since = poller.news.filter(|_| !is_snapshot).and_then(|known| tick.news.since(known));
        let news = match &since {
            Some(since) => self.news(since.devices.iter(), since.alerts.values(), tick),
            None => self.greeting(tick),
        };
        let version = tick.news.version();
        (poller.cursor, poller.news) = (Some(next), Some(version));
        if parts.is_empty() && news.is_empty() && !is_over {
            return self.pollers.push(poller);
        }
        // What was known is void with a snapshot, so that nothing overtakes it.
        let mut frames = news;
        let at = if is_snapshot { 0 } else { frames.len() };
        frames.splice(at..at, parts.iter().cloned());
        frames.extend(status.cloned());
        frames.iter().for_each(|frame| tick.counts.frame(frame));
        let log = Cursor::new(tick.epoch, next);
        let answer = Polled { frames, cursor: PollCursor { log, news: Some(version) } };
        // Who has gone asks again with the cursor that it has.
        drop(poller.answer.send(answer));
    }
}
