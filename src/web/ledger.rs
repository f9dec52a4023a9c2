//! `GET /api/v1/ledger`: what came of everybody's batches, and of the samples in each sink.

use super::history::Parameters;
use super::problem::Problem;
use super::state::App;
use crate::intake::LedgerLine;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use warp::Reply;
use warp::reply::Response;

/// Lines if nobody asks for another number.
const LINES: usize = 100;
/// And at most.
const LINES_MAX: usize = 100_000;

/// The lines of clients with the most samples; of all other clients, the sums.
pub async fn ledger(app: Arc<App>, parameters: Parameters) -> Result<Response, Problem> {
    let asked = Asked::of(&parameters)?;
    let lines = app.intake.ledger().await.ok_or_else(|| {
        Problem::unavailable("the gate has no time for the ledger now", Duration::from_secs(1))
    })?;
    let (mut clients, other): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|line| line.client.is_some());
    let known = clients.len();
    clients
        .retain(|line| asked.client.is_none() || line.client.as_deref() == asked.client.as_deref());
    clients.truncate(asked.limit);
    let status: Json = serde_json::from_str(&app.status.status()).unwrap_or_default();
    let body = json!({
        "clients": clients.iter().map(line).collect::<Vec<_>>(),
        "clients_known": known,
        "other": other.iter().map(line).collect::<Vec<_>>(),
        "sinks": status["sinks"],
    });
    Ok(warp::reply::json(&body).into_response())
}

fn line(line: &LedgerLine) -> Json {
    let LedgerLine { client, protocol, batches, samples, duplicates, refused } = line;
    let mut told = json!({
        "protocol": protocol, "batches": batches, "samples": samples,
        "duplicates": duplicates, "refused": refused,
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
