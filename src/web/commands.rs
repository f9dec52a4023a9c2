//! Commands to devices: asked for, looked at, taken back.

use super::body;
use super::desired;
use super::history::Parameters;
use super::problem::Problem;
use super::routes::{self, answer, caller, reading};
use super::state::App;
use super::trail::saying;
use crate::auth::Caller;
use crate::commands::{Command, CommandsError, Delivery, Wish};
use crate::model::check_name;
use bytes::Buf;
use futures_util::Stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::reply::Response;
use warp::{Filter, Reply};

/// The longest name of a command and of who asks for it.
pub(super) const NAME_BYTES_MAX: usize = 128;
/// The longest arguments.
const ARGUMENTS_BYTES_MAX: usize = 16 * 1024;
/// A body of a request: arguments or a document, and the rest.
const BODY_BYTES_MAX: usize = 80 * 1024;
/// Time to live if nobody says another, in seconds.
const TTL_S: u64 = 60;
/// Commands of a page if nobody asks for another number, and at most.
const PAGE: usize = 50;
const PAGE_MAX: usize = 500;
/// Come back after that when too much is open.
const AGAIN: Duration = Duration::from_secs(5);

/// What people do with commands and desired documents.
pub(super) fn routes(app: Arc<App>) -> BoxedFilter<(Response,)> {
    let with = warp::any().map(move || app.clone()).boxed();
    let parameters =
        warp::query::<Parameters>().or(warp::any().map(Parameters::new)).unify().boxed();
    let create = warp::post()
        .and(warp::path!("api" / "v1" / "devices" / String / "commands"))
        .and(with.clone())
        .and(caller())
        .and(warp::body::stream())
        .then(|device, app, caller, body| async move {
            answer(create(app, &caller, device, body).await)
        });
    let list = reading()
        .and(warp::path!("api" / "v1" / "devices" / String / "commands"))
        .and(with.clone())
        .and(caller())
        .and(parameters)
        .then(|device, app, caller, asked| async move {
            answer(list(app, caller, device, asked).await)
        });
    let command = reading()
        .and(warp::path!("api" / "v1" / "commands" / u64))
        .and(with.clone())
        .and(caller())
        .then(|id, app, caller| async move { answer(command(app, caller, id).await) });
    let cancel = warp::post()
        .and(warp::path!("api" / "v1" / "commands" / u64 / "cancel"))
        .and(with.clone())
        .and(caller())
        .and(warp::body::stream())
        .then(|id, app, caller, body| async move { answer(cancel(app, caller, id, body).await) });
    let set = warp::put()
        .and(warp::path!("api" / "v1" / "devices" / String / "desired"))
        .and(with.clone())
        .and(caller())
        .and(warp::body::stream())
        .then(|device, app, caller, body| async move {
            answer(desired::set(app, caller, device, body).await)
        });
    let get = reading()
        .and(warp::path!("api" / "v1" / "devices" / String / "desired"))
        .and(with)
        .and(caller())
        .then(|device, app, caller| async move { answer(desired::get(app, caller, device).await) });
    let commands = create.or(list).unify().or(command).unify().or(cancel).unify().boxed();
    commands.or(set).unify().or(get).unify().boxed()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked<'a> {
    name: String,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    ttl_s: Option<u64>,
    delivery: Option<String>,
    by: Option<String>,
}

async fn create(
    app: Arc<App>,
    caller: &Arc<Caller>,
    device: String,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Response, Problem> {
    let device = routes::device(device, caller.clone())?;
    let body = read(&app, body).await?;
    let asked: Asked<'_> = body::object(&body).map_err(|error| {
        let detail = "the body is {\"name\":…, and if need be \"arguments\", \"ttl_s\", \"delivery\", \"by\"}";
        Problem::bad_request(format!("{detail}: {error}"))
    })?;
    check_name(&asked.name, NAME_BYTES_MAX)
        .map_err(|error| Problem::bad_request(format!("name: {error}")))?;
    asked.arguments.map_or(Ok(()), |json| body::readable("arguments", json))?;
    let arguments = asked.arguments.map(RawValue::get).filter(|json| *json != "null");
    if arguments.is_some_and(|json| json.len() > ARGUMENTS_BYTES_MAX) {
        let detail = format!("arguments may have {ARGUMENTS_BYTES_MAX} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let ttl_max = app.commands.settings().ttl_max;
    let ttl = Duration::from_secs(asked.ttl_s.unwrap_or(TTL_S));
    if ttl.is_zero() || ttl > ttl_max {
        let detail = format!("ttl_s: from 1 to {} (commands.ttl_max)", ttl_max.as_secs());
        return Err(Problem::bad_request(detail));
    }
    let delivery = match asked.delivery.as_deref() {
        None => Delivery::AtMostOnce,
        Some(name) => Delivery::from_name(name).ok_or_else(|| {
            Problem::bad_request("delivery: \"at_most_once\" or \"at_least_once\"")
        })?,
    };
    let wish = Wish {
        device: device.into(),
        name: asked.name,
        arguments: arguments.map(str::to_owned),
        delivery,
        ttl,
        by: by(caller, asked.by)?,
    };
    let command = app.commands.create(wish).await.map_err(problem)?;
    let reply = warp::reply::json(&told(&command));
    let reply = warp::reply::with_status(reply, StatusCode::ACCEPTED).into_response();
    Ok(saying(reply, words(&command)))
}

async fn list(
    app: Arc<App>,
    caller: Arc<Caller>,
    device: String,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let device = routes::device(device, caller)?;
    let (mut limit, mut before) = (PAGE, u64::MAX);
    for (name, value) in &parameters {
        let wrong = || Problem::bad_request(format!("{name}: \"{value}\" is no such number"));
        match &**name {
            "limit" => {
                let asked = value.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
                limit = asked.ok_or_else(wrong)?;
            }
            "before" => before = value.parse().map_err(|_| wrong())?,
            name => {
                let detail = format!("there is no parameter {name}; known are limit, before");
                return Err(Problem::bad_request(detail));
            }
        }
    }
    let mut found = app.commands.list(&device, before, limit + 1).await.map_err(problem)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|command| command.id);
    let commands: Vec<_> = found.iter().map(told).collect();
    Ok(warp::reply::json(&json!({ "commands": commands, "next": next })).into_response())
}

async fn command(app: Arc<App>, caller: Arc<Caller>, id: u64) -> Result<Response, Problem> {
    let command = reached(&app, &caller, id).await?;
    Ok(warp::reply::json(&told(&command)).into_response())
}

/// The command, if it is for a device that the caller reaches; to others it is not there.
async fn reached(app: &App, caller: &Caller, id: u64) -> Result<Command, Problem> {
    let found = app.commands.get(id).await.map_err(problem)?;
    let found = found.filter(|command| caller.reach.allows(&command.device));
    found.ok_or_else(|| problem(CommandsError::Unknown { id }))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Who {
    by: Option<String>,
}

async fn cancel(
    app: Arc<App>,
    caller: Arc<Caller>,
    id: u64,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Response, Problem> {
    let body = read(&app, body).await?;
    let who = match body.is_empty() {
        true => Who::default(),
        false => understood(&body, "the body is {\"by\":…}, or empty")?,
    };
    reached(&app, &caller, id).await?;
    let command = app.commands.cancel(id, by(&caller, who.by)?).await.map_err(problem)?;
    Ok(saying(warp::reply::json(&told(&command)).into_response(), words(&command)))
}

/// For the trail.
fn words(command: &Command) -> String {
    format!("{}: {} (command {})", command.device, command.name, command.id)
}

/// A command as the API tells it.
fn told(command: &Command) -> Json {
    let json = |text: &Option<String>| {
        text.as_deref().and_then(|text| serde_json::from_str::<Json>(text).ok())
    };
    json!({
        "id": command.id,
        "device": command.device,
        "name": command.name,
        "arguments": json(&command.arguments),
        "delivery": command.delivery.name(),
        "state": command.state.name(),
        "by": command.by,
        "created_at": command.created_at.as_millis(),
        "expires_at": command.expires_at.as_millis(),
        "sent_at": command.sent_at.map(|at| at.as_millis()),
        "finished_at": command.finished_at.map(|at| at.as_millis()),
        "attempts": command.attempts,
        "via": command.via.map(|via| via.name()),
        "message": command.message,
        "result": json(&command.result),
    })
}

pub(super) async fn read(
    app: &App,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<bytes::Bytes, Problem> {
    body::read(body, BODY_BYTES_MAX, app.intake.limits().body_timeout).await
}

fn understood<T: DeserializeOwned>(body: &[u8], shape: &str) -> Result<T, Problem> {
    body::object(body).map_err(|error| Problem::bad_request(format!("{shape}: {error}")))
}

/// Who does it: the caller, unless nobody was asked, or only this machine; then as they say.
pub(super) fn by(caller: &Caller, name: Option<String>) -> Result<String, Problem> {
    if !caller.how.says_who() {
        return Ok(caller.name.to_string());
    }
    let name = name.unwrap_or_else(|| "operator".to_owned());
    check_name(&name, NAME_BYTES_MAX)
        .map_err(|error| Problem::bad_request(format!("by: {error}")))?;
    Ok(name)
}

pub(super) fn problem(error: CommandsError) -> Problem {
    match error {
        CommandsError::Full(_) => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, error).retry_after(AGAIN)
        }
        CommandsError::DesiredFull => Problem::new(StatusCode::INSUFFICIENT_STORAGE, error),
        CommandsError::Unknown { .. } => Problem::new(StatusCode::NOT_FOUND, error),
        CommandsError::Cancel(_) => Problem::new(StatusCode::CONFLICT, error),
        CommandsError::Store(_) | CommandsError::Ended => Problem::unavailable(error, AGAIN),
    }
}
