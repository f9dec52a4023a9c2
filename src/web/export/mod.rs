//! `GET /api/v1/export`: everything that the history has of some series, in a form that others read.
//!
//! ```text
//! history::Walk ── pages of one series ──► Writer (form) ──► Coding (gzip, zstd) ──► body, piece by piece
//! ```
//!
//! A piece is made when the client has taken the one before (`running`): a client that reads slowly makes us
//! work slowly, one that leaves ends the work, and neither holds back anybody else.

mod coding;
mod csv;
mod form;
mod lines;
mod ndjson;
#[cfg(feature = "parquet")]
mod parquet;
mod running;
#[cfg(test)]
mod tests;

pub(crate) use running::EXPORTS_MAX;
pub use running::Exports;

use super::history::{Asked, Parameters};
use super::problem::Problem;
use super::state::App;
use super::unshared::Unshared;
use crate::auth::Caller;
use crate::clock;
use coding::Coding;
use form::{Form, Series};
use running::Export;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use warp::Reply;
use warp::http::{HeaderName, HeaderValue, StatusCode, header};
use warp::reply::Response;

/// How long to wait for the history to have read what the log has.
const READ_MAX: Duration = Duration::from_secs(5);
/// When an export too many may be tried again.
const RETRY: Duration = Duration::from_secs(10);
/// The range that is told, for who goes on with an export that broke off.
const FROM: HeaderName = HeaderName::from_static("tidegate-from");
const TO: HeaderName = HeaderName::from_static("tidegate-to");

/// The last sample that somebody has: what its line names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    device: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    metric: String,
    time: i64,
}

/// Begins to tell the samples of all series that pass, within the caller's reach.
///
/// # Errors
/// 400 for a parameter that can't be, 503 if there are too many exports, or the history is behind the log.
pub async fn export(
    app: Arc<App>,
    (caller, ended): (Arc<Caller>, CancellationToken),
    parameters: Parameters,
    accept_encoding: Option<String>,
) -> Result<Response, Problem> {
    let asked = Asked(&parameters);
    asked.known(&["format", "device", "metric", "from", "to", "after"])?;
    let form = form(&asked)?;
    let (device, metric) = (asked.globs("device")?, asked.globs("metric")?);
    let now = clock::now();
    let first = i64::MIN.to_string();
    let range = (asked.time("from", now, &first)?, asked.time("to", now, "now")?);
    let after = asked.one("after").map(after).transpose()?;
    if after.is_some() && !form.goes_on() {
        let detail = format!("after: {} can't be gone on with; it is begun anew", form.name());
        return Err(Problem::bad_request(detail));
    }
    let coding = Coding::chosen(accept_encoding.as_deref(), form).map_err(internal)?;
    let name = coding.name();

    // What was acknowledged before is in the history then: nobody misses what they know to be durable.
    let (history, position, reach) = (app.history.clone(), app.spool.next(), caller.reach.clone());
    let tags = parameters.clone();
    let begun = tokio::task::spawn_blocking(move || {
        if !history.wait_applied(position, READ_MAX) {
            let detail = "the history has not read as far as the log goes";
            return Err(Problem::unavailable(detail, RETRY));
        }
        let tags: Vec<_> = tags
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("tag.")?, value.as_str())))
            .collect();
        let devices = |name: &str| device.is_match(name) && reach.allows(name);
        let mut walk = history.walk(devices, |name| metric.is_match(name), &tags, range);
        if let Some(After { device, tags, metric, time }) = &after {
            let tags: Vec<_> = tags.iter().map(|(key, value)| (&**key, &**value)).collect();
            let names = Series { device, tags: &tags, metric, unit: "" };
            form.go_on(&mut walk, names, *time);
        }
        Export::begin(walk, form, after.is_none(), coding).map_err(internal)
    });
    let begun = begun.await.map_err(internal)??;
    let Some(place) = app.exports.begin(begun) else {
        let detail = "as many exports as there may be are under way";
        return Err(Problem::unavailable(detail, RETRY));
    };
    let pieces = running::pieces(place, app.door.pass(caller, &ended), app.stop.clone());
    let mut response = warp::reply::stream(Unshared::new(pieces)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(form.disposition()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(name) = name {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    headers.insert(FROM, HeaderValue::from(range.0));
    headers.insert(TO, HeaderValue::from(range.1));
    Ok(response)
}

fn form(asked: &Asked<'_>) -> Result<Form, Problem> {
    let name = asked.one("format").unwrap_or("ndjson");
    Form::named(name).ok_or_else(|| {
        let known: Vec<_> = Form::ALL.iter().map(|form| form.name()).collect();
        Problem::bad_request(format!("format: there is no {name}; there are {}", known.join(", ")))
    })
}

fn after(json: &str) -> Result<After, Problem> {
    // What the reader of JSON says of it helps nobody who does not know what is expected.
    serde_json::from_str(json).map_err(|_| {
        let like = r#"{"device":"pump-7","tags":{},"metric":"level","time":1763712000000000000}"#;
        let named = "its device, tags, metric and time in nanoseconds, and nothing else";
        Problem::bad_request(format!(
            "after names the last sample that you have by {named}: {like}"
        ))
    })
}

fn internal(error: impl std::fmt::Display) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error)
}
