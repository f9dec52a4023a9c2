//! What every answer tells browsers: to run nothing that comes from here, but the dashboard.
//!
//! Devices choose names, labels and texts, and anybody can write an address: what they write is told
//! back in answers. A browser takes an answer for the type that it says (`nosniff`), and if somebody
//! opens one as a page, nothing in it is run or fetched.

use warp::http::{HeaderValue, Response, StatusCode, header};

/// The dashboard's page: nothing but our own origin, no inline script or style, and no page around ours.
const PAGE: &str = "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'";
/// Everything else is data.
const DATA: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox";

/// The answer, with what it tells browsers.
pub(super) fn guarded<B>(mut response: Response<B>) -> Response<B> {
    // What a browser has already keeps its policy: the headers of this answer would replace those of it.
    let is_unchanged = response.status() == StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    let is_page = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    if !is_unchanged {
        let policy = if is_page { PAGE } else { DATA };
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
