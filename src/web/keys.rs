//! `GET /api/v1/keys`: the API keys there are; not what they are, which nobody keeps.

use super::routes::{exactly, reading};
use super::state::App;
use crate::auth::{Key, Scope};
use crate::model::Timestamp;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, Reply};

/// The keys in force, and those that were.
pub(super) fn routes(app: Arc<App>) -> BoxedFilter<(Response,)> {
    reading()
        .and(exactly("api/v1/keys"))
        .map(move || {
            let uses = &app.door.records().uses;
            let keys = app.door.keys_in_force();
            let keys: Vec<_> = keys.iter().map(|key| told(key, uses.last(&key.id))).collect();
            warp::reply::json(&json!({ "keys": keys })).into_response()
        })
        .boxed()
}

fn told(key: &Key, last_used_at: Option<Timestamp>) -> Json {
    let time = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
    json!({
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes.in_force().map(Scope::name).collect::<Vec<_>>(),
        "devices": key.reach.globs(),
        "issued_at": key.issued_at.as_millis(),
        "expires_at": time(key.expires_at),
        "revoked_at": time(key.revoked_at),
        "last_used_at": time(last_used_at),
        "by": key.by,
    })
}
