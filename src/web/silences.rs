//! Silences: `/api/v1/silences`; for a while nobody is notified of some alerts.

use super::alerts::{a_note, by_whom, parsed, refused};
use super::problem::Problem;
use super::state::App;
use super::trail::saying;
use crate::alerts::Silence;
use crate::auth::Caller;
use crate::clock;
use crate::model::{NANOS_PER_MILLI, Timestamp};
use bytes::Buf;
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use warp::Reply;
use warp::http::StatusCode;
use warp::reply::Response;

/// Whoever wants longer than that wants another rule.
const LENGTH_MAX: Duration = Duration::from_secs(366 * 86_400);
/// Globs and severities of one.
const LIST_MAX: usize = 64;
const GLOB_BYTES_MAX: usize = 1024;

/// `GET /api/v1/silences`.
pub fn list(app: &App) -> Response {
    let now = clock::now();
    let silences = app.alerts.silences();
    let silences: Vec<_> = silences.iter().filter(|it| !it.is_over(now)).map(told).collect();
    warp::reply::json(&json!({ "silences": silences })).into_response()
}

fn told(silence: &Silence) -> Json {
    let Silence { id, rule, device, severity, from, until, by, note } = silence;
    json!({
        "id": id,
        "rule": rule,
        "device": device,
        "severity": severity,
        "from": Timestamp(*from).as_millis(),
        "until": Timestamp(*until).as_millis(),
        "by": by,
        "note": note,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    rule: Vec<String>,
    #[serde(default)]
    device: Vec<String>,
    #[serde(default)]
    severity: Vec<String>,
    from: Option<i64>,
    until: i64,
    by: Option<String>,
    note: Option<String>,
}

/// `POST /api/v1/silences`.
pub async fn post(
    app: Arc<App>,
    caller: Arc<Caller>,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Response, Problem> {
    let shape = "the body is {\"rule\":[…],\"device\":[…],\"severity\":[…],\"until\":ms,\"by\":\"…\",\
                 \"note\":\"…\"}";
    let wanted: Wanted = parsed(&app, body, shape).await?;
    let silence = checked(wanted, &caller, clock::now())?;
    let silence = app.alerts.silence(silence).await.map_err(refused)?;
    let body = warp::reply::json(&told(&silence));
    let reply = warp::reply::with_status(body, StatusCode::CREATED).into_response();
    Ok(saying(reply, silence.id.to_string()))
}

/// `DELETE /api/v1/silences/{id}`.
pub async fn delete(app: Arc<App>, id: u64) -> Result<Response, Problem> {
    app.alerts.end_silence(id).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn checked(wanted: Wanted, caller: &Caller, now: Timestamp) -> Result<Silence, Problem> {
    let Wanted { rule, device, severity, from, until, by, note } = wanted;
    let mut wrong = Vec::new();
    for (key, list) in [("rule", &rule), ("device", &device), ("severity", &severity)] {
        if list.len() > LIST_MAX || list.iter().any(|it| it.len() > GLOB_BYTES_MAX) {
            wrong.push(format!("{key}: {LIST_MAX} of {GLOB_BYTES_MAX} bytes are allowed"));
        }
    }
    for name in &severity {
        if !["info", "warning", "critical"].contains(&name.as_str()) {
            wrong.push(format!("severity: \"{name}\" is none of info, warning and critical"));
        }
    }
    let nanos = |ms: i64| ms.saturating_mul(NANOS_PER_MILLI);
    let (from, until) = (from.map_or(now.0, nanos), nanos(until));
    if until <= now.0.max(from) {
        wrong.push("until: is over already, or before it begins".to_owned());
    } else if Timestamp(until).since(now) > LENGTH_MAX {
        wrong.push("until: is more than a year from now".to_owned());
    }
    if !wrong.is_empty() {
        return Err(Problem::bad_request(wrong.join("; ")));
    }
    let (by, note) = (by_whom(caller, by)?, a_note(note)?);
    Ok(Silence { id: 0, rule, device, severity, from, until, by, note })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_has_an_end_that_is_to_come() {
        let check = |json: Json| {
            let wanted = serde_json::from_value(json).unwrap();
            checked(wanted, &Caller::anonymous(), Timestamp(1_000 * NANOS_PER_MILLI)).ok()
        };
        let silence = check(json!({ "until": 2000, "device": ["pump-*"] })).unwrap();
        assert_eq!((silence.from, silence.until), (1_000_000_000, 2_000_000_000));
        assert_eq!(silence.by, "operator");
        for wrong in [
            json!({ "until": 1000 }),
            json!({ "until": 2000, "from": 3000 }),
            json!({ "until": 1_000_000_000_000_000_i64 }),
            json!({ "until": 2000, "severity": ["bad"] }),
        ] {
            assert_eq!(check(wrong.clone()), None, "{wrong}");
        }
    }
}
