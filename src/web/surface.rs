//! The table of everything that can be asked over HTTP, and what it takes to ask.
//!
//! The server looks here before any route runs: what stands in no row is not there, whatever the routes
//! say. So a new route can't forget to say who may use it.

use super::problem::Problem;
use crate::auth::{Caller, Scope};
use warp::http::{Method, StatusCode};

/// A method and a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// GET stands for HEAD, too.
    pub method: &'static str,
    /// Its segments; `{…}` stands for one that is not empty.
    pub path: &'static str,
    /// Who may.
    pub needs: Needs,
    /// What it is to callers who reach some devices only.
    pub reach: ForReach,
}

/// What a caller needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: nobody is asked who they are.
    Nothing,
    /// This scope.
    Scope(Scope),
}

/// What a path is to callers who reach some devices only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForReach {
    /// It tells of their devices only, or of none.
    Filtered,
    /// It is about all devices, so it is not for them.
    Whole,
}

use ForReach::{Filtered, Whole};
use Needs::Nothing;

const INGEST: Needs = Needs::Scope(Scope::Ingest);
const VIEW: Needs = Needs::Scope(Scope::View);
const COMMAND: Needs = Needs::Scope(Scope::Command);
const ADMIN: Needs = Needs::Scope(Scope::Admin);

const fn row(method: &'static str, path: &'static str, needs: Needs, reach: ForReach) -> Row {
    Row { method, path, needs, reach }
}

/// Every path but the files of the dashboard.
pub const ROWS: &[Row] = &[
    row("GET", "/healthz", Nothing, Filtered),
    row("GET", "/readyz", Nothing, Filtered),
    row("GET", "/metrics", VIEW, Whole),
    row("GET", "/api/v1/session", Nothing, Filtered),
    row("POST", "/api/v1/session", Nothing, Filtered),
    row("DELETE", "/api/v1/session", Nothing, Filtered),
    row("GET", "/api/v1/openapi.json", Nothing, Filtered),
    row("GET", "/api/v1/keys", ADMIN, Whole),
    row("GET", "/api/v1/trail", ADMIN, Whole),
    row("POST", "/api/v1/ingest", INGEST, Filtered),
    row("GET", "/api/v1/ingest/ws", INGEST, Filtered),
    row("POST", "/v1/metrics", INGEST, Filtered),
    row("POST", "/api/v1/prom/write", INGEST, Filtered),
    row("POST", "/api/v2/write", INGEST, Filtered),
    row("POST", "/api/v3/write_lp", INGEST, Filtered),
    row("POST", "/write", INGEST, Filtered),
    row("GET", "/api/v2/ping", Nothing, Filtered),
    row("GET", "/ping", Nothing, Filtered),
    row("GET", "/health", Nothing, Filtered),
    row("GET", "/api/v1/live", VIEW, Filtered),
    row("GET", "/api/v1/live/ws", VIEW, Filtered),
    row("GET", "/api/v1/live/poll", VIEW, Filtered),
    row("GET", "/api/v1/status", VIEW, Filtered),
    row("GET", "/api/v1/devices", VIEW, Filtered),
    row("POST", "/api/v1/devices/known", COMMAND, Filtered),
    row("GET", "/api/v1/devices/{id}", VIEW, Filtered),
    row("PATCH", "/api/v1/devices/{id}", COMMAND, Filtered),
    row("GET", "/api/v1/devices/{id}/commands", VIEW, Filtered),
    row("POST", "/api/v1/devices/{id}/commands", COMMAND, Filtered),
    row("GET", "/api/v1/devices/{id}/desired", VIEW, Filtered),
    row("PUT", "/api/v1/devices/{id}/desired", COMMAND, Filtered),
    row("GET", "/api/v1/commands/{id}", VIEW, Filtered),
    row("POST", "/api/v1/commands/{id}/cancel", COMMAND, Filtered),
    row("GET", "/api/v1/series", VIEW, Filtered),
    row("GET", "/api/v1/query", VIEW, Filtered),
    row("GET", "/prom/api/v1/query", VIEW, Filtered),
    row("POST", "/prom/api/v1/query", VIEW, Filtered),
    row("GET", "/prom/api/v1/query_range", VIEW, Filtered),
    row("POST", "/prom/api/v1/query_range", VIEW, Filtered),
    row("GET", "/prom/api/v1/series", VIEW, Filtered),
    row("POST", "/prom/api/v1/series", VIEW, Filtered),
    row("GET", "/prom/api/v1/labels", VIEW, Filtered),
    row("POST", "/prom/api/v1/labels", VIEW, Filtered),
    row("GET", "/prom/api/v1/label/{name}/values", VIEW, Filtered),
    row("GET", "/prom/api/v1/metadata", VIEW, Filtered),
    row("GET", "/prom/api/v1/status/buildinfo", VIEW, Filtered),
    row("GET", "/api/v1/export", VIEW, Filtered),
    row("GET", "/api/v1/alerts", VIEW, Filtered),
    row("GET", "/api/v1/alerts/{id}", VIEW, Filtered),
    row("POST", "/api/v1/alerts/acknowledge", COMMAND, Filtered),
    row("GET", "/api/v1/rules", VIEW, Whole),
    row("PUT", "/api/v1/rules/{name}", ADMIN, Whole),
    row("DELETE", "/api/v1/rules/{name}", ADMIN, Whole),
    row("GET", "/api/v1/silences", VIEW, Whole),
    row("POST", "/api/v1/silences", COMMAND, Whole),
    row("DELETE", "/api/v1/silences/{id}", COMMAND, Whole),
    row("GET", "/api/v1/notifications", VIEW, Whole),
    row("POST", "/api/v1/notifications/{channel}/test", ADMIN, Whole),
    row("POST", "/api/v1/notifications/dead-letters/retry", ADMIN, Whole),
    row("POST", "/api/v1/notifications/dead-letters/drop", ADMIN, Whole),
    row("GET", "/api/v1/boards", VIEW, Filtered),
    row("GET", "/api/v1/boards/{id}", VIEW, Filtered),
    row("PUT", "/api/v1/boards/{id}", COMMAND, Whole),
    row("DELETE", "/api/v1/boards/{id}", COMMAND, Whole),
    row("GET", "/api/v1/ledger", VIEW, Whole),
    row("POST", "/api/v1/sinks/{name}/breaker", ADMIN, Whole),
    row("GET", "/api/v1/dead-letters", VIEW, Whole),
    row("GET", "/api/v1/dead-letters/{id}", VIEW, Whole),
    row("POST", "/api/v1/dead-letters/replay", ADMIN, Whole),
    row("POST", "/api/v1/dead-letters/drop", ADMIN, Whole),
    row("GET", "/api/v1/quarantine", VIEW, Whole),
    row("GET", "/api/v1/quarantine/topics", VIEW, Whole),
    row("GET", "/api/v1/quarantine/{id}", VIEW, Whole),
    row("POST", "/api/v1/quarantine/replay", ADMIN, Whole),
    row("POST", "/api/v1/quarantine/drop", ADMIN, Whole),
];

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// This.
    Row(&'static Row),
    /// Perhaps a file of the dashboard, which is for everybody.
    Page,
}

/// What is asked for.
///
/// # Errors
/// 404 or 405, if there is no such thing.
pub(super) fn find(method: &Method, path: &str) -> Result<Asked, Problem> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let rows = || ROWS.iter().filter(|row| is_at(row.path, path));
    // `/devices/known` is a row of its own and would do for `/devices/{id}`, too: what is spelled out wins.
    let spelled_out = rows().filter(|row| !row.path.ends_with('}'));
    if let Some(row) = spelled_out.chain(rows()).find(|row| row.method == method.as_str()) {
        return Ok(Asked::Row(row));
    }
    let mut allowed: Vec<_> = rows().map(|row| row.method).collect();
    let is_of_programs = path.starts_with("/api/") || path.starts_with("/prom/");
    if allowed.is_empty() && !is_of_programs {
        if method == Method::GET {
            return Ok(Asked::Page);
        }
        allowed.push("GET");
    }
    if allowed.is_empty() {
        return Err(Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {path}")));
    }
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    Err(Problem::method_not_allowed(&allowed.join(", ")))
}

/// Whether the path is of that shape.
fn is_at(shape: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    let is = shape.split('/').all(|wanted| {
        segments.next().is_some_and(|segment| match wanted.starts_with('{') {
            true => !segment.is_empty(),
            false => segment == wanted,
        })
    });
    is && segments.next().is_none()
}

impl Row {
    /// Lets the caller through.
    ///
    /// # Errors
    /// 403, saying what they lack.
    pub(super) fn admit(&self, caller: &Caller) -> Result<(), Problem> {
        let refuse = |detail: String| Err(Problem::new(StatusCode::FORBIDDEN, detail));
        if let Needs::Scope(scope) = self.needs
            && !caller.scopes.has(scope)
        {
            return refuse(format!("{} has no scope {scope}, which this takes", caller.name));
        }
        if self.reach == Whole && !caller.reach.is_all() {
            let globs = caller.reach.globs().join(", ");
            let name = &caller.name;
            return refuse(format!(
                "{name} reaches only the devices {globs}, and this is about all"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::How;
    use crate::model::Reach;

    fn found(method: &str, path: &str) -> Result<Asked, StatusCode> {
        find(&method.parse().unwrap(), path).map_err(|problem| problem.status())
    }

    fn path(method: &str, path: &str) -> &'static str {
        match found(method, path) {
            Ok(Asked::Row(row)) => row.path,
            other => panic!("{method} {path}: {other:?}"),
        }
    }

    #[test]
    fn a_request_has_one_row() {
        assert_eq!(path("GET", "/api/v1/devices/pump%2F7"), "/api/v1/devices/{id}");
        assert_eq!(path("HEAD", "/api/v1/devices"), "/api/v1/devices");
        assert_eq!(path("GET", "/api/v1/quarantine/topics"), "/api/v1/quarantine/topics");
        assert_eq!(path("GET", "/api/v1/quarantine/7"), "/api/v1/quarantine/{id}");
        let drop = "/api/v1/notifications/dead-letters/drop";
        assert_eq!(path("POST", drop), drop);
        assert_eq!(found("GET", "/"), Ok(Asked::Page));
        assert_eq!(found("GET", "/assets/main.js"), Ok(Asked::Page));
        for (method, path, status) in [
            ("GET", "/api/v1/devices/", 404),
            ("GET", "/api/v1/devices/a/b", 404),
            ("GET", "/api/v1/nothing", 404),
            ("GET", "/api/v2/devices", 404),
            ("GET", "/prom/api/v1/rules", 404),
            ("DELETE", "/api/v1/devices", 405),
            ("POST", "/metrics", 405),
            ("POST", "/", 405),
            ("OPTIONS", "/api/v1/ingest", 405),
        ] {
            assert_eq!(found(method, path), Err(StatusCode::from_u16(status).unwrap()), "{path}");
        }
    }

    #[test]
    fn no_two_rows_are_the_same() {
        for (index, row) in ROWS.iter().enumerate() {
            let same = |other: &&Row| (other.method, other.path) == (row.method, row.path);
            assert_eq!(ROWS[..index].iter().find(same), None);
        }
    }

    #[test]
    fn callers_are_let_through_by_scope_and_reach() {
        let caller = |scope, reach: &[&str]| {
            let globs: Vec<_> = reach.iter().map(|&glob| glob.to_owned()).collect();
            Caller {
                name: "ana".into(),
                scopes: [scope].into_iter().collect(),
                reach: Reach::new(&globs).unwrap(),
                how: How::Jwt,
                expires_at: None,
            }
        };
        let rules = row("GET", "/rules", VIEW, Whole);
        let query = row("GET", "/query", VIEW, Filtered);
        for (row, scope, reach, expected) in [
            (query, Scope::View, &["*"][..], true),
            (query, Scope::Admin, &["*"], true),
            (query, Scope::Ingest, &["*"], false),
            (query, Scope::Command, &["*"], false),
            (query, Scope::View, &["pump-*"], true),
            (rules, Scope::View, &["pump-*"], false),
            (rules, Scope::View, &["*"], true),
            (row("GET", "/", Nothing, Filtered), Scope::Ingest, &[], true),
        ] {
            assert_eq!(row.admit(&caller(scope, reach)).is_ok(), expected, "{row:?} {scope}");
        }
    }
}
