//! SIGHUP: who is there, whose clock is off and who waits in the inbox is judged by the terms of now, on
//! connections that stay.

use crate::client::{Client, reading, reading_at};
use crate::daemon::{Daemon, PATIENCE};
use crate::reload::{says, started};
use serde_json::{Value, json};
use tidegate::clock;
use tidegate::wire::RefusalCode;

const MINUTE: i64 = 60_000_000_000;

fn until(daemon: &Daemon, device: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    daemon.eventually(&format!("/api/v1/devices/{device}"), wanted)
}

/// A reading from a minute ahead: the code that it is refused with, if it is.
fn ahead(client: &mut Client, seq: u64) -> Option<RefusalCode> {
    client.batch(seq, &reading_at("fast", "heat", 1.0, clock::now().0 + MINUTE));
    client.acked_or_refused(seq).err().map(|(_, code, _)| code)
}

/// Sends until it is so: what is in force comes with the next look at devices.
fn until_ahead(client: &mut Client, seq: &mut u64, wanted: Option<RefusalCode>) {
    let deadline = clock::monotonic() + PATIENCE;
    loop {
        let refused = ahead(client, *seq);
        if refused.is_none() {
            *seq += 1;
        }
        if refused == wanted {
            return;
        }
        assert!(clock::monotonic() < deadline, "{refused:?} instead of {wanted:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn devices_and_their_clocks_are_judged_by_the_terms_of_now() {
    let slow = "[live]\noffline_after = \"1 h\"\n";
    let daemon = started(slow);
    let (mut kiln, _) = Client::greet(&daemon, "kiln", 1);
    kiln.batch(1, &reading("kiln", "heat", 1.0));
    kiln.acked(1);
    let (mut fast, _) = Client::greet(&daemon, "fast", 1);
    assert_eq!(ahead(&mut fast, 1), None, "it is accepted");
    let mut seq = 2;
    let told = until(&daemon, "fast", |device| device["clock"]["state"] == "off");
    assert_eq!((&told["clock"]["policy"], &told["known"]), (&json!("accept"), &json!(false)));
    until(&daemon, "kiln", |device| device["online"] == true);

    // A mistake, and nothing is otherwise.
    let log =
        daemon.reload("[devices]\ninbox = false\nmissed = 0\n[clocks]\npolicy = \"quarantine\"\n");
    assert!(says(&log, &["reload-refused", "devices.missed"]), "{log:#?}");
    assert_eq!(ahead(&mut fast, seq), None);
    seq += 1;

    let log = daemon.reload(
        "[live]\noffline_after = \"1 s\"\n[devices]\ninbox = false\nmissed = 2\n\
         [clocks]\npolicy = \"quarantine\"\n",
    );
    let applied = "applied=\"clocks.policy, devices.inbox, devices.missed, live.offline_after\"";
    assert!(says(&log, &["event=reloaded", applied]), "{log:#?}");
    assert!(!says(&log, &["restart-needed"]), "{log:#?}");
    let gone = until(&daemon, "kiln", |device| device["online"] == false);
    assert_eq!(gone["reason"], "no reading for 1 s");
    until_ahead(&mut fast, &mut seq, Some(RefusalCode::ClockOff));
    // Who comes now is known; who waits in the inbox waits on.
    kiln.batch(2, &reading("new", "heat", 1.0));
    kiln.acked(2);
    assert_eq!(until(&daemon, "new", |_| true)["known"], true);
    assert_eq!(until(&daemon, "kiln", |_| true)["known"], false);

    // What is off is less so; the connection is the same.
    let log = daemon.reload(&format!(
        "{slow}[clocks]\npolicy = \"quarantine\"\ntolerance = \"5 m\"\nwindow = \"2 m\"\n"
    ));
    assert!(says(&log, &["event=reloaded", "clocks.tolerance, clocks.window"]), "{log:#?}");
    until_ahead(&mut fast, &mut seq, None);
    let told = until(&daemon, "fast", |device| device["clock"]["state"] == "ok");
    assert_eq!(told["clock"]["policy"], "quarantine");
    // It was silent for too long by the terms of before, not by those of now.
    until(&daemon, "kiln", |device| device["online"] == true);
}
