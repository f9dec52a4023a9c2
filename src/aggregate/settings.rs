//! What the administrator may choose about the aggregate.

use super::devices::{ClockPolicy, ClockTerms};
use crate::model::NANOS_PER_MILLI;
use std::time::Duration;
use thiserror::Error;

/// The most levels of windows there can be; each costs four bytes per series.
pub const LEVELS_MAX: usize = 4;

/// How the aggregate folds and what it keeps.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The widths of windows.
    pub windows: Windows,
    /// How long after its end a window still takes samples, measured in the device's own time.
    pub lateness: Duration,
    /// The most bytes of closed rollups that are kept for viewers who resume.
    pub resume_bytes: usize,
    /// How devices are judged.
    pub devices: DeviceTerms,
    /// How long after its last receipt a device's open windows hold back the log. A device that is
    /// gone for good must not keep the log from being trimmed.
    pub hold: Duration,
    /// The most series; samples of further ones are counted and not folded.
    pub series_max: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            windows: Windows::default(),
            lateness: Duration::from_secs(2),
            resume_bytes: 16 << 20,
            devices: DeviceTerms::default(),
            hold: Duration::from_secs(5 * 60),
            series_max: 2_000_000,
        }
    }
}

/// How devices are judged; other terms may come while it folds.
#[derive(Debug, Clone)]
pub struct DeviceTerms {
    /// When one is called offline.
    pub presence: PresenceTerms,
    /// How their clocks are judged.
    pub clocks: ClockTerms,
    /// What is done when one is off, unless an operator said something else of its device.
    pub clock_policy: ClockPolicy,
    /// Devices never seen before are to be looked at by an operator.
    pub inbox: bool,
}

impl Default for DeviceTerms {
    fn default() -> DeviceTerms {
        DeviceTerms {
            presence: PresenceTerms::default(),
            clocks: ClockTerms::default(),
            clock_policy: ClockPolicy::default(),
            inbox: true,
        }
    }
}

/// When a device is called offline.
#[derive(Debug, Clone)]
pub struct PresenceTerms {
    /// After the silence of so many usual intervals,
    pub missed: u32,
    /// but after no shorter one than this, unless an operator told the interval.
    pub offline_after: Duration,
    /// So long after its client's connection was closed, if that is not back.
    pub reconnect_grace: Duration,
}

impl Default for PresenceTerms {
    fn default() -> PresenceTerms {
        PresenceTerms {
            missed: 3,
            offline_after: Duration::from_secs(30),
            reconnect_grace: Duration::from_secs(5),
        }
    }
}

/// The widths of windows, finest first, each a multiple of the one before. A level is an index into
/// them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    widths: Vec<i64>,
}

/// Why widths of windows can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WindowsError {
    /// None, or more than there may be.
    #[error("{count} windows are given, 1 to {LEVELS_MAX} are possible")]
    Count {
        /// How many were given.
        count: usize,
    },
    /// The finest is not a whole number of milliseconds, as starts of windows are told in those.
    #[error("the finest window of {width_ns} ns is not a whole number of milliseconds")]
    NotMillis {
        /// Its width in nanoseconds.
        width_ns: u128,
    },
    /// One is not a larger multiple of the one before it.
    #[error("window {level} is not a larger multiple of the one before it")]
    NotMultiple {
        /// Index of the one that is at fault.
        level: usize,
    },
    /// One is longer than a day.
    #[error("window {level} is longer than a day")]
    TooLong {
        /// Index of the one that is at fault.
        level: usize,
    },
}

/// Longest window: wider ones belong to the history.
const WIDTH_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl Windows {
    /// Windows of these widths, finest first.
    ///
    /// # Errors
    /// [`WindowsError`] says which one can't be used.
    pub fn new(widths: &[Duration]) -> Result<Windows, WindowsError> {
        if widths.is_empty() || widths.len() > LEVELS_MAX {
            return Err(WindowsError::Count { count: widths.len() });
        }
        let mut checked: Vec<i64> = Vec::new();
        for (level, width) in widths.iter().enumerate() {
            if *width > WIDTH_MAX {
                return Err(WindowsError::TooLong { level });
            }
            let nanos = i64::try_from(width.as_nanos()).unwrap_or(i64::MAX);
            match checked.last() {
                None if nanos == 0 || nanos % NANOS_PER_MILLI != 0 => {
                    return Err(WindowsError::NotMillis { width_ns: width.as_nanos() });
                }
                Some(finer) if nanos <= *finer || nanos % finer != 0 => {
                    return Err(WindowsError::NotMultiple { level });
                }
                _ => checked.push(nanos),
            }
        }
        Ok(Windows { widths: checked })
    }

    /// How many there are.
    #[must_use]
    pub fn levels(&self) -> usize {
        self.widths.len()
    }

    /// Width of a level in nanoseconds.
    ///
    /// # Panics
    /// If there is no such level, as slices do.
    #[must_use]
    pub fn width(&self, level: usize) -> i64 {
        self.widths[level]
    }

    /// The level of exactly this width.
    #[must_use]
    pub fn level_of(&self, width: Duration) -> Option<usize> {
        let nanos = i64::try_from(width.as_nanos()).ok()?;
        self.widths.iter().position(|&known| known == nanos)
    }

    /// Start of the window of `level` that holds `time`.
    #[must_use]
    pub fn start(&self, level: usize, time: i64) -> i64 {
        align(time, self.widths[level])
    }

    pub(super) fn coarsest(&self) -> i64 {
        self.widths.last().copied().unwrap_or(1)
    }
}

/// The largest multiple of `width` that is not after `time`.
pub(super) fn align(time: i64, width: i64) -> i64 {
    time.div_euclid(width).saturating_mul(width)
}

impl Default for Windows {
    fn default() -> Windows {
        Windows { widths: vec![1_000_000_000, 10_000_000_000, 60_000_000_000] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(millis: &[u64], expected: Result<(), WindowsError>) {
        let widths: Vec<_> = millis.iter().map(|&ms| Duration::from_millis(ms)).collect();
        assert_eq!(Windows::new(&widths).map(|_| ()), expected, "{millis:?}");
    }

    #[test]
    fn each_window_is_a_larger_multiple_of_the_one_before() {
        check(&[1000, 10_000, 60_000], Ok(()));
        check(&[250], Ok(()));
        check(&[], Err(WindowsError::Count { count: 0 }));
        check(&[1, 2, 4, 8, 16], Err(WindowsError::Count { count: 5 }));
        check(&[0], Err(WindowsError::NotMillis { width_ns: 0 }));
        check(&[1000, 1500], Err(WindowsError::NotMultiple { level: 1 }));
        check(&[1000, 1000], Err(WindowsError::NotMultiple { level: 1 }));
        check(&[1000, 100_000_000], Err(WindowsError::TooLong { level: 1 }));
    }

    #[test]
    fn windows_before_the_epoch_start_before_their_samples() {
        let windows = Windows::default();
        assert_eq!(windows.start(0, -1), -1_000_000_000);
        assert_eq!(windows.start(1, 10_999_999_999), 10_000_000_000);
    }
}
