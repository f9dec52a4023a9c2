//! Dead letters: `/api/v1/dead-letters`, and what is done with them.

use super::body;
use super::history::Parameters;
use super::problem::Problem;
use super::state::App;
use crate::decode::readings;
use crate::sinks::book::{Book, BookError, Filter, Letter, Summary, Totals, Which};
use bytes::Buf;
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::sync::{Arc, Mutex, PoisonError};
use warp::Reply;
use warp::http::StatusCode;
use warp::reply::Response;

/// Letters of a page if nobody asks for another number.
const PAGE: usize = 100;
/// And at most.
const PAGE_MAX: usize = 1000;

/// The web room's own connection to the sinks' file. Whoever asks waits for whoever asked before.
pub struct DeadLetters(Mutex<Book>);

impl DeadLetters {
    /// Over a connection that nobody else uses.
    #[must_use]
    pub fn new(book: Book) -> Arc<DeadLetters> {
        Arc::new(DeadLetters(Mutex::new(book)))
    }

    /// Works with the book: it is a file, so not on a thread that serves sockets.
    pub(super) async fn with<T: Send + 'static>(
        self: Arc<DeadLetters>,
        work: impl FnOnce(&mut Book) -> Result<T, BookError> + Send + 'static,
    ) -> Result<T, Problem> {
        let done = tokio::task::spawn_blocking(move || {
            // Every change is a transaction: a panic in one leaves the book as it was.
            work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
        });
        let done = done.await.map_err(|error| problem(&error))?;
        done.map_err(|error| problem(&error))
    }
}

fn problem(error: &dyn std::error::Error) -> Problem {
    log::error!(error:% = error; "the sinks' file could not be read or changed");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error)
}

/// `GET /api/v1/dead-letters`.
pub async fn list(app: Arc<App>, parameters: Parameters) -> Result<Response, Problem> {
    let Asked { filter, after, limit } = Asked::of(&parameters)?;
    let book = app.dead_letters.clone();
    let (mut letters, totals) = book
        .with(move |book| {
            let totals = book.totals(filter.sink.as_deref())?;
            Ok((book.letters(&filter, after, limit + 1)?, totals))
        })
        .await?;
    let more = letters.len() > limit;
    letters.truncate(limit);
    let next = letters.last().filter(|_| more).map(|letter| letter.id);
    let letters: Vec<_> = letters.iter().map(summary).collect();
    let body = json!({ "letters": letters, "totals": sums(&totals), "next": next });
    Ok(warp::reply::json(&body).into_response())
}

/// `GET /api/v1/dead-letters/{id}`.
pub async fn letter(app: Arc<App>, id: u64) -> Result<Response, Problem> {
    let found = app.dead_letters.clone().with(move |book| book.letter(id)).await?;
    let Some(Letter { summary: told, batch }) = found else {
        let detail = format!("there is no dead letter {id}; it may have been replayed or dropped");
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    };
    let mut body = summary(&told);
    let readings: Vec<_> = readings(&batch)
        .map(|mut reading| {
            // A browser's numbers would round it.
            if let Some(time) = reading.get_mut("time") {
                *time = time.to_string().into();
            }
            reading.entry("tags").or_insert_with(|| json!({}));
            reading
        })
        .collect();
    body.insert("readings".to_owned(), json!(readings));
    Ok(warp::reply::json(&body).into_response())
}

/// `POST /api/v1/dead-letters/replay`.
pub async fn replay(
    app: Arc<App>,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Response, Problem> {
    let which = which(&app, body).await?;
    changed(app.dead_letters.clone().with(move |book| book.replay(&which)).await?)
}

/// `POST /api/v1/dead-letters/drop`.
pub async fn drop_letters(
    app: Arc<App>,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Response, Problem> {
    let which = which(&app, body).await?;
    changed(app.dead_letters.clone().with(move |book| book.drop_letters(&which)).await?)
}

fn changed(letters: u64) -> Result<Response, Problem> {
    Ok(warp::reply::json(&json!({ "letters": letters })).into_response())
}

/// What a list is asked for.
#[derive(Debug, PartialEq)]
struct Asked {
    filter: Filter,
    after: u64,
    limit: usize,
}

impl Asked {
    fn of(parameters: &Parameters) -> Result<Asked, Problem> {
        let mut asked = Asked { filter: Filter::default(), after: 0, limit: PAGE };
        for (name, value) in parameters {
            let wrong = || Problem::bad_request(format!("{name}: \"{value}\" is no such number"));
            match &**name {
                "sink" => asked.filter.sink = Some(value.clone()),
                "after" => asked.after = value.parse().map_err(|_| wrong())?,
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
                    asked.limit = limit.ok_or_else(wrong)?;
                }
                _ => {
                    let detail =
                        format!("there is no parameter {name}; known are sink, after, limit");
                    return Err(Problem::bad_request(detail));
                }
            }
        }
        Ok(asked)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Meant {
    ids: Option<Vec<u64>>,
    sink: Option<String>,
    all: Option<bool>,
}

/// Which letters a request means.
async fn which(
    app: &App,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Which, Problem> {
    let limits = app.intake.limits();
    parse(&body::read(body, limits.wire.message_bytes, limits.body_timeout).await?)
}

/// It must be said in one way.
fn parse(body: &[u8]) -> Result<Which, Problem> {
    let wrong =
        || Problem::bad_request("the body is {\"ids\":[…]}, {\"sink\":\"…\"} or {\"all\":true}");
    match body::object(body).map_err(|_| wrong())? {
        Meant { ids: Some(ids), sink: None, all: None } => {
            body::few(&ids)?;
            Ok(Which::Ids(ids))
        }
        Meant { ids: None, sink: Some(sink), all: None } => Ok(Which::Sink(sink)),
        Meant { ids: None, sink: None, all: Some(true) } => Ok(Which::All),
        _ => Err(wrong()),
    }
}

fn summary(letter: &Summary) -> Map<String, Json> {
    let body = json!({
        "id": letter.id,
        "sink": letter.sink,
        "refused_at": letter.refused_at.as_millis(),
        "received_at": letter.received_at.as_millis(),
        "client": letter.client,
        "protocol": letter.protocol,
        "device": letter.device,
        "metrics": letter.metrics,
        "samples": letter.samples,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "replaying": letter.replaying,
    });
    match body {
        Json::Object(body) => body,
        _ => Map::new(),
    }
}

fn sums(totals: &Totals) -> Json {
    json!({
        "letters": totals.letters,
        "samples": totals.samples,
        "bytes": totals.bytes,
        "shed": totals.shed,
        "dropped": totals.dropped,
        "replayed": totals.replayed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_in_one_way_which_are_meant() {
        for (body, expected) in [
            ("{\"ids\":[3,1]}", Some(Which::Ids(vec![3, 1]))),
            ("{\"sink\":\"influx\"}", Some(Which::Sink("influx".to_owned()))),
            ("{\"all\":true}", Some(Which::All)),
            ("{\"all\":false}", None),
            ("{}", None),
            ("", None),
            ("{\"ids\":[1],\"all\":true}", None),
            ("{\"ids\":[-1]}", None),
            ("{\"sinks\":\"influx\"}", None),
        ] {
            assert_eq!(parse(body.as_bytes()).ok(), expected, "{body}");
        }
    }

    #[test]
    fn a_page_is_asked_for_by_name() {
        let asked = |pairs: &[(&str, &str)]| {
            let parameters = pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
            Asked::of(&parameters).ok().map(|asked| (asked.filter.sink, asked.after, asked.limit))
        };
        assert_eq!(asked(&[]), Some((None, 0, PAGE)));
        let all = [("sink", "a"), ("after", "7"), ("limit", "1000")];
        assert_eq!(asked(&all), Some((Some("a".to_owned()), 7, 1000)));
        for wrong in [("limit", "0"), ("limit", "1001"), ("after", "-1"), ("page", "1")] {
            assert_eq!(asked(&[wrong]), None, "{wrong:?}");
        }
    }
}
