//! What of which series a frame tells, and how that is JSON.
//!
//! Hot path: appended to a buffer by hand, without a tree in between. `benches/fan_out.rs` guards it.

use super::matcher::Matcher;
use super::presence::Infos;
use crate::aggregate::{
    Aggregate, Clock, ClockPolicy, Device, DeviceId, Filter, Kind, Numbers, Rollup, SeriesView,
    TableId, TableView, Via,
};
use crate::model::Position;
use std::time::Duration;

/// Scratch space of the renderer.
#[derive(Debug, Default)]
pub(super) struct Renderer {
    rollups: Vec<(i64, Rollup)>,
}

/// The series that a frame is about.
pub(super) struct Wanted<'a> {
    pub aggregate: &'a Aggregate,
    pub matcher: &'a Matcher,
    pub level: usize,
    pub filter: Filter,
    /// The most rollups in a part.
    pub points_max: usize,
}

/// A way to write tables; `protobuf` has the other one.
pub(super) trait Form {
    /// Begins a table.
    fn open(&mut self, table: TableView<'_>, units: &[(&str, &str)], late: bool);
    /// Rollups of a metric, at least one, oldest first.
    fn series(&mut self, series: SeriesView<'_>, rollups: &[(i64, Rollup)]);
    /// Ends a table.
    fn close(&mut self);
    /// There was nothing to tell of the table that was begun.
    fn discard(&mut self);
    /// What comes now goes into another part.
    fn end_part(&mut self);
}

impl Renderer {
    /// Writes what there is to tell of `tables`.
    pub fn tables(
        &mut self,
        wanted: &Wanted<'_>,
        tables: impl Iterator<Item = TableId>,
        form: &mut impl Form,
    ) {
        let mut room = wanted.points_max;
        for id in tables {
            let table = wanted.aggregate.table(id);
            let skip = matches!(wanted.filter, Filter::Since(since) if table.touched() < since);
            if !skip {
                self.table(wanted, table, &mut room, form);
            }
        }
    }

    fn table(
        &mut self,
        wanted: &Wanted<'_>,
        table: TableView<'_>,
        room: &mut usize,
        form: &mut impl Form,
    ) {
        let since = match wanted.filter {
            Filter::Held => Position(0),
            Filter::Since(since) => since,
        };
        let series = || table.series().filter(|s| wanted.matcher.wants_metric(s.metric_id()));
        let mut units = Vec::new();
        if table.units_touched() >= since {
            units.extend(series().filter_map(|s| Some((s.metric(), s.unit()?))));
        }
        // A snapshot needs no such hint: who shows the past asks history for it after each.
        let has_late =
            wanted.filter != Filter::Held && table.has_late(since) && series().next().is_some();
        form.open(table, &units, has_late);
        let mut any = has_late;
        for series in series().filter(|series| series.touched() >= since) {
            series.rollups(wanted.level, wanted.filter, &mut self.rollups);
            let mut rest = &self.rollups[..];
            while !rest.is_empty() {
                if *room == 0 {
                    if any {
                        form.close()
                    } else {
                        form.discard()
                    }
                    form.end_part();
                    form.open(table, if any { &[] } else { &units }, has_late && !any);
                    *room = wanted.points_max;
                }
                let (now, later) = rest.split_at((*room).min(rest.len()));
                form.series(series, now);
                *room -= now.len();
                (rest, any) = (later, true);
            }
        }
        if any { form.close() } else { form.discard() }
    }
}

/// Tables as JSON, in parts: `[D…]` without its brackets.
#[derive(Debug, Default)]
pub(super) struct Json {
    parts: Vec<Vec<u8>>,
    part: Vec<u8>,
    /// Where the table begins that is being written.
    table: usize,
    /// It has series already.
    comma: bool,
}

impl Json {
    /// All parts; none if there is nothing to tell.
    pub fn finish(mut self) -> Vec<Vec<u8>> {
        if !self.part.is_empty() {
            self.parts.push(self.part);
        }
        self.parts
    }
}

impl Form for Json {
    fn open(&mut self, table: TableView<'_>, units: &[(&str, &str)], late: bool) {
        let out = &mut self.part;
        self.table = out.len();
        if !out.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"device\":");
        text(&table.device().name, out);
        pairs("tags", table.tags(), out);
        pairs("units", units.iter().copied(), out);
        if late {
            out.extend_from_slice(b",\"late\":true");
        }
        out.extend_from_slice(b",\"rollups\":{");
        self.comma = false;
    }

    fn series(&mut self, series: SeriesView<'_>, rollups: &[(i64, Rollup)]) {
        let out = &mut self.part;
        if self.comma {
            out.push(b',');
        }
        self.comma = true;
        text(series.metric(), out);
        out.extend_from_slice(b":[");
        for (index, (start, rollup)) in rollups.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.push(b'[');
            integer(start / 1_000_000, out);
            match rollup {
                Rollup::Number(numbers) => number_rollup(numbers, series.kind(), out),
                Rollup::Text(texts) => {
                    out.push(b',');
                    integer(i64::from(texts.count.get()), out);
                    out.push(b',');
                    integer(i64::from(texts.changes), out);
                    out.push(b',');
                    text(&texts.last, out);
                }
            }
            out.push(b']');
        }
        out.push(b']');
    }

    fn close(&mut self) {
        self.part.extend_from_slice(b"}}");
    }

    fn discard(&mut self) {
        self.part.truncate(self.table);
    }

    fn end_part(&mut self) {
        self.parts.push(std::mem::take(&mut self.part));
    }
}

fn number_rollup(numbers: &Numbers, kind: Kind, out: &mut Vec<u8>) {
    out.push(b',');
    integer(i64::from(numbers.count.get()), out);
    for value in [numbers.min, numbers.max, numbers.sum] {
        out.push(b',');
        number(value, out);
    }
    for value in [numbers.first, numbers.last] {
        out.push(b',');
        match kind {
            Kind::Bool => out.extend_from_slice(if value == 0.0 { b"false" } else { b"true" }),
            _ => number(value, out),
        }
    }
}

/// Appends `[{"id":…},…]`; tells how many.
pub(super) fn device_states<'a>(
    devices: impl Iterator<Item = (DeviceId, &'a Device)>,
    infos: &Infos,
    aggregate: &Aggregate,
    out: &mut Vec<u8>,
) -> usize {
    let mut count = 0;
    out.push(b'[');
    for (id, device) in devices {
        if count > 0 {
            out.push(b',');
        }
        count += 1;
        out.extend_from_slice(b"{\"id\":");
        text(&device.name, out);
        out.extend_from_slice(b",\"online\":");
        out.extend_from_slice(if device.online() { b"true" } else { b"false" });
        out.extend_from_slice(b",\"first_seen\":");
        integer(device.first_seen.as_millis(), out);
        out.extend_from_slice(b",\"last_seen\":");
        integer(device.last_seen.as_millis(), out);
        let via = aggregate.via(id);
        about(device, via.as_ref(), infos, out);
        clock(aggregate.clock(id), aggregate.clock_policy(id), out);
        out.extend_from_slice(b",\"labels\":{");
        members(infos.labels(&device.name), out);
        out.extend_from_slice(b"},\"software\":");
        text(infos.software(&device.name), out);
        out.push(b'}');
    }
    out.push(b']');
    count
}

/// Appends what is known of a device beside its readings; see `docs/http.md` for each.
fn about(device: &Device, via: Option<&Via>, infos: &Infos, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"reason\":");
    text_or_null(device.reason().map(|reason| &**reason), out);
    out.extend_from_slice(b",\"since\":");
    integer(device.since().as_millis(), out);
    out.extend_from_slice(b",\"interval_s\":");
    seconds_or_null(device.interval(), out);
    out.extend_from_slice(b",\"expected_s\":");
    seconds_or_null(device.expected(), out);
    out.extend_from_slice(b",\"client\":");
    text_or_null(via.map(|via| &*via.client), out);
    out.extend_from_slice(b",\"protocol\":");
    text_or_null(via.map(|via| via.protocol.name()), out);
    out.extend_from_slice(b",\"known\":");
    out.extend_from_slice(if device.known { b"true" } else { b"false" });
    out.extend_from_slice(b",\"refused\":");
    integer(i64::try_from(infos.refused_count(via)).unwrap_or(i64::MAX), out);
}

/// What is known of a device's clock, likewise.
fn clock(clock: Option<Clock>, policy: ClockPolicy, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"clock\":");
    let Some(clock) = clock else { return out.extend_from_slice(b"null") };
    out.extend_from_slice(b"{\"offset_ms\":");
    integer(clock.offset_ns / 1_000_000, out);
    out.extend_from_slice(b",\"drift_ppm\":");
    match clock.drift_ppm {
        Some(drift) => number((drift * 10.0).round() / 10.0, out),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"state\":");
    text(clock.state.name(), out);
    out.extend_from_slice(b",\"policy\":");
    text(policy.name(), out);
    out.push(b'}');
}

fn text_or_null(value: Option<&str>, out: &mut Vec<u8>) {
    match value {
        Some(value) => text(value, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Seconds to the millisecond.
fn seconds_or_null(value: Option<Duration>, out: &mut Vec<u8>) {
    match value {
        Some(value) => number((value.as_secs_f64() * 1000.0).round() / 1000.0, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends `,"name":{…}`, or nothing if there are no pairs.
fn pairs<'a>(name: &str, pairs: impl Iterator<Item = (&'a str, &'a str)>, out: &mut Vec<u8>) {
    let begin = out.len();
    out.push(b',');
    text(name, out);
    out.extend_from_slice(b":{");
    if members(pairs, out) {
        out.push(b'}');
    } else {
        out.truncate(begin);
    }
}

fn members<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>, out: &mut Vec<u8>) -> bool {
    let mut any = false;
    for (key, value) in pairs {
        if any {
            out.push(b',');
        }
        any = true;
        text(key, out);
        out.push(b':');
        text(value, out);
    }
    any
}

/// Appends a JSON string.
pub(super) fn text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    // Almost no name holds anything that must be escaped.
    while let Some(at) = rest.bytes().position(|b| b < 0x20 || b == b'"' || b == b'\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        out.extend_from_slice(format!("\\u{:04x}", rest.as_bytes()[at]).as_bytes());
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

/// Appends a whole number.
pub(super) fn integer(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Up to here every whole number is a float, and is shorter without a fraction.
const WHOLE_MAX: f64 = 1e15;

/// Appends a number, in the shortest form that reads as the same. A sum that is not finite, as that of
/// huge values, is `null`.
fn number(value: f64, out: &mut Vec<u8>) {
    if value.abs() < WHOLE_MAX && value.fract() == 0.0 {
        integer(value as i64, out);
    } else if value.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_short() {
        for (value, expected) in
            [(72.0, "72"), (-0.5, "-0.5"), (0.1, "0.1"), (1e300, "1e+300"), (f64::INFINITY, "null")]
        {
            assert_eq!(written(|out| number(value, out)), expected);
        }
    }

    proptest! {
        #[test]
        fn numbers_read_as_they_were(value in prop::num::f64::NORMAL | prop::num::f64::ZERO) {
            let json = written(|out| number(value, out));
            prop_assert!(serde_json::from_str::<serde_json::Number>(&json).is_ok());
            prop_assert_eq!(json.parse::<f64>().unwrap(), value);
        }

        #[test]
        fn texts_read_as_they_were(value in any::<String>()) {
            let json = written(|out| text(&value, out));
            prop_assert!(!json.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value);
        }
    }
}
