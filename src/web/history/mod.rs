//! Reading the past: `/api/v1/devices`, `/api/v1/series`, `/api/v1/query`.

mod answer;
mod times;

pub use answer::{TimeUnit, columns, csv, is_formula, series as series_json};
pub use times::{parse_time, round_width};

use super::problem::Problem;
use super::routes::unreached;
use super::state::App;
use crate::auth::Caller;
use crate::clock;
use crate::model::{Position, Reach, Timestamp};
use crate::sinks::history::{Answer, Query, QueryError, Shape};
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use warp::Reply;
use warp::http::{HeaderValue, StatusCode, header};
use warp::reply::Response;

/// Samples in one answer; more are asked for by buckets.
const SAMPLES_MAX: usize = 1_000_000;
/// Buckets in one answer.
const BUCKETS_MAX: usize = 100_000;
/// Globs of a kind, and the bytes of one: they are compiled for each request.
const GLOBS_MAX: usize = 100;
const GLOB_BYTES_MAX: usize = 255;
/// How long `after` waits for the history to have read that far.
const AFTER_MAX: Duration = Duration::from_secs(2);

/// The parameters of a query string, each name once or more.
pub type Parameters = Vec<(String, String)>;

pub(super) struct Asked<'a>(pub &'a Parameters);

impl<'a> Asked<'a> {
    pub fn one(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn needed(&self, name: &str) -> Result<&'a str, Problem> {
        self.one(name)
            .ok_or_else(|| Problem::bad_request(format!("the parameter {name} is missing")))
    }

    pub fn globs(&self, name: &str) -> Result<GlobSet, Problem> {
        let wrong = |error| Problem::bad_request(format!("{name}: {error}"));
        let mut set = GlobSetBuilder::new();
        let given: Vec<_> = self.0.iter().filter(|(key, _)| key == name).collect();
        if given.len() > GLOBS_MAX || given.iter().any(|(_, glob)| glob.len() > GLOB_BYTES_MAX) {
            let detail = format!("{name}: {GLOBS_MAX} globs of {GLOB_BYTES_MAX} bytes are allowed");
            return Err(Problem::bad_request(detail));
        }
        for (_, glob) in &given {
            set.add(Glob::new(glob).map_err(wrong)?);
        }
        if given.is_empty() {
            set.add(Glob::new("*").map_err(wrong)?);
        }
        set.build().map_err(wrong)
    }

    pub fn time(&self, name: &str, now: Timestamp, absent: &str) -> Result<i64, Problem> {
        let text = self.one(name).unwrap_or(absent);
        parse_time(text, now).ok_or_else(|| {
            Problem::bad_request(format!(
                "{name}: \"{text}\" is no time; RFC 3339, nanoseconds since 1970, now, or -15m"
            ))
        })
    }

    pub fn known(&self, names: &[&str]) -> Result<(), Problem> {
        match self
            .0
            .iter()
            .find(|(key, _)| !names.contains(&key.as_str()) && !key.starts_with("tag."))
        {
            None => Ok(()),
            Some((key, _)) => Err(Problem::bad_request(format!(
                "there is no parameter {key}; known are {}",
                names.join(", ")
            ))),
        }
    }
}

/// `GET /api/v1/series`.
pub fn series(app: &App, reach: &Reach, parameters: &Parameters) -> Result<Response, Problem> {
    let asked = Asked(parameters);
    asked.known(&["device", "metric"])?;
    let (device, metric) = (asked.globs("device")?, asked.globs("metric")?);
    let series = app
        .history
        .series(|name| device.is_match(name) && reach.allows(name), |name| metric.is_match(name));
    let series: Vec<_> = series.iter().map(answer::series).collect();
    Ok(warp::reply::json(&json!({ "series": series })).into_response())
}

/// `GET /api/v1/query`.
pub async fn query(
    app: Arc<App>,
    caller: Arc<Caller>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let asked = Asked(&parameters);
    if let Some(device) = asked.one("device").filter(|device| !caller.reach.allows(device)) {
        return Err(unreached(&caller, device));
    }
    asked.known(&[
        "device", "metric", "from", "to", "buckets", "bucket", "after", "time", "format",
    ])?;
    let after = asked.one("after").map(|id| position_of(&app, id)).transpose()?.flatten();
    let unit = match asked.one("time") {
        None | Some("ns") => TimeUnit::Nanos,
        Some("ms") => TimeUnit::Millis,
        Some(other) => {
            return Err(Problem::bad_request(format!("time: {other} is neither ns nor ms")));
        }
    };
    let as_csv = match asked.one("format") {
        None | Some("json") => false,
        Some("csv") => true,
        Some(other) => {
            return Err(Problem::bad_request(format!("format: {other} is neither json nor csv")));
        }
    };
    let history = app.history.clone();
    let parameters = parameters.clone();
    // The history reads files: not on a thread that serves sockets.
    let answered = tokio::task::spawn_blocking(move || {
        let asked = Asked(&parameters);
        let (device, metric) = (asked.needed("device")?, asked.needed("metric")?);
        if let Some(position) = after
            && !history.wait_applied(position, AFTER_MAX)
        {
            return Err(Problem::unavailable("the history has not read that far", AFTER_MAX));
        }
        let now = clock::now();
        let (from, to) = (asked.time("from", now, "-15m")?, asked.time("to", now, "now")?);
        let shape = shape(&asked, from, to)?;
        let tags: Vec<_> = parameters
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("tag.")?, value.as_str())))
            .collect();
        let query = Query { device, metric, tags: &tags, from, to, shape };
        let answer = history.query(&query).map_err(|error| problem(&error, &query))?;
        Ok((device.to_owned(), metric.to_owned(), answer))
    });
    let (device, metric, answer) = answered
        .await
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error))??;
    Ok(if as_csv {
        csv_response(&answer, unit)
    } else {
        json_response(&device, &metric, &answer, unit)
    })
}

fn json_response(device: &str, metric: &str, answer: &Answer, unit: TimeUnit) -> Response {
    let body = columns(device, metric, answer, unit);
    warp::reply::json(&body).into_response()
}

fn csv_response(answer: &Answer, unit: TimeUnit) -> Response {
    let mut response = csv(answer, unit).into_response();
    let value = HeaderValue::from_static("text/csv; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

fn shape(asked: &Asked<'_>, from: i64, to: i64) -> Result<Shape, Problem> {
    if let Some(text) = asked.one("bucket") {
        let width = text
            .parse::<jiff::SignedDuration>()
            .ok()
            .and_then(|width| i64::try_from(width.as_nanos()).ok());
        let width_ns = width.filter(|width| *width > 0).ok_or_else(|| {
            Problem::bad_request(format!("bucket: \"{text}\" is no duration, like 1s or 10s"))
        })?;
        return Ok(Shape::Buckets { width_ns, max: BUCKETS_MAX });
    }
    let Some(text) = asked.one("buckets") else { return Ok(Shape::Raw { max: SAMPLES_MAX }) };
    let buckets = text.parse().ok().filter(|buckets| (1..=BUCKETS_MAX).contains(buckets));
    let max = buckets.ok_or_else(|| {
        Problem::bad_request(format!("buckets: \"{text}\" is no number from 1 to {BUCKETS_MAX}"))
    })?;
    Ok(Shape::Buckets { width_ns: round_width(from, to, max), max })
}

/// The log position in the id of a live frame; none if it is of another log.
fn position_of(app: &App, id: &str) -> Result<Option<Position>, Problem> {
    // Of a frame that tells a part, too: it says how far.
    let parsed = id.strip_suffix('p').unwrap_or(id).split_once('-').and_then(|(epoch, offset)| {
        Some((u64::from_str_radix(epoch, 16).ok()?, offset.parse().ok()?))
    });
    match parsed {
        Some((epoch, offset)) if epoch == app.spool.id() => {
            // A position ahead of the log would wait in vain.
            Ok(Some(Position(offset).min(app.spool.next())))
        }
        Some(_) => Ok(None),
        None => Err(Problem::bad_request(format!("after: \"{id}\" is not the id of a frame"))),
    }
}

fn problem(error: &QueryError, query: &Query<'_>) -> Problem {
    match error {
        QueryError::UnknownSeries => Problem::new(
            StatusCode::NOT_FOUND,
            format!("{} never sent {}", query.device, query.metric),
        ),
        QueryError::TooLarge { max } => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!(
                "the answer has more than {max} entries; ask for a shorter range, or &buckets=500"
            ),
        ),
        QueryError::Store(_) => {
            log::error!(error:% = error; "the history could not be read");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error)
        }
    }
}
