//! `POST /api/v1/ingest`.

use super::post::{Known, Sent, status};
use super::problem::{Problem, retry_after_value};
use super::state::App;
use crate::intake::{Part, PostAnswer, PostedAs, Retry};
use crate::model::{ClientId, SessionId};
use crate::wire::Downstream;
use bytes::Buf;
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use warp::Reply;
use warp::http::{HeaderValue, StatusCode, header};
use warp::reply::Response;

/// What the query string may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    client: Option<String>,
    #[serde(default)]
    session: u64,
    #[serde(default)]
    seq: u64,
}

#[derive(Serialize)]
struct Answer<'a> {
    accepted: usize,
    duplicate: bool,
    refused: Vec<Refused<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_total: Option<usize>,
}

#[derive(Serialize)]
struct Refused<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

#[derive(Serialize)]
struct Place {
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<u32>,
}

/// Takes a posted batch in.
///
/// # Errors
/// A problem document if the request itself can't be read.
pub async fn post<B: Buf>(
    app: Arc<App>,
    parameters: Parameters,
    sent: Sent<impl Stream<Item = Result<B, warp::Error>>>,
) -> Result<Response, Problem> {
    let form = form(sent.media_type())?;
    let accept = sent.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let protobuf = accept.is_some_and(|accept| accept.starts_with("application/x-protobuf"));
    let client = sent.client(&app, parameters.client)?;
    let session = SessionId(parameters.session);
    let known = Known { form, client: client.clone(), session, seq: parameters.seq };
    let answer = sent.post(&app, known).await?;
    Ok(if protobuf { as_protobuf(&app, &client, &answer) } else { as_json(&answer) })
}

fn form(media_type: Option<&str>) -> Result<PostedAs, Problem> {
    match media_type {
        Some("application/x-protobuf" | "application/protobuf") => Ok(PostedAs::Protobuf),
        Some("application/x-ndjson" | "application/ndjson" | "application/jsonl") => {
            Ok(PostedAs::Ndjson)
        }
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Type must be application/x-protobuf (one Batch) or application/x-ndjson (one reading per line)",
        )),
    }
}

fn as_json(answer: &PostAnswer) -> Response {
    let refused: Vec<_> = answer
        .refused
        .iter()
        .map(|part| {
            let at = part.refusal.at;
            let somewhere = at.table.is_some() || at.column.is_some() || at.row.is_some();
            Refused {
                line: match part.part {
                    Part::Line(line) => Some(line),
                    Part::Whole | Part::Item(_) => None,
                },
                code: part.refusal.code.name(),
                message: &part.refusal.message,
                at: somewhere.then_some(Place { table: at.table, column: at.column, row: at.row }),
                retry_after_ms: match part.refusal.retry {
                    Retry::Never => None,
                    Retry::Later(after) => Some(after.as_millis() as u64),
                },
            }
        })
        .collect();
    let refused_total = (answer.refused_total > refused.len()).then_some(answer.refused_total);
    let body =
        Answer { accepted: answer.accepted, duplicate: answer.duplicate, refused, refused_total };
    with_status(answer, warp::reply::json(&body).into_response())
}

fn as_protobuf(app: &App, client: &ClientId, answer: &PostAnswer) -> Response {
    let message = match answer.refused.first() {
        Some(part) => part.refusal.told(answer.seq),
        None => Downstream::Ack { seq: answer.seq, credit: app.intake.credit(client) },
    };
    let mut response = message.encode().into_response();
    let value = HeaderValue::from_static("application/x-protobuf");
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    with_status(answer, response)
}

fn with_status(answer: &PostAnswer, mut response: Response) -> Response {
    *response.status_mut() = status(answer);
    if let Some(after) = answer.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after_value(after));
    }
    response
}
