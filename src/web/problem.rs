//! Errors as problem documents (RFC 9457).

use serde::Serialize;
use std::fmt::Display;
use std::time::Duration;
use warp::Reply;
use warp::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// An error answer: a status and a sentence for who can mend the request.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    retry_after: Option<Duration>,
    /// A header that says how to do better.
    hint: Option<(HeaderName, HeaderValue)>,
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
        Problem { status, detail: detail.to_string(), retry_after: None, hint: None }
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong, for who can mend it.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Says in headers what the document does not: when to come back, and how to do better.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, retry_after_value(after));
        }
        if let Some((name, value)) = &self.hint {
            headers.insert(name, value.clone());
        }
    }

    pub fn bad_request(detail: impl Display) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    /// A token is asked for; `challenge` says which kind (RFC 6750).
    pub fn unauthorized(detail: impl Display, challenge: &'static str) -> Problem {
        let hint = (header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        Problem { hint: Some(hint), ..Problem::new(StatusCode::UNAUTHORIZED, detail) }
    }

    /// The path is there, but not with that method; with these.
    pub fn method_not_allowed(allowed: &str) -> Problem {
        let detail = format!("this path knows the methods {allowed}");
        let hint = HeaderValue::from_str(allowed).ok().map(|allowed| (header::ALLOW, allowed));
        Problem { hint, ..Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail) }
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
        self.add_headers(headers);
        response
    }
}
