//! Alert rules: `/api/v1/rules`, those of the configuration and those that are made here.

use super::alerts::refused;
use super::body;
use super::problem::Problem;
use super::state::App;
use crate::alerts::{Refused, RuleView};
use crate::rules::{Spec, Wrong};
use bytes::Buf;
use futures_util::Stream;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use warp::Reply;
use warp::http::StatusCode;
use warp::reply::Response;

/// The largest body.
const BODY_BYTES_MAX: usize = 256 << 10;

/// `GET /api/v1/rules`.
pub fn list(app: &App) -> Response {
    let rules: Vec<_> = app.alerts.rules().iter().map(told).collect();
    warp::reply::json(&json!({ "rules": rules })).into_response()
}

fn told(view: &RuleView) -> Json {
    let mut rule = serde_json::to_value(&view.spec).unwrap_or_default();
    rule["source"] = json!(view.source.name());
    rule["matching"] = json!(view.tally.matching);
    rule["pending"] = json!(view.tally.pending);
    rule["firing"] = json!(view.tally.firing);
    rule["error"] = json!(view.error);
    rule
}

/// `PUT /api/v1/rules/{name}`.
pub async fn put(
    app: Arc<App>,
    name: String,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Response, Problem> {
    let bytes = body::read(body, BODY_BYTES_MAX, app.intake.limits().body_timeout).await?;
    let spec = spec(name, &bytes).map_err(|wrong| refused(Refused::Rule(wrong)))?;
    let body = serde_json::to_value(&spec).unwrap_or_default();
    let is_new = app.alerts.put_rule(spec).await.map_err(refused)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(warp::reply::with_status(warp::reply::json(&body), status).into_response())
}

/// `DELETE /api/v1/rules/{name}`.
pub async fn delete(app: Arc<App>, name: String) -> Result<Response, Problem> {
    app.alerts.delete_rule(name).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The rule of a body; or which of its keys are wrong, each of them.
fn spec(name: String, body: &[u8]) -> Result<Spec, Vec<Wrong>> {
    let wrong = |key: &str, problem: String| Wrong { key: key.to_owned(), problem };
    let object: Map<String, Json> = serde_json::from_slice(body)
        .map_err(|error| vec![wrong("body", format!("is the object of a rule: {error}"))])?;
    let mut all: Vec<_> = object
        .iter()
        .filter_map(|(key, value)| {
            let alone = Json::Object(Map::from_iter([(key.clone(), value.clone())]));
            let error = serde_json::from_value::<Spec>(alone).err()?;
            Some(wrong(key, error.to_string()))
        })
        .collect();
    if object.get("name").is_some_and(|given| given.as_str() != Some(&name)) {
        all.push(wrong("name", "is not that of the path".to_owned()));
    }
    if !all.is_empty() {
        return Err(all);
    }
    let spec: Spec = serde_json::from_value(Json::Object(object))
        .map_err(|error| vec![wrong("body", error.to_string())])?;
    let spec = Spec { name, ..spec };
    crate::rules::Rule::new(&spec)?;
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_of_a_rule_is_told() {
        let keys = |body: &str| {
            let wrong = spec("hot".to_owned(), body.as_bytes()).unwrap_err();
            wrong.into_iter().map(|wrong| wrong.key).collect::<Vec<_>>()
        };
        let good = r#"{"kind":"threshold","metric":["t"],"above":80,"below":null,"for":"5 m"}"#;
        let found = spec("hot".to_owned(), good.as_bytes()).unwrap();
        assert_eq!((found.above, found.below, &*found.hold), (Some(80.0), None, "5 m"));
        assert_eq!(keys("[]"), ["body"]);
        assert_eq!(keys(r#"{"above":"x","devise":[],"for":7}"#), ["above", "devise", "for"]);
        assert_eq!(keys(r#"{"name":"cold","kind":"offline"}"#), ["name"]);
        let many = r#"{"kind":"threshold","severity":"bad","for":"x","text":"{x}","device":["{"]}"#;
        let mut found = keys(many);
        found.sort_unstable();
        assert_eq!(found, ["above", "device", "for", "severity", "text"]);
    }
}
