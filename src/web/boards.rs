//! Boards: the dashboard's saved pages of charts, `/api/v1/boards`.
//!
//! A board is a JSON document of the page's own making, one file each: `boards/ID.json` in the state
//! directory, exactly as it was sent. The daemon knows only its `name` and its `panels`, which the list
//! tells of. A file is replaced in one step, and on disk before the request is answered.

use super::body;
use super::problem::Problem;
use super::state::App;
use bytes::{Buf, Bytes};
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::reply::Response;
use warp::{Filter, Reply};

/// Bytes of one document: some hundred panels.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// More than anybody keeps apart; bounds what the list reads.
const BOARDS_MAX: usize = 500;
const ID_BYTES_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 128;

/// The directory of the boards. Whoever changes one waits for whoever changed one before: between
/// looking at what is there and replacing it nobody else may.
pub struct Boards {
    directory: PathBuf,
    changing: Mutex<()>,
}

/// What a change expects to find.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    /// `If-None-Match: *`
    Nothing,
    /// `If-Match: *`
    Anything,
    /// `If-Match: "tag"`, one or several.
    OneOf(Vec<String>),
}

#[derive(Debug, thiserror::Error)]
enum BoardError {
    #[error("there is no board {0}")]
    Missing(String),
    #[error("{0}")]
    Conflict(&'static str),
    #[error("there are {BOARDS_MAX} boards, more are not kept: delete some")]
    Full,
    #[error("the boards' directory could not be read or changed: {0}")]
    Directory(#[from] io::Error),
}

/// The part of a document that the daemon understands.
#[derive(Deserialize)]
struct Document {
    name: String,
    panels: Vec<Json>,
}

impl Boards {
    /// The boards in a directory, which is made with the first of them.
    #[must_use]
    pub fn new(directory: PathBuf) -> Arc<Boards> {
        Arc::new(Boards { directory, changing: Mutex::new(()) })
    }

    /// In the order of names. What is no board is left out: somebody else put it there.
    fn list(&self) -> Result<Vec<Json>, BoardError> {
        let mut boards = Vec::new();
        for id in self.ids()? {
            let Some((text, changed_at)) = read(&self.path(&id))? else { continue };
            let Ok(Document { name, panels }) = serde_json::from_slice(&text) else {
                log::warn!(id:% = id; "a file among the boards is no board");
                continue;
            };
            let order = (name.to_lowercase(), id.clone());
            let told =
                json!({ "id": id, "name": name, "changed_at": changed_at, "panels": panels.len() });
            boards.push((order, told));
        }
        boards.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(boards.into_iter().map(|(_, told)| told).collect())
    }

    fn get(&self, id: &str) -> Result<Vec<u8>, BoardError> {
        let found = read(&self.path(id))?.ok_or_else(|| BoardError::Missing(id.to_owned()))?;
        Ok(found.0)
    }

    /// Returns once it is on disk; true: there was none of this id.
    fn put(&self, id: &str, text: &[u8], expected: &Expected) -> Result<bool, BoardError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let there = read(&self.path(id))?.map(|(text, _)| text);
        expected.check(there.as_deref())?;
        if there.is_none() && self.ids()?.len() >= BOARDS_MAX {
            return Err(BoardError::Full);
        }
        fs::create_dir_all(&self.directory)?;
        let fresh = self.directory.join(format!("{id}.new"));
        let mut file = File::create(&fresh)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&fresh, self.path(id))?;
        File::open(&self.directory)?.sync_all()?;
        Ok(there.is_none())
    }

    fn delete(&self, id: &str, expected: &Expected) -> Result<(), BoardError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (there, _) = read(&self.path(id))?.ok_or_else(|| BoardError::Missing(id.to_owned()))?;
        expected.check(Some(&there))?;
        fs::remove_file(self.path(id))?;
        File::open(&self.directory)?.sync_all()?;
        Ok(())
    }

    fn path(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }

    fn ids(&self) -> Result<Vec<String>, BoardError> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".json"));
            ids.extend(id.filter(|id| is_id(id)).map(ToOwned::to_owned));
        }
        Ok(ids)
    }
}

impl Expected {
    /// From the headers of a request; none if they name nothing.
    fn of(headers: &HeaderMap) -> Result<Option<Expected>, Problem> {
        let text =
            |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("").trim());
        match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
            (None, None) => Ok(None),
            (Some("*"), None) => Ok(Some(Expected::Anything)),
            (Some(tags), None) => {
                let tags = tags.split(',').map(|tag| tag.trim().to_owned()).collect();
                Ok(Some(Expected::OneOf(tags)))
            }
            (None, Some("*")) => Ok(Some(Expected::Nothing)),
            _ => Err(Problem::bad_request(
                "the headers are If-Match with the ETag of what was read, or If-None-Match: *",
            )),
        }
    }

    fn check(&self, there: Option<&[u8]>) -> Result<(), BoardError> {
        match (self, there) {
            (Expected::Nothing, None) | (Expected::Anything, Some(_)) => Ok(()),
            (Expected::Nothing, Some(_)) => {
                Err(BoardError::Conflict("there is a board of this id"))
            }
            (Expected::Anything | Expected::OneOf(_), None) => {
                Err(BoardError::Conflict("there is no board of this id any more"))
            }
            (Expected::OneOf(tags), Some(text)) if tags.contains(&tag(text)) => Ok(()),
            (Expected::OneOf(_), Some(_)) => {
                Err(BoardError::Conflict("somebody else changed this board since it was read"))
            }
        }
    }
}

impl From<BoardError> for Problem {
    fn from(error: BoardError) -> Problem {
        let status = match &error {
            BoardError::Missing(_) => StatusCode::NOT_FOUND,
            BoardError::Conflict(_) => StatusCode::PRECONDITION_FAILED,
            BoardError::Full => StatusCode::CONFLICT,
            BoardError::Directory(error) => {
                log::error!(error:% = error; "the boards could not be read or changed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Problem::new(status, error)
    }
}

/// The text of a file and when it was changed, in ms since 1970; none if there is none.
fn read(path: &Path) -> Result<Option<(Vec<u8>, i64)>, BoardError> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let metadata = fs::metadata(path)?;
    Ok(Some((text, metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000)))
}

/// Names the content: the same text has the same tag, so that writing back what was there is no change.
fn tag(text: &[u8]) -> String {
    format!("\"{:x}-{:08x}\"", text.len(), crc32c::crc32c(text))
}

/// An id is a file's name, and part of an address.
fn is_id(id: &str) -> bool {
    let taken = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(taken)
}

fn checked_id(id: String) -> Result<String, Problem> {
    if is_id(&id) {
        return Ok(id);
    }
    Err(Problem::bad_request(format!(
        "a board's id is 1 to {ID_BYTES_MAX} of the characters a-z, 0-9 and -"
    )))
}

fn check_document(text: &[u8]) -> Result<(), Problem> {
    let wrong = |error: &dyn std::error::Error| {
        Problem::bad_request(format!("a board is a JSON object with name and panels: {error}"))
    };
    // What the daemon does not understand must be JSON that others can read, too.
    serde_json::from_slice::<Json>(text).map_err(|error| wrong(&error))?;
    let Document { name, .. } = body::object(text).map_err(|error| wrong(&error))?;
    if name.trim().is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(Problem::bad_request(format!(
            "a board's name has 1 to {NAME_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

/// What operators do with boards.
pub fn routes(app: Arc<App>) -> BoxedFilter<(Response,)> {
    let with = warp::any().map(move || app.clone()).boxed();
    let reading = warp::get().or(warp::head()).unify();
    let one = || warp::path!("api" / "v1" / "boards" / String);
    let list = reading
        .and(warp::path!("api" / "v1" / "boards"))
        .and(with.clone())
        .then(|app: Arc<App>| async move { answer(list(app).await) });
    let get = reading
        .and(one())
        .and(with.clone())
        .then(|id, app: Arc<App>| async move { answer(get(app, id).await) });
    let put = warp::put()
        .and(one())
        .and(with.clone())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(|id, app: Arc<App>, headers: HeaderMap, body| async move {
            answer(put(app, id, headers, body).await)
        });
    let delete =
        warp::delete().and(one()).and(with).and(warp::header::headers_cloned()).then(
            |id, app: Arc<App>, headers: HeaderMap| async move {
                answer(delete(app, id, headers).await)
            },
        );
    list.or(get).unify().or(put).unify().or(delete).unify().boxed()
}

fn answer(result: Result<Response, Problem>) -> Response {
    let mut response = result.unwrap_or_else(Reply::into_response);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn list(app: Arc<App>) -> Result<Response, Problem> {
    let boards = with(app, |boards| boards.list()).await?;
    Ok(warp::reply::json(&json!({ "boards": boards })).into_response())
}

async fn get(app: Arc<App>, id: String) -> Result<Response, Problem> {
    let id = checked_id(id)?;
    let text = with(app, move |boards| boards.get(&id)).await?;
    Ok(tagged(&tag(&text), text.into_response(), StatusCode::OK))
}

async fn put(
    app: Arc<App>,
    id: String,
    headers: HeaderMap,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Response, Problem> {
    let id = checked_id(id)?;
    let Some(expected) = Expected::of(&headers)? else {
        let detail = "say what is to be replaced: If-Match with the ETag of what was read, or \
                      If-None-Match: * for a new board";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, detail));
    };
    let text: Bytes = body::read(body, DOCUMENT_BYTES_MAX, app.intake.limits().body_timeout)
        .await
        .map_err(too_large)?;
    check_document(&text)?;
    let tag = tag(&text);
    let told = json!({ "id": id });
    let made = with(app, move |boards| boards.put(&id, &text, &expected)).await?;
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    Ok(tagged(&tag, warp::reply::json(&told).into_response(), status))
}

/// The body's own words name a limit of the configuration, which this is not.
fn too_large(problem: Problem) -> Problem {
    if problem.status() != StatusCode::PAYLOAD_TOO_LARGE {
        return problem;
    }
    let detail = format!("a board has at most {DOCUMENT_BYTES_MAX} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

async fn delete(app: Arc<App>, id: String, headers: HeaderMap) -> Result<Response, Problem> {
    let id = checked_id(id)?;
    let expected = Expected::of(&headers)?.unwrap_or(Expected::Anything);
    with(app, move |boards| boards.delete(&id, &expected)).await?;
    let mut response = warp::reply().into_response();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Files are not touched on a thread that serves sockets.
async fn with<T: Send + 'static>(
    app: Arc<App>,
    work: impl FnOnce(&Boards) -> Result<T, BoardError> + Send + 'static,
) -> Result<T, Problem> {
    let boards = app.boards.clone();
    let done = tokio::task::spawn_blocking(move || work(&boards)).await;
    Ok(done.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error))??)
}

fn tagged(tag: &str, mut response: Response, status: StatusCode) -> Response {
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = br#"{"name":"pumps","panels":[{}]}"#;
    const TWO: &[u8] = br#"{"name":"boilers","panels":[]}"#;

    fn expecting(text: &[u8]) -> Expected {
        Expected::OneOf(vec![tag(text)])
    }

    #[test]
    fn a_board_is_there_as_it_was_sent_and_survives_the_daemon() {
        let directory = tempfile::tempdir().unwrap();
        let boards = Boards::new(directory.path().join("boards"));
        assert_eq!(boards.list().unwrap(), Vec::<Json>::new());
        assert!(matches!(boards.get("pumps"), Err(BoardError::Missing(_))));
        assert!(boards.put("pumps", ONE, &Expected::Nothing).unwrap());
        let again = Boards::new(directory.path().join("boards"));
        assert_eq!(again.get("pumps").unwrap(), ONE);
        assert!(again.put("boilers", TWO, &Expected::Nothing).unwrap());
        let names: Vec<_> = again.list().unwrap().iter().map(|told| told["name"].clone()).collect();
        assert_eq!(names, ["boilers", "pumps"]);
        again.delete("pumps", &Expected::Anything).unwrap();
        assert!(matches!(again.get("pumps"), Err(BoardError::Missing(_))));
    }

    #[test]
    fn of_two_editors_the_second_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let boards = Boards::new(directory.path().to_owned());
        boards.put("b", ONE, &Expected::Nothing).unwrap();
        boards.put("b", TWO, &expecting(ONE)).unwrap();
        for expected in [expecting(ONE), Expected::Nothing] {
            assert!(matches!(boards.put("b", ONE, &expected), Err(BoardError::Conflict(_))));
        }
        assert!(matches!(boards.delete("b", &expecting(ONE)), Err(BoardError::Conflict(_))));
        assert_eq!(boards.get("b").unwrap(), TWO);
        for expected in [expecting(ONE), Expected::Anything] {
            assert!(matches!(boards.put("gone", ONE, &expected), Err(BoardError::Conflict(_))));
        }
    }

    #[test]
    fn no_more_are_kept_than_the_list_can_read() {
        let directory = tempfile::tempdir().unwrap();
        let boards = Boards::new(directory.path().to_owned());
        for n in 0..BOARDS_MAX {
            fs::write(directory.path().join(format!("b{n}.json")), ONE).unwrap();
        }
        assert!(matches!(boards.put("more", ONE, &Expected::Nothing), Err(BoardError::Full)));
        assert!(!boards.put("b1", TWO, &Expected::Anything).unwrap());
        assert_eq!(boards.list().unwrap().len(), BOARDS_MAX);
    }

    #[test]
    fn what_is_no_board_does_not_hide_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let boards = Boards::new(directory.path().to_owned());
        boards.put("good", ONE, &Expected::Nothing).unwrap();
        for (name, text) in
            [("bad.json", "{"), ("Loud.json", "{}"), ("note.txt", "x"), ("left.new", "{")]
        {
            fs::write(directory.path().join(name), text).unwrap();
        }
        assert_eq!(boards.list().unwrap().len(), 1);
    }

    #[test]
    fn an_id_cannot_lead_out_of_the_directory() {
        for (id, good) in [
            ("pump-7", true),
            ("0", true),
            ("", false),
            ("..", false),
            ("a/b", false),
            ("Pump", false),
            ("a.json", false),
            ("ü", false),
            (&"a".repeat(64), true),
            (&"a".repeat(65), false),
        ] {
            assert_eq!(is_id(id), good, "{id}");
        }
    }

    #[test]
    fn a_document_has_a_name_and_panels() {
        assert!(check_document(ONE).is_ok());
        for text in [
            "",
            "[]",
            "{}",
            r#"["x",[]]"#,
            r#"{"name":"","panels":[]}"#,
            r#"{"name":"x","panels":{}}"#,
        ] {
            assert!(check_document(text.as_bytes()).is_err(), "{text}");
        }
        let no_text = b"{\"name\":\"x\",\"panels\":[],\"note\":\"\xff\"}";
        assert!(check_document(no_text).is_err());
        let long = format!(r#"{{"name":"{}","panels":[]}}"#, "x".repeat(NAME_BYTES_MAX + 1));
        assert!(check_document(long.as_bytes()).is_err());
    }

    #[test]
    fn headers_say_what_is_expected() {
        let of = |pairs: &[(header::HeaderName, &'static str)]| {
            let headers =
                pairs.iter().map(|(name, text)| (name.clone(), HeaderValue::from_static(text)));
            Expected::of(&headers.collect()).ok()
        };
        assert_eq!(of(&[]), Some(None));
        assert_eq!(of(&[(header::IF_NONE_MATCH, "*")]), Some(Some(Expected::Nothing)));
        assert_eq!(of(&[(header::IF_MATCH, "*")]), Some(Some(Expected::Anything)));
        let tags = vec!["\"a\"".to_owned(), "\"b\"".to_owned()];
        assert_eq!(of(&[(header::IF_MATCH, "\"a\", \"b\"")]), Some(Some(Expected::OneOf(tags))));
        assert_eq!(of(&[(header::IF_NONE_MATCH, "\"a\"")]), None);
        assert_eq!(of(&[(header::IF_MATCH, "*"), (header::IF_NONE_MATCH, "*")]), None);
    }
}
