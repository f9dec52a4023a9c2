//! Alerts: `/api/v1/alerts`, and taking notice of them.

use super::history::Parameters;
use super::problem::Problem;
use super::routes::{answer, caller, decoded, exactly, reading};
use super::state::App;
use super::trail::saying;
use super::{body, rules, silences};
use crate::alerts::{
    Alerts, BY_BYTES_MAX, BookError, Counts, Detail, Filter, Happened, NOTE_BYTES_MAX, Refused,
};
use crate::auth::Caller;
use crate::rules::{Alert, Severity, State, Value};
use bytes::Buf;
use futures_util::Stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::reply::Response;
use warp::{Filter as _, Reply};

/// Alerts of a page if nobody asks for another number.
const PAGE: usize = 100;
/// And at most.
const PAGE_MAX: usize = 1000;
/// Alerts that are counted for who reaches some devices only.
const COUNTED_MAX: usize = 100_000;
/// Alerts that are acknowledged at once.
const IDS_MAX: usize = 10_000;
/// The largest body of a request about alerts, rules or silences.
const BODY_BYTES_MAX: usize = 256 << 10;
/// When to ask again while the file can't be written.
const RETRY: Duration = Duration::from_secs(5);
/// Who acts if nobody says.
const OPERATOR: &str = "operator";

/// Alerts, rules and silences.
pub(super) fn routes(app: Arc<App>) -> BoxedFilter<(Response,)> {
    let with = warp::any().map(move || app.clone()).boxed();
    let parameters = warp::query::<Parameters>().or(warp::any().map(Parameters::new)).unify();
    let list = reading()
        .and(exactly("api/v1/alerts"))
        .and(with.clone())
        .and(caller())
        .and(parameters)
        .then(|app, caller, asked| async move { answer(list(app, caller, asked).await) });
    let detail = reading()
        .and(warp::path!("api" / "v1" / "alerts" / u64))
        .and(with.clone())
        .and(caller())
        .then(|id, app, caller| async move { answer(detail(app, caller, id).await) });
    let acknowledge = warp::post()
        .and(exactly("api/v1/alerts/acknowledge"))
        .and(with.clone())
        .and(caller())
        .and(warp::body::stream())
        .then(|app, caller, body| async move { answer(acknowledge(app, caller, body).await) });
    let all = reading()
        .and(exactly("api/v1/rules"))
        .and(with.clone())
        .map(|app: Arc<App>| rules::list(&app));
    let put = warp::put()
        .and(warp::path!("api" / "v1" / "rules" / String))
        .and(with.clone())
        .and(warp::body::stream())
        .then(|name: String, app, body| async move {
            match decoded(&name) {
                Ok(name) => answer(rules::put(app, name, body).await),
                Err(problem) => problem.into_response(),
            }
        });
    let delete = warp::delete()
        .and(warp::path!("api" / "v1" / "rules" / String))
        .and(with.clone())
        .then(|name: String, app| async move {
            match decoded(&name) {
                Ok(name) => answer(rules::delete(app, name).await),
                Err(problem) => problem.into_response(),
            }
        });
    let rules = all.or(put).unify().or(delete).unify().boxed();
    let all = reading()
        .and(exactly("api/v1/silences"))
        .and(with.clone())
        .map(|app: Arc<App>| silences::list(&app));
    let silence = warp::post()
        .and(exactly("api/v1/silences"))
        .and(with.clone())
        .and(caller())
        .and(warp::body::stream())
        .then(|app, caller, body| async move { answer(silences::post(app, caller, body).await) });
    let end = warp::delete()
        .and(warp::path!("api" / "v1" / "silences" / u64))
        .and(with.clone())
        .then(|id, app| async move { answer(silences::delete(app, id).await) });
    let silences = all.or(silence).unify().or(end).unify().boxed();
    let alerts = list.or(detail).unify().or(acknowledge).unify().boxed();
    alerts.or(rules).unify().or(silences).unify().boxed()
}

/// `GET /api/v1/alerts`.
async fn list(
    app: Arc<App>,
    caller: Arc<Caller>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let Asked { mut filter, before, limit } = Asked::of(&parameters)?;
    filter.reach = Some(caller.reach.clone());
    let all = caller.reach.is_all().then(|| app.alerts.stats().counts);
    let found = read(&app.alerts, move |alerts| {
        let found = alerts.list(&filter, before, limit + 1)?;
        let counts = all.map_or_else(|| within(alerts, &filter), Ok)?;
        Ok((found, counts))
    });
    let (mut found, counts) = found.await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|alert| alert.id);
    let body = json!({
        "alerts": found.iter().map(Alert::json).collect::<Vec<_>>(),
        "next": next,
        "counts": {
            "pending": counts.pending,
            "firing": counts.firing,
            "acknowledged": counts.acknowledged,
        },
    });
    Ok(warp::reply::json(&body).into_response())
}

/// How many alerts are open within the reach of a filter.
fn within(alerts: &Alerts, filter: &Filter) -> Result<Counts, BookError> {
    let states = states("open").unwrap_or_default();
    let open = Filter { states, reach: filter.reach.clone(), ..Filter::default() };
    let mut counts = Counts::default();
    for alert in alerts.list(&open, None, COUNTED_MAX)? {
        counts.add(&alert);
    }
    Ok(counts)
}

/// `GET /api/v1/alerts/{id}`.
async fn detail(app: Arc<App>, caller: Arc<Caller>, id: u64) -> Result<Response, Problem> {
    let found = read(&app.alerts, move |it| it.detail(id)).await?;
    let found = found.filter(|found| found.alert.is_within(&caller.reach));
    let Some(Detail { alert, events }) = found else {
        let detail =
            format!("there is no alert {id}; it may have passed before it fired, or be too old");
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    };
    let mut body = alert.json();
    body["events"] = events.iter().map(happened).collect();
    Ok(warp::reply::json(&body).into_response())
}

fn happened(happened: &Happened) -> Json {
    let Happened { event, by, note } = happened;
    json!({
        "id": event.id,
        "at": event.at.as_millis(),
        "kind": event.kind.name(),
        "by": by,
        "note": note,
        "value": event.alert.value.as_ref().map(Value::json),
        "silenced": event.alert.silenced,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledge {
    ids: Vec<u64>,
    by: Option<String>,
    note: Option<String>,
}

/// `POST /api/v1/alerts/acknowledge`.
async fn acknowledge(
    app: Arc<App>,
    caller: Arc<Caller>,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Response, Problem> {
    let shape = "the body is {\"ids\":[…],\"by\":\"…\",\"note\":\"…\"}";
    let Acknowledge { ids, by, note } = parsed(&app, body, shape).await?;
    if ids.len() > IDS_MAX {
        let detail = format!("{} alerts are named, {IDS_MAX} are allowed at once", ids.len());
        return Err(Problem::bad_request(detail));
    }
    let (by, note) = (by_whom(&caller, by)?, a_note(note)?);
    let (done, not) =
        app.alerts.acknowledge(ids, caller.reach.clone(), by, note).await.map_err(refused)?;
    let not: Vec<_> = not.iter().map(|(id, why)| json!({ "id": id, "why": why })).collect();
    let reply = warp::reply::json(&json!({ "acknowledged": done, "not": not })).into_response();
    let ids: Vec<_> = done.iter().map(ToString::to_string).collect();
    Ok(saying(reply, format!("alerts {}", ids.join(", "))))
}

/// Reads the file: not on a thread that serves sockets.
pub(super) async fn read<T: Send + 'static>(
    alerts: &Alerts,
    work: impl FnOnce(&Alerts) -> Result<T, BookError> + Send + 'static,
) -> Result<T, Problem> {
    let alerts = alerts.clone();
    let done = tokio::task::spawn_blocking(move || work(&alerts)).await;
    let failed = |error: &dyn std::error::Error| {
        log::error!(error:% = error; "alerts.db could not be read");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    };
    done.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

/// A JSON body of one shape.
pub(super) async fn parsed<T: DeserializeOwned>(
    app: &App,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
    shape: &str,
) -> Result<T, Problem> {
    let bytes = body::read(body, BODY_BYTES_MAX, app.intake.limits().body_timeout).await?;
    body::object(&bytes).map_err(|error| Problem::bad_request(format!("{shape}: {error}")))
}

/// Who acts: the caller, unless nobody was asked, or only this machine; then as they say.
pub(super) fn by_whom(caller: &Caller, by: Option<String>) -> Result<String, Problem> {
    if !caller.how.says_who() {
        return Ok(caller.name.to_string());
    }
    let by = by.filter(|by| !by.is_empty()).unwrap_or_else(|| OPERATOR.to_owned());
    short("by", by, BY_BYTES_MAX)
}

pub(super) fn a_note(note: Option<String>) -> Result<String, Problem> {
    short("note", note.unwrap_or_default(), NOTE_BYTES_MAX)
}

fn short(key: &str, text: String, max: usize) -> Result<String, Problem> {
    if text.len() > max {
        let detail = format!("{key} has {} bytes, {max} are allowed", text.len());
        return Err(Problem::bad_request(detail));
    }
    Ok(text)
}

/// Why something was not done, as a problem document.
pub(super) fn refused(refused: Refused) -> Problem {
    let status = match &refused {
        Refused::Wrong(_) | Refused::Rule(_) => StatusCode::BAD_REQUEST,
        Refused::Missing(_) => StatusCode::NOT_FOUND,
        Refused::Taken(_) | Refused::Full(_) => StatusCode::CONFLICT,
        Refused::Unavailable(_) => return Problem::unavailable(refused, RETRY),
    };
    Problem::new(status, refused)
}

/// What a list is asked for.
#[derive(Debug, PartialEq)]
struct Asked {
    filter: Filter,
    before: Option<u64>,
    limit: usize,
}

impl Asked {
    fn of(parameters: &Parameters) -> Result<Asked, Problem> {
        let mut filter = Filter { states: states("open").unwrap_or_default(), ..Filter::default() };
        let (mut before, mut limit) = (None, PAGE);
        for (name, value) in parameters {
            let wrong = |of: &str| Problem::bad_request(format!("{name}: \"{value}\" is no {of}"));
            match &**name {
                "state" => {
                    let known = "state (open, pending, firing, acknowledged, resolved or all)";
                    filter.states = states(value).ok_or_else(|| wrong(known))?;
                }
                "rule" => filter.rule = Some(value.clone()),
                "device" => filter.device = Some(value.clone()),
                "severity" => {
                    let all = [Severity::Info, Severity::Warning, Severity::Critical];
                    let found = all.into_iter().find(|it| it.name() == value);
                    let known = "severity (info, warning or critical)";
                    filter.severity = Some(found.ok_or_else(|| wrong(known))?.name());
                }
                "before" => before = Some(value.parse().map_err(|_| wrong("such number"))?),
                "limit" => {
                    let number = value.parse().ok().filter(|it| (1..=PAGE_MAX).contains(it));
                    limit = number.ok_or_else(|| wrong("such number"))?;
                }
                name => {
                    let known = "state, rule, device, severity, limit, before";
                    let detail = format!("there is no parameter {name}; known are {known}");
                    return Err(Problem::bad_request(detail));
                }
            }
        }
        Ok(Asked { filter, before, limit })
    }
}

/// The states that a word stands for; none = all.
fn states(word: &str) -> Option<Vec<&'static str>> {
    let all = [State::Pending, State::Firing, State::Acknowledged, State::Resolved];
    match word {
        "all" => Some(Vec::new()),
        "open" => Some(all[..3].iter().map(|state| state.name()).collect()),
        word => all.into_iter().find(|it| it.name() == word).map(|state| vec![state.name()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_asked_for_by_name() {
        let asked = |pairs: &[(&str, &str)]| {
            let parameters = pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
            Asked::of(&parameters).ok()
        };
        let plain = asked(&[]).unwrap();
        assert_eq!(plain.filter.states, ["pending", "firing", "acknowledged"]);
        assert_eq!((plain.before, plain.limit), (None, PAGE));
        let all = [
            ("state", "all"),
            ("rule", "hot"),
            ("device", "pump-7"),
            ("severity", "critical"),
            ("before", "7"),
            ("limit", "5"),
        ];
        let filter = Filter {
            states: Vec::new(),
            rule: Some("hot".to_owned()),
            device: Some("pump-7".to_owned()),
            severity: Some("critical"),
            reach: None,
        };
        assert_eq!(asked(&all), Some(Asked { filter, before: Some(7), limit: 5 }));
        for wrong in
            [("state", "closed"), ("severity", "bad"), ("limit", "0"), ("before", "x"), ("id", "1")]
        {
            assert_eq!(asked(&[wrong]), None, "{wrong:?}");
        }
    }
}
