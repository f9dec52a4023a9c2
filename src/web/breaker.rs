//! `POST /api/v1/sinks/{name}/breaker`: what the operator wants of a sink's breaker.

use super::body;
use super::problem::Problem;
use super::state::App;
use super::trail::saying;
use crate::model::Reach;
use crate::sinks::influx::Wish;
use bytes::Buf;
use futures_util::Stream;
use serde::Deserialize;
use std::sync::Arc;
use warp::Reply;
use warp::http::StatusCode;
use warp::reply::Response;

/// The body of the request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    action: Action,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Hold,
    Probe,
    Release,
}

impl Action {
    fn name(&self) -> &'static str {
        match self {
            Action::Hold => "hold",
            Action::Probe => "probe",
            Action::Release => "release",
        }
    }
}

/// Grants the wish and answers with the sink as it is then. A wish that changes nothing is granted.
pub async fn set(
    app: Arc<App>,
    name: String,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Response, Problem> {
    let limits = app.intake.limits();
    let body = body::read(body, limits.wire.message_bytes, limits.body_timeout).await?;
    let asked: Asked = body::object(&body).map_err(|_| {
        Problem::bad_request("the body is {\"action\":\"hold\"}, \"probe\" or \"release\"")
    })?;
    if name == "history" {
        let detail = "the history is a file of the daemon's own: it has no breaker to set";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    let Some(sink) = app.influx.find(&name) else {
        let detail = format!("there is no sink {name}; see sinks in /api/v1/status");
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    };
    sink.wish(match &asked.action {
        Action::Hold => Wish::Hold,
        Action::Probe => Wish::Probe,
        Action::Release => Wish::Release,
    });
    let status = app.status.status(&Reach::all());
    let sinks = status["sinks"].as_array().into_iter().flatten();
    let told = sinks.into_iter().find(|sink| sink["name"] == name.as_str());
    Ok(saying(warp::reply::json(&told).into_response(), format!("{name}: {}", asked.action.name())))
}
