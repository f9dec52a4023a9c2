//! Where a sink writes to: a store's address and what belongs to it, checked before anything is sent.

use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use url::Url;

/// The write API below a store's address, as InfluxDB 2 and everybody after it has it.
const WRITE_PATH: [&str; 3] = ["api", "v2", "write"];

/// A store to write to.
#[derive(Debug, Clone)]
pub struct Target {
    /// Of its write API, complete with organisation and bucket: from [`write_url`].
    pub url: Url,
    /// The file with the token; `None` = it wants none.
    pub token_file: Option<PathBuf>,
    /// How long a request may take, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// Connections that are kept; more requests at the same time open their own.
    pub connections_max: usize,
}

/// What is wrong with a store's address. Never repeats it: there may be a password in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UrlMistake {
    /// There is none.
    #[error("is missing; it is like \"http://127.0.0.1:8086\"")]
    Missing,
    /// There is no scheme before `://`, or it is another than the two.
    #[error("must begin with http:// or https://")]
    Scheme,
    /// It can't be read.
    #[error("is not a URL like \"http://127.0.0.1:8086\": {0}")]
    Unreadable(url::ParseError),
    /// It carries a name or a password.
    #[error(
        "must not carry a user or password; put the token into a file and name it in token_file"
    )]
    Login,
    /// It has `?` or `#`.
    #[error("must end before ? and #; organisation and bucket have keys of their own")]
    Query,
    /// It names the API itself.
    #[error("must be the address of the store only: /api/v2/write is added to it")]
    WritePath,
}

/// The address of the write API of the store at `url`. A path that `url` has (of a reverse proxy) is
/// kept; an empty `org` is left out.
///
/// # Errors
/// What is wrong with `url`.
pub fn write_url(url: &str, org: &str, bucket: &str) -> Result<Url, UrlMistake> {
    if url.is_empty() {
        return Err(UrlMistake::Missing);
    }
    if !["http://", "https://"].iter().any(|scheme| has_prefix(url, scheme)) {
        return Err(UrlMistake::Scheme);
    }
    let mut url = Url::parse(url).map_err(UrlMistake::Unreadable)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlMistake::Login);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(UrlMistake::Query);
    }
    if url.path().trim_end_matches('/').ends_with("/write") {
        return Err(UrlMistake::WritePath);
    }
    // An http(s) URL has a path always: the error can't be.
    url.path_segments_mut().map_err(|()| UrlMistake::Scheme)?.pop_if_empty().extend(WRITE_PATH);
    let mut query = url.query_pairs_mut();
    if !org.is_empty() {
        query.append_pair("org", org);
    }
    query.append_pair("bucket", bucket).append_pair("precision", "ns");
    drop(query);
    Ok(url)
}

fn has_prefix(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::{UrlMistake, write_url};

    fn check(url: &str, expected: &str) {
        let found = write_url(url, "plant", "north");
        assert_eq!(found.unwrap().as_str(), expected, "{url}");
    }

    fn check_mistake(url: &str, expected: UrlMistake) {
        assert_eq!(write_url(url, "plant", "north"), Err(expected), "{url}");
    }

    #[test]
    fn the_write_api_is_below_the_address() {
        let query = "?org=plant&bucket=north&precision=ns";
        check("http://127.0.0.1:8086", &format!("http://127.0.0.1:8086/api/v2/write{query}"));
        check("HTTPS://db.example/", &format!("https://db.example/api/v2/write{query}"));
        check("http://[::1]:8086/tsdb", &format!("http://[::1]:8086/tsdb/api/v2/write{query}"));
        check("http://db/a/b/", &format!("http://db/a/b/api/v2/write{query}"));
    }

    #[test]
    fn names_are_escaped_and_an_empty_organisation_is_left_out() {
        let found = write_url("http://db", "a&b c=ü", "x#y").unwrap();
        let pairs: Vec<_> = found.query_pairs().into_owned().collect();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let (org, bucket) = (pair("org", "a&b c=ü"), pair("bucket", "x#y"));
        assert_eq!(pairs, [org, bucket, pair("precision", "ns")]);
        let found = write_url("http://db", "", "b").unwrap();
        assert_eq!(found.as_str(), "http://db/api/v2/write?bucket=b&precision=ns");
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        check_mistake("", UrlMistake::Missing);
        check_mistake("127.0.0.1:8086", UrlMistake::Scheme);
        check_mistake("db.example", UrlMistake::Scheme);
        check_mistake("influxdb://db", UrlMistake::Scheme);
        check_mistake("http://", UrlMistake::Unreadable(url::ParseError::EmptyHost));
        check_mistake("http://db:70000", UrlMistake::Unreadable(url::ParseError::InvalidPort));
        check_mistake("http://a b", UrlMistake::Unreadable(url::ParseError::IdnaError));
        check_mistake("http://me:secret@db", UrlMistake::Login);
        check_mistake("http://me@db", UrlMistake::Login);
        check_mistake("http://db?org=plant", UrlMistake::Query);
        check_mistake("http://db/#x", UrlMistake::Query);
        check_mistake("http://db/api/v2/write", UrlMistake::WritePath);
        check_mistake("http://db/write/", UrlMistake::WritePath);
    }
}
