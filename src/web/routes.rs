//! The table of routes.

use super::history::{self, Parameters};
use super::problem::Problem;
#[cfg(feature = "mqtt")]
use super::quarantine;
use super::server::Peer;
use super::state::App;
use super::{
    alerts, assets, boards, breaker, commands, dead_letters, devices, export, influx, ingest, keys,
    ledger, live, notifications, openapi, post, prometheus, session, trail,
};
use crate::auth::Caller;
use crate::model::{NAME_BYTES_MAX, check_name};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use warp::filters::BoxedFilter;
use warp::http::{HeaderValue, Request, StatusCode, header};
use warp::reply::Response;
use warp::{Filter, Rejection, Reply};

/// Every path but the WebSockets, which `upgrade` has answered before.
pub fn routes(app: Arc<App>) -> BoxedFilter<(Response,)> {
    let with = {
        let app = app.clone();
        move || {
            let app = app.clone();
            warp::any().map(move || app.clone())
        }
    };
    let parameters = || warp::query::<Parameters>().or(warp::any().map(Parameters::new)).unify();
    let get = |path: &'static str| reading().and(exactly(path));

    let post_ingest = warp::post()
        .and(exactly("api/v1/ingest"))
        .and(with())
        .and(warp::query())
        .and(post::sent())
        .then(|app, query, sent| async move { answer(ingest::post(app, query, sent).await) })
        .boxed();
    let devices = device_routes(app.clone());
    let series = get("api/v1/series")
        .and(with())
        .and(caller())
        .and(parameters())
        .map(|app: Arc<App>, caller: Arc<Caller>, asked: Parameters| {
            answer(history::series(&app, &caller.reach, &asked))
        })
        .boxed();
    let query = get("api/v1/query")
        .and(with())
        .and(caller())
        .and(parameters())
        .then(|app, caller, asked| async move { answer(history::query(app, caller, asked).await) })
        .boxed();
    let export = get("api/v1/export")
        .and(with())
        .and(lasting())
        .and(parameters())
        .and(warp::header::optional::<String>("accept-encoding"))
        .then(|app, caller, asked, coding| async move {
            answer(export::export(app, caller, asked, coding).await)
        })
        .boxed();
    let sse = get("api/v1/live")
        .and(with())
        .and(lasting())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::header::optional::<String>("last-event-id"))
        .and(warp::header::optional::<String>("accept-encoding"))
        .then(|app, caller, query, id, coding| async move {
            answer(live::events(app, caller, query, id, coding).await)
        })
        .boxed();
    let poll = get("api/v1/live/poll")
        .and(with())
        .and(lasting())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::header::optional::<String>("accept-encoding"))
        .then(|app, caller, query, coding| async move {
            answer(live::poll(app, caller, query, coding).await)
        })
        .boxed();
    let status =
        get("api/v1/status").and(with()).and(caller()).map(|app: Arc<App>, caller: Arc<Caller>| {
            typed(app.status.status(&caller.reach).to_string(), "application/json")
        });
    let document = get("api/v1/openapi.json")
        .map(|| typed(openapi::document().to_owned(), "application/json"))
        .boxed();
    let health = get("healthz").map(|| typed("alive\n".to_owned(), "text/plain; charset=utf-8"));
    let ready = get("readyz").and(with()).map(|app: Arc<App>| match app.status.not_ready() {
        None => typed("ready\n".to_owned(), "text/plain; charset=utf-8"),
        Some(reason) => Problem::unavailable(reason, Duration::from_secs(5)).into_response(),
    });
    let metrics = get("metrics").and(with()).map(|app: Arc<App>| {
        app.status.set_gauges();
        typed(app.metrics.render(), "application/openmetrics-text; version=1.0.0; charset=utf-8")
    });
    let others = [
        sse,
        poll,
        query,
        export,
        devices,
        series,
        sink_routes(app.clone()),
        #[cfg(feature = "mqtt")]
        quarantine_routes(app.clone()),
        alerts::routes(app.clone()),
        boards::routes(app.clone()),
        commands::routes(app.clone()),
        notifications::routes(app.clone()),
        prometheus::routes(app.clone()),
        session::routes(app.clone()),
        influx::routes(app.clone()),
        super::otlp::routes(app.clone()),
        super::remote_write::routes(app.clone()),
        keys::routes(app.clone()),
        trail::routes(app.clone()),
        document,
        status.or(health).unify().or(ready).unify().or(metrics).unify().boxed(),
    ];
    let all = others
        .into_iter()
        .fold(post_ingest, |one, other| one.or(other).unify().boxed())
        .recover(rejected)
        .map(Reply::into_response)
        .boxed();
    trail::noted(app, all)
}

/// The files of the dashboard.
pub(super) fn page<B>(request: &Request<B>) -> Response {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let path = request.uri().path().trim_start_matches('/');
    assets::serve(path, header(header::ACCEPT_ENCODING), header(header::IF_NONE_MATCH))
}

/// Who a request is from; the entry has let them through.
pub(super) fn caller() -> BoxedFilter<(Arc<Caller>,)> {
    warp::ext::get::<Arc<Caller>>().boxed()
}

/// Who a request is from whose answer lasts, and what its connection lasts until.
fn lasting() -> BoxedFilter<((Arc<Caller>, CancellationToken),)> {
    let ended = warp::ext::get::<Peer>().map(|peer: Peer| peer.ended);
    caller().and(ended).map(|caller, ended| (caller, ended)).boxed()
}

/// Devices, and what operators say of them.
fn device_routes(app: Arc<App>) -> BoxedFilter<(Response,)> {
    let with = warp::any().map(move || app.clone()).boxed();
    let parameters =
        warp::query::<Parameters>().or(warp::any().map(Parameters::new)).unify().boxed();
    let named = || warp::path!("api" / "v1" / "devices" / String).and(caller()).map(device).boxed();
    let list = reading()
        .and(exactly("api/v1/devices"))
        .and(with.clone())
        .and(caller())
        .and(parameters)
        .then(|app, caller, asked| async move { answer(devices::list(app, caller, asked).await) });
    let one = reading().and(named()).and(with.clone()).then(
        |id: Result<String, Problem>, app| async move {
            match id {
                Ok(id) => answer(devices::one(app, id).await),
                Err(problem) => problem.into_response(),
            }
        },
    );
    let patch = warp::patch().and(named()).and(with.clone()).and(warp::body::stream()).then(
        |id: Result<String, Problem>, app, body| async move {
            match id {
                Ok(id) => answer(devices::patch(app, id, body).await),
                Err(problem) => Problem::into_response(problem),
            }
        },
    );
    let know = warp::post()
        .and(exactly("api/v1/devices/known"))
        .and(with)
        .and(caller())
        .and(warp::body::stream())
        .then(|app, caller, body| async move { answer(devices::know(app, caller, body).await) });
    list.or(know).unify().or(one).unify().or(patch).unify().boxed()
}

/// What operators do with sinks: their breakers, and the dead letters.
fn sink_routes(app: Arc<App>) -> BoxedFilter<(Response,)> {
    let with = warp::any().map(move || app.clone()).boxed();
    let parameters =
        warp::query::<Parameters>().or(warp::any().map(Parameters::new)).unify().boxed();
    let list = reading()
        .and(exactly("api/v1/dead-letters"))
        .and(with.clone())
        .and(parameters.clone())
        .then(|app, asked| async move { answer(dead_letters::list(app, asked).await) });
    let letter = reading()
        .and(warp::path!("api" / "v1" / "dead-letters" / u64))
        .and(with.clone())
        .then(|id, app| async move { answer(dead_letters::letter(app, id).await) });
    let post = |path| {
        let post = warp::post().and(exactly(path));
        post.and(with.clone()).and(warp::body::stream())
    };
    let replay = post("api/v1/dead-letters/replay")
        .then(|app, body| async move { answer(dead_letters::replay(app, body).await) });
    let drop = post("api/v1/dead-letters/drop")
        .then(|app, body| async move { answer(dead_letters::drop_letters(app, body).await) });
    let ledger = reading()
        .and(exactly("api/v1/ledger"))
        .and(with.clone())
        .and(parameters)
        .then(|app, asked| async move { answer(ledger::ledger(app, asked).await) })
        .boxed();
    let breaker = warp::post()
        .and(warp::path!("api" / "v1" / "sinks" / String / "breaker"))
        .and(with.clone())
        .and(warp::body::stream())
        .then(|name, app, body| async move { answer(breaker::set(app, name, body).await) });
    breaker
        .or(list)
        .unify()
        .or(ledger)
        .unify()
        .or(letter)
        .unify()
        .or(replay)
        .unify()
        .or(drop)
        .unify()
        .boxed()
}

/// What operators do with messages that no route of a bridge understood.
#[cfg(feature = "mqtt")]
fn quarantine_routes(app: Arc<App>) -> BoxedFilter<(Response,)> {
    let with = warp::any().map(move || app.clone()).boxed();
    let parameters =
        warp::query::<Parameters>().or(warp::any().map(Parameters::new)).unify().boxed();
    let list = reading()
        .and(exactly("api/v1/quarantine"))
        .and(with.clone())
        .and(parameters.clone())
        .then(|app, asked| async move { answer(quarantine::list(app, asked).await) });
    let topics = reading()
        .and(exactly("api/v1/quarantine/topics"))
        .and(with.clone())
        .and(parameters)
        .then(|app, asked| async move { answer(quarantine::topics(app, asked).await) });
    let message = reading()
        .and(warp::path!("api" / "v1" / "quarantine" / u64))
        .and(with.clone())
        .then(|id, app| async move { answer(quarantine::message(app, id).await) });
    let post = |path| {
        let post = warp::post().and(exactly(path));
        post.and(with.clone()).and(warp::body::stream())
    };
    let replay = post("api/v1/quarantine/replay")
        .then(|app, body| async move { answer(quarantine::replay(app, body).await) });
    let drop = post("api/v1/quarantine/drop")
        .then(|app, body| async move { answer(quarantine::drop_messages(app, body).await) });
    list.or(topics).unify().or(message).unify().or(replay).unify().or(drop).unify().boxed()
}

/// GET, and HEAD, which is answered alike but for the body (hyper leaves it out).
pub(super) fn reading() -> BoxedFilter<()> {
    warp::get().or(warp::head()).unify().boxed()
}

/// Exactly this path, nothing after it.
pub(super) fn exactly(path: &'static str) -> BoxedFilter<()> {
    let segments: Vec<_> = path.split('/').collect();
    let parts = segments
        .into_iter()
        .fold(warp::any().boxed(), |before, segment| before.and(warp::path(segment)).boxed());
    parts.and(warp::path::end()).boxed()
}

pub(super) fn answer(result: Result<Response, Problem>) -> Response {
    result.unwrap_or_else(Reply::into_response)
}

fn typed(body: String, content_type: &'static str) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A device that is named in a path, and that the caller reaches. To others it is not there.
pub(super) fn device(segment: String, caller: Arc<Caller>) -> Result<String, Problem> {
    let device = decoded(&segment)?;
    check_name(&device, NAME_BYTES_MAX)
        .map_err(|error| Problem::bad_request(format!("the device's name: {error}")))?;
    match caller.reach.allows(&device) {
        true => Ok(device),
        false => Err(unreached(&caller, &device)),
    }
}

/// The caller does not reach that device.
pub(super) fn unreached(caller: &Caller, device: &str) -> Problem {
    let detail = format!("{} does not reach the device {device}", caller.name);
    Problem::new(StatusCode::FORBIDDEN, detail)
}

/// A path segment without its percent encoding.
pub(super) fn decoded(segment: &str) -> Result<String, Problem> {
    percent_encoding::percent_decode_str(segment)
        .decode_utf8()
        .map(Into::into)
        .map_err(|_| Problem::bad_request("a name in the path is not UTF-8"))
}

/// What no route took: as a problem document, like every other error.
async fn rejected(rejection: Rejection) -> Result<Response, Infallible> {
    // What the route of the path says goes before what all others say: that it is not theirs.
    let problem = if rejection.find::<warp::reject::InvalidQuery>().is_some() {
        Problem::bad_request("the query string can't be read, or names an unknown parameter")
    } else if rejection.find::<warp::reject::InvalidHeader>().is_some() {
        Problem::bad_request("a header can't be read")
    } else if rejection.is_not_found()
        || rejection.find::<warp::reject::MethodNotAllowed>().is_some()
    {
        // That the path knows the method, the entry has seen: there is no number where one stands.
        Problem::new(StatusCode::NOT_FOUND, "there is nothing here")
    } else {
        Problem::bad_request(format!("the request can't be read: {rejection:?}"))
    };
    Ok(problem.into_response())
}
