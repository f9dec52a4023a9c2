//! The live stream over real sockets: who comes back misses nothing, also after a restart.

use crate::client::{Client, reading};
use crate::daemon::{Daemon, PATIENCE};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

/// A viewer by SSE that reads events one by one.
pub struct Events(BufReader<TcpStream>);

impl Events {
    pub fn open(daemon: &Daemon, query: &str, last_event_id: Option<&str>) -> Events {
        let mut socket = TcpStream::connect(daemon.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let last = last_event_id.map_or(String::new(), |id| format!("last-event-id: {id}\r\n"));
        let request = format!("GET /api/v1/live{query} HTTP/1.1\r\nhost: localhost\r\n{last}\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        Events(BufReader::new(socket))
    }

    /// The next frame of one of these types.
    pub fn next(&mut self, types: &[&str]) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream ended");
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let frame: Value = serde_json::from_str(data).unwrap();
            if types.contains(&frame["type"].as_str().unwrap()) {
                return frame;
            }
        }
    }

    /// Upserts frames into `seen` until `wanted`.
    fn collect(
        &mut self,
        seen: &mut BTreeMap<i64, i64>,
        wanted: impl Fn(&BTreeMap<i64, i64>) -> bool,
    ) -> String {
        let mut id = String::new();
        while !wanted(seen) {
            let frame = self.next(&["snapshot", "rollups"]);
            if frame["type"] == "snapshot" {
                seen.clear();
            }
            id = frame["id"].as_str().unwrap().to_owned();
            for device in frame["data"]["devices"].as_array().unwrap() {
                for rollup in device["rollups"]["t"].as_array().unwrap_or(&Vec::new()) {
                    seen.insert(rollup[0].as_i64().unwrap(), rollup[1].as_i64().unwrap());
                }
            }
        }
        id
    }
}

fn samples(seen: &BTreeMap<i64, i64>) -> i64 {
    seen.values().sum()
}

#[test]
fn a_viewer_that_comes_back_misses_nothing_also_after_kill_nine() {
    let mut daemon = Daemon::start(&[]);
    let (mut client, _) = Client::greet(&daemon, "pump-7", 1);
    let mut seen = BTreeMap::new();
    let send = |client: &mut Client, seqs: std::ops::RangeInclusive<u64>| {
        let last = *seqs.end();
        for seq in seqs {
            client.batch(seq, &reading("pump-7", "t", seq as f64));
        }
        client.acked(last);
    };
    send(&mut client, 1..=10);
    let mut viewer = Events::open(&daemon, "?device=pump-*&metric=t", None);
    let id = viewer.collect(&mut seen, |seen| samples(seen) == 10);
    drop(viewer);

    send(&mut client, 11..=20);
    let mut viewer = Events::open(&daemon, "?device=pump-*&metric=t", Some(&id));
    let first = viewer.next(&["snapshot", "rollups"]);
    assert_eq!(first["type"], "rollups", "resumed, not begun anew: {first}");
    drop(viewer);
    let mut viewer = Events::open(&daemon, &format!("?device=pump-*&metric=t&cursor={id}"), None);
    let id = viewer.collect(&mut seen, |seen| samples(seen) == 20);
    drop(viewer);

    daemon.kill();
    daemon.restart();
    let (mut client, welcome) = Client::greet(&daemon, "pump-7", 1);
    assert_eq!(welcome.last_seq, 20);
    send(&mut client, 21..=30);
    let mut viewer = Events::open(&daemon, "?device=pump-*&metric=t", Some(&id));
    let first = viewer.next(&["snapshot", "rollups"]);
    assert_eq!(first["type"], "rollups", "resumed over a restart: {first}");
    drop(viewer);
    let mut viewer = Events::open(&daemon, "?device=pump-*&metric=t", Some(&id));
    viewer.collect(&mut seen, |seen| samples(seen) == 30);
}

#[test]
fn what_a_viewer_saw_is_in_the_history_when_it_asks_with_the_frame_id() {
    let daemon = Daemon::start(&[]);
    let (mut client, _) = Client::greet(&daemon, "pump-7", 1);
    let mut viewer = Events::open(&daemon, "?device=pump-*&metric=t", None);
    let mut seen = BTreeMap::new();
    for seq in 1..=20 {
        client.batch(seq, &reading("pump-7", "t", seq as f64));
        client.acked(seq);
        let id = viewer.collect(&mut seen, |seen| samples(seen) == seq as i64);
        let answer =
            daemon.json(&format!("/api/v1/query?device=pump-7&metric=t&from=-1h&after={id}"));
        assert!(answer["value"].as_array().unwrap().len() as u64 >= seq);
    }
}

#[test]
fn a_bad_subscription_is_refused_with_a_reason() {
    let daemon = Daemon::start(&["live.viewers_max=1"]);
    for query in ["?window=7s", "?colour=red", "?cursor=nonsense", "?device=["] {
        let (status, body) = daemon.get(&format!("/api/v1/live{query}"));
        assert_eq!(status, 400, "{query}: {body}");
        assert!(body.contains("detail"), "{body}");
    }
    let mut viewer = Events::open(&daemon, "", None);
    viewer.next(&["snapshot"]);
    assert_eq!(daemon.get("/api/v1/live").0, 503, "one viewer too many");
}
