//! The dashboard's files, embedded at build time.

use warp::Reply;
use warp::http::{HeaderValue, StatusCode, header};
use warp::reply::Response;

/// One file of the dashboard as build.rs embeds it.
struct Asset {
    /// Path under `/`, without the slash: `index.html`, `assets/index-4f2a.js`.
    path: &'static str,
    content_type: &'static str,
    etag: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The answer to `GET /{path}`.
pub fn serve(path: &str, accept_encoding: Option<&str>, if_none_match: Option<&str>) -> Response {
    let path = if path.is_empty() { "index.html" } else { path };
    let Some(asset) = ASSETS.iter().find(|asset| asset.path == path) else {
        return missing(path);
    };
    if if_none_match.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == asset.etag)) {
        let mut response = warp::reply().into_response();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    let gzip = accept_encoding.is_some_and(|accepted| accepted.contains("gzip"));
    let mut response = (if gzip { asset.gzip } else { asset.plain }).into_response();
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, asset.content_type);
    set(header::ETAG, asset.etag);
    set(header::VARY, "Accept-Encoding");
    if gzip {
        set(header::CONTENT_ENCODING, "gzip");
    }
    // Names under assets/ carry a hash of the content: they never change.
    let immutable = path.starts_with("assets/");
    set(
        header::CACHE_CONTROL,
        if immutable { "public, max-age=31536000, immutable" } else { "no-cache" },
    );
    response
}

fn missing(path: &str) -> Response {
    let detail = if ASSETS.is_empty() {
        "this daemon was built without the dashboard (cargo feature `dashboard`)".to_owned()
    } else {
        format!("there is nothing at /{path}")
    };
    super::problem::Problem::new(StatusCode::NOT_FOUND, detail).into_response()
}
