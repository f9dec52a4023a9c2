//! A believable plant: pumps, boilers and meters that drift, follow the day, step, count, trip and
//! say what state they are in.
//!
//! Pure: a machine is told the time and gives one row of readings; the same seed and times give the
//! same rows.

use super::process::{Boiler, Meter, Pump};
use crate::model::{NANOS_PER_SECOND, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How the cells of a metric are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A reading times 10 to the power of this.
    Decimal(u32),
    /// A whole number.
    Int,
    /// 0 or 1.
    Bool,
    /// An index into these texts.
    Text(&'static [&'static str]),
}

/// One measured quantity of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its dotted name.
    pub name: &'static str,
    /// Its unit, or "".
    pub unit: &'static str,
    /// How its cells are to be read.
    pub kind: Kind,
}

pub(super) const fn metric(name: &'static str, unit: &'static str, kind: Kind) -> Metric {
    Metric { name, unit, kind }
}

/// One device of the plant.
#[derive(Debug)]
pub struct Machine {
    name: String,
    process: Process,
    random: StdRng,
    last: Option<Timestamp>,
}

#[derive(Debug)]
enum Process {
    Pump(Pump),
    Boiler(Boiler),
    Meter(Meter),
}

/// What a process is told of a moment.
pub(super) struct Moment<'a> {
    /// Seconds since the reading before.
    pub(super) elapsed: f64,
    /// -1 at four in the morning, 1 at four in the afternoon, UTC.
    pub(super) day: f64,
    /// Whether people are at work.
    pub(super) working_hours: bool,
    random: &'a mut StdRng,
}

impl Moment<'_> {
    /// A random number around 0, mostly within `spread`.
    pub(super) fn noise(&mut self, spread: f64) -> f64 {
        (self.random.random::<f64>() + self.random.random::<f64>() - 1.0) * spread
    }

    /// Whether something happened that happens once in `mean_seconds`.
    pub(super) fn happens(&mut self, mean_seconds: f64) -> bool {
        self.random.random_bool((self.elapsed / mean_seconds).clamp(0.0, 1.0))
    }

    /// A random number of a range.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        self.random.random_range(low..high)
    }
}

/// A gap longer than this is treated as this long: the process stood still meanwhile.
const ELAPSED_MAX: f64 = 60.0;

/// Every so many devices there is one boiler and three meters; the rest are pumps.
const CYCLE: usize = 10;

/// The devices of a plant; `seed` tells plants apart.
#[must_use]
pub fn plant(seed: u64, devices: usize) -> Vec<Machine> {
    (0..devices).map(|index| Machine::new(seed, index)).collect()
}

impl Machine {
    /// The device number `index` of a plant.
    #[must_use]
    pub fn new(seed: u64, index: usize) -> Machine {
        let mut random = StdRng::seed_from_u64(seed ^ (index as u64).wrapping_mul(0x9e37_79b9));
        let number = index + 1;
        let (name, process) = match index % CYCLE {
            0 => (format!("boiler-{number:03}"), Process::Boiler(Boiler::new(&mut random))),
            3 | 6 | 9 => (format!("meter-{number:03}"), Process::Meter(Meter::new(&mut random))),
            _ => (format!("pump-{number:03}"), Process::Pump(Pump::new(&mut random))),
        };
        Machine { name, process, random, last: None }
    }

    /// The same under another name.
    #[must_use]
    pub(super) fn named(self, name: &str) -> Machine {
        Machine { name: name.to_owned(), ..self }
    }

    /// The device's name: "pump-007".
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it measures; the cells of a row are in this order.
    #[must_use]
    pub fn metrics(&self) -> &'static [Metric] {
        match &self.process {
            Process::Pump(_) => Pump::METRICS,
            Process::Boiler(_) => Boiler::METRICS,
            Process::Meter(_) => Meter::METRICS,
        }
    }

    /// Lets time pass until `now` and appends a cell for each metric to `row`.
    pub fn read(&mut self, now: Timestamp, row: &mut Vec<i64>) {
        let last = self.last.replace(now).unwrap_or(now);
        let seconds_of_day = now.0.div_euclid(NANOS_PER_SECOND).rem_euclid(86_400) as f64;
        let hour = seconds_of_day / 3600.0;
        let mut moment = Moment {
            elapsed: now.since(last).as_secs_f64().min(ELAPSED_MAX),
            day: ((hour - 10.0) / 24.0 * std::f64::consts::TAU).sin(),
            working_hours: (6.0..22.0).contains(&hour),
            random: &mut self.random,
        };
        match &mut self.process {
            Process::Pump(pump) => pump.step(&mut moment, row),
            Process::Boiler(boiler) => boiler.step(&mut moment, row),
            Process::Meter(meter) => meter.step(&mut moment, row),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_800_000_000 * NANOS_PER_SECOND;

    fn rows(machine: &mut Machine, seconds: i64) -> Vec<Vec<i64>> {
        let read = |second| {
            let mut row = Vec::new();
            machine.read(Timestamp(START + second * NANOS_PER_SECOND), &mut row);
            row
        };
        (0..seconds).map(read).collect()
    }

    #[test]
    fn a_machine_gives_a_cell_for_each_metric_and_texts_that_exist() {
        for mut machine in plant(1, CYCLE) {
            let metrics = machine.metrics();
            assert!((8..=10).contains(&metrics.len()), "{}", machine.name());
            for row in rows(&mut machine, 2000) {
                assert_eq!(row.len(), metrics.len());
                for (metric, cell) in metrics.iter().zip(row) {
                    match metric.kind {
                        Kind::Text(texts) => assert!((0..texts.len() as i64).contains(&cell)),
                        Kind::Bool => assert!((0..=1).contains(&cell)),
                        Kind::Int => assert!(cell >= 0, "{} is {cell}", metric.name),
                        Kind::Decimal(scale) => {
                            assert!(cell.abs() < 100_000 * 10_i64.pow(scale), "{}", metric.name);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_plant_and_another_seed_another() {
        let read = |seed| rows(&mut Machine::new(seed, 1), 50);
        assert_eq!(read(1), read(1));
        assert_ne!(read(1), read(2));
    }

    #[test]
    fn a_pump_stops_and_starts_within_hours_and_counts_it() {
        let mut pump = Machine::new(7, 1);
        let starts = pump.metrics().iter().position(|metric| metric.name == "starts").unwrap();
        let rows = rows(&mut pump, 6 * 3600);
        let counts: Vec<_> = rows.iter().map(|row| row[starts]).collect();
        assert!(counts.is_sorted() && counts.last() > counts.first());
    }
}
