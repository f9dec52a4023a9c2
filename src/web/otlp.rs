//! `POST /v1/metrics`: OTLP over HTTP.
//!
//! In: `ExportMetricsServiceRequest`, as protobuf or JSON. Out: `ExportMetricsServiceResponse`, which tells
//! what of it did not enter; or, if nothing did, `google.rpc.Status`; in the encoding of the request.

use super::items::sentence;
use super::post::{Known, Sent, sent, status};
use super::problem::{Problem, retry_after_value};
use super::routes::exactly;
use super::state::App;
use crate::intake::{PostAnswer, PostedAs};
use crate::model::SessionId;
use crate::wire::Writer;
use bytes::Buf;
use futures_util::Stream;
use serde_json::json;
use std::sync::Arc;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::reply::Response;
use warp::{Filter, Reply};

const PATH: &str = "/v1/metrics";

/// All of it.
pub(super) fn routes(app: Arc<App>) -> BoxedFilter<(Response,)> {
    let with = warp::any().map(move || app.clone());
    let post = warp::post().and(exactly(PATH.trim_start_matches('/'))).and(with).and(sent());
    post.then(|app: Arc<App>, sent| async move { export(&app, sent).await }).boxed()
}

/// An error of the entry, as exporters read it; `None` if they are not who asks.
pub(super) fn told_at(path: &str, headers: &HeaderMap, problem: &Problem) -> Option<Response> {
    (path == PATH).then(|| Form::of(headers).unwrap_or(Form::Protobuf).told(problem))
}

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
}

async fn export<B: Buf>(
    app: &App,
    sent: Sent<impl Stream<Item = Result<B, warp::Error>>>,
) -> Response {
    let Some(form) = Form::of(&sent.headers) else {
        let detail = "Content-Type must be application/x-protobuf or application/json";
        return Form::Protobuf.told(&Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    };
    let posted_as = match form {
        Form::Protobuf => PostedAs::Otlp,
        Form::Json => PostedAs::OtlpJson,
    };
    let (client, session) = (sent.sender(), SessionId(0));
    match sent.post(app, Known { form: posted_as, client, session, seq: 0 }).await {
        Ok(answer) => form.answer(&answer),
        Err(problem) => form.told(&problem),
    }
}

impl Form {
    /// Of the request. Without a type it is what exporters send if nobody says anything.
    fn of(headers: &HeaderMap) -> Option<Form> {
        let Some(given) = headers.get(header::CONTENT_TYPE) else { return Some(Form::Protobuf) };
        let media_type = given.to_str().ok()?.split(';').next()?.trim();
        match media_type.to_ascii_lowercase().as_str() {
            "application/x-protobuf" | "application/protobuf" | "" => Some(Form::Protobuf),
            "application/json" => Some(Form::Json),
            _ => None,
        }
    }

    fn answer(self, answer: &PostAnswer) -> Response {
        let message = sentence(answer);
        if answer.refused.is_empty() || answer.accepted > 0 {
            return self.accepted(answer.refused_total, &message);
        }
        let mut response = self.status(status(answer), &message);
        if let Some(after) = answer.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after_value(after));
        }
        response
    }

    /// What is durable, and how many points are not.
    fn accepted(self, refused: usize, message: &str) -> Response {
        let body = match self {
            Form::Json if refused == 0 => b"{}".to_vec(),
            Form::Json => {
                let partial =
                    json!({ "rejectedDataPoints": refused.to_string(), "errorMessage": message });
                json!({ "partialSuccess": partial }).to_string().into_bytes()
            }
            Form::Protobuf if refused == 0 => Vec::new(),
            Form::Protobuf => {
                let mut partial = Writer::new();
                partial.uint(1, refused as u64);
                partial.delimited(2, message.as_bytes());
                let mut whole = Writer::new();
                whole.delimited(1, &partial.finish());
                whole.finish()
            }
        };
        self.response(StatusCode::OK, body)
    }

    /// A request of which nothing was read.
    fn told(self, problem: &Problem) -> Response {
        let mut response = self.status(problem.status(), problem.detail());
        problem.add_headers(response.headers_mut());
        response
    }

    fn status(self, status: StatusCode, message: &str) -> Response {
        let code = code(status);
        let body = match self {
            Form::Json => json!({ "code": code, "message": message }).to_string().into_bytes(),
            Form::Protobuf => {
                let mut writer = Writer::new();
                writer.uint(1, code);
                writer.delimited(2, message.as_bytes());
                writer.finish()
            }
        };
        self.response(status, body)
    }

    fn response(self, status: StatusCode, body: Vec<u8>) -> Response {
        let mut response = body.into_response();
        *response.status_mut() = status;
        let media_type = match self {
            Form::Protobuf => "application/x-protobuf",
            Form::Json => "application/json",
        };
        let value = HeaderValue::from_static(media_type);
        response.headers_mut().insert(header::CONTENT_TYPE, value);
        response
    }
}

/// gRPC's number for it.
fn code(status: StatusCode) -> u64 {
    match status {
        StatusCode::UNAUTHORIZED => 16,
        StatusCode::FORBIDDEN => 7,
        StatusCode::REQUEST_TIMEOUT => 4,
        StatusCode::METHOD_NOT_ALLOWED => 12,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => 8,
        StatusCode::SERVICE_UNAVAILABLE => 14,
        status if status.is_server_error() => 13,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn a_partial_success_is_written_as_the_specification_has_it() {
        let body = async |form: Form, refused| {
            let response = form.accepted(refused, "no");
            assert_eq!(response.status(), StatusCode::OK);
            response.into_body().collect().await.unwrap().to_bytes()
        };
        assert_eq!(&body(Form::Protobuf, 0).await[..], b"");
        assert_eq!(&body(Form::Json, 0).await[..], b"{}");
        // ExportMetricsServiceResponse.partial_success = 1; rejected_data_points = 1, error_message = 2.
        assert_eq!(&body(Form::Protobuf, 300).await[..], b"\x0a\x07\x08\xac\x02\x12\x02no");
        // A 64-bit number is a text in JSON.
        let told: serde_json::Value = serde_json::from_slice(&body(Form::Json, 300).await).unwrap();
        let partial = json!({ "rejectedDataPoints": "300", "errorMessage": "no" });
        assert_eq!(told, json!({ "partialSuccess": partial }));
    }
}
