//! Frames out of what they tell, in either form.

use super::alerts::{self, Told};
use super::cursor::Cursor;
use super::frame::{Frame, FrameKind};
use super::pace::Degraded;
use super::presence::Infos;
use super::protobuf::{self, messages as pb};
use super::render::{device_states, integer};
use super::subscription::Form;
use crate::aggregate::{Aggregate, Device, DeviceId};
use pb::frame::Data;
use std::sync::Arc;

/// What the tables of a data frame are, by form, in parts.
#[derive(Debug)]
pub(super) enum Parts {
    Json(Vec<Vec<u8>>),
    Protobuf(Vec<Vec<pb::Table>>),
}

/// What a data frame is.
#[derive(Debug)]
pub(super) struct About<'a> {
    pub window: &'a str,
    /// Of a snapshot: milliseconds between the frames that follow.
    pub snapshot: Option<u64>,
    /// Up to where it tells.
    pub cursor: Cursor,
}

/// Makes frames.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compose {
    pub form: Form,
    pub now_ms: i64,
}

impl Compose {
    fn json(self, kind: FrameKind, write: impl FnOnce(&mut Vec<u8>)) -> Arc<Frame> {
        Arc::new(Frame::new(kind, None, self.now_ms, write))
    }

    fn protobuf(self, kind: FrameKind, data: Data) -> Arc<Frame> {
        Arc::new(Frame::protobuf(kind, None, self.now_ms, data))
    }

    /// The frames of a snapshot, at least one, or of rollups, none if there are none. Who has only some
    /// of several can't resume from them: only the last one has the cursor.
    pub fn data(self, about: &About<'_>, parts: Parts) -> Vec<Arc<Frame>> {
        match parts {
            Parts::Json(parts) => self.each(about, parts, |place, tables| {
                let head = place.head(about);
                let write = |out: &mut Vec<u8>| body(&head, &tables, out);
                Frame::new(place.kind(), place.id, self.now_ms, write)
            }),
            Parts::Protobuf(parts) => self.each(about, parts, |place, tables| {
                let data = place.message(about, tables);
                Frame::protobuf(place.kind(), place.id, self.now_ms, data)
            }),
        }
    }

    fn each<T: Default>(
        self,
        about: &About<'_>,
        mut parts: Vec<T>,
        frame: impl Fn(&Place, T) -> Frame,
    ) -> Vec<Arc<Frame>> {
        if parts.is_empty() && about.snapshot.is_some() {
            parts.push(T::default());
        }
        let count = parts.len();
        let place = |index: usize| {
            let is_snapshot = index == 0 && about.snapshot.is_some();
            let id = match index + 1 == count {
                true => Some(about.cursor),
                false => is_snapshot.then_some(Cursor { whole: false, ..about.cursor }),
            };
            Place { index, count, is_snapshot, id }
        };
        let frames = parts.into_iter().enumerate();
        frames.map(|(index, tables)| Arc::new(frame(&place(index), tables))).collect()
    }

    /// Devices, and how many they are.
    pub fn devices<'a>(
        self,
        devices: impl Iterator<Item = (DeviceId, &'a Device)>,
        infos: &Infos,
        aggregate: &Aggregate,
    ) -> (usize, Arc<Frame>) {
        match self.form {
            Form::Json => {
                let mut data = Vec::new();
                let count = device_states(devices, infos, aggregate, &mut data);
                let frame = self.json(FrameKind::Device, |out| {
                    out.extend_from_slice(b"{\"devices\":");
                    out.extend_from_slice(&data);
                    out.push(b'}');
                });
                (count, frame)
            }
            Form::Protobuf => {
                let devices: Vec<_> = devices.map(|(_, d)| protobuf::device(d, infos)).collect();
                let count = devices.len();
                let data = Data::Device(pb::Devices { devices });
                (count, self.protobuf(FrameKind::Device, data))
            }
        }
    }

    /// Alerts that changed; or, with `open`, all that are open, but for so many.
    pub fn alerts<'a>(
        self,
        told: impl Iterator<Item = &'a Arc<Told>>,
        open: Option<usize>,
    ) -> Arc<Frame> {
        match self.form {
            Form::Json => self.json(FrameKind::Alert, |out| alerts::json(told, open, out)),
            Form::Protobuf => {
                let alerts = told.map(|told| protobuf::alert(told.alert())).collect();
                let more = u32::try_from(open.unwrap_or(0)).unwrap_or(u32::MAX);
                let data = pb::Alerts { alerts, all: open.is_some(), more };
                self.protobuf(FrameKind::Alert, Data::Alert(data))
            }
        }
    }

    /// The state of the daemon, which is one line of JSON.
    pub fn status(self, json: &str) -> Arc<Frame> {
        let write = |out: &mut Vec<u8>| out.extend_from_slice(json.as_bytes());
        match self.form {
            Form::Json => self.json(FrameKind::Status, write),
            Form::Protobuf => {
                let data = Data::Status(pb::Status { json: json.to_owned() });
                self.protobuf(FrameKind::Status, data)
            }
        }
    }

    /// That a viewer's pace has changed; frames now have windows of this width.
    pub fn degraded(self, told: Degraded, window: &str) -> Arc<Frame> {
        let age_ms = u32::try_from(told.age.as_millis()).unwrap_or(u32::MAX);
        let Degraded { factor, merged, .. } = told;
        match self.form {
            Form::Json => self.json(FrameKind::Degraded, |out| {
                out.extend_from_slice(b"{\"factor\":");
                integer(i64::from(factor), out);
                out.extend_from_slice(b",\"merged\":");
                integer(i64::try_from(merged).unwrap_or(i64::MAX), out);
                out.extend_from_slice(b",\"age_ms\":");
                integer(i64::from(age_ms), out);
                out.extend_from_slice(format!(",\"window\":\"{window}\"}}").as_bytes());
            }),
            Form::Protobuf => {
                let window = window.to_owned();
                let data = Data::Degraded(pb::Degraded { factor, merged, age_ms, window });
                self.protobuf(FrameKind::Degraded, data)
            }
        }
    }
}

/// Where a part stands.
#[derive(Debug)]
struct Place {
    index: usize,
    count: usize,
    is_snapshot: bool,
    id: Option<Cursor>,
}

impl Place {
    fn kind(&self) -> FrameKind {
        if self.is_snapshot { FrameKind::Snapshot } else { FrameKind::Rollups }
    }

    /// Which of how many, counted from 1; zeros if it is the only one.
    fn part(&self) -> (usize, usize) {
        if self.count > 1 { (self.index + 1, self.count) } else { (0, 0) }
    }

    fn head(&self, about: &About<'_>) -> String {
        let mut head = format!("{{\"window\":\"{}\"", about.window);
        if let (true, Some(tick_ms)) = (self.is_snapshot, about.snapshot) {
            head.push_str(&format!(",\"resumed\":false,\"tick_ms\":{tick_ms}"));
        }
        if let (part @ 1.., parts) = self.part() {
            head.push_str(&format!(",\"part\":{part},\"parts\":{parts}"));
        }
        head
    }

    fn message(&self, about: &About<'_>, tables: Vec<pb::Table>) -> Data {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let (window, (part, parts)) = (about.window.to_owned(), self.part());
        let (part, parts) = (number(part), number(parts));
        match about.snapshot {
            Some(tick_ms) if self.is_snapshot => {
                let tick_ms = u32::try_from(tick_ms).unwrap_or(u32::MAX);
                Data::Snapshot(pb::Snapshot { window, tick_ms, tables, parts })
            }
            _ => Data::Rollups(pb::Rollups { window, tables, part, parts }),
        }
    }
}

/// `{head,"devices":[tables]}`, where head is `{` and members.
fn body(head: &str, tables: &[u8], out: &mut Vec<u8>) {
    out.reserve(head.len() + tables.len() + 16);
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(b",\"devices\":[");
    out.extend_from_slice(tables);
    out.extend_from_slice(b"]}");
}
