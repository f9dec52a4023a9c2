//! Errors as the clients of a path read them: problem documents, but where other people's clients write.

use super::problem::Problem;
use super::{influx, otlp};
use warp::Reply;
use warp::http::Request;
use warp::reply::Response;

/// The answer to a request that is not let in.
pub(super) fn told<B>(request: &Request<B>, problem: Problem) -> Response {
    let path = request.uri().path();
    influx::Way::told_at(path, &problem)
        .or_else(|| otlp::told_at(path, request.headers(), &problem))
        .unwrap_or_else(|| problem.into_response())
}
