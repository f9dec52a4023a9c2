//! What people want devices to do: asked for over HTTP, done by devices over their WebSockets.

use crate::client::{Client, Said, reading};
use crate::daemon::{Daemon, PATIENCE};
use serde_json::{Value, json};
use std::process::{Child, Stdio};
use tidegate::wire::{
    Command, CommandResult, Desired, Downstream, Reported, encode_reported, encode_result,
};

/// A plant of three devices in a process of its own, which ends with this.
struct Plant(Child);

impl Plant {
    fn start(daemon: &Daemon, arguments: &[&str]) -> Plant {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["simulate", "--url", &daemon.ws_url(), "--devices", "3"]).args(arguments);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Plant(child)
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).unwrap();
    }
}

/// A request with a JSON body.
pub fn ask(daemon: &Daemon, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let headers = [("content-type", "application/json")];
    let (status, body) = daemon.request(method, path, &headers, body.to_string().as_bytes());
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}")))
}

/// Asks for a command; gives its id.
pub fn command(daemon: &Daemon, device: &str, asked: &Value) -> u64 {
    let path = format!("/api/v1/devices/{device}/commands");
    let (status, command) = ask(daemon, "POST", &path, asked);
    assert_eq!((status, &command["state"]), (202, &json!("queued")), "{command}");
    command["id"].as_u64().unwrap()
}

pub fn until(daemon: &Daemon, id: u64, state: &str) -> Value {
    daemon.eventually(&format!("/api/v1/commands/{id}"), |command| command["state"] == state)
}

impl Client {
    /// The next command; acknowledgements before it pass by.
    fn command(&mut self) -> Command {
        loop {
            match self.next() {
                Said::Message(Downstream::Command(command)) => return command,
                Said::Message(Downstream::Ack { .. }) => {}
                other => panic!("{other:?} instead of a command"),
            }
        }
    }

    fn desired(&mut self) -> Desired {
        loop {
            match self.next() {
                Said::Message(Downstream::Desired(desired)) => return desired,
                Said::Message(Downstream::Ack { .. }) => {}
                other => panic!("{other:?} instead of a document"),
            }
        }
    }

    fn answer(&mut self, id: u64, ok: bool, message: &str) {
        let (message, payload) = (message.to_owned(), Vec::new());
        self.send(&encode_result(&CommandResult { id, ok, message, payload }));
    }

    fn report(&mut self, device: &str, version: u64) {
        let device = device.to_owned();
        let reported = Reported { device, version, ok: true, ..Reported::default() };
        self.send(&encode_reported(&reported));
    }
}

fn metric(daemon: &Daemon, line: &str) -> u64 {
    let (_, page) = daemon.get("/metrics");
    let value = page.lines().find_map(|it| it.strip_prefix(line)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

#[test]
fn a_simulated_device_does_what_it_is_told_and_says_so() {
    let daemon = Daemon::start(&[]);
    // It would say something in an hour.
    let _plant = Plant::start(&daemon, &["--well-behaved", "--interval", "1 h"]);
    let id = command(&daemon, "pump-002", &json!({ "name": "identify", "by": "ana" }));
    let done = until(&daemon, id, "acknowledged");
    assert_eq!(
        (&done["via"], &done["by"], &done["attempts"]),
        (&json!("ws"), &json!("ana"), &json!(1))
    );
    assert_eq!(done["result"], json!({ "device": "pump-002", "lamp": "blinks" }));
    assert!(done["sent_at"].is_i64() && done["finished_at"].is_i64(), "{done}");

    let asked = json!({ "name": "set-interval", "arguments": { "seconds": 0.1 } });
    let id = command(&daemon, "pump-002", &asked);
    until(&daemon, id, "acknowledged");
    daemon.eventually("/api/v1/status", |status| {
        status["ledger"]["accepted_batches"].as_u64() > Some(5)
    });

    let id = command(&daemon, "pump-002", &json!({ "name": "dance" }));
    let failed = until(&daemon, id, "failed");
    assert_eq!(failed["message"], "dance is not known here; identify and set-interval are");
    let listed = daemon.json("/api/v1/devices/pump-002/commands?limit=2");
    let names: Vec<_> =
        listed["commands"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["dance", "set-interval"]);
    let before = format!("/api/v1/devices/pump-002/commands?before={}", listed["next"]);
    assert_eq!(daemon.json(&before)["commands"][0]["name"], "identify");
    let done = "tidegate_commands_total{via=\"ws\",outcome=\"acknowledged\"}";
    assert_eq!(metric(&daemon, done), 2);
    assert_eq!(metric(&daemon, "tidegate_command_answer_seconds_count"), 3);
}

#[test]
fn a_simulated_device_is_set_as_desired_and_reports() {
    let mut daemon = Daemon::start(&[]);
    let path = "/api/v1/devices/pump-003/desired";
    assert_eq!(daemon.json(path)["version"], 0, "nobody has set one");
    let wanted = json!({ "document": { "interval_s": 0.1 }, "by": "ana" });
    let (status, set) = ask(&daemon, "PUT", path, &wanted);
    assert_eq!((status, &set["version"], &set["reported"]), (200, &json!(1), &Value::Null));
    let _plant = Plant::start(&daemon, &["--well-behaved", "--interval", "1 h"]);
    let told = daemon.eventually(path, |desired| desired["reported"]["version"] == 1);
    assert_eq!(told["reported"]["ok"], true);
    assert_eq!(told["reported"]["document"], json!({ "interval_s": 0.1 }));
    daemon.eventually("/api/v1/status", |status| {
        status["ledger"]["accepted_batches"].as_u64() > Some(5)
    });
    // The same again is nothing new; another is told at once, and refused.
    assert_eq!(ask(&daemon, "PUT", path, &wanted).1["version"], 1);
    let wrong = json!({ "document": { "interval_s": -5 } });
    assert_eq!(ask(&daemon, "PUT", path, &wrong).1["version"], 2);
    let told = daemon.eventually(path, |desired| desired["reported"]["version"] == 2);
    assert_eq!((&told["reported"]["ok"], &told["by"]), (&json!(false), &json!("operator")));
    daemon.kill();
    daemon.restart();
    assert_eq!(daemon.json(path), told);
}

#[test]
fn a_command_waits_for_a_device_that_is_away() {
    let daemon = Daemon::start(&[]);
    let asked = json!({ "name": "open", "arguments": { "far": 1.5 }, "ttl_s": 600 });
    let id = command(&daemon, "valve%201", &asked);
    let other = command(&daemon, "lamp-9", &json!({ "name": "on", "ttl_s": 600 }));
    let (mut valve, _) = Client::greet(&daemon, "valve 1", 1);
    let told = valve.command();
    assert_eq!((told.id, &*told.device, &*told.name), (id, "valve 1", "open"));
    assert_eq!(serde_json::from_slice::<Value>(&told.payload).unwrap(), json!({ "far": 1.5 }));
    let sent = until(&daemon, id, "sent");
    assert_eq!(sent["expires_at"].as_i64().unwrap(), told.expires_at.as_millis());
    valve.answer(id, true, "");
    until(&daemon, id, "acknowledged");
    // A gateway begins to speak for the lamp, and gets what waits for it.
    let (mut gateway, _) = Client::greet(&daemon, "gateway-1", 1);
    gateway.batch(1, &reading("lamp-9", "power", 4.0));
    let told = gateway.command();
    assert_eq!((told.id, &*told.device), (other, "lamp-9"));
    gateway.answer(other, false, "the lamp is broken");
    assert_eq!(until(&daemon, other, "failed")["message"], "the lamp is broken");
}

#[test]
fn a_command_goes_to_the_gateway_that_speaks_for_the_device_now() {
    let daemon = Daemon::start(&[]);
    let (mut one, _) = Client::greet(&daemon, "gateway-1", 1);
    let (mut two, _) = Client::greet(&daemon, "gateway-2", 1);
    one.batch(1, &reading("lamp", "power", 4.0));
    one.acked(1);
    let first = command(&daemon, "lamp", &json!({ "name": "on" }));
    assert_eq!(one.command().id, first);
    two.batch(1, &reading("lamp", "power", 4.0));
    two.acked(1);
    daemon.eventually("/api/v1/status", |status| status["live"]["lag_s"] == 0.0);
    // Live may be a moment behind: what goes to the first one is not answered there.
    let deadline = tidegate::clock::monotonic() + PATIENCE;
    let mut asked = Vec::new();
    loop {
        assert!(tidegate::clock::monotonic() < deadline, "nothing came to the second gateway");
        let id = command(&daemon, "lamp", &json!({ "name": "off" }));
        asked.push(id);
        until(&daemon, id, "sent");
        two.socket.get_mut().set_read_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
        let read = loop {
            match two.socket.read() {
                Ok(tokio_tungstenite::tungstenite::Message::Binary(bytes)) => break Some(bytes),
                Ok(_) => {}
                Err(_) => break None,
            }
        };
        if let Some(Ok(Downstream::Command(told))) = read.map(|bytes| Downstream::decode(&bytes)) {
            // It may have come when it was not waited for any more.
            assert!(asked.contains(&told.id), "{told:?} instead of one of {asked:?}");
            two.answer(told.id, true, "");
            until(&daemon, told.id, "acknowledged");
            return;
        }
    }
}

#[test]
fn a_killed_daemon_sends_again_only_what_may_come_twice() {
    let mut daemon = Daemon::start(&[]);
    let kinds = ["at_most_once", "at_least_once"];
    let asked = |delivery| json!({ "name": "open", "ttl_s": 600, "delivery": delivery });
    let queued = kinds.map(|kind| command(&daemon, "away", &asked(kind)));
    let (mut valve, _) = Client::greet(&daemon, "valve", 1);
    let sent = kinds.map(|kind| command(&daemon, "valve", &asked(kind)));
    assert_eq!([valve.command().id, valve.command().id], sent);
    daemon.kill();
    daemon.restart();
    for (id, state) in
        [(queued[0], "queued"), (queued[1], "queued"), (sent[0], "sent"), (sent[1], "sent")]
    {
        assert_eq!(daemon.json(&format!("/api/v1/commands/{id}"))["state"], state);
    }
    let (mut valve, _) = Client::greet(&daemon, "valve", 1);
    let (mut away, _) = Client::greet(&daemon, "away", 1);
    assert_eq!([away.command().id, away.command().id], queued);
    assert_eq!(valve.command().id, sent[1]);
    // It had done the other before, and could not say so.
    valve.answer(sent[0], true, "");
    valve.answer(sent[1], true, "");
    assert_eq!(until(&daemon, sent[0], "acknowledged")["attempts"], 1);
    assert_eq!(until(&daemon, sent[1], "acknowledged")["attempts"], 2);
    let next = command(&daemon, "valve", &asked(kinds[0]));
    assert_eq!(valve.command().id, next, "nothing else had come");
    assert!(next > sent[1]);
}

#[test]
fn a_command_is_over_when_its_time_is() {
    let daemon = Daemon::start(&["commands.ttl_max=1 h"]);
    let away = command(&daemon, "away", &json!({ "name": "open", "ttl_s": 1 }));
    let (mut deaf, _) = Client::greet(&daemon, "deaf", 1);
    // Time enough to be sent.
    let id = command(&daemon, "deaf", &json!({ "name": "open", "ttl_s": 10 }));
    assert_eq!(deaf.command().id, id);
    let expired = until(&daemon, away, "expired");
    assert_eq!(expired["message"], "it could not be sent: the device was away");
    let expired = until(&daemon, id, "expired");
    assert_eq!(expired["message"], "no answer came: nobody knows whether it was done");
    assert!(expired["finished_at"].as_i64() >= expired["expires_at"].as_i64());
    deaf.answer(id, true, "it took a while");
    let path = format!("/api/v1/commands/{id}");
    let late = daemon.eventually(&path, |it| it["message"].as_str().unwrap().contains("later"));
    assert_eq!(late["state"], "expired");
    // What it is told next is not what came too late.
    let (mut late, _) = Client::greet(&daemon, "away", 1);
    let id = command(&daemon, "away", &json!({ "name": "close" }));
    assert_eq!(late.command().id, id);
    for asked in [json!({ "name": "open", "ttl_s": 3601 }), json!({ "name": "open", "ttl_s": 0 })] {
        assert_eq!(ask(&daemon, "POST", "/api/v1/devices/a/commands", &asked).0, 400);
    }
}

#[test]
fn a_command_can_be_taken_back_while_it_waits() {
    let daemon = Daemon::start(&["commands.per_device_max=2"]);
    let path = "/api/v1/devices/away/commands";
    let asked = json!({ "name": "open", "delivery": "at_least_once" });
    let ids = [(); 2].map(|()| command(&daemon, "away", &asked));
    let (status, problem) = ask(&daemon, "POST", path, &asked);
    assert_eq!((status, &problem["title"]), (429, &json!("Too Many Requests")), "{problem}");
    let cancel = |id: u64| format!("/api/v1/commands/{id}/cancel");
    let (status, over) = ask(&daemon, "POST", &cancel(ids[0]), &json!({ "by": "ana" }));
    assert_eq!((status, &over["state"]), (200, &json!("cancelled")));
    assert_eq!(over["message"], "cancelled by ana");
    assert_eq!(ask(&daemon, "POST", &cancel(ids[0]), &json!({})).0, 409);
    assert_eq!(ask(&daemon, "POST", &cancel(7), &json!({})).0, 404);
    let third = command(&daemon, "away", &asked);
    let (mut away, _) = Client::greet(&daemon, "away", 1);
    assert_eq!([away.command().id, away.command().id], [ids[1], third]);
    for wrong in [
        json!({ "name": "" }),
        json!({ "name": "a", "when": 5 }),
        json!({ "name": "a", "delivery": "twice" }),
        json!({ "name": "a", "by": "x".repeat(200) }),
    ] {
        assert_eq!(ask(&daemon, "POST", path, &wrong).0, 400, "{wrong}");
    }
    let long = json!({ "name": "a", "arguments": "x".repeat(20_000) });
    assert_eq!(ask(&daemon, "POST", path, &long).0, 413);
    let headers = [("origin", "http://evil.example")];
    assert_eq!(daemon.request("POST", path, &headers, b"{\"name\":\"a\"}").0, 403);
}

#[test]
fn answers_that_nobody_waits_for_cost_nothing() {
    let daemon = Daemon::start(&[]);
    let (mut valve, _) = Client::greet(&daemon, "valve", 1);
    let (mut other, _) = Client::greet(&daemon, "other", 1);
    let id = command(&daemon, "valve", &json!({ "name": "open" }));
    assert_eq!(valve.command().id, id);
    other.answer(id, true, "it was me");
    other.answer(12_345, true, "");
    other.report("valve", 9);
    let payload = vec![b' '; 70_000];
    other.send(&encode_result(&CommandResult { id, ok: true, message: String::new(), payload }));
    // The conversation goes on.
    other.batch(1, &reading("other", "n", 1.0));
    other.acked(1);
    assert_eq!(daemon.json(&format!("/api/v1/commands/{id}"))["state"], "sent");
    for (reason, count) in [("foreign", 1), ("unknown", 2), ("too_large", 1)] {
        let line = format!("tidegate_command_results_ignored_total{{reason=\"{reason}\"}}");
        assert_eq!(metric(&daemon, &line), count, "{reason}");
    }
    valve.answer(id, true, "");
    until(&daemon, id, "acknowledged");
}

#[test]
fn a_document_is_delivered_until_its_device_reports_it() {
    let mut daemon = Daemon::start(&[]);
    let set = |daemon: &Daemon, device: &str, value: u64| {
        let path = format!("/api/v1/devices/{device}/desired");
        let (status, set) = ask(daemon, "PUT", &path, &json!({ "document": { "a": value } }));
        assert_eq!(status, 200, "{set}");
        set["version"].as_u64().unwrap()
    };
    let (mut gateway, _) = Client::greet(&daemon, "gateway", 1);
    gateway.batch(1, &reading("lamp", "power", 4.0));
    gateway.acked(1);
    assert_eq!(set(&daemon, "lamp", 1), 1);
    let told = gateway.desired();
    assert_eq!((&*told.device, told.version, &*told.document), ("lamp", 1, &b"{\"a\":1}"[..]));
    // It did not report: it gets it again, from the next daemon, too.
    daemon.kill();
    daemon.restart();
    let (mut gateway, _) = Client::greet(&daemon, "gateway", 1);
    assert_eq!(gateway.desired().version, 1);
    gateway.report("lamp", 1);
    let path = "/api/v1/devices/lamp/desired";
    daemon.eventually(path, |desired| desired["reported"]["version"] == 1);
    drop(gateway);
    let (mut gateway, _) = Client::greet(&daemon, "gateway", 1);
    assert_eq!(set(&daemon, "gateway", 5), 1);
    let told = gateway.desired();
    assert_eq!(&*told.device, "gateway", "the lamp has what it should have");
    assert_eq!(set(&daemon, "lamp", 2), 2);
    assert_eq!(gateway.desired().version, 2);
    // The lamp was set back to what it was made with.
    gateway.report("lamp", 2);
    daemon.eventually(path, |desired| desired["reported"]["version"] == 2);
    drop(gateway);
    let (mut gateway, _) = Client::greet(&daemon, "gateway", 1);
    assert_eq!(&*gateway.desired().device, "gateway");
    gateway.report("lamp", 0);
    assert_eq!((&*gateway.desired().device, gateway.desired_is_all()), ("lamp", true));
    let long = json!({ "document": { "a": "x".repeat(50_000) } });
    assert_eq!(ask(&daemon, "PUT", path, &long).0, 413);
    assert_eq!(ask(&daemon, "PUT", path, &json!({ "document": [] })).0, 400);
    // None of it keeps the daemon from its end.
    let (status, log) = daemon.stop_and_log();
    assert!(status.success());
    assert!(log.iter().any(|line| line.contains("everything acknowledged is stored")), "{log:#?}");
}

impl Client {
    /// Whether nothing else was said before the next acknowledgement.
    fn desired_is_all(&mut self) -> bool {
        self.batch(1000, &reading("x", "n", 1.0));
        matches!(self.next(), Said::Message(Downstream::Ack { .. }))
    }
}
