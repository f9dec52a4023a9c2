//! `GET /api/v1/ledger`: what came of everybody's batches, and of the samples in each sink.

use super::history::Parameters;
use super::problem::Problem;
use super::state::App;
use crate::intake::LedgerLine;
use crate::ledger::{Outcome, OutcomeLine};
use crate::model::Reach;
use crate::sinks::history;
use crate::spool::Protocol;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use warp::Reply;
use warp::http::StatusCode;
use warp::reply::Response;

/// Lines if nobody asks for another number.
const LINES: usize = 100;
/// And at most.
const LINES_MAX: usize = 100_000;

/// The lines of clients with the most samples; of all other clients, the sums.
pub async fn ledger(app: Arc<App>, parameters: Parameters) -> Result<Response, Problem> {
    let asked = Asked::of(&parameters)?;
    // The sinks before the gate: what a sink is through with the gate has counted.
    let mut sinks = sinks(&app).await?;
    let lines = app.intake.ledger().await.ok_or_else(|| {
        Problem::unavailable("the gate has no time for the ledger now", Duration::from_secs(1))
    })?;
    let (mut clients, other): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|line| line.client.is_some());
    for sink in &mut sinks {
        sink.join_others(&clients);
    }
    let known = clients.len();
    clients
        .retain(|line| asked.client.is_none() || line.client.as_deref() == asked.client.as_deref());
    clients.truncate(asked.limit);
    let status = app.status.status(&Reach::all());
    let other = with_others_of(&sinks, other);
    let body = json!({
        "clients": clients.iter().map(|it| line(it, &sinks)).collect::<Vec<_>>(),
        "clients_known": known,
        "other": other.iter().map(|it| line(it, &sinks)).collect::<Vec<_>>(),
        "sinks": status["sinks"],
    });
    Ok(warp::reply::json(&body).into_response())
}

/// The counts of one sink, as far as they are durable.
struct Sink {
    name: String,
    clients: HashMap<(Arc<str>, &'static str), Outcome>,
    /// Of all whom this sink, or the gate, does not know by name.
    others: BTreeMap<&'static str, Outcome>,
}

impl Sink {
    fn new(name: String, lines: Vec<OutcomeLine>) -> Sink {
        let mut sink = Sink { name, clients: HashMap::new(), others: BTreeMap::new() };
        for OutcomeLine { client, protocol, outcome } in lines {
            let protocol = Protocol::of_byte(protocol).name();
            match client {
                Some(client) => _ = sink.clients.insert((client, protocol), outcome),
                None => sink.others.entry(protocol).or_default().add(outcome),
            }
        }
        sink
    }

    /// Clients that the gate has forgotten are among the others there.
    fn join_others(&mut self, known: &[LedgerLine]) {
        let keys = known.iter().filter_map(|line| Some((line.client.clone()?, line.protocol)));
        let mut gone = std::mem::take(&mut self.clients);
        self.clients = keys.filter_map(|key| gone.remove_entry(&key)).collect();
        for ((_, protocol), outcome) in gone {
            self.others.entry(protocol).or_default().add(outcome);
        }
    }

    fn told(&self, line: &LedgerLine) -> Json {
        let outcome = match &line.client {
            Some(client) => self.clients.get(&(client.clone(), line.protocol)),
            None => self.others.get(line.protocol),
        };
        let outcome = outcome.copied().unwrap_or_default();
        let Outcome { before, stored, dead_lettered, skipped, lost, shed } = outcome;
        json!({
            "sink": self.name, "before": before, "stored": stored, "dead_lettered": dead_lettered,
            "skipped": skipped, "lost": lost, "shed": shed,
            "spooled": line.samples.saturating_sub(outcome.accounted()),
        })
    }
}

/// Reads what the sinks have on disk.
async fn sinks(app: &Arc<App>) -> Result<Vec<Sink>, Problem> {
    let reader = app.history.clone();
    let read = tokio::task::spawn_blocking(move || reader.outcomes());
    let read = read.await.map_err(|error| problem(&error))?;
    let (_, lines) = read.map_err(|error| problem(&error))?;
    let mut sinks = vec![Sink::new(history::NAME.to_owned(), lines)];
    let names: Vec<_> = app.influx.all().iter().map(|sink| sink.name().to_owned()).collect();
    let told = app.dead_letters.clone().with(move |book| {
        let told = names.into_iter().map(|name| Ok((book.outcomes(&name)?, name)));
        told.collect::<Result<Vec<_>, _>>()
    });
    sinks.extend(told.await?.into_iter().map(|(lines, name)| Sink::new(name, lines)));
    Ok(sinks)
}

fn problem(error: &dyn std::error::Error) -> Problem {
    log::error!(error:% = error; "the ledger of a sink could not be read");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error)
}

/// A line for each protocol of which the gate or a sink has others.
fn with_others_of(sinks: &[Sink], mut other: Vec<LedgerLine>) -> Vec<LedgerLine> {
    let others = sinks.iter().flat_map(|sink| &sink.others);
    for (&protocol, _) in others.filter(|(_, outcome)| **outcome != Outcome::default()) {
        if !other.iter().any(|line| line.protocol == protocol) {
            let (client, batches, samples, duplicates, refused) = (None, 0, 0, 0, 0);
            other.push(LedgerLine { client, protocol, batches, samples, duplicates, refused });
        }
    }
    other
}

fn line(line: &LedgerLine, sinks: &[Sink]) -> Json {
    let LedgerLine { client, protocol, batches, samples, duplicates, refused } = line;
    let mut told = json!({
        "protocol": protocol, "batches": batches, "samples": samples,
        "duplicates": duplicates, "refused": refused,
        "sinks": sinks.iter().map(|sink| sink.told(line)).collect::<Vec<_>>(),
    });
    if let Some(client) = client {
        told["client"] = (&**client).into();
    }
    told
}

#[derive(Debug, PartialEq)]
struct Asked {
    client: Option<String>,
    limit: usize,
}

impl Asked {
    fn of(parameters: &Parameters) -> Result<Asked, Problem> {
        let mut asked = Asked { client: None, limit: LINES };
        for (name, value) in parameters {
            match &**name {
                "client" => asked.client = Some(value.clone()),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LINES_MAX).contains(limit));
                    let wrong = || format!("limit: \"{value}\" is not from 1 to {LINES_MAX}");
                    asked.limit = limit.ok_or_else(|| Problem::bad_request(wrong()))?;
                }
                _ => {
                    let detail = format!("there is no parameter {name}; known are client, limit");
                    return Err(Problem::bad_request(detail));
                }
            }
        }
        Ok(asked)
    }
}
