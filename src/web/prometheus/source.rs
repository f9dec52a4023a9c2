//! The history as a source of series, within what a caller reaches.

use super::answer::Fault;
use crate::clock;
use crate::model::Reach;
use crate::promql::{DEVICE, EvalError, Labels, Selector, Source, SourceError, Tell, View};
use crate::sinks::history::{Found, Kind, QueryError, Reader};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Samples that a question reads, over all its series.
const SAMPLES_MAX: usize = 20_000_000;
/// Samples of one series: as many are in memory at once.
pub const SERIES_SAMPLES_MAX: usize = 2_000_000;

/// Series that are looked at before it is asked again whether the answer is still wanted.
const SERIES_BETWEEN_LOOKS: u32 = 4096;

/// Until when, and for whom.
pub(super) struct Wanted {
    pub deadline: Instant,
    /// Who asked has left.
    pub left: Arc<AtomicBool>,
}

/// What a caller sees of the history.
pub(super) struct History<'a> {
    reader: &'a Reader,
    reach: &'a Reach,
    wanted: Wanted,
    samples: Cell<usize>,
    damaged_chunks: Cell<u64>,
}

impl<'a> History<'a> {
    pub fn new(reader: &'a Reader, reach: &'a Reach, wanted: Wanted) -> History<'a> {
        History { reader, reach, wanted, samples: Cell::new(0), damaged_chunks: Cell::new(0) }
    }

    /// How many chunks were left out because they are damaged.
    pub fn damaged_chunks(&self) -> u64 {
        self.damaged_chunks.get()
    }

    /// The series that one of these selects (none: all), with samples in a range, as numbers.
    pub fn among(
        &self,
        selectors: &[Selector],
        (from, to): (i64, i64),
    ) -> Result<Vec<Found>, Fault> {
        let mut look = self.patient();
        let found = self.reader.find(
            |device| self.reach.allows(device),
            |series, tags| {
                if !look() {
                    return false;
                }
                let view = View { device: &series.device, metric: &series.metric, tags };
                let is_meant = selectors.is_empty() || selectors.iter().any(|it| it.fits(&view));
                is_number(series) && series.first <= to && series.last >= from && is_meant
            },
        );
        self.go_on().map_err(|error| Fault::Evaluation(error.into()))?;
        Ok(found)
    }

    /// Says, asked of each series, whether to look at it: not any more once the answer is not wanted.
    fn patient(&self) -> impl FnMut() -> bool {
        let (mut looked, mut wanted) = (0_u32, true);
        move || {
            looked = looked.wrapping_add(1);
            if wanted && looked.is_multiple_of(SERIES_BETWEEN_LOOKS) {
                wanted = self.go_on().is_ok();
            }
            wanted
        }
    }

    fn tell(&self, series: &Found, after: i64, to: i64, tell: Tell<'_>) -> Result<(), EvalError> {
        self.go_on()?;
        let (from, until) = (after.saturating_add(1), to.saturating_add(1));
        let left = SAMPLES_MAX.saturating_sub(self.samples.get());
        let max = left.min(SERIES_SAMPLES_MAX);
        let numbers =
            self.reader.numbers(series, from, until, max).map_err(|error| match error {
                QueryError::TooLarge { max } if max < SERIES_SAMPLES_MAX => {
                    SourceError::TooManySamples { max: SAMPLES_MAX }
                }
                QueryError::TooLarge { max } => SourceError::TooManySamples { max },
                error => {
                    log::error!(error:% = error; "the history could not be read");
                    SourceError::Unreadable
                }
            })?;
        self.samples.set(self.samples.get() + numbers.times.len());
        self.damaged_chunks.set(self.damaged_chunks.get() + numbers.damaged_chunks);
        let labels = Labels::of_series(&series.device, &series.metric, &series.tags());
        tell(labels, &numbers.times, &numbers.values)
    }
}

/// Texts are no series here.
fn is_number(series: &Found) -> bool {
    series.kind != Kind::Text
}

impl Source for History<'_> {
    fn select(
        &self,
        selector: &Selector,
        after: i64,
        to: i64,
        tell: Tell<'_>,
    ) -> Result<(), EvalError> {
        let devices: Vec<_> =
            selector.matchers.iter().filter(|matcher| matcher.name == DEVICE).collect();
        let mut look = self.patient();
        let found = self.reader.find(
            |device| {
                self.reach.allows(device) && devices.iter().all(|matcher| matcher.fits(device))
            },
            |series, tags| {
                if !look() {
                    return false;
                }
                let view = View { device: &series.device, metric: &series.metric, tags };
                let has_samples = series.first <= to && series.last > after;
                is_number(series) && has_samples && selector.fits(&view)
            },
        );
        self.go_on()?;
        found.iter().try_for_each(|series| self.tell(series, after, to, tell))
    }

    fn go_on(&self) -> Result<(), SourceError> {
        if self.wanted.left.load(Ordering::Relaxed) {
            return Err(SourceError::Left);
        }
        if clock::monotonic() >= self.wanted.deadline {
            return Err(SourceError::TimedOut);
        }
        Ok(())
    }
}
