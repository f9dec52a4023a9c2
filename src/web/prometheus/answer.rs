//! Answers and errors as Prometheus' JSON.

use crate::promql::{Answer, EvalError, Grid, Labels, Series, SourceError};
use crate::promql::{number_text, seconds_text};
use crate::sinks::history;
use crate::web::problem::Problem;
use futures_util::stream;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use warp::Reply;
use warp::http::{HeaderValue, StatusCode, header};
use warp::reply::Response;

/// The version of Prometheus whose API and PromQL these are: programs decide by it what they may ask.
const API_VERSION: &str = "3.0.0";
/// What Grafana needs to ask again.
const RETRY: HeaderValue = HeaderValue::from_static("2");

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// For who asks: it can't be read.
    BadData(String),
    /// For who asks, mostly.
    Evaluation(EvalError),
    /// For who asks: later.
    Busy,
    /// The form can't be read.
    Form(StatusCode, String),
    /// For the operator.
    Internal(String),
}

impl Fault {
    pub fn bad(what: impl Into<String>) -> Fault {
        Fault::BadData(what.into())
    }

    pub fn form(problem: &Problem) -> Fault {
        Fault::Form(problem.status(), problem.detail().to_owned())
    }

    pub fn into_response(self) -> Response {
        let (status, kind, what) = match self {
            Fault::BadData(what) => (StatusCode::BAD_REQUEST, "bad_data", what),
            Fault::Form(status, what) => (status, "bad_data", what),
            Fault::Internal(what) => (StatusCode::INTERNAL_SERVER_ERROR, "internal", what),
            Fault::Busy => {
                let what = "too many queries are being answered".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", what)
            }
            Fault::Evaluation(error) => {
                let (status, kind) = match error {
                    EvalError::Source(SourceError::TimedOut) => {
                        (StatusCode::SERVICE_UNAVAILABLE, "timeout")
                    }
                    EvalError::Source(SourceError::Left) => {
                        (StatusCode::SERVICE_UNAVAILABLE, "canceled")
                    }
                    EvalError::Source(SourceError::Unreadable) => {
                        (StatusCode::INTERNAL_SERVER_ERROR, "internal")
                    }
                    _ => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
                };
                (status, kind, error.to_string())
            }
        };
        let body = json!({"status": "error", "errorType": kind, "error": what});
        let mut response = typed(body.to_string().into_response());
        *response.status_mut() = status;
        if kind == "unavailable" {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY);
        }
        response
    }
}

/// An answer, written piece by piece as it is sent.
pub(super) struct Found(Box<dyn Iterator<Item = String> + Send + Sync>);

impl Found {
    fn whole(data: &serde_json::Value) -> Found {
        let body = json!({"status": "success", "data": data}).to_string();
        Found(Box::new(std::iter::once(body)))
    }

    /// Elements of an array, with what stands before and after them.
    fn pieces(
        before: String,
        pieces: impl Iterator<Item = String> + Send + Sync + 'static,
        after: String,
    ) -> Found {
        let parted = pieces.enumerate().map(|(index, piece)| match index {
            0 => piece,
            _ => format!(",{piece}"),
        });
        Found(Box::new(std::iter::once(before).chain(parted).chain(std::iter::once(after))))
    }

    pub fn into_response(self) -> Response {
        let pieces = stream::iter(self.0.map(Ok::<_, Infallible>));
        typed(warp::reply::stream(pieces).into_response())
    }
}

fn typed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The values of an expression.
pub(super) fn values(answer: Answer, grid: Grid, is_range: bool, damaged_chunks: u64) -> Found {
    let warnings = match damaged_chunks {
        0 => String::new(),
        count => format!(",\"warnings\":[\"{count} damaged chunks of the history were left out\"]"),
    };
    let head = |kind: &str| {
        format!(
            "{{\"status\":\"success\"{warnings},\"data\":{{\"resultType\":\"{kind}\",\"result\":"
        )
    };
    let single = |kind: &str, sample: String| {
        Found::pieces(format!("{}{sample}", head(kind)), std::iter::empty(), "}}".to_owned())
    };
    let end = "]}}".to_owned();
    match answer {
        Answer::Text(text) => {
            let mut sample = "[".to_owned();
            seconds_text(grid.start, &mut sample);
            single("string", format!("{sample},{}]", json!(text)))
        }
        Answer::Scalar(values) if !is_range => {
            single("scalar", sample(grid.start, values.first().copied().unwrap_or(f64::NAN)))
        }
        Answer::Scalar(values) => {
            let points = values.into_iter().map(Some).collect();
            let series = Series { labels: Labels::default(), points };
            let pieces = std::iter::once(series).map(move |series| of_range(&series, grid));
            Found::pieces(head("matrix") + "[", pieces, end)
        }
        Answer::Vector(series) if !is_range => {
            let pieces = series.into_iter().filter_map(move |series| {
                let value = series.points.first().copied().flatten()?;
                let value = sample(grid.start, value);
                Some(format!("{{\"metric\":{},\"value\":{value}}}", metric(&series.labels)))
            });
            Found::pieces(head("vector") + "[", pieces, end)
        }
        Answer::Vector(mut series) => {
            series.sort_by(|a, b| a.labels.cmp(&b.labels));
            let pieces = series.into_iter().map(move |series| of_range(&series, grid));
            Found::pieces(head("matrix") + "[", pieces, end)
        }
        Answer::Matrix(series) => {
            let pieces = series.into_iter().map(|(labels, samples)| {
                let samples: Vec<_> =
                    samples.into_iter().map(|(time, value)| sample(time, value)).collect();
                with_values(&labels, &samples)
            });
            Found::pieces(head("matrix") + "[", pieces, end)
        }
    }
}

fn of_range(series: &Series, grid: Grid) -> String {
    let points = series.points.iter().enumerate();
    let samples: Vec<_> =
        points.filter_map(|(index, point)| Some(sample(grid.time(index), (*point)?))).collect();
    with_values(&series.labels, &samples)
}

fn with_values(labels: &Labels, samples: &[String]) -> String {
    format!("{{\"metric\":{},\"values\":[{}]}}", metric(labels), samples.join(","))
}

fn sample(time: i64, value: f64) -> String {
    let mut text = "[".to_owned();
    seconds_text(time, &mut text);
    text.push_str(",\"");
    text.push_str(&number_text(value));
    text.push_str("\"]");
    text
}

fn metric(labels: &Labels) -> String {
    let all: BTreeMap<_, _> = labels.iter().collect();
    json!(all).to_string()
}

fn labels_of(series: &history::Found) -> Labels {
    Labels::of_series(&series.device, &series.metric, &series.tags())
}

/// `/series`
pub(super) fn series(found: &[history::Found], limit: usize) -> Result<Found, Fault> {
    let mut all: Vec<_> = found.iter().map(labels_of).collect();
    all.sort();
    all.dedup();
    all.truncate(limit);
    let pieces = all.into_iter().map(|labels| metric(&labels));
    Ok(Found::pieces("{\"status\":\"success\",\"data\":[".to_owned(), pieces, "]}".to_owned()))
}

/// `/labels`
pub(super) fn label_names(found: &[history::Found], limit: usize) -> Result<Found, Fault> {
    let mut names = BTreeSet::new();
    for labels in found.iter().map(labels_of) {
        for (name, _) in labels.iter() {
            if !names.contains(name) {
                names.insert(name.to_owned());
            }
        }
    }
    Ok(Found::whole(&json!(names.into_iter().take(limit).collect::<Vec<_>>())))
}

/// `/label/…/values`
pub(super) fn label_values(
    found: &[history::Found],
    name: &str,
    limit: usize,
) -> Result<Found, Fault> {
    let mut values = BTreeSet::new();
    for series in found {
        let tags = series.tags();
        let view =
            crate::promql::View { device: &series.device, metric: &series.metric, tags: &tags };
        let value = view.get(name);
        if !value.is_empty() && !values.contains(value) {
            values.insert(value.to_owned());
        }
    }
    Ok(Found::whole(&json!(values.into_iter().take(limit).collect::<Vec<_>>())))
}

/// `/metadata`: units; of what kind a metric is, nobody said.
pub(super) fn metadata(
    found: &[history::Found],
    metric: Option<&str>,
    limit: usize,
) -> Result<Found, Fault> {
    let mut units: BTreeMap<&str, &str> = BTreeMap::new();
    for series in found.iter().filter(|series| metric.is_none_or(|it| *series.metric == *it)) {
        let unit = units.entry(&series.metric).or_default();
        if unit.is_empty() {
            *unit = &series.unit;
        }
    }
    let one = |unit: &str| json!([{"type": "unknown", "help": "", "unit": unit}]);
    let all: serde_json::Map<_, _> = units
        .into_iter()
        .take(limit)
        .map(|(metric, unit)| (metric.to_owned(), one(unit)))
        .collect();
    Ok(Found::whole(&all.into()))
}

/// `/status/buildinfo`
pub(super) fn build_info() -> Response {
    let data = json!({
        "version": API_VERSION,
        "revision": concat!("tidegate ", env!("CARGO_PKG_VERSION")),
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    });
    Found::whole(&data).into_response()
}
