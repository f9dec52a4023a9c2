//! Messages of brokers that no route understood: `/api/v1/quarantine`, and what is done with them.

use super::body;
use super::history::Parameters;
use super::problem::Problem;
use super::state::App;
use crate::intake::mqtt::book::{Book, BookError, Filter, Message, Summary, Topic, Totals, Which};
use crate::intake::mqtt::payload;
use crate::routes::suggest;
use bytes::Buf;
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use warp::Reply;
use warp::http::StatusCode;
use warp::reply::Response;

/// Messages or topics of a page if nobody asks for another number.
const PAGE: usize = 100;
/// And at most.
const PAGE_MAX: usize = 1000;

/// The web room's own connection to the bridges' file. Whoever asks waits for whoever asked before.
pub struct Quarantined {
    path: PathBuf,
    /// `None` as long as there is no such file.
    book: Mutex<Option<Book>>,
}

impl Quarantined {
    /// What is in the file of this name, which a bridge makes.
    #[must_use]
    pub fn new(path: PathBuf) -> Arc<Quarantined> {
        Arc::new(Quarantined { path, book: Mutex::new(None) })
    }

    /// Works with the book: it is a file, so not on a thread that serves sockets. Without one the
    /// answer is what there is in an empty one.
    async fn with<T: Default + Send + 'static>(
        self: Arc<Quarantined>,
        work: impl FnOnce(&mut Book) -> Result<T, BookError> + Send + 'static,
    ) -> Result<T, Problem> {
        let done = tokio::task::spawn_blocking(move || {
            // Every change is a transaction: a panic in one leaves the book as it was.
            let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            if book.is_none() {
                *book = Book::existing(&self.path)?;
            }
            book.as_mut().map_or_else(|| Ok(T::default()), work)
        });
        let done = done.await.map_err(|error| problem(&error))?;
        done.map_err(|error| problem(&error))
    }
}

fn problem(error: &dyn std::error::Error) -> Problem {
    log::error!(error:% = error; "the quarantine could not be read or changed");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error)
}

/// `GET /api/v1/quarantine`.
pub async fn list(app: Arc<App>, parameters: Parameters) -> Result<Response, Problem> {
    let Asked { filter, after, limit } =
        Asked::of(&parameters, &["bridge", "topic", "after", "limit"])?;
    let found = app.quarantine.clone().with(move |book| {
        let totals = book.totals(filter.bridge.as_deref())?;
        Ok((book.messages(&filter, after, limit + 1)?, totals))
    });
    let (mut messages, totals) = found.await?;
    let more = messages.len() > limit;
    messages.truncate(limit);
    let next = messages.last().filter(|_| more).map(|message| message.id);
    let messages: Vec<_> = messages.iter().map(summary).collect();
    let body = json!({ "messages": messages, "totals": sums(&totals), "next": next });
    Ok(warp::reply::json(&body).into_response())
}

/// `GET /api/v1/quarantine/topics`.
pub async fn topics(app: Arc<App>, parameters: Parameters) -> Result<Response, Problem> {
    let Asked { filter, limit, .. } = Asked::of(&parameters, &["bridge", "topic", "limit"])?;
    let found = app.quarantine.clone().with(move |book| {
        let totals = book.totals(filter.bridge.as_deref())?;
        let topics = book.topics(&filter, limit)?;
        // One payload at a time.
        let topics = topics.iter().map(|topic| Ok(told(topic, example(book, topic)?)));
        Ok((topics.collect::<Result<Vec<Json>, BookError>>()?, totals))
    });
    let (topics, totals) = found.await?;
    let body = json!({ "topics": topics, "totals": sums(&totals) });
    Ok(warp::reply::json(&body).into_response())
}

/// The newest message of a topic, if it can be read back.
fn example(book: &Book, topic: &Topic) -> Result<Option<Message>, BookError> {
    let Some(id) = topic.example else { return Ok(None) };
    match book.message(id) {
        Err(BookError::Damaged { .. }) => Ok(None),
        found => found,
    }
}

fn told(topic: &Topic, example: Option<Message>) -> Json {
    let suggestion = example.as_ref().map(|example| suggest(&topic.topic, &example.payload));
    json!({
        "bridge": topic.bridge,
        "topic": topic.topic,
        "count": topic.count,
        "held": topic.held,
        "first_seen": topic.first_seen.as_millis(),
        "last_seen": topic.last_seen.as_millis(),
        "reason": topic.reason,
        "code": topic.code,
        "example": example.map(|example| summary(&example.summary)),
        "suggestion": suggestion,
    })
}

/// `GET /api/v1/quarantine/{id}`.
pub async fn message(app: Arc<App>, id: u64) -> Result<Response, Problem> {
    let Some(message) = app.quarantine.clone().with(move |book| book.message(id)).await? else {
        let detail = format!("there is no message {id}; it may have been understood or dropped");
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    };
    let Message { summary: told, payload: bytes } = &message;
    let mut body = summary(told);
    let text = if told.is_whole() { payload::text(bytes) } else { payload::beginning(bytes) };
    let protobuf = match text {
        None => payload::protobuf(bytes, !told.is_whole()),
        Some(_) => None,
    };
    body.insert("text".to_owned(), json!(text));
    body.insert("json".to_owned(), json!(payload::json(bytes)));
    body.insert("protobuf".to_owned(), json!(protobuf));
    body.insert("hex".to_owned(), json!(payload::hex(bytes)));
    body.insert("suggestion".to_owned(), json!(suggest(&told.topic, bytes)));
    Ok(warp::reply::json(&body).into_response())
}

/// `POST /api/v1/quarantine/replay`.
pub async fn replay(
    app: Arc<App>,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Response, Problem> {
    let which = which(&app, body).await?;
    let marked = app.quarantine.clone().with(move |book| book.replay(&which)).await?;
    let body = json!({ "messages": marked.messages, "cut": marked.cut });
    Ok(warp::reply::json(&body).into_response())
}

/// `POST /api/v1/quarantine/drop`.
pub async fn drop_messages(
    app: Arc<App>,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Response, Problem> {
    let which = which(&app, body).await?;
    let messages = app.quarantine.clone().with(move |book| book.drop_messages(&which)).await?;
    Ok(warp::reply::json(&json!({ "messages": messages })).into_response())
}

/// What a list is asked for.
#[derive(Debug, PartialEq)]
struct Asked {
    filter: Filter,
    after: u64,
    limit: usize,
}

impl Asked {
    fn of(parameters: &Parameters, known: &[&str]) -> Result<Asked, Problem> {
        let mut asked = Asked { filter: Filter::default(), after: 0, limit: PAGE };
        for (name, value) in parameters {
            let wrong = || Problem::bad_request(format!("{name}: \"{value}\" is no such number"));
            match &**name {
                name if !known.contains(&name) => {
                    let known = known.join(", ");
                    let detail = format!("there is no parameter {name}; known are {known}");
                    return Err(Problem::bad_request(detail));
                }
                "bridge" => asked.filter.bridge = Some(value.clone()),
                "topic" => asked.filter.topic = Some(value.clone()),
                "after" => asked.after = value.parse().map_err(|_| wrong())?,
                _ => {
                    let limit = value.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
                    asked.limit = limit.ok_or_else(wrong)?;
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
    bridge: Option<String>,
    topic: Option<String>,
    all: Option<bool>,
}

/// Which messages a request means.
async fn which(
    app: &App,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Which, Problem> {
    let limits = app.intake.limits();
    parse(&body::read(body, limits.wire.message_bytes, limits.body_timeout).await?)
}

/// It must be said in one way.
fn parse(body: &[u8]) -> Result<Which, Problem> {
    let wrong = || {
        let detail = "the body is {\"ids\":[…]}, {\"topic\":\"…\"}, {\"bridge\":\"…\"}, both of these, \
                      or {\"all\":true}";
        Problem::bad_request(detail)
    };
    match body::object(body).map_err(|_| wrong())? {
        Meant { ids: Some(ids), bridge: None, topic: None, all: None } => {
            body::few(&ids)?;
            Ok(Which::Ids(ids))
        }
        Meant { ids: None, bridge: None, topic: None, all: Some(true) } => {
            Ok(Which::Fitting(Filter::default()))
        }
        Meant { ids: None, bridge, topic, all: None } if bridge.is_some() || topic.is_some() => {
            Ok(Which::Fitting(Filter { bridge, topic }))
        }
        _ => Err(wrong()),
    }
}

fn summary(message: &Summary) -> Map<String, Json> {
    let properties: Vec<_> = message.properties.iter().map(|(k, v)| json!([k, v])).collect();
    let body = json!({
        "id": message.id,
        "bridge": message.bridge,
        "topic": message.topic,
        "received_at": message.received_at.as_millis(),
        "bytes": message.bytes,
        "kept": message.kept,
        "excerpt": payload::beginning(&message.excerpt),
        "excerpt_hex": payload::hex(&message.excerpt),
        "qos": message.qos,
        "retained": message.retained,
        "content_type": message.content_type,
        "properties": properties,
        "reason": message.reason,
        "code": message.code,
        "attempts": message.attempts,
        "replaying": message.replaying,
    });
    match body {
        Json::Object(body) => body,
        _ => Map::new(),
    }
}

fn sums(totals: &Totals) -> Json {
    json!({
        "came": totals.came,
        "held": totals.held,
        "bytes": totals.bytes,
        "missed": totals.missed,
        "shed": totals.shed,
        "dropped": totals.dropped,
        "understood": totals.understood,
        "topics": totals.topics,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_in_one_way_which_are_meant() {
        let fitting = |bridge: Option<&str>, topic: Option<&str>| {
            let (bridge, topic) = (bridge.map(str::to_owned), topic.map(str::to_owned));
            Some(Which::Fitting(Filter { bridge, topic }))
        };
        for (body, expected) in [
            ("{\"ids\":[3,1]}", Some(Which::Ids(vec![3, 1]))),
            ("{\"topic\":\"a/#\"}", fitting(None, Some("a/#"))),
            ("{\"topic\":\"a/#\",\"bridge\":\"site\"}", fitting(Some("site"), Some("a/#"))),
            ("{\"bridge\":\"site\"}", fitting(Some("site"), None)),
            ("{\"all\":true}", fitting(None, None)),
            ("{\"all\":false}", None),
            ("{}", None),
            ("", None),
            ("{\"ids\":[1],\"all\":true}", None),
            ("{\"topic\":\"a\",\"all\":true}", None),
            ("{\"ids\":[1],\"topic\":\"a\"}", None),
            ("{\"ids\":[-1]}", None),
            ("{\"topics\":\"a\"}", None),
        ] {
            assert_eq!(parse(body.as_bytes()).ok(), expected, "{body}");
        }
    }

    #[test]
    fn a_page_is_asked_for_by_name() {
        let asked = |pairs: &[(&str, &str)]| {
            let parameters = pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
            Asked::of(&parameters, &["bridge", "after", "limit"]).ok()
        };
        assert_eq!(asked(&[]), Some(Asked { filter: Filter::default(), after: 0, limit: PAGE }));
        let filter = Filter { bridge: Some("a".to_owned()), topic: None };
        let all = [("bridge", "a"), ("after", "7"), ("limit", "1000")];
        assert_eq!(asked(&all), Some(Asked { filter, after: 7, limit: 1000 }));
        for wrong in [("limit", "0"), ("limit", "1001"), ("after", "-1"), ("topic", "a")] {
            assert_eq!(asked(&[wrong]), None, "{wrong:?}");
        }
    }
}
