//! Pressure, and the credit that follows from it: how producers are slowed before anything is full.
//!
//! | pressure | credit | least interval |
//! |---|---|---|
//! | up to 0.50 | full | none |
//! | 0.50 to 0.95 | falls evenly to one batch | rises evenly to 1 s |
//! | above 0.95 | one batch | 1 s |

use std::time::Duration;

/// Below this pressure nobody is slowed.
const SLOW_FROM: f64 = 0.50;
/// From this pressure on everybody is slowed as far as can be.
const SLOWEST_FROM: f64 = 0.95;
/// Interval between batches at the highest pressure.
const INTERVAL_MAX: Duration = Duration::from_secs(1);
/// Steps in which pressure is told: a change smaller than this is nobody's business.
const STEPS: f64 = 20.0;

/// What a client may have unanswered at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// Batches.
    pub batches: u32,
    /// Bytes of messages as sent.
    pub bytes: u32,
    /// One batch in this time at most.
    pub min_interval: Duration,
}

impl Credit {
    /// The part of it that every answer tells.
    #[must_use]
    pub fn on_wire(self) -> crate::wire::Credit {
        crate::wire::Credit { batches: self.batches, bytes: self.bytes }
    }
}

/// How full the tightest bounded resource is, 0 to 1, in steps of 0.05.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Flow {
    /// 0 = empty, 1 = full.
    pub pressure: f64,
}

impl Flow {
    /// From how full each bounded resource is.
    pub fn of(fill: impl IntoIterator<Item = f64>) -> Flow {
        let tightest = fill.into_iter().fold(0.0, f64::max).clamp(0.0, 1.0);
        Flow { pressure: (tightest * STEPS).round() / STEPS }
    }

    /// The credit of a client that may have `full` at no pressure.
    #[must_use]
    pub fn credit(self, full_batches: u32, full_bytes: u32) -> Credit {
        let slowness = ((self.pressure - SLOW_FROM) / (SLOWEST_FROM - SLOW_FROM)).clamp(0.0, 1.0);
        let share = 1.0 - slowness;
        let batches = (f64::from(full_batches) * share).ceil().max(1.0);
        // One batch of any legal size always fits: a client is slowed, never stopped, by credit.
        let bytes =
            if batches <= 1.0 { f64::from(full_bytes) } else { f64::from(full_bytes) * share };
        Credit {
            batches: batches as u32,
            bytes: bytes as u32,
            min_interval: INTERVAL_MAX.mul_f64(slowness),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_shrinks_with_pressure_and_never_to_nothing() {
        let credit = |pressure| Flow { pressure }.credit(64, 1 << 20);
        assert_eq!(credit(0.0), credit(0.5));
        assert_eq!(credit(0.5).batches, 64);
        assert_eq!(credit(0.5).min_interval, Duration::ZERO);
        assert!(credit(0.7).batches < 64 && credit(0.7).batches > 1);
        assert!(credit(0.7).bytes < 1 << 20);
        assert_eq!(credit(0.95).batches, 1);
        assert_eq!(credit(1.0).min_interval, Duration::from_secs(1));
    }

    #[test]
    fn the_tightest_resource_decides() {
        assert_eq!(Flow::of([0.1, 0.72, 0.3]).pressure, 0.7);
        assert_eq!(Flow::of([1.7]).pressure, 1.0);
        assert_eq!(Flow::of([]).pressure, 0.0);
    }
}
