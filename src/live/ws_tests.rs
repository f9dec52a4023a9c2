//! A real WebSocket over a pipe, a real thread, and a log that a test writes.

use super::super::feed::{Begin, Entry, Feed, FeedNext};
use super::super::handle::Settings;
use super::*;
use crate::clock;
use crate::live::subscription::LiveQuery;
use crate::model::{BatchBuilder, Position, Protocol};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use tokio::io::DuplexStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::protocol::Role;

/// A log that is a channel; dropping its sender closes it.
struct Log {
    records: Receiver<Arc<Entry>>,
    kept: Arc<Mutex<Position>>,
}

impl Feed for Log {
    fn next(&mut self, timeout: Duration) -> FeedNext {
        match self.records.recv_timeout(timeout) {
            Ok(entry) => FeedNext::Entries(vec![entry]),
            Err(RecvTimeoutError::Timeout) => FeedNext::Idle,
            Err(RecvTimeoutError::Disconnected) => FeedNext::Ended,
        }
    }

    fn keep_from(&self, position: Position) {
        *self.kept.lock().unwrap() = position;
    }
}

struct Rig {
    live: Live,
    records: Sender<Arc<Entry>>,
    thread: JoinHandle<()>,
    shutdown: CancellationToken,
    tasks: JoinSet<Result<(), WsError>>,
}

impl Rig {
    fn new(viewers_max: usize) -> Rig {
        let (records, inbox) = channel();
        let mut settings = Settings::new(0x1f, Begin::Kept(Position(0)));
        settings.tick = Duration::from_millis(10);
        settings.viewers_max = viewers_max;
        let log = Log { records: inbox, kept: Arc::default() };
        let (live, thread) = Live::start(settings, log).unwrap();
        let (shutdown, tasks) = (CancellationToken::new(), JoinSet::new());
        Rig { live, records, thread, shutdown, tasks }
    }

    async fn connect(&mut self, patience: Patience) -> WebSocketStream<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(4096);
        let server = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
        self.tasks.spawn(serve_with(
            server,
            self.live.clone(),
            Form::Json,
            Guest { reach: Reach::all(), ended: CancellationToken::new() },
            self.shutdown.clone(),
            patience,
        ));
        WebSocketStream::from_raw_socket(theirs, Role::Client, None).await
    }

    /// Waits until all records up to here are folded: what is asked for after that knows them.
    async fn folded(&self, next: u64) {
        let deadline = clock::monotonic() + Duration::from_secs(60);
        while self.live.stats().next < Position(next) {
            assert!(clock::monotonic() < deadline, "{next} records are not folded");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn record(&self, position: u64) {
        let mut builder = BatchBuilder::new();
        builder.table("pump-1", &mut [], [position as i64]).unwrap();
        builder.ints("level", "", [position as i64], &[]).unwrap();
        let (received_at, batch) = (clock::now(), Arc::new(builder.finish()));
        let (protocol, client) = (Protocol::Ws, "pump-1".into());
        let entry = Entry { position: Position(position), received_at, protocol, client, batch };
        self.records.send(Arc::new(entry)).unwrap();
    }
}

async fn say(socket: &mut WebSocketStream<DuplexStream>, message: Value) {
    socket.send(Message::Text(message.to_string().into())).await.unwrap();
}

/// The next text message, but for frames that depend on how fast this test runs.
async fn hear(socket: &mut WebSocketStream<DuplexStream>) -> Value {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => {
                let json: Value = serde_json::from_str(&text).unwrap();
                if !["device", "alert", "degraded"].iter().any(|&passed| json["type"] == passed) {
                    return json;
                }
            }
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn close_code(socket: &mut WebSocketStream<DuplexStream>) -> u16 {
    loop {
        if let Message::Close(frame) = socket.next().await.unwrap().unwrap() {
            return frame.unwrap().code.into();
        }
    }
}

#[tokio::test]
async fn a_connection_carries_several_subscriptions_and_the_status_once() {
    let mut rig = Rig::new(10);
    let mut socket = rig.connect(PATIENCE).await;
    say(&mut socket, json!({"type": "subscribe", "sub": 1})).await;
    let first = hear(&mut socket).await;
    assert_eq!((&first["type"], &first["sub"]), (&json!("snapshot"), &json!(1)));
    say(&mut socket, json!({"type": "subscribe", "sub": 9, "device": ["pump-*"], "window": "1m"}))
        .await;
    let second = hear(&mut socket).await;
    assert_eq!((&second["type"], &second["sub"]), (&json!("snapshot"), &json!(9)));
    assert_eq!(second["data"]["window"], "1m");

    rig.record(0);
    let mut subs = [hear(&mut socket).await, hear(&mut socket).await];
    subs.sort_by_key(|frame| frame["sub"].as_u64());
    for (frame, sub) in subs.iter().zip([1, 9]) {
        assert_eq!((&frame["type"], &frame["sub"]), (&json!("rollups"), &json!(sub)));
        assert_eq!(frame["id"], "1f-1");
    }
    rig.live.publish_status(r#"{"n":1}"#, "{}");
    let status = hear(&mut socket).await;
    assert_eq!((&status["type"], &status["data"]["n"]), (&json!("status"), &json!(1)));
    assert!(status.get("sub").is_none());

    say(&mut socket, json!({"type": "unsubscribe", "sub": 1})).await;
    say(&mut socket, json!({"type": "ping"})).await;
    assert_eq!(hear(&mut socket).await, json!({"type": "pong"}), "the status came once");
    rig.record(1);
    assert_eq!(hear(&mut socket).await["sub"], 9);
    say(&mut socket, json!({"type": "echo", "data": {"x": 1}})).await;
    assert_eq!(hear(&mut socket).await, json!({"type": "echo", "data": {"x": 1}}));
    socket.close(None).await.unwrap();
    rig.tasks.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_subscription_resumes_at_its_cursor() {
    let mut rig = Rig::new(10);
    let mut socket = rig.connect(PATIENCE).await;
    rig.record(0);
    rig.folded(1).await;
    say(&mut socket, json!({"type": "subscribe", "sub": 1})).await;
    let first = hear(&mut socket).await;
    say(&mut socket, json!({"type": "unsubscribe", "sub": 1})).await;
    say(&mut socket, json!({"type": "ping"})).await;
    assert_eq!(hear(&mut socket).await, json!({"type": "pong"}), "it is unsubscribed");
    rig.record(1);
    rig.folded(2).await;
    say(&mut socket, json!({"type": "subscribe", "sub": 1, "cursor": first["id"]})).await;
    let frame = hear(&mut socket).await;
    assert_eq!((&frame["type"], &frame["id"]), (&json!("rollups"), &json!("1f-2")));
}

#[tokio::test]
async fn what_is_not_understood_is_answered_and_changes_nothing() {
    let mut rig = Rig::new(1);
    let mut socket = rig.connect(PATIENCE).await;
    say(&mut socket, json!({"type": "shout"})).await;
    assert_eq!(hear(&mut socket).await["type"], "error");
    say(&mut socket, json!({"type": "unsubscribe", "sub": 3})).await;
    let error = hear(&mut socket).await;
    assert_eq!((&error["type"], &error["sub"]), (&json!("error"), &json!(3)));
    say(&mut socket, json!({"type": "subscribe", "sub": 1})).await;
    assert_eq!(hear(&mut socket).await["type"], "snapshot");
    say(&mut socket, json!({"type": "subscribe", "sub": 2})).await;
    let error = hear(&mut socket).await;
    assert_eq!(error["message"], "there are 1 viewers, no more are taken");
    socket.send(Message::Binary(vec![1].into())).await.unwrap();
    assert_eq!(close_code(&mut socket).await, 1003);
}

#[tokio::test]
async fn too_many_subscriptions_are_refused_one_by_one() {
    let mut rig = Rig::new(1000);
    let mut socket = rig.connect(PATIENCE).await;
    for sub in 0..SUBSCRIPTIONS_MAX {
        say(&mut socket, json!({"type": "subscribe", "sub": sub})).await;
        assert_eq!(hear(&mut socket).await["type"], "snapshot");
    }
    say(&mut socket, json!({"type": "subscribe", "sub": 999})).await;
    assert_eq!(hear(&mut socket).await["type"], "error");
    say(&mut socket, json!({"type": "subscribe", "sub": 0})).await;
    assert_eq!(hear(&mut socket).await["type"], "snapshot", "the same number is replaced");
}

#[tokio::test]
async fn viewers_are_sent_away_at_shutdown_and_when_the_log_ends() {
    let mut rig = Rig::new(10);
    let mut one = rig.connect(PATIENCE).await;
    rig.shutdown.cancel();
    assert_eq!(close_code(&mut one).await, 1012);

    rig.shutdown = CancellationToken::new();
    let mut other = rig.connect(PATIENCE).await;
    say(&mut other, json!({"type": "subscribe", "sub": 1})).await;
    hear(&mut other).await;
    drop(rig.records);
    assert_eq!(close_code(&mut other).await, 1012);
    rig.thread.join().unwrap();
    let query = LiveQuery::parse("", rig.live.windows()).unwrap();
    let late = rig.live.subscribe(query.subscription, None, Transport::Ws).await;
    assert_eq!(late.unwrap_err(), SubscribeError::Ended);
    assert_eq!(rig.live.devices().await, []);
}

#[tokio::test]
async fn a_viewer_who_takes_or_answers_nothing_is_given_up() {
    let quick = Duration::from_millis(20);
    let mut rig = Rig::new(10);
    // It never reads, so that it never answers the ping.
    let silent = Patience { ping: Duration::ZERO, pong: quick, ..PATIENCE };
    let _socket = rig.connect(silent).await;
    let error = rig.tasks.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, WsError::PongTimeout(_)), "{error}");

    let mut socket = rig.connect(Patience { send: quick, ..PATIENCE }).await;
    let data = "x".repeat(3000);
    say(&mut socket, json!({"type": "echo", "data": data})).await;
    say(&mut socket, json!({"type": "echo", "data": data})).await;
    let error = rig.tasks.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, WsError::SendTimeout(_)), "{error}");
    assert_eq!(rig.tasks.len(), 0);
}

#[tokio::test]
async fn who_does_not_read_what_must_not_be_lost_is_sent_away_with_a_code() {
    let mut rig = Rig::new(10);
    let mut socket = rig.connect(PATIENCE).await;
    rig.record(0);
    say(&mut socket, json!({"type": "subscribe", "sub": 1})).await;
    assert_eq!(hear(&mut socket).await["type"], "snapshot");
    let overflows = || rig.live.stats().counts.overflows;
    let mut step = 0;
    while overflows() == 0 {
        let labels = [("step".to_owned(), format!("{step:0>2000}"))].into();
        let software = String::new();
        rig.live.client_info("pump-1", crate::live::ClientInfo { labels, software });
        step += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(close_code(&mut socket).await, 4008);
}
