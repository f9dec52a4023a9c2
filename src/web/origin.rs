//! Pages of others must not change anything here with the rights of whoever looks at them.

use std::future::ready;
use warp::filters::BoxedFilter;
use warp::reject::Reject;
use warp::{Filter, Rejection};

/// The request was sent by a page of another host.
#[derive(Debug)]
pub struct ForeignOrigin;

impl Reject for ForeignOrigin {}

/// Takes a request that does not come from a page of another host. Goes after the path: browsers
/// name the page's origin in every request that may change something; programs don't.
pub fn own() -> BoxedFilter<()> {
    warp::header::optional("origin")
        .and(warp::header::optional("host"))
        .and_then(|origin: Option<String>, host: Option<String>| {
            ready(match is_own(origin.as_deref(), host.as_deref()) {
                true => Ok(()),
                false => Err::<(), Rejection>(warp::reject::custom(ForeignOrigin)),
            })
        })
        .untuple_one()
        .boxed()
}

/// Whether the page is one of the host that is asked. Schemes may differ: a proxy may speak TLS for
/// us.
fn is_own(origin: Option<&str>, host: Option<&str>) -> bool {
    let Some(origin) = origin else { return true };
    let page = origin.split_once("://").map(|(_, page)| page);
    matches!((page, host), (Some(page), Some(host)) if page.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_host_and_programs_are_taken() {
        let host = Some("plant.example:8080");
        for (origin, taken) in [
            (None, true),
            (Some("http://plant.example:8080"), true),
            (Some("https://Plant.Example:8080"), true),
            (Some("http://plant.example"), false),
            (Some("http://plant.example:80800"), false),
            (Some("http://evil.example"), false),
            (Some("http://plant.example:8080.evil.example"), false),
            (Some("null"), false),
            (Some(""), false),
        ] {
            assert_eq!(is_own(origin, host), taken, "{origin:?}");
        }
        assert!(!is_own(Some("http://plant.example"), None));
    }
}
