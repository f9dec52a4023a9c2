//! `/prom/api/v1/…`: the read side of Prometheus' HTTP API over the history, for Grafana and others who
//! speak PromQL.
//!
//! A question is read, evaluated and written on a thread that may block. Few run at once, and fewer of one
//! caller; one that takes too long, or whose asker has left, ends within milliseconds.

mod answer;
mod asked;
mod places;
mod source;

use super::body;
use super::routes::{caller, reading};
use super::state::App;
use crate::auth::Caller;
use crate::clock;
use crate::promql::{CELLS_MAX, Grid, Kind, Selector, evaluate, parse, parse_selector};
use answer::{Fault, Found};
use asked::Asked;
use bytes::Bytes;
use places::{Place, Places};
use source::{History, Wanted};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

/// The bytes of a form: a text of PromQL, percent-encoded, and what stands beside it.
const FORM_BYTES_MAX: usize = 128 * 1024;
/// How long a form may take to arrive, and a question to be answered.
const FORM_WITHIN: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long a question waits for its turn.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// Instants of a range, as in Prometheus.
const POINTS_MAX: i64 = 11_000;

/// What the answers to come hold at worst: of each the cells of its expression and a series' samples,
/// which are there as they were stored and as numbers.
pub(crate) const ANSWER_BYTES_MAX: usize =
    places::PLACES * (CELLS_MAX * size_of::<Option<f64>>() + source::SERIES_SAMPLES_MAX * 24);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Query,
    QueryRange,
    Series,
    Labels,
    Values(String),
    Metadata,
    BuildInfo,
}

/// All of them, by GET and POST.
pub(super) fn routes(app: Arc<App>) -> BoxedFilter<(Response,)> {
    let room = Arc::new(Room { app, places: Places::default() });
    let query = || warp::query::raw().or(warp::any().map(String::new)).unify();
    let get = reading().and(what()).and(caller()).and(query()).then({
        let room = room.clone();
        move |what, caller, query: String| room.clone().answer(what, caller, query.into())
    });
    let post = warp::post().and(what()).and(caller()).and(query()).and(warp::body::stream()).then(
        move |what, caller, query: String, body| {
            let room = room.clone();
            async move {
                match body::read(body, FORM_BYTES_MAX, FORM_WITHIN).await {
                    Ok(form) => {
                        let both = [query.as_bytes(), b"&", &form].concat();
                        room.answer(what, caller, both.into()).await
                    }
                    Err(problem) => Fault::form(&problem).into_response(),
                }
            }
        },
    );
    get.or(post).unify().boxed()
}

fn what() -> BoxedFilter<(What,)> {
    let fixed = warp::path!("prom" / "api" / "v1" / ..);
    let one = |name: &'static str, what: What| {
        warp::path(name).and(warp::path::end()).map(move || what.clone()).boxed()
    };
    let values = warp::path!("label" / String / "values").map(What::Values).boxed();
    let build = warp::path!("status" / "buildinfo").map(|| What::BuildInfo).boxed();
    let all = [
        one("query_range", What::QueryRange),
        one("series", What::Series),
        one("labels", What::Labels),
        one("metadata", What::Metadata),
        values,
        build,
    ];
    let any = all.into_iter().fold(one("query", What::Query), |a, b| a.or(b).unify().boxed());
    fixed.and(any).boxed()
}

/// The app, and how many questions there are.
struct Room {
    app: Arc<App>,
    places: Places,
}

/// Says so when it is dropped: who asked has left, or has the answer.
struct Leaving(Arc<AtomicBool>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Room {
    async fn answer(
        self: Arc<Room>,
        what: What,
        caller: Arc<Caller>,
        parameters: Bytes,
    ) -> Response {
        let asked = Asked::new(&parameters);
        if what == What::BuildInfo {
            return answer::build_info();
        }
        let place = match tokio::time::timeout(WAIT_MAX, self.places.take(&caller.name)).await {
            Ok(place) => place,
            Err(_) => return Fault::Busy.into_response(),
        };
        let left = Arc::new(AtomicBool::new(false));
        let leaving = Leaving(left.clone());
        let room = self.clone();
        // The history reads files, and a question may take seconds.
        let answered = tokio::task::spawn_blocking(move || {
            let answer = room.found(&what, &caller, &asked, left);
            drop::<Place>(place);
            answer
        });
        let answered = answered.await;
        drop(leaving);
        match answered {
            Ok(Ok(found)) => found.into_response(),
            Ok(Err(fault)) => fault.into_response(),
            Err(error) => Fault::Internal(error.to_string()).into_response(),
        }
    }

    fn found(
        &self,
        what: &What,
        caller: &Caller,
        asked: &Asked,
        left: Arc<AtomicBool>,
    ) -> Result<Found, Fault> {
        let within = asked.timeout()?.map_or(ANSWER_WITHIN, |timeout| timeout.min(ANSWER_WITHIN));
        let wanted = Wanted { deadline: clock::monotonic() + within, left };
        let history = History::new(&self.app.history, &caller.reach, wanted);
        let now = clock::now().0;
        match what {
            What::Query => {
                let time = asked.time("time")?.unwrap_or(now);
                query(asked, Grid::instant(time), &history, false)
            }
            What::QueryRange => query(asked, grid(asked)?, &history, true),
            What::Series => {
                let selectors = selectors(asked)?;
                if selectors.is_empty() {
                    return Err(Fault::bad("no match[] parameter provided"));
                }
                let limit = asked.limit()?;
                answer::series(&history.among(&selectors, asked.range()?)?, limit)
            }
            What::Labels => {
                let found = history.among(&selectors(asked)?, asked.range()?)?;
                answer::label_names(&found, asked.limit()?)
            }
            What::Values(name) => {
                let name = asked::label_name(name)?;
                let found = history.among(&selectors(asked)?, asked.range()?)?;
                answer::label_values(&found, &name, asked.limit()?)
            }
            What::Metadata => {
                let found = history.among(&[], (i64::MIN, i64::MAX))?;
                answer::metadata(&found, asked.one("metric"), asked.limit()?)
            }
            What::BuildInfo => Err(Fault::bad("there is nothing to ask")),
        }
    }
}

fn query(asked: &Asked, grid: Grid, history: &History<'_>, is_range: bool) -> Result<Found, Fault> {
    let text = asked.one("query").unwrap_or_default();
    let expr =
        parse(text).map_err(|fault| Fault::bad(format!("invalid parameter \"query\": {fault}")))?;
    if is_range && !matches!(expr.kind(), Kind::Scalar | Kind::Vector) {
        return Err(Fault::bad(format!(
            "invalid parameter \"query\": invalid expression type {:?} for range query, must be Scalar or instant Vector",
            expr.kind().name()
        )));
    }
    let answer = evaluate(&expr, grid, history).map_err(Fault::Evaluation)?;
    Ok(answer::values(answer, grid, is_range, history.damaged_chunks()))
}

/// The instants of a range.
fn grid(asked: &Asked) -> Result<Grid, Fault> {
    let start = asked.needed_time("start")?;
    let end = asked.needed_time("end")?;
    if end < start {
        return Err(Fault::bad(
            "invalid parameter \"end\": end timestamp must not be before start time",
        ));
    }
    let step = asked.step()?;
    let steps = end.saturating_sub(start) / step;
    if steps > POINTS_MAX {
        return Err(Fault::bad(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    Ok(Grid { start, step, count: steps as usize + 1, end })
}

fn selectors(asked: &Asked) -> Result<Vec<Selector>, Fault> {
    let texts = asked.all("match[]")?;
    let read = |text: &str| {
        parse_selector(text)
            .map_err(|fault| Fault::bad(format!("invalid parameter \"match[]\": {fault}")))
    };
    texts.into_iter().map(read).collect()
}
