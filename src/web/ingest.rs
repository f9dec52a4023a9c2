//! `POST /api/v1/ingest`.

use super::body;
use super::problem::{Problem, retry_after_value};
use super::state::App;
use crate::auth::{Caller, How};
use crate::intake::{PostAnswer, Posted, PostedAs, Retry};
use crate::model::{ClientId, SessionId};
use crate::wire::{Downstream, RefusalCode};
use bytes::Buf;
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use warp::Reply;
use warp::http::{HeaderMap, HeaderValue, StatusCode, header};
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
pub async fn post(
    app: Arc<App>,
    parameters: Parameters,
    headers: HeaderMap,
    peer: IpAddr,
    caller: Arc<Caller>,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Response, Problem> {
    let form = form(&headers)?;
    encoding(&headers)?;
    let limits = app.intake.limits();
    let body = body::read(body, limits.wire.message_bytes, limits.body_timeout).await?;
    let client = match parameters.client {
        Some(client) => {
            crate::model::check_name(&client, limits.wire.name_bytes)
                .map_err(|error| Problem::bad_request(format!("client: {error}")))?;
            if !caller.may_be(&client) {
                let name = &caller.name;
                let detail = format!("{name} may not send as the client {client}");
                return Err(Problem::new(StatusCode::FORBIDDEN, detail));
            }
            client
        }
        None if caller.how == How::Anonymous => peer.to_string(),
        None => caller.name.to_string(),
    };
    let client: ClientId = client.into();
    let posted = Posted {
        form,
        body,
        client: client.clone(),
        peer: Some(peer),
        reach: caller.reach.clone(),
        session: SessionId(parameters.session),
        seq: parameters.seq,
    };
    let answer = app.intake.post(posted).await;
    let protobuf = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.starts_with("application/x-protobuf"));
    Ok(if protobuf { as_protobuf(&app, &client, &answer) } else { as_json(&answer) })
}

fn form(headers: &HeaderMap) -> Result<PostedAs, Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = given.and_then(|value| value.split(';').next()).map(str::trim);
    match essence {
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

/// The compression is recognised by the body's first bytes; the header may only name one that is.
fn encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
    match given {
        None | Some("identity" | "gzip" | "deflate" | "zstd") => Ok(()),
        Some(other) => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("Content-Encoding {other} is not read; gzip, deflate and zstd are"),
        )),
    }
}

fn status(answer: &PostAnswer) -> StatusCode {
    let first = answer.refused.first().map(|part| part.refusal.code);
    match first {
        None => StatusCode::OK,
        Some(RefusalCode::TooLarge) if answer.accepted == 0 => StatusCode::PAYLOAD_TOO_LARGE,
        Some(RefusalCode::RateLimited | RefusalCode::OverCredit | RefusalCode::TooManySeries)
            if answer.retry_after.is_some() =>
        {
            StatusCode::TOO_MANY_REQUESTS
        }
        Some(_) if answer.retry_after.is_some() => StatusCode::SERVICE_UNAVAILABLE,
        Some(_) if answer.unreadable => StatusCode::BAD_REQUEST,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
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
                line: part.line,
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
