//! The trail: every request that changed something is noted, here and nowhere else; and
//! `GET /api/v1/trail`.
//!
//! What was done is told by the row of the table of paths, and to what by its path. A route that knows
//! better words for that adds them to its answer ([`saying`]).

use super::history::Parameters;
use super::problem::Problem;
use super::routes::{answer, decoded, exactly, reading};
use super::server::Peer;
use super::state::App;
use super::surface::{self, Asked, Row};
use crate::auth::{Caller, Entry, Note};
use crate::clock;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use warp::filters::BoxedFilter;
use warp::http::Method;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Reply};

/// Entries of a page if nobody asks for another number, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;
/// When to ask again if it can't be read now.
const AGAIN: Duration = Duration::from_secs(5);

/// What a request does, by its method and path. What is not here changes nothing, or notes itself.
const DONE: &[(&str, &str, &str)] = &[
    ("POST", "/api/v1/devices/known", "device-changed"),
    ("PATCH", "/api/v1/devices/{id}", "device-changed"),
    ("POST", "/api/v1/devices/{id}/commands", "command"),
    ("PUT", "/api/v1/devices/{id}/desired", "desired"),
    ("POST", "/api/v1/commands/{id}/cancel", "command-cancelled"),
    ("POST", "/api/v1/alerts/acknowledge", "acknowledge"),
    ("PUT", "/api/v1/rules/{name}", "rule-changed"),
    ("DELETE", "/api/v1/rules/{name}", "rule-deleted"),
    ("POST", "/api/v1/silences", "silence"),
    ("DELETE", "/api/v1/silences/{id}", "silence-ended"),
    ("POST", "/api/v1/notifications/{channel}/test", "notification-test"),
    ("POST", "/api/v1/notifications/dead-letters/retry", "notifications-retried"),
    ("POST", "/api/v1/notifications/dead-letters/drop", "notifications-dropped"),
    ("PUT", "/api/v1/boards/{id}", "board-changed"),
    ("DELETE", "/api/v1/boards/{id}", "board-deleted"),
    ("POST", "/api/v1/sinks/{name}/breaker", "breaker"),
    ("POST", "/api/v1/dead-letters/replay", "dead-letters-replayed"),
    ("POST", "/api/v1/dead-letters/drop", "dead-letters-dropped"),
    ("POST", "/api/v1/quarantine/replay", "quarantine-replayed"),
    ("POST", "/api/v1/quarantine/drop", "quarantine-dropped"),
];

/// To what something was done, in a route's words.
#[derive(Debug, Clone)]
struct What(String);

/// The answer, and to what it was done, for the trail.
pub(super) fn saying(mut response: Response, what: impl Into<String>) -> Response {
    response.extensions_mut().insert(What(what.into()));
    response
}

/// A request that may change something.
struct Doing {
    caller: Arc<Caller>,
    peer: Peer,
    did: &'static str,
    /// What its path names.
    what: String,
}

/// The routes, with what they did noted in the trail once it is done.
pub(super) fn noted(app: Arc<App>, routes: BoxedFilter<(Response,)>) -> BoxedFilter<(Response,)> {
    warp::method()
        .and(warp::path::full())
        .and(warp::ext::optional::<Arc<Caller>>())
        .and(warp::ext::optional::<Peer>())
        .map(|method, path: FullPath, caller, peer| doing(method, path.as_str(), caller, peer))
        .and(routes)
        .map(move |doing: Option<Doing>, response: Response| {
            if let Some(doing) = doing
                && response.status().is_success()
            {
                app.door.records().trail.note(doing.done(&response));
            }
            response
        })
        .boxed()
}

fn doing(
    method: Method,
    path: &str,
    caller: Option<Arc<Caller>>,
    peer: Option<Peer>,
) -> Option<Doing> {
    if matches!(method, Method::GET | Method::HEAD) {
        return None;
    }
    let Ok(Asked::Row(row)) = surface::find(&method, path) else { return None };
    let (did, what) = (did(row)?, named(row, path));
    Some(Doing { caller: caller?, peer: peer?, did, what })
}

fn did(row: &Row) -> Option<&'static str> {
    let done = DONE.iter().find(|(method, path, _)| (*method, *path) == (row.method, row.path));
    done.map(|(.., did)| *did)
}

/// What stands in the path where the row has a name.
fn named(row: &Row, path: &str) -> String {
    let both = row.path.split('/').zip(path.split('/'));
    let names = both.filter(|(shape, _)| shape.starts_with('{'));
    names.filter_map(|(_, name)| decoded(name).ok()).collect::<Vec<_>>().join(" ")
}

impl Doing {
    fn done(self, response: &Response) -> Note {
        let said = response.extensions().get::<What>();
        Note {
            at: clock::now(),
            by: self.caller.name.clone(),
            how: self.caller.how.name(),
            address: Some(self.peer.address.ip()),
            did: self.did,
            what: said.map_or(self.what, |What(words)| words.clone()),
        }
    }
}

/// `GET /api/v1/trail`.
pub(super) fn routes(app: Arc<App>) -> BoxedFilter<(Response,)> {
    let with = warp::any().map(move || app.clone()).boxed();
    let parameters = warp::query::<Parameters>().or(warp::any().map(Parameters::new)).unify();
    reading()
        .and(exactly("api/v1/trail"))
        .and(with)
        .and(parameters)
        .then(|app: Arc<App>, asked| async move { answer(list(&app, asked).await) })
        .boxed()
}

async fn list(app: &App, parameters: Parameters) -> Result<Response, Problem> {
    let (mut before, mut limit) = (u64::MAX, PAGE);
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
    let found = app.door.records().trail.entries(before, limit + 1).await;
    let mut found = found.map_err(|why| Problem::unavailable(why, AGAIN))?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|entry| entry.id);
    let entries: Vec<_> = found.iter().map(told).collect();
    Ok(warp::reply::json(&json!({ "entries": entries, "next": next })).into_response())
}

fn told(entry: &Entry) -> Json {
    let Entry { id, at, by, how, address, did, what } = entry;
    json!({
        "id": id,
        "at": at.as_millis(),
        "by": by,
        "how": how,
        "address": address,
        "did": did,
        "what": what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{How, Scope};
    use crate::model::Reach;
    use tokio_util::sync::CancellationToken;

    #[test]
    fn whatever_changes_something_is_noted() {
        // Readings are not noted, nor questions that are posted; sessions note themselves.
        for row in surface::ROWS {
            let is_harmless = [Scope::Ingest, Scope::View].map(surface::Needs::Scope);
            let is_noted = row.method != "GET"
                && !is_harmless.contains(&row.needs)
                && row.path != "/api/v1/session";
            assert_eq!(did(row).is_some(), is_noted, "{} {}", row.method, row.path);
        }
        let rows = surface::ROWS.iter().filter(|row| did(row).is_some()).count();
        assert_eq!(rows, DONE.len(), "each is a row of its own");
    }

    #[test]
    fn what_was_done_is_named_by_the_path_or_better_by_the_route() {
        let caller = Caller {
            name: "ana".into(),
            scopes: [Scope::Admin].into_iter().collect(),
            reach: Reach::all(),
            how: How::Jwt,
            expires_at: None,
        };
        let note = |method, path: &str, response: &Response| {
            let peer = Peer {
                address: "10.0.0.7:5".parse().unwrap(),
                certificate: None,
                is_forwarded: false,
                is_tls: false,
                ended: CancellationToken::new(),
            };
            let doing = doing(method, path, Some(Arc::new(caller.clone())), Some(peer));
            doing.map(|doing| doing.done(response))
        };
        let plain = Response::default();
        let noted = note(Method::PUT, "/api/v1/rules/too%20hot", &plain).unwrap();
        assert_eq!(
            (&*noted.by, noted.how, noted.did, &*noted.what),
            ("ana", "jwt", "rule-changed", "too hot")
        );
        assert_eq!(noted.address, "10.0.0.7".parse().ok());
        let said = saying(Response::default(), "pump-7: open (command 7)");
        let noted = note(Method::POST, "/api/v1/devices/pump-7/commands", &said).unwrap();
        assert_eq!((noted.did, &*noted.what), ("command", "pump-7: open (command 7)"));
        for (method, path) in [
            (Method::GET, "/api/v1/rules"),
            (Method::POST, "/api/v1/ingest"),
            (Method::POST, "/api/v1/nothing"),
            (Method::DELETE, "/api/v1/session"),
        ] {
            assert!(note(method.clone(), path, &plain).is_none(), "{method} {path}");
        }
    }
}
