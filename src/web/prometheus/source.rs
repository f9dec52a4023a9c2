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
const SAMPLES_MAX: usize = if cfg!(test) { 100 } else { 20_000_000 };
/// Samples of one series: as many are in memory at once.
pub const SERIES_SAMPLES_MAX: usize = if cfg!(test) { 60 } else { 2_000_000 };

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BatchBuilder, Position, Timestamp};
    use crate::promql::parse_selector;
    use crate::sinks::Sink;
    use crate::sinks::history::{Opened, Options, open};
    use std::time::Duration;

    const SECOND: i64 = 1_000_000_000;

    /// Two devices with 60 samples each, one of them with a text as well; all in the file.
    fn plant(folder: &tempfile::TempDir) -> Opened {
        let mut opened = open(Options::new(folder.path().join("history.db"), 7)).unwrap();
        for (device, position) in [("fan", 1), ("pump", 2)] {
            let mut builder = BatchBuilder::new();
            builder.table(device, &mut [], (1..=60).map(|row| row * SECOND)).unwrap();
            builder.ints("flow", "", 1..=60, &[]).unwrap();
            if device == "pump" {
                builder.texts("state", "", (1..=60).map(|_| "idle"), &[]).unwrap();
            }
            opened.writer.write(&builder.finish(), Position(position)).unwrap();
        }
        opened.writer.flush(Timestamp(100 * SECOND)).unwrap();
        opened
    }

    fn wanted(within: Duration, left: bool) -> Wanted {
        Wanted { deadline: clock::monotonic() + within, left: Arc::new(AtomicBool::new(left)) }
    }

    /// How many samples of each series are told, in the order of devices.
    fn told(history: &History<'_>, selector: &str, to: i64) -> Result<Vec<usize>, EvalError> {
        let mut told = Vec::new();
        let selector = parse_selector(selector).unwrap();
        history.select(&selector, 0, to * SECOND, &mut |_, times, _| {
            told.push(times.len());
            Ok(())
        })?;
        Ok(told)
    }

    #[test]
    fn what_is_read_is_bounded_for_each_series_and_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let Opened { mut writer, reader, .. } = plant(&folder);
        let (all, patient) = (Reach::all(), || wanted(Duration::from_secs(60), false));
        let history = || History::new(&reader, &all, patient());
        assert_eq!(told(&history(), "{__name__=~\".+\"}", 40), Ok(vec![40, 40]), "no texts");
        assert_eq!(told(&history(), "flow{device=\"fan\"}", 60), Ok(vec![60]));
        let too_many = |max| Err(SourceError::TooManySamples { max }.into());
        assert_eq!(told(&history(), "flow", 60), too_many(SAMPLES_MAX));
        // Over all the selectors of a question.
        let both = history();
        assert_eq!(told(&both, "flow{device=\"fan\"}", 60), Ok(vec![60]));
        assert_eq!(told(&both, "flow{device=\"pump\"}", 60), too_many(SAMPLES_MAX));
        let mut builder = BatchBuilder::new();
        builder.table("fan", &mut [], [61 * SECOND]).unwrap();
        builder.ints("flow", "", [61], &[]).unwrap();
        writer.write(&builder.finish(), Position(3)).unwrap();
        let one_more = told(&history(), "flow{device=\"fan\"}", 61);
        assert_eq!(one_more, too_many(SERIES_SAMPLES_MAX));
    }

    #[test]
    fn who_may_not_see_a_device_is_told_nothing_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let Opened { reader, .. } = plant(&folder);
        let reach = Reach::only("fan").unwrap();
        let history = History::new(&reader, &reach, wanted(Duration::from_secs(60), false));
        assert_eq!(told(&history, "flow", 40), Ok(vec![40]));
        assert_eq!(told(&history, "flow{device=\"pump\"}", 40), Ok(vec![]));
        let found = history.among(&[], (i64::MIN, i64::MAX)).unwrap();
        assert!(found.iter().all(|it| &*it.device == "fan") && found.len() == 1);
        assert_eq!(history.among(&[], (61 * SECOND, i64::MAX)).unwrap().len(), 0, "none so late");
    }

    #[test]
    fn a_question_ends_in_time_and_with_its_asker() {
        let folder = tempfile::tempdir().unwrap();
        let Opened { reader, .. } = plant(&folder);
        let reach = Reach::all();
        for (wanted, expected) in [
            (wanted(Duration::ZERO, false), SourceError::TimedOut),
            (wanted(Duration::from_secs(60), true), SourceError::Left),
        ] {
            let history = History::new(&reader, &reach, wanted);
            assert_eq!(told(&history, "flow", 40), Err(expected.into()));
            assert!(history.among(&[], (i64::MIN, i64::MAX)).is_err());
        }
    }

    #[test]
    fn what_is_damaged_is_left_out_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let Opened { reader, writer, .. } = plant(&folder);
        drop(writer);
        let file = rusqlite::Connection::open(folder.path().join("history.db")).unwrap();
        let damaged = file.execute("UPDATE chunk SET t1 = t1 + 1 WHERE typ IN (1, 2)", []).unwrap();
        assert!(damaged > 0);
        let reach = Reach::all();
        let history = History::new(&reader, &reach, wanted(Duration::from_secs(60), false));
        assert_eq!(told(&history, "flow", 40), Ok(vec![0, 0]));
        assert_eq!(history.damaged_chunks(), 2);
    }
}
