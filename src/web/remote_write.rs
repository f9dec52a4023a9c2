//! `POST /api/v1/prom/write`: Prometheus' remote write, versions 1 and 2.
//!
//! Prometheus sends again what is answered 5xx, and gives up what is answered 4xx: also 429, unless it is told
//! to retry that. So everything that may enter later is answered 503 here.

use super::items::sentence;
use super::post::{Known, Sent, sent, status};
use super::problem::{Problem, retry_after_value};
use super::routes::exactly;
use super::state::App;
use crate::decode::RemoteWrite;
use crate::intake::{PostAnswer, PostedAs, Taken};
use crate::model::SessionId;
use bytes::Buf;
use futures_util::Stream;
use std::sync::Arc;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::reply::Response;
use warp::{Filter, Reply};

/// All of it.
pub(super) fn routes(app: Arc<App>) -> BoxedFilter<(Response,)> {
    let with = warp::any().map(move || app.clone());
    let post = warp::post().and(exactly("api/v1/prom/write")).and(with).and(sent());
    post.then(|app: Arc<App>, sent| async move {
        write(&app, sent).await.unwrap_or_else(Reply::into_response)
    })
    .boxed()
}

async fn write<B: Buf>(
    app: &App,
    sent: Sent<impl Stream<Item = Result<B, warp::Error>>>,
) -> Result<Response, Problem> {
    let version = version(&sent.headers)?;
    let form = PostedAs::RemoteWrite(version);
    let known = Known { form, client: sent.sender(), session: SessionId(0), seq: 0 };
    let answer = sent.post(app, known).await?;
    let mut response = answered(&answer);
    if version == RemoteWrite::V2 {
        written(response.headers_mut(), &answer);
    }
    Ok(response)
}

/// Which message the body is, as its type says.
fn version(headers: &HeaderMap) -> Result<RemoteWrite, Problem> {
    let given = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let mut parts = given.unwrap_or("application/x-protobuf").split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !media_type.is_empty() && !media_type.eq_ignore_ascii_case("application/x-protobuf") {
        return Err(not_read(media_type));
    }
    let proto = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.eq_ignore_ascii_case("proto").then(|| value.trim_matches('"'))
    });
    match proto {
        None | Some("prometheus.WriteRequest") => Ok(RemoteWrite::V1),
        Some("io.prometheus.write.v2.Request") => Ok(RemoteWrite::V2),
        Some(other) => Err(not_read(other)),
    }
}

fn not_read(what: &str) -> Problem {
    let detail = format!(
        "{what} is not read: Content-Type must be application/x-protobuf, with proto=prometheus.WriteRequest \
         or proto=io.prometheus.write.v2.Request"
    );
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
}

/// 204 once all of it is durable; 400 with what will never enter, although the rest did.
fn answered(answer: &PostAnswer) -> Response {
    let status = match status(answer) {
        StatusCode::OK => return StatusCode::NO_CONTENT.into_response(),
        StatusCode::TOO_MANY_REQUESTS => StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        status => status,
    };
    let mut problem = Problem::new(status, sentence(answer)).into_response();
    if let Some(after) = answer.retry_after {
        problem.headers_mut().insert(header::RETRY_AFTER, retry_after_value(after));
    }
    problem
}

/// How much of it is done with, as version 2 wants to know. What is left out counts: it is not to come again.
fn written(headers: &mut HeaderMap, answer: &PostAnswer) {
    let durable = answer.refused.is_empty() || answer.accepted > 0;
    let Taken { items, histograms, .. } = if durable { answer.taken } else { Taken::default() };
    for (name, count) in [
        ("x-prometheus-remote-write-samples-written", items - histograms),
        ("x-prometheus-remote-write-histograms-written", histograms),
        ("x-prometheus-remote-write-exemplars-written", 0),
    ] {
        headers.insert(name, HeaderValue::from(count as u64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_and_histograms_that_are_done_with_are_told_apart() {
        let check = |answer: PostAnswer, expected: [&str; 3]| {
            let mut headers = HeaderMap::new();
            written(&mut headers, &answer);
            let told = ["samples", "histograms", "exemplars"]
                .map(|it| headers[format!("x-prometheus-remote-write-{it}-written")].clone());
            assert_eq!(told, expected);
        };
        let taken = Taken { items: 7, histograms: 2, ..Taken::default() };
        check(PostAnswer { accepted: 9, taken, ..PostAnswer::default() }, ["5", "2", "0"]);
    }

    #[test]
    fn the_type_says_which_version_it_is() {
        let check = |given: Option<&'static str>, expected: Option<RemoteWrite>| {
            let value = given.map(|given| (header::CONTENT_TYPE, HeaderValue::from_static(given)));
            let headers: HeaderMap = value.into_iter().collect();
            assert_eq!(version(&headers).ok(), expected, "{given:?}");
        };
        check(None, Some(RemoteWrite::V1));
        check(Some(""), Some(RemoteWrite::V1));
        check(Some("application/x-protobuf"), Some(RemoteWrite::V1));
        check(Some("application/x-protobuf;proto=prometheus.WriteRequest"), Some(RemoteWrite::V1));
        check(
            Some("Application/X-Protobuf; Proto=\"io.prometheus.write.v2.Request\""),
            Some(RemoteWrite::V2),
        );
        check(Some("application/x-protobuf;proto=other"), None);
        check(Some("application/json"), None);
    }
}
