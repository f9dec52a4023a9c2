//! What a device should be set to, and what it says that it is.

use super::body;
use super::commands::{by, problem, read};
use super::problem::Problem;
use super::routes;
use super::state::App;
use crate::auth::Caller;
use crate::commands::{DOCUMENT_BYTES_MAX, Desired};
use bytes::Buf;
use futures_util::Stream;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use warp::Reply;
use warp::http::StatusCode;
use warp::reply::Response;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked<'a> {
    #[serde(borrow)]
    document: &'a RawValue,
    by: Option<String>,
}

/// `PUT /api/v1/devices/{id}/desired`.
pub async fn set(
    app: Arc<App>,
    caller: Arc<Caller>,
    device: String,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Response, Problem> {
    let device = routes::device(device, caller.clone())?;
    let body = read(&app, body).await?;
    let asked: Asked<'_> = body::object(&body).map_err(|error| {
        Problem::bad_request(format!("the body is {{\"document\":{{…}},\"by\":…}}: {error}"))
    })?;
    let document = asked.document.get();
    if !document.starts_with('{') {
        return Err(Problem::bad_request("document: a JSON object"));
    }
    body::readable("document", asked.document)?;
    if document.len() > DOCUMENT_BYTES_MAX {
        let detail = format!("document: {DOCUMENT_BYTES_MAX} bytes at most");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let set = app.commands.set_desired(&device, document.to_owned(), by(&caller, asked.by)?);
    Ok(warp::reply::json(&told(&set.await.map_err(problem)?)).into_response())
}

/// `GET /api/v1/devices/{id}/desired`.
pub async fn get(app: Arc<App>, caller: Arc<Caller>, device: String) -> Result<Response, Problem> {
    let device = routes::device(device, caller)?;
    let desired = app.commands.desired(&device).await.map_err(problem)?;
    let told = desired.map_or_else(|| nothing(&device), |desired| told(&desired));
    Ok(warp::reply::json(&told).into_response())
}

/// Nobody has said yet what it should be set to. That is how most devices are, and no mistake of who asks.
fn nothing(device: &str) -> Json {
    json!({
        "device": device,
        "version": 0,
        "document": null,
        "by": "",
        "at": null,
        "reported": null,
    })
}

fn told(desired: &Desired) -> Json {
    let json = |text: &str| serde_json::from_str::<Json>(text).ok();
    let reported = desired.reported.as_ref().map(|reported| {
        json!({
            "version": reported.version,
            "ok": reported.ok,
            "message": reported.message,
            "document": reported.document.as_deref().and_then(json),
            "at": reported.at.as_millis(),
        })
    });
    json!({
        "device": desired.device,
        "version": desired.version,
        "document": json(&desired.document),
        "by": desired.by,
        "at": desired.at.as_millis(),
        "reported": reported,
    })
}
