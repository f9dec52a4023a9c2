//! What a bridge publishes: rollups when their windows are over, which devices are online, and alerts.
//!
//! A viewer of live as any other: live never waits for it, and if it is slow it gets what it missed in
//! one. What is open is kept here, and [`WAITING_MAX`] windows more of a series; what is over waits there,
//! too, while the broker is away or slow, and the oldest goes, counted, when there is one more. Nothing
//! is lost by that but a view: the samples are in the history.

mod alerts;

use super::link::Publication;
use crate::clock;
use crate::config::PublishConfig;
use crate::live::{End, Frame, FrameKind, Live, SubscribeError, Transport, Viewer};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{Instant as Deadline, sleep_until};

/// Windows of a series that are kept beside those that something may still come for.
const WAITING_MAX: usize = 4;
/// There is no place for a viewer, or we lost it.
const AGAIN: Duration = Duration::from_secs(5);
/// How often it is looked what is over.
const LOOK_MS: i64 = 500;

pub(super) struct Publisher {
    live: Live,
    config: PublishConfig,
    source: Source,
    picture: Picture,
}

enum Source {
    Away { until: Instant },
    Asking(Pin<Box<dyn Future<Output = Result<Viewer, SubscribeError>> + Send>>),
    Watching(Viewer),
    Over,
}

/// What was published, and what was not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub published: u64,
    pub dropped: u64,
}

impl Publisher {
    pub fn new(config: PublishConfig, live: Live) -> Publisher {
        let picture = Picture::new(config.clone(), clock::now().as_millis());
        Publisher { live, config, source: Source::Away { until: clock::monotonic() }, picture }
    }

    /// What live tells next. Cancel-safe: whatever is awaited is kept.
    pub async fn next(&mut self) -> Arc<Frame> {
        loop {
            self.source = match &mut self.source {
                Source::Away { until } => {
                    sleep_until(Deadline::from_std(*until)).await;
                    let (live, wanted) = (self.live.clone(), self.config.subscription.clone());
                    Source::Asking(Box::pin(async move {
                        live.subscribe(wanted, None, Transport::Inside).await
                    }))
                }
                Source::Asking(viewer) => match viewer.await {
                    Ok(viewer) => Source::Watching(viewer),
                    Err(SubscribeError::Ended) => Source::Over,
                    Err(error @ SubscribeError::TooManyViewers { .. }) => {
                        log::warn!(error:err = error; "nothing can be published for now");
                        Source::Away { until: clock::monotonic() + AGAIN }
                    }
                },
                Source::Watching(viewer) => match viewer.next().await {
                    Some(frame) => return frame,
                    None if viewer.end() == Some(End::Shutdown) => Source::Over,
                    None => Source::Away { until: clock::monotonic() + AGAIN },
                },
                Source::Over => std::future::pending().await,
            };
        }
    }

    pub fn hear(&mut self, frame: &Frame) {
        let heard = match frame.kind() {
            FrameKind::Snapshot | FrameKind::Rollups => self.picture.rollups(&frame.json()),
            FrameKind::Device => self.picture.devices(&frame.json()),
            FrameKind::Alert => self.picture.alerts(&frame.json()),
            FrameKind::Status | FrameKind::Degraded => Ok(()),
        };
        if let Err(error) = heard {
            log::error!(error:err = error; "a frame of live is not what it should be");
        }
    }

    /// A broker that was away knows nothing of what happened meanwhile.
    pub fn connected(&mut self) {
        self.picture.tell_all();
    }

    /// What is to be published now; at most so many.
    pub fn due(&mut self, count: usize) -> Vec<Publication> {
        self.picture.due(clock::now().as_millis(), count)
    }

    pub fn counts(&self) -> Counts {
        self.picture.counts
    }
}

/// What live told, and what of it was published.
struct Picture {
    config: PublishConfig,
    window_ms: i64,
    /// Windows of a series that are kept.
    open_max: usize,
    /// What was over before is not ours.
    since_ms: i64,
    looked_ms: i64,
    devices: BTreeMap<Arc<str>, Device>,
    /// Devices whose presence is to be published.
    presence: BTreeSet<Arc<str>>,
    alerts: Option<alerts::Alerts>,
    counts: Counts,
}

#[derive(Default)]
struct Device {
    online: bool,
    /// When that was told.
    at_ms: i64,
    /// The start of its newest window.
    newest: i64,
    /// By its tags and metrics.
    series: BTreeMap<(BTreeMap<String, String>, String), Series>,
}

struct Series {
    unit: String,
    /// Windows that start no later are published, or given up.
    told: i64,
    /// In the order of their starts.
    open: Vec<Open>,
}

struct Open {
    start: i64,
    /// When it was told last.
    at_ms: i64,
    cells: Vec<Value>,
}

#[derive(Deserialize)]
struct Told<T> {
    time: i64,
    data: Data<T>,
}

#[derive(Deserialize)]
struct Data<T> {
    devices: Vec<T>,
}

#[derive(Deserialize)]
struct Table {
    device: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    units: BTreeMap<String, String>,
    rollups: BTreeMap<String, Vec<Vec<Value>>>,
}

#[derive(Deserialize)]
struct Presence {
    id: String,
    online: bool,
}

impl Picture {
    fn new(config: PublishConfig, since_ms: i64) -> Picture {
        let late = config.lateness.as_millis().div_ceil(config.window.as_millis().max(1));
        let alerts = config.alerts.clone();
        let alerts = alerts.map(|template| alerts::Alerts::new(template, config.alerts_clear));
        Picture {
            window_ms: millis(config.window),
            open_max: WAITING_MAX + usize::try_from(late).unwrap_or(WAITING_MAX),
            config,
            since_ms,
            looked_ms: 0,
            devices: BTreeMap::new(),
            presence: BTreeSet::new(),
            alerts,
            counts: Counts::default(),
        }
    }

    fn rollups(&mut self, frame: &[u8]) -> Result<(), serde_json::Error> {
        if self.config.rollups.is_none() {
            return Ok(());
        }
        let Told { time, data } = serde_json::from_slice::<Told<Table>>(frame)?;
        for Table { device, tags, units, rollups } in data.devices {
            let device = self.devices.entry(device.into()).or_default();
            for (metric, windows) in rollups {
                let unit = units.get(&metric);
                let series = device.series.entry((tags.clone(), metric));
                let series = series.or_insert_with(|| Series {
                    unit: String::new(),
                    told: self.since_ms - self.window_ms,
                    open: Vec::new(),
                });
                if let Some(unit) = unit {
                    series.unit.clone_from(unit);
                }
                for cells in windows {
                    let start = cells.first().and_then(Value::as_i64).unwrap_or(i64::MIN);
                    device.newest = device.newest.max(start);
                    self.counts.dropped +=
                        series.heard(Open { start, at_ms: time, cells }, self.open_max);
                }
            }
        }
        Ok(())
    }

    fn devices(&mut self, frame: &[u8]) -> Result<(), serde_json::Error> {
        if self.config.presence.is_none() {
            return Ok(());
        }
        let Told { time, data } = serde_json::from_slice::<Told<Presence>>(frame)?;
        for Presence { id, online } in data.devices {
            let id: Arc<str> = id.into();
            let device = self.devices.entry(id.clone()).or_default();
            if device.at_ms == 0 || device.online != online {
                (device.online, device.at_ms) = (online, time);
                self.presence.insert(id);
            }
        }
        Ok(())
    }

    fn alerts(&mut self, frame: &[u8]) -> Result<(), serde_json::Error> {
        let Some(alerts) = &mut self.alerts else { return Ok(()) };
        let dropped = alerts.dropped;
        let heard = alerts.hear(frame);
        self.counts.dropped += alerts.dropped - dropped;
        heard
    }

    fn tell_all(&mut self) {
        if let Some(alerts) = &mut self.alerts {
            alerts.tell_all();
        }
        let known = self.devices.iter().filter(|(_, device)| device.at_ms > 0);
        self.presence.extend(known.map(|(id, _)| id.clone()));
    }

    fn due(&mut self, now_ms: i64, count: usize) -> Vec<Publication> {
        let mut due = Vec::new();
        let PublishConfig { presence, rollups, qos, .. } = &self.config;
        let qos = *qos;
        if let Some(alerts) = &mut self.alerts {
            due.extend(alerts.due(now_ms, qos, count));
        }
        if let Some(template) = presence {
            while due.len() < count
                && let Some(id) = self.presence.pop_first()
            {
                let Some(device) = self.devices.get(&id) else { continue };
                let payload = json!({ "online": device.online, "time": device.at_ms });
                let (topic, payload) = (template.topic(&id, ""), written(&payload));
                due.push(Publication { topic, payload, qos, retain: true });
            }
        }
        if let Some(template) = rollups
            && now_ms - self.looked_ms >= LOOK_MS
        {
            self.looked_ms = now_ms;
            for (id, device) in &mut self.devices {
                let newest = device.newest;
                for ((tags, metric), series) in &mut device.series {
                    while due.len() < count
                        && let Some(open) = series.open.first()
                        && open.is_over(now_ms, newest, self.window_ms, &self.config)
                    {
                        let open = series.open.remove(0);
                        series.told = open.start;
                        let mut payload = open.payload(self.window_ms);
                        payload["device"] = (**id).into();
                        payload["metric"] = metric.as_str().into();
                        if !tags.is_empty() {
                            payload["tags"] = json!(tags);
                        }
                        if !series.unit.is_empty() {
                            payload["unit"] = series.unit.as_str().into();
                        }
                        let (topic, payload) = (template.topic(id, metric), written(&payload));
                        due.push(Publication { topic, payload, qos, retain: false });
                    }
                }
            }
        }
        self.counts.published += due.len() as u64;
        due
    }
}

impl Series {
    /// Takes note of a window; tells how many are given up for it.
    fn heard(&mut self, window: Open, open_max: usize) -> u64 {
        if window.start <= self.told {
            return 0;
        }
        match self.open.binary_search_by_key(&window.start, |open| open.start) {
            Ok(place) => self.open[place] = window,
            Err(place) => self.open.insert(place, window),
        }
        if self.open.len() <= open_max {
            return 0;
        }
        self.told = self.open.remove(0).start;
        1
    }
}

impl Open {
    /// Its device has gone on, and what could come late has come; or nothing comes any more.
    fn is_over(&self, now_ms: i64, newest: i64, window_ms: i64, config: &PublishConfig) -> bool {
        let unchanged = now_ms - self.at_ms;
        let (lateness, silence) = (millis(config.lateness), millis(config.silence));
        let gone_on = newest > self.start && unchanged >= lateness;
        let silent = now_ms >= self.start + window_ms + lateness && unchanged >= silence;
        gone_on || silent
    }

    fn payload(&self, window_ms: i64) -> Value {
        let cell = |place: usize| self.cells.get(place).unwrap_or(&Value::Null);
        let mut payload = match self.cells.len() {
            // A text: start, count, changes, last.
            4 => json!({ "count": cell(1), "changes": cell(2), "last": cell(3) }),
            _ => {
                let count = cell(1).as_f64().unwrap_or(1.0);
                let mean = cell(4).as_f64().map(|sum| sum / count);
                json!({
                    "count": cell(1), "min": cell(2), "max": cell(3), "mean": mean,
                    "first": cell(5), "last": cell(6),
                })
            }
        };
        payload["start"] = self.start.into();
        payload["end"] = (self.start + window_ms).into();
        payload
    }
}

fn written(payload: &Value) -> Bytes {
    payload.to_string().into()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Windows;
    use crate::config::TopicTemplate;
    use crate::live::Subscription;

    /// Windows of ten seconds from 1,000 s on; late by 2 s, silent after 30 s.
    fn picture() -> Picture {
        let windows = Windows::default();
        let subscription = Subscription::new(vec![], vec![], vec![], Some("10s"), &windows);
        let config = PublishConfig {
            rollups: TopicTemplate::new("r/{device}/{metric}", &["{device}", "{metric}"]).ok(),
            window: Duration::from_secs(10),
            subscription: subscription.unwrap(),
            presence: TopicTemplate::new("p/{device}", &["{device}"]).ok(),
            alerts: None,
            alerts_clear: Duration::from_secs(600),
            qos: 1,
            lateness: Duration::from_secs(2),
            silence: Duration::from_secs(30),
        };
        Picture::new(config, 1_000_000)
    }

    fn hear(picture: &mut Picture, time: i64, rollups: Value) {
        let table = json!({ "device": "a/b", "tags": { "s": "x" }, "units": { "t": "K" },
                            "rollups": { "t": rollups } });
        let frame = json!({ "type": "rollups", "time": time, "data": { "devices": [table] } });
        picture.rollups(frame.to_string().as_bytes()).unwrap();
    }

    fn told(picture: &mut Picture, now_ms: i64, count: usize) -> Vec<Value> {
        let due = picture.due(now_ms, count).into_iter();
        due.map(|it| serde_json::from_slice(&it.payload).unwrap()).collect()
    }

    #[test]
    fn a_window_is_told_once_when_its_device_has_gone_on() {
        let mut picture = picture();
        // What was over before is not told, nor what is open.
        hear(&mut picture, 1_001_000, json!([[980_000, 9, 1, 1, 9, 1, 1]]));
        hear(&mut picture, 1_005_000, json!([[1_000_000, 1, 2, 2, 2, 2, 2]]));
        hear(&mut picture, 1_009_000, json!([[1_000_000, 2, 2, 4, 6, 2, 4]]));
        assert!(told(&mut picture, 1_010_000, 9).is_empty());
        hear(
            &mut picture,
            1_011_000,
            json!([[1_000_000, 4, 0, 4, 6, 2, 0], [1_010_000, 1, 1, 1, 1, 1, 1]]),
        );
        assert!(told(&mut picture, 1_012_900, 9).is_empty(), "something may come late");
        let expected = json!({
            "device": "a/b", "metric": "t", "tags": { "s": "x" }, "unit": "K",
            "start": 1_000_000, "end": 1_010_000,
            "count": 4, "min": 0, "max": 4, "mean": 1.5, "first": 2, "last": 0,
        });
        assert!(told(&mut picture, 1_013_500, 0).is_empty(), "the broker is away");
        assert_eq!(told(&mut picture, 1_014_100, 9), [expected]);
        hear(&mut picture, 1_015_000, json!([[1_000_000, 5, 0, 4, 6, 2, 0]]));
        assert!(told(&mut picture, 1_030_000, 9).is_empty());
        // It fell silent.
        let last = told(&mut picture, 1_041_000, 9);
        assert_eq!((last.len(), &last[0]["start"]), (1, &json!(1_010_000)));
        assert_eq!(picture.counts, Counts { published: 2, dropped: 0 });
    }

    #[test]
    fn the_newest_windows_wait_for_a_broker_that_is_away() {
        let mut picture = picture();
        for n in 0..10 {
            let start = 1_000_000 + n * 10_000;
            hear(&mut picture, start, json!([[start, 1, 0, "on"], [start + 1, 1, 0, "on"]]));
        }
        let told = told(&mut picture, 2_000_000, 99);
        assert_eq!(told.len(), WAITING_MAX + 1);
        assert_eq!(told[4]["start"], 1_090_001);
        assert_eq!((&told[4]["last"], &told[4]["changes"]), (&json!("on"), &json!(0)));
        assert_eq!(picture.counts, Counts { published: 5, dropped: 15 });
    }

    #[test]
    fn presence_is_told_when_it_changes_and_to_a_broker_that_comes_back() {
        let mut picture = picture();
        let hear = |picture: &mut Picture, time: i64, online: bool| {
            let devices = json!([{ "id": "a+b", "online": online }]);
            let frame = json!({ "time": time, "data": { "devices": devices } });
            picture.devices(frame.to_string().as_bytes()).unwrap();
        };
        hear(&mut picture, 5, false);
        hear(&mut picture, 6, true);
        hear(&mut picture, 7, true);
        assert!(picture.due(8, 0).is_empty());
        let due = picture.due(8, 9);
        assert_eq!(due.len(), 1);
        assert_eq!((&*due[0].topic, due[0].retain, due[0].qos), ("p/a%2Bb", true, 1));
        assert_eq!(due[0].payload, r#"{"online":true,"time":6}"#);
        assert!(picture.due(9, 9).is_empty());
        picture.tell_all();
        assert_eq!(picture.due(9, 9).len(), 1);
    }
}
