//! Which devices a key reaches, on every way in and out; and what is told of the daemon to who reaches some.

use crate::access::{INGEST, ask, connect, issue, json, status, text, until, watch};
use crate::client::{Said, reading};
use crate::daemon::Daemon;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use tidegate::model::SessionId;
use tidegate::wire::{Hello, RefusalCode, encode_hello};

#[test]
fn a_key_reaches_its_devices_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let scopes = ["--scope", "ingest", "--scope", "view", "--scope", "command"];
    let pumps: Vec<_> = ["--name", "gw", "--device", "pump-*"].into_iter().chain(scopes).collect();
    let pumps = issue(at, &pumps);
    let all = issue(at, &["--name", "root", "--scope", "admin"]);
    let daemon = Daemon::start_in(directory, &[]);
    let line = |device: &str| format!("{{\"device\":\"{device}\",\"values\":{{\"t\":1.5}}}}\n");
    let both = line("pump-1") + &line("fan-1");
    let (status_, body) = ask(&daemon, "POST", "/api/v1/ingest", &pumps, both.as_bytes());
    let answer: Json = serde_json::from_str(&body).unwrap();
    assert_eq!((status_, &answer["accepted"]), (422, &1.into()), "{body}");
    let refused = &answer["refused"][0];
    assert_eq!((&refused["line"], &refused["code"]), (&2.into(), &"FORBIDDEN".into()), "{body}");
    let as_other = ask(&daemon, "POST", "/api/v1/ingest?client=fan-1", &pumps, both.as_bytes());
    assert_eq!(as_other.0, 403, "{}", as_other.1);
    ask(&daemon, "POST", "/api/v1/ingest", &all, line("fan-1").as_bytes());

    let hello = |name: &str| {
        let mut client = connect(&daemon, INGEST, &pumps).unwrap();
        let hello = Hello { client: name.into(), session: SessionId(1), ..Hello::default() };
        client.send(&encode_hello(&hello));
        client
    };
    assert_eq!(hello("fan-1").closed(), 1008, "somebody else's name");
    for name in ["gw", "pump-9"] {
        let mut client = hello(name);
        assert!(matches!(client.next(), Said::Message(_)));
        client.batch(1, &reading("fan-1", "t", 1.0));
        let (seq, code, sentence) = client.refused();
        assert_eq!((seq, code), (1, RefusalCode::Forbidden), "{sentence}");
        client.batch(2, &reading("pump-1", "t", 1.0));
        client.acked(2);
    }

    let devices = |key: &str| {
        let told = json(&daemon, "/api/v1/devices", key);
        let list = told["devices"].as_array().unwrap().iter();
        list.map(|device| device["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    until("the devices are not known", || devices(&all).len() == 2);
    assert_eq!(devices(&pumps), ["pump-1"]);
    for (method, path, body) in [
        ("GET", "/api/v1/devices/fan-1", ""),
        ("PATCH", "/api/v1/devices/fan-1", "{\"known\":true}"),
        ("GET", "/api/v1/devices/fan-1/commands", ""),
        ("POST", "/api/v1/devices/fan-1/commands", "{\"name\":\"stop\"}"),
        ("GET", "/api/v1/devices/fan-1/desired", ""),
        ("GET", "/api/v1/query?device=fan-1&metric=t", ""),
    ] {
        let (status, told) = ask(&daemon, method, path, &pumps, body.as_bytes());
        assert_eq!(status, 403, "{method} {path}: {told}");
        assert!(!told.contains("1.5"), "{told}");
    }
    let query = "/api/v1/query?device=pump-1&metric=t&from=-1h";
    until("the history does not have it", || status(&daemon, query, &pumps) == 200);
    for path in ["/api/v1/series?device=*", "/api/v1/live/poll", "/api/v1/alerts"] {
        let told = json(&daemon, path, &pumps).to_string();
        assert!(!told.contains("fan-1"), "{path}: {told}");
    }
    assert_eq!(status(&daemon, "/api/v1/rules", &pumps), 403);
}

/// The places in a JSON document, with `*` for each of a list.
fn places(value: &Json, at: &str, into: &mut BTreeSet<String>) {
    match value {
        Json::Object(members) => {
            members.iter().for_each(|(name, value)| places(value, &format!("{at}.{name}"), into));
        }
        Json::Array(items) => items.iter().for_each(|item| places(item, &format!("{at}.*"), into)),
        _ => {
            into.insert(at.to_owned());
        }
    }
}

#[test]
fn who_reaches_some_devices_is_told_how_the_daemon_is_and_no_counts_of_all() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let pumps = issue(at, &["--name", "ana", "--scope", "view", "--device", "pump-*"]);
    let all = issue(at, &["--name", "root", "--scope", "admin"]);
    let daemon = Daemon::start_in(directory, &[]);
    let rule = r#"{"kind":"threshold","metric":["level"],"above":0}"#;
    assert_eq!(ask(&daemon, "PUT", "/api/v1/rules/high", &all, rule.as_bytes()).0, 201);
    let lines = ["fan-1", "fan-2", "pump-1"]
        .map(|device| format!("{{\"device\":\"{device}\",\"values\":{{\"level\":1.5}}}}\n"));
    assert_eq!(ask(&daemon, "POST", "/api/v1/ingest", &all, lines.concat().as_bytes()).0, 200);
    let firing = |key: &str| json(&daemon, "/api/v1/alerts", key)["counts"]["firing"].clone();
    until("no alerts fire", || firing(&all) == 3);
    until("its own alert is not counted", || firing(&pumps) == 1);

    let told = json(&daemon, "/api/v1/status", &all);
    assert_eq!(told["ledger"]["accepted"], 3, "{told:#}");
    let within = json(&daemon, "/api/v1/status", &pumps);
    let mut found = BTreeSet::new();
    places(&within, "", &mut found);
    let sinks = "breaker bytes cause drain_eta_s held kind lag_s live_lag_s name next_probe_s";
    let spool = "bytes bytes_max durability full_in_s oldest_s";
    let machine = "pressure pressure_of tick_ms time tls trouble uptime_s version windows.*";
    let mut expected = BTreeSet::from([".live.lag_s".to_owned()]);
    for (place, names) in [(".sinks.*.", sinks), (".spool.", spool), (".", machine)] {
        expected.extend(names.split(' ').map(|name| format!("{place}{name}")));
    }
    assert_eq!(found, expected, "{within:#}");
    // The same once a second.
    let frame = |key: &str| -> Json {
        let mut lines = watch(&daemon, key);
        let data = lines.find_map(|line| {
            let data: Json = serde_json::from_str(line.strip_prefix("data: ")?).ok()?;
            (data["type"] == "status").then_some(data)
        });
        data.unwrap()["data"].clone()
    };
    let mut found = BTreeSet::new();
    places(&frame(&pumps), "", &mut found);
    assert_eq!(found, expected);
    assert_eq!(frame(&all)["ledger"]["accepted"], 3);
    assert_eq!(
        (status(&daemon, "/metrics", &pumps), status(&daemon, "/metrics", &all)),
        (403, 200)
    );

    // The command does not take what it is not told for nothing.
    let token = daemon.state_dir.path().join("token");
    std::fs::write(&token, &pumps).unwrap();
    let said = daemon.command("status").arg("--token-file").arg(&token).output().unwrap();
    assert_eq!(said.status.code(), Some(77), "{said:?}");
    assert!(text(&said.stderr).contains("reaches some devices only"), "{said:?}");
    let said = daemon.command("status").arg("--json").arg("--token-file").arg(&token).output();
    assert!(text(&said.unwrap().stdout).contains("\"live_lag_s\""));
}
