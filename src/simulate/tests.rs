//! Against a small daemon of our own, that breaks off, refuses and forgets at will.

use super::*;
use crate::decode::{self, Limits, Stamp, Upstream};
use crate::wire::{self, Credit, Downstream, Place, RefusalCode, Retry, Welcome};
use futures_util::{SinkExt, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

const CREDIT: Credit = Credit { batches: 3, bytes: 1 << 20 };

/// What the little daemon has "on disk": by client, the seqs, and how often each came in.
type Stored = BTreeMap<String, BTreeMap<u64, usize>>;

#[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
fn speak_tidegate(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let protocol = request.headers()["Sec-WebSocket-Protocol"].clone();
    assert_eq!(protocol, "tidegate.v1");
    response.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
    Ok(response)
}

/// Serves one connection after the other; of each connection's batches the second is refused for
/// now, and at the fifth it breaks off without an answer, while `breaks` last.
async fn serve(
    listener: TcpListener,
    mut breaks: usize,
    batches: usize,
    done: CancellationToken,
) -> Stored {
    let mut stored = Stored::new();
    while !done.is_cancelled() {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            () = done.cancelled() => break,
        };
        let mut socket = tokio_tungstenite::accept_hdr_async(stream, speak_tidegate).await.unwrap();
        let mut client = String::new();
        let (mut received, mut refused) = (0, false);
        while let Some(Ok(Message::Binary(bytes))) = socket.next().await {
            let mut scratch = Vec::new();
            let plain = wire::inflate(&bytes, &Limits::default(), &mut scratch).unwrap();
            let answer = match decode::upstream(plain).unwrap() {
                Upstream::Hello(hello) => {
                    client = hello.client;
                    let seqs = stored.entry(client.clone()).or_default();
                    let last_seq = (1..).take_while(|seq| seqs.contains_key(seq)).count() as u64;
                    Downstream::Welcome(Welcome { last_seq, credit: CREDIT, ..Welcome::default() })
                }
                Upstream::Batch(batch) => {
                    let received_at = clock::now();
                    let stamp = Stamp { received_at, booted_at: None, client: &client };
                    let decoded = decode::batch(batch, &Limits::default(), &stamp).unwrap();
                    received += 1;
                    if received == 2 && !refused {
                        refused = true;
                        Downstream::Refusal {
                            seq: decoded.seq,
                            code: RefusalCode::RateLimited,
                            retry: Retry::LaterAfterMs(1),
                            message: String::new(),
                            at: Place::default(),
                        }
                    } else {
                        // A resend is recognised; the count is of arrivals.
                        *stored.get_mut(&client).unwrap().entry(decoded.seq).or_default() += 1;
                        if received == 5 && breaks > 0 {
                            breaks -= 1;
                            break;
                        }
                        // No Ack passes a batch that was refused for now.
                        let seqs = &stored[&client];
                        let settled = (1..).take_while(|seq| seqs.contains_key(seq)).count();
                        Downstream::Ack { seq: settled as u64, credit: CREDIT }
                    }
                }
                Upstream::Result(_) | Upstream::Reported(_) => panic!("nobody asked"),
            };
            socket.send(Message::Binary(answer.encode().into())).await.unwrap();
            if stored.values().map(BTreeMap::len).sum::<usize>() >= batches {
                done.cancel();
            }
        }
    }
    stored
}

async fn simulate(options: Options, breaks: usize, batches: usize) -> (Report, Stored) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/api/v1/ingest/ws", listener.local_addr().unwrap());
    let backoff = Backoff { first: Duration::from_millis(1), max: Duration::from_millis(5) };
    let done = CancellationToken::new();
    let options = Options { url, backoff, ..options };
    let both = async {
        tokio::join!(serve(listener, breaks, batches, done.clone()), run(options, done.clone()))
    };
    let (stored, report) = tokio::time::timeout(Duration::from_secs(120), both).await.unwrap();
    (report.unwrap(), stored)
}

#[tokio::test]
async fn what_is_acknowledged_is_stored_and_nothing_is_lost_over_breaks_and_refusals() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("acks");
    let options = Options {
        devices: 1,
        interval: Duration::from_millis(1),
        rows_per_batch: 2,
        ack_log: Some(path.clone()),
        ..Options::default()
    };
    let (report, stored) = simulate(options, 3, 40).await;
    assert_eq!(report.reconnects, 3);
    assert!(report.refused >= 1);
    let seqs: BTreeSet<u64> = stored["boiler-001"].keys().copied().collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect(), "a hole");
    let acked: BTreeSet<u64> = std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(acked.len() as u64, report.acked);
    assert!(acked.is_subset(&seqs), "acknowledged, not stored");
}

#[tokio::test]
async fn saturating_load_arrives_without_a_hole() {
    // Until so many batches are there, however long that takes.
    let saturate = Saturate {
        duration: Duration::from_secs(3600),
        row_step: Duration::from_millis(100),
        pace: None,
    };
    let options = Options {
        devices: 20,
        rows_per_batch: 3,
        gateways: Some(1),
        saturate: Some(saturate),
        ..Options::default()
    };
    let (report, stored) = simulate(options, 0, 30).await;
    let seqs = &stored["gateway-1"];
    assert!(seqs.len() >= 30 && seqs.keys().copied().eq(1..=seqs.len() as u64), "{seqs:?}");
    assert_eq!(report.acked as usize, seqs.len());
    assert_eq!(report.given_up, 0);
    assert!(report.ack_p99 >= report.ack_p50 && report.ack_p50 > Duration::ZERO);
}

#[tokio::test]
async fn an_address_of_another_kind_is_refused() {
    let options = Options { url: "http://localhost".into(), ..Options::default() };
    assert!(matches!(run(options, CancellationToken::new()).await, Err(SimulateError::Url { .. })));
}
