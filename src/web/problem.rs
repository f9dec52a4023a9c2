//! Errors as problem documents (RFC 9457).

use serde::Serialize;
use std::fmt::Display;
use std::time::Duration;
use warp::Reply;
use warp::http::{HeaderValue, StatusCode, header};

/// An error answer: a status and a sentence for who can mend the request.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    retry_after: Option<Duration>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Display) -> Problem {
        Problem { status, detail: detail.to_string(), retry_after: None }
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn bad_request(detail: impl Display) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Says when to come back.
    pub fn retry_after(self, after: Duration) -> Problem {
        Problem { retry_after: Some(after), ..self }
    }

    pub fn unavailable(detail: impl Display, retry_after: Duration) -> Problem {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        Problem { retry_after: Some(retry_after), ..problem }
    }
}

/// `Retry-After` in whole seconds, at least one.
pub fn retry_after_value(after: Duration) -> HeaderValue {
    HeaderValue::from(after.as_millis().div_ceil(1000).clamp(1, 3600) as u64)
}

impl Reply for Problem {
    fn into_response(self) -> warp::reply::Response {
        let document = Document {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = body.into_response();
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, retry_after_value(after));
        }
        response
    }
}
