//! Frames for programs: `proto/tidegate/v1/live.proto`.

use super::presence::Infos;
use super::render::Form;
use crate::aggregate::{Device, Kind, Rollup, SeriesView, TableView};
use crate::rules::{Alert, Value};
use std::collections::BTreeMap;

/// The generated messages.
pub(super) mod messages {
    include!(concat!(env!("OUT_DIR"), "/tidegate.live.v1.rs"));
}

use messages as pb;

/// Tables in parts.
#[derive(Debug, Default)]
pub(super) struct Tables {
    parts: Vec<Vec<pb::Table>>,
    part: Vec<pb::Table>,
    units: BTreeMap<String, String>,
}

impl Tables {
    /// All parts; none if there is nothing to tell.
    pub fn finish(mut self) -> Vec<Vec<pb::Table>> {
        if !self.part.is_empty() {
            self.parts.push(self.part);
        }
        self.parts
    }
}

impl Form for Tables {
    fn open(&mut self, table: TableView<'_>, units: &[(&str, &str)], late: bool) {
        self.units = owned(units.iter().copied());
        let (device, tags) = (table.device().name.to_string(), owned(table.tags()));
        self.part.push(pb::Table { device, tags, late, series: Vec::new() });
    }

    fn series(&mut self, series: SeriesView<'_>, rollups: &[(i64, Rollup)]) {
        let Some(table) = self.part.last_mut() else { return };
        let unit = self.units.remove(series.metric()).unwrap_or_default();
        let is_text = |(_, rollup): &(i64, Rollup)| matches!(rollup, Rollup::Text(_));
        for run in rollups.chunk_by(|a, b| is_text(a) == is_text(b)) {
            let metric = series.metric().to_owned();
            let mut columns = pb::Series { metric, unit: unit.clone(), ..pb::Series::default() };
            columns.set_kind(match series.kind() {
                _ if is_text(&run[0]) => pb::Kind::Text,
                Kind::Bool => pb::Kind::Bool,
                _ => pb::Kind::Number,
            });
            let mut before = 0;
            for (start, rollup) in run {
                let start = start / 1_000_000;
                columns.start.push(start - before);
                before = start;
                push(rollup, &mut columns);
            }
            table.series.push(columns);
        }
    }

    fn close(&mut self) {}

    fn discard(&mut self) {
        self.part.pop();
    }

    fn end_part(&mut self) {
        self.parts.push(std::mem::take(&mut self.part));
    }
}

fn push(rollup: &Rollup, columns: &mut pb::Series) {
    match rollup {
        Rollup::Number(numbers) => {
            columns.count.push(numbers.count.get());
            columns.min.push(numbers.min);
            columns.max.push(numbers.max);
            columns.sum.push(numbers.sum);
            columns.first.push(numbers.first);
            columns.last.push(numbers.last);
        }
        Rollup::Text(texts) => {
            columns.count.push(texts.count.get());
            columns.changes.push(texts.changes);
            columns.last_text.push(texts.last.to_string());
        }
    }
}

fn owned<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// A device.
pub(super) fn device(device: &Device, infos: &Infos) -> pb::Device {
    pb::Device {
        id: device.name.to_string(),
        online: device.online(),
        first_seen: device.first_seen.as_millis(),
        last_seen: device.last_seen.as_millis(),
        labels: owned(infos.labels(&device.name)),
        software: infos.software(&device.name).to_owned(),
        since: device.since().as_millis(),
        reason: device.reason().map(|reason| &**reason).unwrap_or_default().to_owned(),
    }
}

/// An alert.
pub(super) fn alert(alert: &Alert) -> pb::Alert {
    let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
    let noticed = alert.acknowledged.as_ref();
    pb::Alert {
        id: alert.id,
        rule: alert.rule.to_string(),
        severity: alert.severity.name().to_owned(),
        device: text(&alert.device),
        metric: text(&alert.metric),
        tags: alert.tags.clone(),
        subject: alert.subject.clone(),
        state: alert.state.name().to_owned(),
        value: alert.value.as_ref().map(|value| match value {
            Value::Number(number) => pb::alert::Value::Number(*number),
            Value::Bool(truth) => pb::alert::Value::Truth(*truth),
            Value::Text(text) => pb::alert::Value::Word(text.to_string()),
        }),
        unit: alert.unit.clone(),
        text: alert.text.clone(),
        runbook: alert.runbook.clone(),
        pending_at: alert.pending_at.as_millis(),
        fired_at: alert.fired_at.map_or(0, |at| at.as_millis()),
        resolved_at: alert.resolved_at.map_or(0, |at| at.as_millis()),
        acknowledged_by: noticed.map(|noticed| noticed.by.clone()).unwrap_or_default(),
        acknowledged_note: noticed.map(|noticed| noticed.note.clone()).unwrap_or_default(),
        acknowledged_at: noticed.map_or(0, |noticed| noticed.at.as_millis()),
        silenced: alert.silenced,
    }
}
