//! `/api/v1/devices`: who is there, and what operators say of them.

use super::body;
use super::history::{Asked, Parameters, series_json};
use super::problem::Problem;
use super::routes::unreached;
use super::state::App;
use super::trail::saying;
use crate::auth::Caller;
use crate::live::{Amendment, ClockPolicy, DeviceDetail, DeviceState};
use crate::model::{Timestamp, check_name};
use bytes::Buf;
use futures_util::Stream;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use warp::Reply;
use warp::http::StatusCode;
use warp::reply::Response;

/// Labels that an operator gives one device.
const LABELS_MAX: usize = 32;
/// Nobody waits longer for a reading.
const EXPECTED_MAX_S: f64 = 366.0 * 86_400.0;

type Object = Map<String, Json>;

/// What an operator changes; what is left out stays.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Patch {
    known: Option<bool>,
    #[serde(deserialize_with = "given")]
    expected_s: Option<Option<f64>>,
    labels: BTreeMap<String, Option<String>>,
    #[serde(deserialize_with = "given")]
    clock_policy: Option<Option<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    ids: Vec<String>,
    #[serde(default = "yes")]
    known: bool,
}

fn yes() -> bool {
    true
}

/// `null` is something else than nothing.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// `GET /api/v1/devices`.
///
/// # Errors
/// 400 if a parameter can't be read.
pub async fn list(
    app: Arc<App>,
    caller: Arc<Caller>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let asked = Asked(&parameters);
    asked.known(&["known", "online"])?;
    let flag = |name: &str| match asked.one(name) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => {
            Err(Problem::bad_request(format!("{name}: \"{other}\" is neither true nor false")))
        }
    };
    let (known, online) = (flag("known")?, flag("online")?);
    let is = |device: &Object, key: &str, wanted: Option<bool>| {
        wanted.is_none_or(|wanted| device.get(key) == Some(&Json::Bool(wanted)))
    };
    let devices = known_devices(&app).await.into_iter();
    let devices = devices.filter(|(id, _)| caller.reach.allows(id)).map(|(_, device)| device);
    let devices: Vec<_> = devices
        .filter(|device| is(device, "known", known) && is(device, "online", online))
        .collect();
    Ok(warp::reply::json(&json!({ "devices": devices })).into_response())
}

/// `GET /api/v1/devices/{id}`.
///
/// # Errors
/// 404 if it was never seen.
pub async fn one(app: Arc<App>, id: String) -> Result<Response, Problem> {
    let live = app.live.device(&id).await;
    Ok(warp::reply::json(&detailed(&app, &id, live)?).into_response())
}

/// `PATCH /api/v1/devices/{id}`.
///
/// # Errors
/// 404 if it was never seen, 400 if the body can't be read.
pub async fn patch(
    app: Arc<App>,
    id: String,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Response, Problem> {
    let limits = app.intake.limits();
    let body = body::read(body, limits.wire.message_bytes, limits.body_timeout).await?;
    let patch: Patch = body::object(&body).map_err(|error| {
        Problem::bad_request(format!(
            "the body may have known, expected_s, labels and clock_policy: {error}"
        ))
    })?;
    let amended = app.live.amend(vec![id.clone()], amendment(patch)?).await;
    let live = amended.into_iter().next();
    if live.is_none() {
        return Err(never_seen(&id));
    }
    Ok(warp::reply::json(&detailed(&app, &id, live)?).into_response())
}

/// `POST /api/v1/devices/known`.
///
/// # Errors
/// 400 if the body can't be read.
pub async fn know(
    app: Arc<App>,
    caller: Arc<Caller>,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Response, Problem> {
    let limits = app.intake.limits();
    let body = body::read(body, limits.wire.message_bytes, limits.body_timeout).await?;
    let Known { ids, known } = body::object(&body)
        .map_err(|_| Problem::bad_request("the body is {\"ids\":[\"pump-7\"]}"))?;
    body::few(&ids)?;
    let amendment = Amendment { known: Some(known), ..Amendment::default() };
    if let Some(device) = ids.iter().find(|id| !caller.reach.allows(id)) {
        return Err(unreached(&caller, device));
    }
    let amended = app.live.amend(ids.clone(), amendment).await;
    let amended: BTreeSet<_> = amended.into_iter().map(|device| device.id).collect();
    let not: Vec<_> = ids
        .iter()
        .filter(|id| !amended.contains(*id))
        .map(|id| json!({ "id": id, "why": "it was never seen" }))
        .collect();
    let body = json!({ "known": amended, "not": not });
    let named = Vec::from_iter(amended).join(", ");
    Ok(saying(warp::reply::json(&body).into_response(), named))
}

fn amendment(patch: Patch) -> Result<Amendment, Problem> {
    let expected = match patch.expected_s {
        None => None,
        Some(None) => Some(None),
        Some(Some(seconds)) if (0.001..=EXPECTED_MAX_S).contains(&seconds) => {
            Some(Some(Duration::from_secs_f64(seconds)))
        }
        Some(Some(seconds)) => {
            let detail = format!("expected_s: {seconds} is not from 0.001 to a year");
            return Err(Problem::bad_request(detail));
        }
    };
    if patch.labels.len() > LABELS_MAX {
        let detail = format!("{} labels, {LABELS_MAX} are allowed", patch.labels.len());
        return Err(Problem::bad_request(detail));
    }
    let texts = patch.labels.iter().flat_map(|(key, value)| [Some(key), value.as_ref()]);
    for text in texts.flatten() {
        check_name(text, crate::model::NAME_BYTES_MAX)
            .map_err(|error| Problem::bad_request(format!("labels: {error}")))?;
    }
    let clock_policy = match patch.clock_policy {
        None => None,
        Some(None) => Some(None),
        Some(Some(name)) => Some(Some(ClockPolicy::named(&name).ok_or_else(|| {
            let detail =
                format!("clock_policy: \"{name}\" is none of accept, correct, quarantine, null");
            Problem::bad_request(detail)
        })?)),
    };
    Ok(Amendment { known: patch.known, expected, labels: patch.labels, clock_policy })
}

fn never_seen(id: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("no device {id} was ever seen"))
}

/// What the history knows, and over it what live knows.
async fn known_devices(app: &App) -> BTreeMap<String, Object> {
    let mut devices = BTreeMap::new();
    for device in app.history.devices() {
        devices.insert(device.device.to_string(), stored(&device));
    }
    for device in app.live.devices().await {
        merge(devices.entry(device.id.clone()).or_default(), &device);
    }
    devices
}

fn detailed(app: &App, id: &str, live: Option<DeviceState>) -> Result<Object, Problem> {
    let stored_too = app.history.devices().into_iter().find(|device| *device.device == *id);
    if stored_too.is_none() && live.is_none() {
        return Err(never_seen(id));
    }
    let mut object = stored_too.map_or_else(Object::new, |device| stored(&device));
    if let Some(device) = live {
        merge(&mut object, &device);
        let detail = device.detail.unwrap_or(DeviceDetail { arrivals: [0; 60], refusals: vec![] });
        object.insert("arrivals".to_owned(), detail.arrivals.to_vec().into());
        let refusals = detail.refusals.iter().map(|refusal| {
            json!({
                "at": refusal.at.as_millis(), "code": refusal.code, "message": refusal.message,
            })
        });
        object.insert("last_refusals".to_owned(), refusals.collect());
        object.insert("operator_labels".to_owned(), json!(device.labels));
    }
    let metrics = app.history.series(|device| device == id, |_| true);
    let metrics: Vec<_> = metrics.iter().map(series_json).collect();
    object.insert("metrics".to_owned(), metrics.into());
    Ok(object)
}

fn stored(device: &crate::sinks::history::DeviceInfo) -> Object {
    let object = json!({
        "id": *device.device,
        "online": false,
        "reason": null,
        "since": Timestamp(device.last).as_millis(),
        "first_seen": Timestamp(device.first).as_millis(),
        "last_seen": Timestamp(device.last).as_millis(),
        "labels": {},
        "software": "",
        "series": device.series,
        "known": true,
    });
    match object {
        Json::Object(object) => object,
        _ => Object::new(),
    }
}

fn merge(object: &mut Object, device: &DeviceState) {
    let mut set = |key: &str, value: Json| {
        object.insert(key.to_owned(), value);
    };
    set("id", json!(device.id));
    set("online", json!(device.online));
    set("reason", json!(device.reason));
    set("since", json!(device.since.as_millis()));
    set("last_seen", json!(device.last_seen.as_millis()));
    set("labels", json!(device.all_labels()));
    set("software", json!(device.info.software));
    set("interval_s", seconds(device.interval));
    set("expected_s", seconds(device.expected));
    set("client", json!(device.via.as_ref().map(|via| &*via.client)));
    set("protocol", json!(device.via.as_ref().map(|via| via.protocol.name())));
    set("address", json!(device.address.map(|address| address.to_string())));
    set("known", json!(device.known));
    set("refused", json!(device.refused));
    set("clock", clock(device));
    set("first_seen", json!(device.first_seen.as_millis()));
    object.entry("series").or_insert_with(|| json!(device.series));
}

fn clock(device: &DeviceState) -> Json {
    let Some(clock) = device.clock else { return Json::Null };
    json!({
        "offset_ms": clock.offset_ns / 1_000_000,
        "drift_ppm": clock.drift_ppm.map(|drift| (drift * 10.0).round() / 10.0),
        "state": clock.state.name(),
        "policy": device.clock_policy.name(),
    })
}

fn seconds(duration: Option<Duration>) -> Json {
    json!(duration.map(|duration| (duration.as_secs_f64() * 1000.0).round() / 1000.0))
}
