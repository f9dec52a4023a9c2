//! Alerts: what readings say is found, told once, and kept, whatever ends meanwhile.

use crate::client::{Client, reading};
use crate::daemon::{Daemon, PATIENCE};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tidegate::clock;
use tidegate::decode;
use tidegate::model::{Batch, BatchBuilder, SessionId};
use tidegate::wire::{Downstream, Hello, encode_hello};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

const DEVICES: usize = 20;
const ROWS: usize = 5;
const MS: i64 = 1_000_000;

/// Readings of each device, in their order.
type Readings = BTreeMap<String, Vec<f64>>;

/// A gateway with readings at random; one that the daemon left comes back with what was not
/// acknowledged.
struct Gateway {
    acked: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Readings>,
}

impl Gateway {
    fn start(daemon: &Daemon) -> Gateway {
        let (acked, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (told, stopped) = (acked.clone(), stop.clone());
        let address = daemon.address;
        let thread = std::thread::spawn(move || {
            let start = clock::now().0;
            let session = rand::random_range(1..u64::MAX);
            let mut readings = Readings::new();
            let mut client = reach(address, session);
            for seq in 1.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let batch = batch(&mut readings, start, seq);
                while !offer(&mut client, seq, &batch) {
                    client = reach(address, session);
                }
                told.store(seq, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
            readings
        });
        Gateway { acked, stop, thread }
    }

    /// Waits until so many batches more are acknowledged.
    fn wait_for(&self, more: u64) {
        let wanted = self.acked.load(Ordering::Relaxed) + more;
        let deadline = clock::monotonic() + PATIENCE;
        while self.acked.load(Ordering::Relaxed) < wanted {
            assert!(clock::monotonic() < deadline, "no {more} batches more");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn finish(self) -> Readings {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The next readings, which are noted.
fn batch(readings: &mut Readings, start: i64, seq: u64) -> Batch {
    let mut builder = BatchBuilder::new();
    for device in 0..DEVICES {
        let name = format!("pump-{device:02}");
        let first = (seq as i64 - 1) * ROWS as i64;
        let times = (0..ROWS as i64).map(|row| start + (first + row) * MS);
        let values: Vec<f64> =
            (0..ROWS).map(|_| f64::from(rand::random_range(0..100_u8)) / 10.0).collect();
        builder.table(&name, &mut [], times).unwrap();
        builder.floats("level", "m", values.iter().copied(), &[]).unwrap();
        readings.entry(name).or_default().extend(values);
    }
    builder.finish()
}

type Socket = WebSocket<TcpStream>;

/// Connects and says hello, as soon as there is somebody.
fn reach(address: SocketAddr, session: u64) -> Socket {
    let hello =
        Hello { client: "gateway".to_owned(), session: SessionId(session), ..Hello::default() };
    let deadline = clock::monotonic() + PATIENCE;
    loop {
        if let Some(mut socket) = connect(address)
            && socket.send(Message::Binary(encode_hello(&hello).into())).is_ok()
        {
            return socket;
        }
        assert!(clock::monotonic() < deadline, "nobody listens at {address}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn connect(address: SocketAddr) -> Option<Socket> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut request = format!("ws://{address}/api/v1/ingest/ws").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "tidegate.v1".parse().unwrap());
    Some(tokio_tungstenite::tungstenite::client(request, stream).ok()?.0)
}

/// Whether it was acknowledged; else the daemon is gone.
fn offer(socket: &mut Socket, seq: u64, batch: &Batch) -> bool {
    if socket.send(Message::Binary(decode::encode(batch, seq).into())).is_err() {
        return false;
    }
    loop {
        match socket.read() {
            Ok(Message::Binary(bytes)) => match Downstream::decode(&bytes).unwrap() {
                Downstream::Ack { seq: up_to, .. } if up_to >= seq => return true,
                Downstream::Refusal { .. } => panic!("batch {seq} was refused"),
                _ => {}
            },
            Ok(Message::Close(_)) => return false,
            Ok(_) => {}
            Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("nothing was said for {PATIENCE:?}")
            }
            Err(_) => return false,
        }
    }
}

/// An entry of the journal: rule, device, what, with which value.
type Entry = (String, String, String, f64);

/// The journal as it is in the file; its numbers must be without gaps.
fn journal(daemon: &Daemon) -> Vec<Entry> {
    let path = daemon.state_dir.path().join("alerts.db");
    let file = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut statement = file.prepare("SELECT id, kind, body FROM event ORDER BY id").unwrap();
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
    });
    let mut entries = Vec::new();
    for (row, wanted) in rows.unwrap().zip(1..) {
        let (id, kind, body) = row.unwrap();
        assert_eq!(id, wanted, "the journal has a gap");
        let alert: Value = serde_json::from_str(&body).unwrap();
        let text = |key: &str| alert[key].as_str().unwrap().to_owned();
        let value = alert["value"].as_f64().unwrap_or(f64::NAN);
        entries.push((text("rule"), text("device"), kind, value));
    }
    entries
}

type Judge = fn(f64) -> bool;

/// What two rules say of readings.
fn model(readings: &Readings) -> BTreeMap<(String, String), Vec<(String, f64)>> {
    let mut all = BTreeMap::new();
    for (device, values) in readings {
        let rules: [(&str, Judge, Judge); 2] = [
            ("high", |value| value > 9.0, |value| value <= 7.0),
            ("low", |value| value < 1.0, |value| value >= 1.0),
        ];
        for (rule, is_past, is_back) in rules {
            let (mut fires, mut events) = (false, Vec::new());
            for &value in values {
                if !fires && is_past(value) {
                    fires = true;
                    events.push(("fired".to_owned(), value));
                } else if fires && is_back(value) {
                    fires = false;
                    events.push(("resolved".to_owned(), value));
                }
            }
            all.insert((rule.to_owned(), device.clone()), events);
        }
    }
    all
}

#[test]
fn killed_again_and_again_it_tells_each_alert_once() {
    let mut daemon = Daemon::start(&[
        "alerts.0.name=high",
        "alerts.0.kind=threshold",
        "alerts.0.above=9",
        "alerts.0.hysteresis=2",
        "alerts.1.name=low",
        "alerts.1.kind=threshold",
        "alerts.1.below=1",
        "alerts.1.severity=critical",
        // These depend on when something is received: here only that they alternate is looked at.
        "alerts.2.name=long",
        "alerts.2.kind=threshold",
        "alerts.2.above=3",
        "alerts.2.for=40 ms",
        "alerts.3.name=absent",
        "alerts.3.kind=absence",
        "alerts.3.after=100 ms",
        "alerts.4.name=fast",
        "alerts.4.kind=change",
        "alerts.4.above=5",
        "alerts.4.per=10 ms",
        "alerts.4.over=10 ms",
        "spool.segment_size=64 KiB",
        "history.flush_interval=300 ms",
        "live.resume_keep=1 s",
    ]);
    let gateway = Gateway::start(&daemon);
    for _ in 0..8 {
        gateway.wait_for(rand::random_range(5..60));
        daemon.kill();
        daemon.restart();
    }
    gateway.wait_for(20);
    let readings = gateway.finish();
    daemon.stop_and_audit();

    let mut found: BTreeMap<(String, String), Vec<(String, f64)>> = BTreeMap::new();
    for (rule, device, kind, value) in journal(&daemon) {
        found.entry((rule, device)).or_default().push((kind, value));
    }
    let wanted = model(&readings);
    let events: usize = wanted.values().map(Vec::len).sum();
    for (of, wanted) in &wanted {
        let found = found.get(of).map_or(&[][..], Vec::as_slice);
        assert_eq!(found, wanted, "{of:?}");
    }
    for (of, events) in &found {
        let in_turn = ["fired", "resolved"].into_iter().cycle();
        let kinds = events.iter().map(|(kind, _)| kind.as_str());
        assert!(kinds.zip(in_turn).all(|(a, b)| a == b), "{of:?} {events:?}");
    }
    eprintln!("{events} events of 2 rules and {DEVICES} devices, killed 8 times");
    assert!(events > 500 && found.len() > 2 * DEVICES, "{events} {}", found.len());
}

fn run(daemon: &Daemon, arguments: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } =
        daemon.command(arguments[0]).args(&arguments[1..]).output().unwrap();
    (status.code().unwrap(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

fn says(daemon: &Daemon, arguments: &[&str], code: i32, wanted: &[&str]) {
    let (found, printed) = run(daemon, arguments);
    let all = wanted.iter().all(|wanted| printed.contains(wanted));
    assert!(found == code && all, "{arguments:?}: {found}, wanted {code} {wanted:?}: {printed}");
}

fn send(daemon: &Daemon, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let (status, body) = daemon.request(method, path, &[], body.to_string().as_bytes());
    (status, serde_json::from_str(&body).unwrap_or_default())
}

/// The first alert in that state.
fn until(daemon: &Daemon, state: &str) -> Value {
    let path = format!("/api/v1/alerts?state={state}");
    let found = daemon.eventually(&path, |answer| answer["alerts"][0].is_object());
    found["alerts"][0].clone()
}

#[test]
fn an_alert_fires_is_acknowledged_and_resolves() {
    let mut daemon = Daemon::start(&[
        "alerts.0.name=motor hot",
        "alerts.0.kind=threshold",
        "alerts.0.metric=motor.*",
        "alerts.0.above=80",
        "alerts.0.hysteresis=5",
        "alerts.0.severity=critical",
        "alerts.0.runbook=https://wiki.example/hot",
    ]);
    let (mut client, _) = Client::greet(&daemon, "gateway", 1);
    client.batch(1, &reading("pump-7", "motor.temperature", 81.25));
    client.acked(1);
    let alert = until(&daemon, "firing");
    let id = alert["id"].to_string();
    assert_eq!(alert["text"], "motor.temperature of pump-7 is 81.25 (limit 80)");
    assert_eq!((&alert["rule"], &alert["value"]), (&json!("motor hot"), &json!(81.25)));
    says(&daemon, &["status"], 1, &["NEEDS YOU: a critical alert fires", "alerts    1 firing"]);
    says(
        &daemon,
        &["alerts", "ls"],
        0,
        &["motor hot", "is 81.25 (limit 80)", "1 firing, 0 pending"],
    );
    let ack = ["alerts", "ack", &id, "999", "--by", "ana", "--note", "on my way"];
    says(&daemon, &ack, 1, &["1 alerts acknowledged", "alert 999: there is no such alert"]);
    says(&daemon, &["status"], 0, &["all is well", "1 acknowledged"]);
    says(&daemon, &["alerts", "ack", &id], 1, &["it is acknowledged already"]);

    // It outlives the daemon; and what is far from coming back does not resolve it.
    daemon.kill();
    daemon.restart();
    let (mut client, _) = Client::greet(&daemon, "gateway", 1);
    client.batch(2, &reading("pump-7", "motor.temperature", 78.0));
    client.batch(3, &reading("pump-7", "motor.temperature", 74.0));
    client.acked(3);
    let over = until(&daemon, "resolved");
    assert_eq!((over["id"].to_string(), &over["value"]), (id.clone(), &json!(74.0)));
    let detail = daemon.json(&format!("/api/v1/alerts/{id}"));
    let events = detail["events"].as_array().unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["fired", "acknowledged", "resolved"]);
    assert_eq!((&events[1]["by"], &events[1]["note"]), (&json!("ana"), &json!("on my way")));
    let shown = ["https://wiki.example/hot", "acknowledged by ana: on my way", "resolved"];
    says(&daemon, &["alerts", "show", &id], 0, &shown);
    assert_eq!(daemon.json("/api/v1/alerts")["alerts"], json!([]));
    says(&daemon, &["alerts", "show", "77"], 1, &["there is no alert 77"]);
    let metrics = daemon.get("/metrics").1;
    for line in [
        "tidegate_alerts{state=\"firing\"} 0",
        "tidegate_alert_events_total{kind=\"resolved\"} 1",
        "tidegate_alert_rules 6",
        "tidegate_alert_lag_seconds 0.0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    daemon.stop_and_audit();
}

#[test]
fn rules_are_made_changed_and_removed_while_it_runs() {
    let mut daemon =
        Daemon::start(&["alerts.0.name=file's", "alerts.0.kind=absence", "alerts.0.after=1 h"]);
    let hot =
        json!({ "kind": "threshold", "metric": ["t"], "above": 80, "text": "{device} is hot" });
    assert_eq!(send(&daemon, "PUT", "/api/v1/rules/very%20hot", &hot).0, 201);
    let (mut client, _) = Client::greet(&daemon, "gateway", 1);
    client.batch(1, &reading("pump-7", "t", 90.0));
    client.acked(1);
    let first = until(&daemon, "firing");
    assert_eq!((&first["text"], &first["rule"]), (&json!("pump-7 is hot"), &json!("very hot")));

    // The same rule: nothing happens. Another: what it found is over.
    assert_eq!(send(&daemon, "PUT", "/api/v1/rules/very%20hot", &hot).0, 200);
    assert_eq!(until(&daemon, "firing")["id"], first["id"]);
    let hotter = json!({ "kind": "threshold", "metric": ["t"], "above": 85 });
    assert_eq!(send(&daemon, "PUT", "/api/v1/rules/very%20hot", &hotter).0, 200);
    let over = until(&daemon, "resolved");
    let note = |id: &Value| {
        let detail = daemon.json(&format!("/api/v1/alerts/{id}"));
        detail["events"].as_array().unwrap().last().unwrap()["note"].clone()
    };
    assert_eq!(note(&over["id"]), "the rule was changed");
    client.batch(2, &reading("pump-7", "t", 91.0));
    client.acked(2);
    let second = until(&daemon, "firing");
    assert_ne!(second["id"], first["id"]);

    // It is there after a restart, and goes when it is removed.
    daemon.kill();
    daemon.restart();
    assert_eq!(until(&daemon, "firing")["id"], second["id"]);
    let all = ["file's", "very hot", "tidegate breaker", "page", "file", "built-in"];
    says(&daemon, &["alerts", "rules"], 0, &all);
    assert_eq!(daemon.request("DELETE", "/api/v1/rules/very%20hot", &[], b"").0, 204);
    assert_eq!(daemon.json("/api/v1/alerts")["alerts"], json!([]));
    let note = daemon.json(&format!("/api/v1/alerts/{}", second["id"]));
    assert_eq!(note["events"][1]["note"], "the rule was removed");

    // What makes no sense is told, all of it; the configuration's is not touched.
    let (status, problem) =
        send(&daemon, "PUT", "/api/v1/rules/x", &json!({ "kind": "change", "for": "x" }));
    let detail = problem["detail"].as_str().unwrap();
    assert!(status == 400 && detail.contains("above: ") && detail.contains("for: "), "{problem}");
    assert_eq!(send(&daemon, "PUT", "/api/v1/rules/file's", &hot).0, 409);
    assert_eq!(daemon.request("DELETE", "/api/v1/rules/file's", &[], b"").0, 409);
    assert_eq!(daemon.request("DELETE", "/api/v1/rules/none", &[], b"").0, 404);
    let foreign = [("origin", "http://evil.example")];
    assert_eq!(daemon.request("DELETE", "/api/v1/rules/none", &foreign, b"").0, 403);
    // A rule that the configuration takes out is over, too.
    daemon.stop();
    daemon.set(&[]);
    daemon.restart();
    let rules = daemon.json("/api/v1/rules");
    assert_eq!(rules["rules"].as_array().unwrap().len(), 5, "{rules:#}");
}

#[test]
fn a_silence_keeps_back_and_its_end_tells_what_still_fires() {
    let mut daemon =
        Daemon::start(&["alerts.0.name=hot", "alerts.0.kind=threshold", "alerts.0.above=80"]);
    let silence = ["alerts", "silence", "--device", "pump-*", "--for", "1 h", "--by", "ana"];
    says(&daemon, &silence, 0, &["silence 1 until "]);
    says(&daemon, &["alerts", "silences"], 0, &["pump-*", "ana"]);
    let (mut client, _) = Client::greet(&daemon, "gateway", 1);
    client.batch(1, &reading("pump-7", "t", 90.0));
    client.batch(2, &reading("fan-1", "t", 90.0));
    client.acked(2);
    let open = daemon.eventually("/api/v1/alerts", |it| it["alerts"][1].is_object());
    let silenced = |device: &str| {
        let alerts = open["alerts"].as_array().unwrap();
        let of = alerts.iter().find(|alert| alert["device"] == device).unwrap();
        (of["silenced"].clone(), of["id"].to_string())
    };
    let (is, id) = silenced("pump-7");
    assert_eq!((is, silenced("fan-1").0), (json!(true), json!(false)));
    daemon.kill();
    daemon.restart();
    says(&daemon, &["alerts", "unsilence", "1"], 0, &["the silence is over"]);
    says(&daemon, &["alerts", "unsilence", "1"], 1, &["there is no silence 1, or it is over"]);
    let path = format!("/api/v1/alerts/{id}");
    let detail = daemon.eventually(&path, |alert| alert["events"][1].is_object());
    let events = detail["events"].as_array().unwrap();
    let told: Vec<_> = events.iter().map(|it| (&it["kind"], &it["silenced"])).collect();
    let fired = json!("fired");
    assert_eq!(told, [(&fired, &json!(true)), (&fired, &json!(false))]);
    assert_eq!(detail["silenced"], json!(false));
    // One with an end ends by itself; it is seen before, also on a slow machine.
    let until = clock::now().as_millis() + 10_000;
    let (status, _) = send(&daemon, "POST", "/api/v1/silences", &json!({ "until": until }));
    assert_eq!(status, 201);
    daemon.eventually(&path, |alert| alert["silenced"] == true);
    daemon.eventually(&path, |alert| alert["events"][2]["kind"] == "fired");
}

#[test]
fn silence_of_a_device_is_told_by_rules_and_so_is_what_ails_the_daemon() {
    let store = crate::store::Store::start(|_| crate::store::Reaction::stored());
    let mut daemon = Daemon::start(&[
        "alerts.0.name=absent",
        "alerts.0.kind=absence",
        "alerts.0.after=1 s",
        "alerts.1.name=away",
        "alerts.1.kind=offline",
        "alerts.1.for=0 s",
        "alerts.2.name=store",
        "alerts.2.kind=daemon",
        "alerts.2.what=breaker_open",
        "live.offline_after=1 s",
        &format!("sinks.influx.0.url={}", store.url()),
        "sinks.influx.0.bucket=b",
        "sinks.influx.0.batch_age=20 ms",
    ]);
    let (mut client, _) = Client::greet(&daemon, "gateway", 1);
    client.batch(1, &reading("pump-7", "t", 1.0));
    client.acked(1);
    let by = |rule: &str| {
        let path = format!("/api/v1/alerts?state=firing&rule={rule}");
        daemon.eventually(&path, |it| it["alerts"][0].is_object())["alerts"][0].clone()
    };
    assert_eq!(by("absent")["text"], "t of pump-7: no reading for 1 s");
    assert_eq!(by("away")["device"], "pump-7");
    assert_eq!(by("away")["metric"], Value::Null);
    says(&daemon, &["breaker", "influx", "hold"], 0, &["OPEN"]);
    let held = by("store");
    assert_eq!((&held["subject"], &held["device"]), (&json!("influx"), &Value::Null));
    assert_eq!(held["text"], "the store of influx can't be written: held by an operator");
    assert_eq!(run(&daemon, &["breaker", "influx", "release"]).0, 0);
    // The next readings are what it is tried with.
    client.batch(2, &reading("pump-7", "t", 1.0));
    client.acked(2);
    daemon.eventually("/api/v1/alerts?state=open&rule=store", |it| it["alerts"] == json!([]));
    daemon.eventually("/api/v1/alerts?state=resolved", |it| {
        let over = it["alerts"].as_array().unwrap();
        ["absent", "away", "store"].iter().all(|rule| over.iter().any(|it| it["rule"] == *rule))
    });
    daemon.stop_and_audit();
}

#[test]
fn a_rule_that_makes_no_sense_is_told_before_anything_starts() {
    let daemon = Daemon::start(&[]);
    let check = |set: &[&str]| {
        let mut command = daemon.command("check");
        command.arg("--offline").args(set.iter().flat_map(|it| ["--set", it]));
        let Output { status, stdout, stderr } = command.output().unwrap();
        (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
    };
    let (code, printed) = check(&["alerts.0.kind=threshold", "alerts.1.name=a"]);
    let all = ["alerts.0.name: the name is empty", "alerts.0.above: is missing", "alerts.1.kind: "];
    assert!(code == Some(78) && all.iter().all(|it| printed.contains(it)), "{code:?} {printed}");
    let good = ["alerts.0.kind=threshold", "alerts.0.name=hot", "alerts.0.above=80"];
    let (code, printed) = check(&good);
    assert!(code == Some(0) && printed.contains("hot: threshold above 80"), "{printed}");
}
