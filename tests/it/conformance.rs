//! `tidegate conformance`: the clients of `examples/clients` pass it, and each mistake that a client can
//! make (`tests/clients/wrong.py`) is told by its name.

use crate::clients::{C, PYTHON, RUST, TYPESCRIPT};
use serde_json::Value as Json;
use std::process::{Command, Stdio};
use std::sync::Mutex;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The verdicts on a client, and whether the exit code agrees.
fn verdicts(options: &[&str], command: &[&str]) -> (Json, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["conformance", "--json"])
        .args(options)
        .arg("--")
        .args(command)
        .current_dir(ROOT)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let verdicts = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
    (verdicts, output.status.success())
}

/// The client passes every scenario there is.
fn passes(command: &[&str]) {
    // A client is slow on a busy machine: that is no fault of its own.
    let (verdicts, success) = verdicts(&["--patience", "60 s"], command);
    let failed: Vec<_> = verdicts["scenarios"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|verdict| verdict["pass"] != true)
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(success);
    assert_eq!(verdicts["passed"], tidegate::conformance::SCENARIOS.len());
}

/// Plays of a scenario until its mistake is told: where one is to be seen in a time that is too short, a
/// busy machine may hide it.
const PLAYS_MAX: usize = 3;

/// Each of these clients, which do one thing wrong, fails the scenario with a sentence that has the words.
fn told(mistakes: &[(&str, &str, &str)]) {
    let wrong = Mutex::new(Vec::new());
    let next = Mutex::new(mistakes.iter());
    // Most of the time they wait.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let taken = next.lock().unwrap().next();
                    let Some((mistake, scenario, words)) = taken else { break };
                    let client = [".venv/bin/python", "tests/clients/wrong.py", mistake];
                    let options = ["--patience", "10 s", "--scenario", scenario];
                    let play = || {
                        let (verdicts, success) = verdicts(&options, &client);
                        let verdict = &verdicts["scenarios"][0];
                        let fault = verdict["fault"].as_str().unwrap_or("it passed");
                        let said = format!("{mistake} in {scenario}: {fault:?}, not {words:?}");
                        let is_told = !success && fault.contains(words);
                        (!is_told).then(|| format!("{said} {}", verdict["stderr"]))
                    };
                    let untold: Vec<_> = (0..PLAYS_MAX).map_while(|_| play()).collect();
                    if untold.len() == PLAYS_MAX {
                        wrong.lock().unwrap().extend(untold);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_python_client_conforms() {
    passes(PYTHON);
}

#[test]
fn the_typescript_client_conforms() {
    passes(TYPESCRIPT);
}

#[test]
fn the_rust_client_conforms() {
    passes(RUST);
}

#[test]
fn the_c_client_conforms() {
    passes(C);
}

#[test]
fn mistakes_in_greeting_are_told() {
    told(&[
        ("other-name", "hello", "its Hello says the client \"me\" instead of"),
        ("session-zero", "hello", "its session is 0"),
        ("session-constant", "hello", "two clients with fresh buffers have the same session 42"),
        ("no-subprotocol", "hello", "offered the subprotocol \"\" instead of tidegate.v1"),
        ("no-token", "hello", "showed Authorization \"\" instead of"),
        ("batch-before-welcome", "hello", "it sent a batch before it was welcome"),
        ("batch-before-hello", "hello", "its first message was a Batch instead of Hello"),
        ("nonsense", "hello", "it sent a message that is no Upstream: not a valid protobuf"),
        ("text-message", "hello", "it sent a text message"),
        ("seq-from-zero", "hello", "it sent a batch without a seq"),
        ("other-reading", "hello", "batch 1 does not hold reading 1, but 2"),
        ("clock-never-set", "hello", "it sent a batch that the daemon would refuse"),
        ("ends-as-if-it-failed", "hello", "it ended with exit status: 3, although all was settled"),
        ("never-ends", "hello", "it did not end within 10s, although all was settled"),
        ("no-pong", "ping", "it did not send a pong"),
    ]);
}

#[test]
fn mistakes_in_sending_again_are_told() {
    told(&[
        ("resends-nothing", "resume", "it did not send the 1. of 6 batches that are due"),
        ("resends-all", "resume", "it sent batch 1 again, although it was settled"),
        ("new-bytes", "resume", "batch 5 came again with other bytes"),
        ("new-seqs", "resume", "it sent batch 105, where 5 was due"),
        ("skips-a-seq", "resume", "it sent batch 4, where 3 was due"),
        ("new-session-each-time", "resume", "although its buffer is the same"),
        ("resume-too-high", "resume", "its Hello.resume is 4, although batch 1 is not settled"),
        ("sent-is-settled", "acks", "it ended (exit status: 0) with 10 readings unsettled"),
        ("resends-by-clock", "acks", "it sent batch 1 a second time on the same connection"),
        ("ack-settles-all", "acks", "it ended (exit status: 0) with 7 readings unsettled"),
        ("forgets-its-session", "restart", "although its buffer is the same"),
        ("forgets-its-seqs", "restart", "it did not say \"kept 14\""),
        ("buffer-in-memory", "restart", "although batch 5 is not settled"),
    ]);
}

#[test]
fn mistakes_with_refusals_and_commands_are_told() {
    told(&[
        (
            "retries-what-is-refused-for-good",
            "refused-for-good",
            "it sent batch 3 again, although it was refused for good",
        ),
        ("drops-without-a-word", "refused-for-good", "it did not say \"refused 3\""),
        ("deaf-to-refusals", "refused-for-later", "it did not send what was refused for later"),
        ("retries-at-once", "refused-for-later", "after a refusal that told it to wait 900ms"),
        ("retries-only-that-one", "refused-for-later", "it sent batch 5, where 4 was due"),
        ("drops-what-may-come-later", "refused-for-later", "it sent batch 5, where 3 was due"),
        ("dies-of-the-unknown", "unknown", "it ended (exit status: 1) with"),
        ("closes-on-the-unknown", "unknown", "it closed the connection"),
        ("deaf-to-commands", "command", "it did not send CommandResult{id: 7}"),
        ("answers-once", "command", "it did not send CommandResult{id: 7}"),
        ("says-ok-to-anything", "command", "its answer to command 7 says ok"),
        ("says-no-without-why", "command", "its answer to command 7 has no message"),
        ("another-command", "command", "it answered command 97, which it was not sent"),
        ("reports-unasked", "desired", "it sent Reported, although it was never sent a Desired"),
        ("reports-another-version", "desired", "version 4; it was sent version 3"),
    ]);
}

#[test]
fn mistakes_with_flow_and_buffer_are_told() {
    told(&[
        ("ignores-credit", "credit-batches", "it had 2 batches unanswered with a credit of 1"),
        ("ignores-bytes", "credit-bytes", "bytes unanswered with a credit of"),
        ("credit-zero-is-one", "credit-batches", "it had 1 batches unanswered with a credit of 0"),
        ("deaf-to-throttle", "credit-batches", "it did not send the 1. of 2 batches"),
        ("ignores-interval", "throttle", "after it was told to send one in 400ms"),
        ("an-ack-lifts-the-interval", "throttle", "after it was told to send one in 400ms"),
        ("interval-for-ever", "throttle", "it still sends slowly"),
        ("buffer-without-end", "long-outage", "its Hello.resume is 1 instead of 41"),
        ("gives-up-the-newest", "long-outage", "its Hello.resume is 1 instead of 41"),
        ("gives-up-without-a-word", "long-outage", "it did not say \"gave-up 1\""),
    ]);
}

#[test]
fn mistakes_with_connections_are_told() {
    told(&[
        ("no-backoff", "cut-off", "at least 250ms is due after 1 failures in a row"),
        ("constant-backoff", "backoff", "at least 500ms is due after 2 failures in a row"),
        ("connecting-begins-anew", "backoff", "failures in a row"),
        ("no-jitter", "backoff", "the times that it waits before coming back have no random part"),
        ("never-begins-anew", "backoff", "as if it had failed all the time"),
        ("ignores-goodbye", "goodbye", "after a Goodbye that told it to wait 1.5s"),
        ("gives-up", "close-codes", "with 6 readings unsettled"),
        ("always-comes-back", "stay-away", "it came back after close code"),
        ("half-a-frame-is-a-message", "cut-off", "is 5, although batch 2 is not settled"),
    ]);
}

#[test]
fn every_mistake_is_tried_and_every_scenario_has_one() {
    let source = include_str!("conformance.rs");
    let listed = Command::new(format!("{ROOT}/.venv/bin/python"))
        .arg(format!("{ROOT}/tests/clients/wrong.py"))
        .arg("--list")
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let untried: Vec<_> =
        listed.lines().filter(|mistake| !source.contains(&format!("\"{mistake}\","))).collect();
    assert!(untried.is_empty() && listed.lines().count() > 50, "{untried:?}");
    let scenarios = tidegate::conformance::SCENARIOS.iter().map(|scenario| scenario.name);
    let without: Vec<_> =
        scenarios.filter(|name| !source.contains(&format!("\"{name}\","))).collect();
    assert!(without.is_empty(), "{without:?}");
}
