//! What goes on inside the machines of the plant.

use super::plant::{Kind, Metric, Moment, metric};
use rand::RngExt;
use rand::rngs::StdRng;

/// `value` with `scale` decimal places, as a whole number.
#[expect(clippy::cast_possible_truncation, reason = "readings are far below 2^53")]
fn decimal(value: f64, scale: i32) -> i64 {
    (value * 10_f64.powi(scale)).round() as i64
}

/// Moves `value` towards `target` as a first-order lag does.
fn approach(value: &mut f64, target: f64, elapsed: f64, time_constant: f64) {
    *value += (target - *value) * (1.0 - (-elapsed / time_constant).exp());
}

/// A pump with a motor: runs, stops, trips.
#[derive(Debug)]
pub(super) struct Pump {
    state: usize,
    /// Seconds in this state.
    since: f64,
    setpoint: f64,
    speed: f64,
    temperature: f64,
    wear: f64,
    starts: i64,
    run_seconds: f64,
}

const STOPPED: usize = 0;
const STARTING: usize = 1;
const RUNNING: usize = 2;
const TRIPPED: usize = 3;

impl Pump {
    pub(super) const METRICS: &[Metric] = &[
        metric("motor.temperature", "°C", Kind::Decimal(1)),
        metric("motor.current", "A", Kind::Decimal(2)),
        metric("motor.speed", "1/min", Kind::Int),
        metric("flow", "m³/h", Kind::Decimal(2)),
        metric("pressure.in", "bar", Kind::Decimal(2)),
        metric("pressure.out", "bar", Kind::Decimal(2)),
        metric("vibration", "mm/s", Kind::Decimal(2)),
        metric("running", "", Kind::Bool),
        metric("starts", "", Kind::Int),
        metric("state", "", Kind::Text(&["stopped", "starting", "running", "tripped"])),
    ];

    pub(super) fn new(random: &mut StdRng) -> Pump {
        let running = random.random_bool(0.85);
        let setpoint = random.random_range(900.0..2900.0);
        Pump {
            state: if running { RUNNING } else { STOPPED },
            since: random.random_range(0.0..600.0),
            setpoint,
            speed: if running { setpoint } else { 0.0 },
            temperature: if running { 62.0 } else { 24.0 },
            wear: random.random_range(0.5..2.5),
            starts: random.random_range(40..4000),
            run_seconds: random.random_range(0.0..4e7),
        }
    }

    pub(super) fn step(&mut self, moment: &mut Moment<'_>, row: &mut Vec<i64>) {
        self.change_state(moment);
        let turning = matches!(self.state, STARTING | RUNNING);
        let target = if turning { self.setpoint } else { 0.0 };
        approach(&mut self.speed, target, moment.elapsed, 4.0);
        let load = self.speed / 2900.0;
        let ambient = 22.0 + 4.0 * moment.day;
        approach(&mut self.temperature, ambient + 55.0 * load, moment.elapsed, 180.0);
        self.wear += moment.elapsed * 1e-7;
        if turning {
            self.run_seconds += moment.elapsed;
        }
        let speed = (self.speed + moment.noise(3.0) * load).max(0.0);
        let inlet = 1.8 + 0.15 * moment.day + moment.noise(0.02);
        let flow = 48.0 * load + moment.noise(0.3) * load;
        let current = 0.4 * load + 11.0 * load * load + moment.noise(0.08) * load;
        row.extend([
            decimal(self.temperature + moment.noise(0.1), 1),
            decimal(current.max(0.0), 2),
            decimal(speed, 0),
            decimal(flow.max(0.0), 2),
            decimal(inlet, 2),
            decimal(inlet + 5.5 * load * load + moment.noise(0.03), 2),
            decimal((self.wear * load + moment.noise(0.1)).abs(), 2),
            i64::from(turning),
            self.starts,
            i64::try_from(self.state).unwrap_or(0),
        ]);
    }

    fn change_state(&mut self, moment: &mut Moment<'_>) {
        self.since += moment.elapsed;
        let next = match self.state {
            STOPPED if moment.happens(600.0) => STARTING,
            STARTING if self.since > 8.0 => RUNNING,
            RUNNING if moment.happens(14_400.0) => TRIPPED,
            RUNNING if moment.happens(if moment.working_hours { 7200.0 } else { 3600.0 }) => {
                STOPPED
            }
            TRIPPED if self.since > 120.0 => STOPPED,
            state => state,
        };
        if next != self.state {
            self.since = 0.0;
            if next == STARTING {
                self.starts += 1;
                self.setpoint = (moment.between(900.0, 2900.0) / 50.0).round() * 50.0;
            }
            self.state = next;
        } else if self.state == RUNNING && moment.happens(900.0) {
            // The operator turns the knob a little.
            self.setpoint = (self.setpoint + moment.noise(300.0)).clamp(900.0, 2900.0);
        }
    }
}

/// A boiler with a two-point burner: heats up, coasts, heats up again.
#[derive(Debug)]
pub(super) struct Boiler {
    burning: bool,
    supply: f64,
    flue: f64,
    modulation: f64,
    gas_litres: f64,
    ignitions: i64,
}

impl Boiler {
    pub(super) const METRICS: &[Metric] = &[
        metric("supply.temperature", "°C", Kind::Decimal(1)),
        metric("return.temperature", "°C", Kind::Decimal(1)),
        metric("flue.temperature", "°C", Kind::Decimal(1)),
        metric("pressure", "bar", Kind::Decimal(2)),
        metric("burner.modulation", "%", Kind::Decimal(1)),
        metric("burner.on", "", Kind::Bool),
        metric("burner.ignitions", "", Kind::Int),
        metric("gas.volume", "l", Kind::Int),
        metric("state", "", Kind::Text(&["standby", "heating"])),
    ];

    pub(super) fn new(random: &mut StdRng) -> Boiler {
        Boiler {
            burning: random.random_bool(0.5),
            supply: random.random_range(58.0..72.0),
            flue: 80.0,
            modulation: 0.0,
            gas_litres: random.random_range(1e6..9e7),
            ignitions: random.random_range(1000..90_000),
        }
    }

    pub(super) fn step(&mut self, moment: &mut Moment<'_>, row: &mut Vec<i64>) {
        // People heat at night and when it is cold.
        let target = 66.0 - 4.0 * moment.day;
        if self.burning && self.supply > target + 4.0 {
            self.burning = false;
        } else if !self.burning && self.supply < target - 4.0 {
            self.burning = true;
            self.ignitions += 1;
        }
        let demand = if self.burning { (target + 12.0 - self.supply) * 6.0 } else { 0.0 };
        approach(&mut self.modulation, demand.clamp(0.0, 100.0), moment.elapsed, 6.0);
        let heating = self.modulation / 100.0;
        self.supply += moment.elapsed * (0.12 * heating - 0.035 + moment.noise(0.005));
        self.supply = self.supply.clamp(20.0, 95.0);
        approach(&mut self.flue, 45.0 + 120.0 * heating, moment.elapsed, 25.0);
        self.gas_litres += moment.elapsed * heating * 9.5;
        row.extend([
            decimal(self.supply + moment.noise(0.1), 1),
            decimal(self.supply - 14.0 - 3.0 * heating + moment.noise(0.1), 1),
            decimal(self.flue + moment.noise(0.4), 1),
            decimal(1.6 + (self.supply - 60.0) * 0.008 + moment.noise(0.01), 2),
            decimal(self.modulation, 1),
            i64::from(self.burning),
            self.ignitions,
            decimal(self.gas_litres, 0),
            i64::from(self.burning),
        ]);
    }
}

/// An electricity meter: follows the working day, steps when something big is switched.
#[derive(Debug)]
pub(super) struct Meter {
    base_kw: f64,
    steps_kw: f64,
    power: f64,
    watt_hours: f64,
}

impl Meter {
    pub(super) const METRICS: &[Metric] = &[
        metric("voltage.l1", "V", Kind::Decimal(1)),
        metric("voltage.l2", "V", Kind::Decimal(1)),
        metric("voltage.l3", "V", Kind::Decimal(1)),
        metric("current", "A", Kind::Decimal(2)),
        metric("power", "kW", Kind::Decimal(2)),
        metric("power_factor", "", Kind::Decimal(2)),
        metric("frequency", "Hz", Kind::Decimal(2)),
        metric("energy", "Wh", Kind::Int),
        metric("tariff", "", Kind::Text(&["night", "day"])),
    ];

    pub(super) fn new(random: &mut StdRng) -> Meter {
        let base_kw = random.random_range(4.0..60.0);
        Meter { base_kw, steps_kw: 0.0, power: base_kw, watt_hours: random.random_range(1e6..9e9) }
    }

    pub(super) fn step(&mut self, moment: &mut Moment<'_>, row: &mut Vec<i64>) {
        if moment.happens(240.0) {
            self.steps_kw = (self.steps_kw + moment.noise(12.0)).clamp(0.0, 30.0);
        }
        let daily = if moment.working_hours { 1.0 + 0.2 * moment.day } else { 0.45 };
        approach(&mut self.power, self.base_kw * daily + self.steps_kw, moment.elapsed, 2.0);
        let power = self.power * (1.0 + moment.noise(0.01));
        self.watt_hours += power * moment.elapsed / 3.6;
        let factor = 0.93 + 0.03 * moment.day + moment.noise(0.01);
        let voltage = 231.0 - power * 0.02 - 1.2 * moment.day;
        row.extend([
            decimal(voltage + moment.noise(0.6), 1),
            decimal(voltage + 0.7 + moment.noise(0.6), 1),
            decimal(voltage - 0.5 + moment.noise(0.6), 1),
            decimal(power * 1000.0 / (3.0 * voltage * factor), 2),
            decimal(power, 2),
            decimal(factor.min(1.0), 2),
            decimal(50.0 + moment.noise(0.03), 2),
            decimal(self.watt_hours, 0),
            i64::from(moment.working_hours),
        ]);
    }
}
