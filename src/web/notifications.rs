//! Who is told of alerts, and what could not be told: `/api/v1/notifications`.

use super::body;
use super::problem::Problem;
use super::routes::{answer, decoded, exactly, reading};
use super::state::App;
use crate::notify::{BookError, Letter, TestError, View};
use bytes::Buf;
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::reply::Response;
use warp::{Filter, Reply};

/// Dead letters that are told; the newest.
const LETTERS_MAX: usize = 1000;

/// Its paths.
pub fn routes(app: Arc<App>) -> BoxedFilter<(Response,)> {
    let with = warp::any().map(move || app.clone()).boxed();
    let all = reading()
        .and(exactly("api/v1/notifications"))
        .and(with.clone())
        .then(|app: Arc<App>| async move { answer(list(&app).await) });
    let test = warp::post()
        .and(warp::path!("api" / "v1" / "notifications" / String / "test"))
        .and(with.clone())
        .then(|channel: String, app: Arc<App>| async move { answer(test(&app, &channel).await) });
    let post = |path| {
        let post = warp::post().and(exactly(path));
        post.and(with.clone()).and(warp::body::stream())
    };
    let retry =
        post("api/v1/notifications/dead-letters/retry").then(|app: Arc<App>, body| async move {
            answer(match ids(&app, body).await {
                Ok(ids) => changed(app.notify.retry(ids).await),
                Err(problem) => Err(problem),
            })
        });
    let drop =
        post("api/v1/notifications/dead-letters/drop").then(|app: Arc<App>, body| async move {
            answer(match ids(&app, body).await {
                Ok(ids) => changed(app.notify.drop_letters(ids).await),
                Err(problem) => Err(problem),
            })
        });
    all.or(test).unify().or(retry).unify().or(drop).unify().boxed()
}

async fn list(app: &App) -> Result<Response, Problem> {
    let letters = app.notify.letters(LETTERS_MAX).await.map_err(|error| broken(&error))?;
    let channels: Vec<_> = app.notify.views().iter().map(channel).collect();
    let letters: Vec<_> = letters.iter().map(letter).collect();
    let body = json!({ "channels": channels, "dead_letters": letters });
    Ok(warp::reply::json(&body).into_response())
}

fn channel(view: &View) -> Json {
    json!({
        "name": view.name,
        "kind": view.kind,
        "state": view.state,
        "sent": view.sent,
        "failed": view.failed,
        "pending_events": view.pending_events,
        "silenced_events": view.silenced,
        "missed_events": view.missed,
        "dead_letters": view.dead_letters,
        "last_error": view.last_error,
        "last_sent_at": view.last_sent_at.map(|at| at.as_millis()),
        "next_try_at": view.next_try_at.map(|at| at.as_millis()),
    })
}

fn letter(letter: &Letter) -> Json {
    json!({
        "id": letter.id,
        "channel": letter.channel,
        "at": letter.at.as_millis(),
        "reason": letter.reason,
        "summary": letter.summary,
        "attempts": letter.attempts,
        "events": letter.events,
    })
}

/// What the other end says is an answer, too: 200 in either case.
async fn test(app: &App, channel: &str) -> Result<Response, Problem> {
    let channel = decoded(channel)?;
    let body = match app.notify.test(&channel).await {
        Ok(()) => json!({ "ok": true }),
        Err(TestError::Undelivered(why)) => json!({ "ok": false, "error": why.to_string() }),
        Err(TestError::Unknown) => {
            let detail = format!("there is no channel {channel}; see /api/v1/notifications");
            return Err(Problem::new(StatusCode::NOT_FOUND, detail));
        }
        Err(error @ TestError::Busy) => return Err(Problem::new(StatusCode::CONFLICT, error)),
    };
    Ok(warp::reply::json(&body).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Meant {
    ids: Vec<String>,
}

async fn ids(
    app: &App,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Vec<String>, Problem> {
    let limits = app.intake.limits();
    let body = body::read(body, limits.wire.message_bytes, limits.body_timeout).await?;
    let Meant { ids } =
        body::object(&body).map_err(|_| Problem::bad_request("the body is {\"ids\":[\"…\"]}"))?;
    body::few(&ids)?;
    Ok(ids)
}

fn changed(letters: Result<u64, BookError>) -> Result<Response, Problem> {
    let letters = letters.map_err(|error| broken(&error))?;
    Ok(warp::reply::json(&json!({ "letters": letters })).into_response())
}

fn broken(error: &BookError) -> Problem {
    log::error!(error:% = error; "the file of notifications could not be read or changed");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error)
}
