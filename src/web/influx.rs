//! Where InfluxDB's clients write, and ask whether we are there: `POST /api/v2/write` of version 2, `/write` of
//! 1.x, `/api/v3/write_lp` of version 3.
//!
//! In: line protocol. Out: 204 once all of it is durable, or an error as clients of that version read it
//! (docs/neighbours.md). Buckets, organisations and databases are accepted and mean nothing here.

use super::post::{Known, Sent, sent, status};
use super::problem::{Problem, retry_after_value};
use super::routes::{exactly, reading};
use super::state::App;
use crate::decode::TimeUnit;
use crate::intake::{Part, PostAnswer, PostedAs};
use crate::model::SessionId;
use crate::wire::RefusalCode;
use bytes::Buf;
use futures_util::Stream;
use serde_json::{Value as Json, json};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use url::form_urlencoded;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::reply::Response;
use warp::{Filter, Reply};

/// What clients take us for: they look at the major version, to know which paths there are.
const VERSION: &str = concat!("v2.7.0-tidegate-", env!("CARGO_PKG_VERSION"));
/// Faulty lines that a message says all of; of the others it names the numbers.
const TOLD_MAX: usize = 10;

/// Which InfluxDB's way of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    V1,
    V2,
    V3,
}

const WAYS: [(&str, Way); 3] =
    [("/write", Way::V1), ("/api/v2/write", Way::V2), ("/api/v3/write_lp", Way::V3)];

/// Whether InfluxDB's clients write there.
pub(super) fn is_write(path: &str) -> bool {
    Way::of(path).is_some()
}

/// All of it.
pub(super) fn routes(app: Arc<App>) -> BoxedFilter<(Response,)> {
    let with = warp::any().map(move || app.clone()).boxed();
    let write = |way: Way, path: &'static str| {
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        let asked = warp::post().and(exactly(path)).and(with.clone()).and(query).and(sent());
        asked
            .then(move |app: Arc<App>, query: String, sent| async move {
                let written = write(&app, way, &query, sent).await;
                written.unwrap_or_else(|problem| way.told(&problem))
            })
            .boxed()
    };
    let [v1, v2, v3] = WAYS.map(|(path, way)| write(way, path.trim_start_matches('/')));
    let ping = exactly("ping").or(exactly("api/v2/ping")).unify();
    let ping = reading().and(ping).map(|| versioned(StatusCode::NO_CONTENT.into_response()));
    let health =
        reading().and(exactly("health")).and(with.clone()).map(|app: Arc<App>| health(&app));
    v2.or(v1).unify().or(v3).unify().or(ping).unify().or(health).unify().boxed()
}

/// What the query says of a body.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    time_unit: TimeUnit,
    /// Nothing enters of a body in which a line is at fault.
    all_or_none: bool,
}

impl Asked {
    /// Reads it. What is not about the lines is not looked at, as InfluxDB does.
    fn read(way: Way, query: &str) -> Result<Asked, Problem> {
        const NANOS: TimeUnit = TimeUnit::Nanos(1);
        let unset = if way == Way::V3 { TimeUnit::BySize } else { NANOS };
        let mut asked = Asked { time_unit: unset, all_or_none: false };
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match (&*key, &*value) {
                ("precision", "") => {}
                ("precision", value) => asked.time_unit = precision(way, value)?,
                ("accept_partial", said) if way == Way::V3 => {
                    asked.all_or_none = match said {
                        "true" => false,
                        "false" => true,
                        _ => {
                            let detail =
                                format!("accept_partial {said:?} is none of true and false");
                            return Err(Problem::bad_request(detail));
                        }
                    };
                }
                _ => {}
            }
        }
        Ok(asked)
    }
}

fn precision(way: Way, said: &str) -> Result<TimeUnit, Problem> {
    const SECOND: i64 = 1_000_000_000;
    Ok(match (said, way) {
        ("auto", Way::V3) => TimeUnit::BySize,
        ("ns", _) | ("n", Way::V1 | Way::V3) | ("nanosecond", Way::V3) => TimeUnit::Nanos(1),
        ("us", _) | ("u" | "µ" | "µs", Way::V1) | ("u" | "microsecond", Way::V3) => {
            TimeUnit::Nanos(1_000)
        }
        ("ms", _) | ("millisecond", Way::V3) => TimeUnit::Nanos(1_000_000),
        ("s", _) | ("second", Way::V3) => TimeUnit::Nanos(SECOND),
        ("m", Way::V1) => TimeUnit::Nanos(60 * SECOND),
        ("h", Way::V1) => TimeUnit::Nanos(3600 * SECOND),
        _ => {
            let there = match way {
                Way::V1 => "n, ns, u, us, ms, s, m and h",
                Way::V2 => "ns, us, ms and s",
                Way::V3 => "auto, nanosecond, microsecond, millisecond and second",
            };
            return Err(Problem::bad_request(format!("precision {said:?} is none of {there}")));
        }
    })
}

async fn write<B: Buf>(
    app: &App,
    way: Way,
    query: &str,
    sent: Sent<impl Stream<Item = Result<B, warp::Error>>>,
) -> Result<Response, Problem> {
    let Asked { time_unit, all_or_none } = Asked::read(way, query)?;
    let form = PostedAs::Lines { time_unit, all_or_none };
    let known = Known { form, client: sent.sender(), session: SessionId(0), seq: 0 };
    let answer = sent.post(app, known).await?;
    Ok(match answer.refused.is_empty() {
        true => versioned(StatusCode::NO_CONTENT.into_response()),
        false => way.refused(&answer),
    })
}

impl Way {
    fn of(path: &str) -> Option<Way> {
        WAYS.iter().find(|(write, _)| *write == path).map(|(_, way)| *way)
    }

    /// An error of the entry, as the clients of that path read it; `None` if they are none of InfluxDB's.
    pub(super) fn told_at(path: &str, problem: &Problem) -> Option<Response> {
        Some(Way::of(path)?.told(problem))
    }

    /// A request that did not get as far as its lines.
    fn told(self, problem: &Problem) -> Response {
        let (status, detail) = (problem.status(), problem.detail());
        let body = match self {
            Way::V1 | Way::V3 => json!({ "error": detail }),
            Way::V2 => json!({ "code": code(status), "message": detail }),
        };
        let mut response = told(status, &body, detail);
        problem.add_headers(response.headers_mut());
        response
    }

    /// What did not enter of the lines.
    fn refused(self, answer: &PostAnswer) -> Response {
        let status = match status(answer) {
            // 1.x and 3 have one status for lines that they don't take.
            StatusCode::UNPROCESSABLE_ENTITY if self != Way::V2 => StatusCode::BAD_REQUEST,
            StatusCode::BAD_REQUEST if is_forbidden(answer) => StatusCode::FORBIDDEN,
            status => status,
        };
        let message = sentence(answer);
        let lines = answer.refused.iter().filter_map(|part| match part.part {
            Part::Line(line) => Some((line, &part.refusal.message)),
            Part::Whole | Part::Item(_) => None,
        });
        let body = match self {
            Way::V1 => json!({ "error": message }),
            Way::V2 => {
                let line = lines.map(|(line, _)| line).next();
                let mut body = json!({ "code": code(status), "message": message });
                if let (Some(line), Json::Object(body)) = (line, &mut body) {
                    body.insert("line".to_owned(), line.into());
                }
                body
            }
            Way::V3 => {
                let data: Vec<_> = lines
                    .map(|(line, why)| json!({ "line_number": line, "error_message": why }))
                    .collect();
                // These words are what clients tell it by.
                let error = match (data.is_empty(), answer.accepted) {
                    (true, _) => &*message,
                    (false, 0) => "parsing failed for write_lp endpoint",
                    (false, _) => "partial write of line protocol occurred",
                };
                json!({ "error": error, "data": data })
            }
        };
        let mut response = told(status, &body, &message);
        if let Some(after) = answer.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after_value(after));
        }
        response
    }
}

/// Whether nothing entered because the caller may not write those devices.
fn is_forbidden(answer: &PostAnswer) -> bool {
    let mut codes = answer.refused.iter().map(|part| part.refusal.code);
    codes.all(|code| code == RefusalCode::Forbidden)
}

/// What became of the lines, in words that agents of 1.x look for: what "partial write" or "unable to parse"
/// is said of, they do not send again.
fn sentence(answer: &PostAnswer) -> String {
    let lines: Vec<_> = answer
        .refused
        .iter()
        .filter_map(|part| match part.part {
            Part::Line(line) => Some((line, &part.refusal.message)),
            Part::Whole | Part::Item(_) => None,
        })
        .collect();
    let Some(&(first, why)) = lines.first() else {
        return answer
            .refused
            .first()
            .map_or_else(String::new, |part| part.refusal.message.clone());
    };
    let mut told = match (answer.accepted, answer.refused_total) {
        (0, _) => "unable to parse: nothing entered".to_owned(),
        (accepted, 1) => format!("partial write: {accepted} values entered, a line did not"),
        (accepted, lines) => {
            format!("partial write: {accepted} values entered, {lines} lines did not")
        }
    };
    // Writing to a String does not fail.
    let mut add = |text: std::fmt::Arguments<'_>| told.write_fmt(text).unwrap_or_default();
    add(format_args!(": line {first}: {why}"));
    for (line, why) in lines.iter().take(TOLD_MAX).skip(1) {
        add(format_args!("; line {line}: {why}"));
    }
    if lines.len() > TOLD_MAX {
        let others: Vec<_> =
            lines.iter().skip(TOLD_MAX).map(|(line, _)| line.to_string()).collect();
        add(format_args!("; lines {}", others.join(", ")));
    }
    match answer.refused_total.saturating_sub(lines.len()) {
        0 => {}
        more => add(format_args!("; and {more} more")),
    }
    told
}

/// InfluxDB 2's word for it.
fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not found",
        StatusCode::METHOD_NOT_ALLOWED => "method not allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "request too large",
        StatusCode::UNPROCESSABLE_ENTITY => "unprocessable entity",
        StatusCode::TOO_MANY_REQUESTS => "too many requests",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        status if status.is_server_error() => "internal error",
        _ => "invalid",
    }
}

fn told(status: StatusCode, body: &Json, message: &str) -> Response {
    let mut response = warp::reply::json(body).into_response();
    *response.status_mut() = status;
    // Where clients of 1.x look first. What is not ASCII, or too long for a header, is in the body only.
    let short: String =
        message.chars().filter(|char| matches!(char, ' '..='~')).take(512).collect();
    if let Ok(value) = HeaderValue::from_str(&short) {
        response.headers_mut().insert("x-influxdb-error", value);
    }
    versioned(response)
}

/// Says what clients take us for.
fn versioned(mut response: Response) -> Response {
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert("x-influxdb-version", HeaderValue::from_static(VERSION));
    headers.insert("x-influxdb-build", HeaderValue::from_static("Tidegate"));
    response
}

/// Whether lines would be accepted now.
fn health(app: &App) -> Response {
    let trouble = app.status.not_ready();
    let (status, is) = match trouble {
        None => (StatusCode::OK, "pass"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "fail"),
    };
    let message = trouble.unwrap_or_else(|| "ready for writes".to_owned());
    let body = json!({
        "name": "tidegate", "status": is, "message": message, "checks": [], "version": VERSION,
        "commit": "",
    });
    let mut response = warp::reply::json(&body).into_response();
    *response.status_mut() = status;
    if status != StatusCode::OK {
        let after = retry_after_value(Duration::from_secs(5));
        response.headers_mut().insert(header::RETRY_AFTER, after);
    }
    versioned(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::{Refusal, RefusedPart, Retry};
    use crate::wire::Place;

    fn answer(accepted: usize, lines: usize, total: usize) -> PostAnswer {
        let part = |line| RefusedPart {
            part: Part::Line(line),
            refusal: Refusal {
                code: RefusalCode::Malformed,
                retry: Retry::Never,
                message: format!("why {line}"),
                at: Place::default(),
            },
        };
        let refused = (1..=lines).map(part).collect();
        PostAnswer { accepted, refused, refused_total: total, ..PostAnswer::default() }
    }

    #[test]
    fn what_did_not_enter_is_told_in_one_sentence_however_much_it_is() {
        assert_eq!(sentence(&answer(0, 1, 1)), "unable to parse: nothing entered: line 1: why 1");
        assert_eq!(
            sentence(&answer(3, 2, 2)),
            "partial write: 3 values entered, 2 lines did not: line 1: why 1; line 2: why 2"
        );
        let told = sentence(&answer(3, 12, 500));
        assert!(told.ends_with("; line 10: why 10; lines 11, 12; and 488 more"), "{told}");
    }

    #[test]
    fn only_what_an_influxdb_of_that_version_knows_is_a_precision() {
        let read = |way, query: &str| Asked::read(way, query).ok().map(|asked| asked.time_unit);
        let minute = TimeUnit::Nanos(60_000_000_000);
        assert_eq!(read(Way::V1, "db=x&precision=m&u=ana"), Some(minute));
        assert_eq!(read(Way::V2, "precision=m"), None);
        assert_eq!(read(Way::V2, "precision="), Some(TimeUnit::Nanos(1)));
        assert_eq!(read(Way::V3, ""), Some(TimeUnit::BySize));
        assert_eq!(read(Way::V3, "precision=nanosecond"), Some(TimeUnit::Nanos(1)));
        assert_eq!(read(Way::V2, "precision=nanosecond"), None);
    }
}
