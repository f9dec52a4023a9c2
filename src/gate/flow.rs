//! Pressure, and the credit that follows from it: how producers are slowed before anything is full.
//! Pure: told how full each resource is and what time it is.
//!
//! | pressure | credit of a client at or above its fair share | least interval |
//! |---|---|---|
//! | up to 0.50 | full | none |
//! | 0.50 to 0.95 | falls evenly to one batch | rises evenly to 1 s |
//! | above 0.95 | one batch | 1 s |
//!
//! A client well below its fair share ([`burden`]) keeps its full credit, unless nothing can enter at
//! all. The interval follows from space alone (spool, disk): memory and queue are empty again after
//! one sync of the disk, and fewer batches under way are all that they need.

use std::time::{Duration, Instant};

/// Below this pressure nobody is slowed.
const SLOW_FROM: f64 = 0.50;
/// From this pressure on clients are slowed as far as can be.
const SLOWEST_FROM: f64 = 0.95;
/// Interval between batches at the highest pressure.
const INTERVAL_MAX: Duration = Duration::from_secs(1);
/// Steps in which pressure is told: a change smaller than this is nobody's business.
const STEPS: f64 = 20.0;
/// Less than this is nothing.
const NOTHING: f64 = 0.5 / STEPS;
/// Pressure falls only when the resource was half a step below the told step for this long. Longer
/// than the bursts of a gateway that sends once a second.
const HOLD: Duration = Duration::from_secs(2);

/// Parts of a full burden.
pub(super) const BURDEN_MAX: u8 = 4;

/// A bounded resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Nothing can enter: the spool or its disk refuses.
    Trouble,
    /// Bytes of the spool against its cap.
    Spool,
    /// Bytes of the spool against what its disk has room for.
    Disk,
    /// Memory for batches on their way to the disk.
    Memory,
    /// Places in the gate's queue.
    Queue,
    /// Memory of the whole daemon against what its service manager lets it have.
    Ceiling,
}

impl Resource {
    /// All of them; of two that are as full, the first is named.
    pub const ALL: [Resource; 6] = [
        Resource::Trouble,
        Resource::Spool,
        Resource::Disk,
        Resource::Memory,
        Resource::Queue,
        Resource::Ceiling,
    ];

    /// As status and metrics call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Resource::Trouble => "trouble",
            Resource::Spool => "spool",
            Resource::Disk => "disk",
            Resource::Memory => "memory",
            Resource::Queue => "queue",
            Resource::Ceiling => "memory_high",
        }
    }

    /// Whether it empties only as fast as sinks take what is in it, or a person makes room.
    fn is_space(self) -> bool {
        matches!(self, Resource::Trouble | Resource::Spool | Resource::Disk)
    }
}

/// How full each resource is, 0 to 1.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Fills([f64; Resource::ALL.len()]);

impl Fills {
    /// Notes how full it is.
    pub fn set(&mut self, resource: Resource, fill: f64) {
        self.0[resource as usize] = fill.clamp(0.0, 1.0);
    }

    /// Each resource with how full it is.
    pub fn each(&self) -> impl Iterator<Item = (Resource, f64)> {
        Resource::ALL.into_iter().zip(self.0)
    }

    fn tightest(&self, among: impl Fn(Resource) -> bool) -> (Resource, f64) {
        let (first, none) = (Resource::ALL[0], 0.0);
        self.each().filter(|&(resource, _)| among(resource)).fold(
            (first, none),
            |tightest, next| {
                if next.1 > tightest.1 { next } else { tightest }
            },
        )
    }
}

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

/// How far producers are slowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Not at all.
    Calm,
    /// The fuller, the more.
    Slowing,
    /// As far as can be.
    AtLimit,
}

/// How full the tightest bounded resource is, 0 to 1, in steps of 0.05; and which it is.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Flow {
    /// 0 = empty, 1 = full.
    pub pressure: f64,
    /// What is so full; `None` at no pressure.
    pub of: Option<Resource>,
    /// How full it was when this was found.
    percent: u8,
    /// The pressure of space alone.
    space: f64,
}

impl Flow {
    /// How far producers are slowed.
    #[must_use]
    pub fn level(self) -> Level {
        match slowness(self.pressure) {
            0.0 => Level::Calm,
            1.0 => Level::AtLimit,
            _ => Level::Slowing,
        }
    }

    /// What this means for a client with this burden, in parts of [`BURDEN_MAX`].
    pub(super) fn terms(self, burden: u8) -> Terms {
        let burden = match self.of {
            // Nothing can enter, from nobody.
            Some(Resource::Trouble) => 1.0,
            _ => f64::from(burden.min(BURDEN_MAX)) / f64::from(BURDEN_MAX),
        };
        let (slowed, paced) = (slowness(self.pressure) * burden, slowness(self.space) * burden);
        Terms { slowed, paced, why: self }
    }
}

/// A sentence: "the spool is 82 % full".
impl std::fmt::Display for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.of {
            None => return f.write_str("nothing is full"),
            Some(Resource::Trouble) => return f.write_str("nothing can enter now"),
            Some(Resource::Spool) => "the spool is",
            Some(Resource::Disk) => "the disk of the spool, as far as it is free for it, is",
            Some(Resource::Memory) => "the memory for batches on their way to the disk is",
            Some(Resource::Queue) => "the queue to the disk is",
            Some(Resource::Ceiling) => {
                return f.write_str("the daemon's memory nears what it may have (MemoryHigh)");
            }
        };
        write!(f, "{what} {} % full", self.percent)
    }
}

/// What holds for one client now.
#[derive(Debug, Default, Clone, Copy)]
pub struct Terms {
    slowed: f64,
    paced: f64,
    /// Because of this.
    pub why: Flow,
}

/// Equal if they give the same credit.
impl PartialEq for Terms {
    fn eq(&self, other: &Terms) -> bool {
        (self.slowed, self.paced) == (other.slowed, other.paced)
    }
}

impl Terms {
    /// The credit of a client that may have `full` at no pressure.
    #[must_use]
    pub fn credit(self, full_batches: u32, full_bytes: u32) -> Credit {
        let share = 1.0 - self.slowed;
        let batches = (f64::from(full_batches) * share).ceil().max(1.0);
        // One batch of any legal size always fits: a client is slowed, never stopped, by credit.
        let bytes =
            if batches <= 1.0 { f64::from(full_bytes) } else { f64::from(full_bytes) * share };
        Credit {
            batches: batches as u32,
            bytes: bytes as u32,
            min_interval: INTERVAL_MAX.mul_f64(self.paced),
        }
    }
}

/// How much of the slowing a client bears, in parts of [`BURDEN_MAX`]: nothing up to half of its fair
/// share, all of it from the share on. It is laid on at once and taken off part by part, so that a
/// client which was slowed is not let go at once because it is slow.
pub(super) fn burden(bytes: u64, fair: u64, before: u8) -> u8 {
    let above = (bytes as f64 / fair.max(1) as f64 - 0.5) * 2.0;
    let wanted = (above.clamp(0.0, 1.0) * f64::from(BURDEN_MAX)).ceil() as u8;
    wanted.max(before.saturating_sub(1))
}

/// Makes a [`Flow`] of what is measured, with hysteresis.
#[derive(Debug, Default)]
pub(super) struct Meter {
    tightest: Gauge,
    space: Gauge,
    flow: Flow,
}

impl Meter {
    pub fn read(&mut self, fills: &Fills, now: Instant) -> Flow {
        let (resource, fill) = fills.tightest(|_| true);
        let (_, space) = fills.tightest(Resource::is_space);
        let before = self.flow.pressure;
        let pressure = self.tightest.follow(fill, now);
        // While pressure is only held, what has caused it is named.
        let of = (pressure > 0.0).then_some(resource);
        if pressure != before || (step(fill) == self.tightest.step && of != self.flow.of) {
            self.flow = Flow { pressure, of, percent: (fill * 100.0).round() as u8, space: 0.0 };
        }
        self.flow.space = self.space.follow(space, now);
        self.flow
    }
}

/// A number in steps that rises at once and falls late.
#[derive(Debug, Default)]
struct Gauge {
    step: u8,
    /// Since when it is clearly below, and the highest that it was since then.
    below: Option<(Instant, f64)>,
}

impl Gauge {
    /// Never below what it follows, unless that is nothing.
    fn follow(&mut self, fill: f64, now: Instant) -> f64 {
        if step(fill) >= self.step {
            *self = Gauge { step: step(fill), below: None };
        } else if fill > fall_below(self.step) {
            self.below = None;
        } else {
            let (since, highest) = self.below.unwrap_or((now, fill));
            let highest = highest.max(fill);
            self.below = Some((since, highest));
            if now.saturating_duration_since(since) >= HOLD {
                *self = Gauge { step: step(highest), below: None };
            }
        }
        f64::from(self.step) / STEPS
    }
}

/// The lowest step that is not below it.
fn step(fill: f64) -> u8 {
    if fill < NOTHING { 0 } else { (fill * STEPS).ceil() as u8 }
}

/// Clearly below a step: half a step below where it begins.
fn fall_below(step: u8) -> f64 {
    let begins = f64::from(step.saturating_sub(1)) / STEPS;
    (begins - 0.5 / STEPS).max(NOTHING / 2.0)
}

fn slowness(pressure: f64) -> f64 {
    ((pressure - SLOW_FROM) / (SLOWEST_FROM - SLOW_FROM)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use proptest::prelude::*;

    fn fills(each: &[(Resource, f64)]) -> Fills {
        let mut fills = Fills::default();
        for &(resource, fill) in each {
            fills.set(resource, fill);
        }
        fills
    }

    fn flow(each: &[(Resource, f64)]) -> Flow {
        Meter::default().read(&fills(each), clock::monotonic())
    }

    fn credit(flow: Flow, burden: u8) -> Credit {
        flow.terms(burden).credit(64, 1 << 20)
    }

    #[test]
    fn credit_shrinks_with_pressure_and_never_to_nothing() {
        let at = |pressure| credit(flow(&[(Resource::Spool, pressure)]), BURDEN_MAX);
        assert_eq!(at(0.0), at(0.5));
        assert_eq!(at(0.5).batches, 64);
        assert_eq!(at(0.5).min_interval, Duration::ZERO);
        assert!(at(0.7).batches < 64 && at(0.7).batches > 1);
        assert!(at(0.7).bytes < 1 << 20);
        assert_eq!(at(0.95).batches, 1);
        assert_eq!(at(1.0).min_interval, Duration::from_secs(1));
    }

    #[test]
    fn the_tightest_resource_decides_and_is_named() {
        let told = |each: &[(Resource, f64)]| {
            let flow = flow(each);
            (flow.pressure, flow.of.map(Resource::name), flow.to_string())
        };
        use Resource::{Disk, Memory, Queue, Spool, Trouble};
        let of = |pressure, name, sentence: &str| (pressure, Some(name), sentence.to_owned());
        assert_eq!(
            told(&[(Disk, 0.1), (Spool, 0.82), (Memory, 0.3)]),
            of(0.85, "spool", "the spool is 82 % full")
        );
        assert_eq!(told(&[(Queue, 1.7), (Disk, 1.0)]).1, Some("disk"));
        assert_eq!(told(&[(Spool, 1.0), (Trouble, 1.0)]).1, Some("trouble"));
        assert_eq!(told(&[(Spool, 0.001)]), (0.0, None, "nothing is full".to_owned()));
        assert_eq!(told(&[(Queue, 0.33)]), of(0.35, "queue", "the queue to the disk is 33 % full"));
    }

    #[test]
    fn who_stays_below_its_share_is_slowed_only_when_nothing_can_enter() {
        let full = credit(Flow::default(), BURDEN_MAX);
        let tight = flow(&[(Resource::Spool, 0.99)]);
        assert_eq!(credit(tight, 0), full);
        assert!(credit(tight, 2).batches < full.batches);
        assert!(credit(tight, 2).batches > credit(tight, BURDEN_MAX).batches);
        let stuck = flow(&[(Resource::Trouble, 1.0), (Resource::Spool, 1.0)]);
        assert_eq!(credit(stuck, 0), credit(tight, BURDEN_MAX));
    }

    #[test]
    fn what_a_sync_empties_asks_for_no_interval() {
        let memory = flow(&[(Resource::Memory, 1.0)]);
        assert_eq!(credit(memory, BURDEN_MAX).batches, 1);
        assert_eq!(credit(memory, BURDEN_MAX).min_interval, Duration::ZERO);
        let both = flow(&[(Resource::Memory, 1.0), (Resource::Spool, 0.7)]);
        assert!(credit(both, BURDEN_MAX).min_interval > Duration::from_millis(400));
        assert!(credit(both, BURDEN_MAX).min_interval < Duration::from_millis(500));
    }

    #[test]
    fn a_burden_is_laid_on_at_once_and_taken_off_by_parts() {
        assert_eq!(burden(50, 100, 0), 0);
        assert_eq!(burden(51, 100, 0), 1);
        assert_eq!(burden(75, 100, 0), 2);
        assert_eq!(burden(100, 100, 0), BURDEN_MAX);
        assert_eq!(burden(1_000_000, 0, 0), BURDEN_MAX);
        assert_eq!(burden(0, 0, 0), 0);
        assert_eq!(burden(0, 100, BURDEN_MAX), BURDEN_MAX - 1);
    }

    #[test]
    fn pressure_names_its_cause_while_it_is_held() {
        let (mut meter, start) = (Meter::default(), clock::monotonic());
        meter.read(&fills(&[(Resource::Memory, 0.9)]), start);
        let calm = fills(&[(Resource::Spool, 0.3)]);
        let held = meter.read(&calm, start + HOLD / 2);
        assert_eq!((held.pressure, held.of), (0.9, Some(Resource::Memory)));
        meter.read(&calm, start + HOLD);
        let fallen = meter.read(&calm, start + HOLD / 2 + HOLD);
        assert_eq!((fallen.pressure, fallen.of), (0.3, Some(Resource::Spool)));
    }

    /// What a gauge tells of fills that come so many milliseconds after one another.
    fn told(measured: &[(f64, u64)]) -> Vec<f64> {
        let (mut gauge, mut now) = (Gauge::default(), clock::monotonic());
        let each = measured.iter().map(|&(fill, after)| {
            now += Duration::from_millis(after);
            gauge.follow(fill, now)
        });
        each.collect()
    }

    proptest! {
        #[test]
        fn what_is_told_is_never_below_what_is_measured(
            measured in prop::collection::vec((0.0..=1.0, 0u64..3000), 1..60)
        ) {
            for (&(fill, _), told) in measured.iter().zip(told(&measured)) {
                prop_assert!(told >= fill || fill < NOTHING, "{told} for {fill}");
                prop_assert!(told <= 1.0);
            }
        }

        #[test]
        fn it_falls_to_what_is_measured_in_the_end(before in 0.0..=1.0, fill in 0.0..=1.0) {
            let measured = [(before, 0), (fill, 100), (fill, HOLD.as_millis() as u64)];
            let last = *told(&measured).last().unwrap();
            // At most a step and a half above: that much is not clearly below.
            prop_assert!(last < fill + 1.5 / STEPS + 1e-9, "{last} for {fill}");
        }

        #[test]
        fn within_half_a_step_it_rises_only(
            base in NOTHING..=0.97,
            wobble in prop::collection::vec((0.0..0.5 / STEPS, 0u64..3000), 1..60)
        ) {
            let measured: Vec<_> = wobble.iter().map(|&(by, after)| (base + by, after)).collect();
            let told = told(&measured);
            prop_assert!(told.is_sorted(), "{told:?} for {measured:?}");
        }

        #[test]
        fn between_two_falls_and_rises_the_measure_has_crossed_the_band(
            measured in prop::collection::vec((0.0..=1.0, 0u64..3000), 2..60)
        ) {
            let told = told(&measured);
            for at in 1..told.len() {
                if told[at] < told[at - 1] {
                    // It was clearly below for the whole hold, not for a moment.
                    let mut since = 0;
                    let below = fall_below((told[at - 1] * STEPS).round() as u8);
                    for back in (0..=at).rev() {
                        prop_assert!(measured[back].0 <= below, "{measured:?} {told:?}");
                        if since >= HOLD.as_millis() as u64 {
                            break;
                        }
                        since += measured[back].1;
                    }
                }
            }
        }
    }
}
