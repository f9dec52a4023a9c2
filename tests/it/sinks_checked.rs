//! `tidegate check` asks the sinks, writes nothing, and says what is in the way.

use crate::store::{Reaction, Store};
use crate::victoria::Victoria;
use std::process::Command;

/// Runs it with these settings of the first sink: exit code, and what it printed on both.
fn check(settings: &[&str], arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("check").args(arguments);
    for setting in settings.iter().chain(&["bucket=north"]) {
        command.args(["--set", &format!("sinks.influx.0.{setting}")]);
    }
    let output = command.output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(printed).unwrap())
}

fn check_says(settings: &[&str], code: i32, said: &str) {
    let (found, printed) = check(settings, &[]);
    assert!(found == code && printed.contains(said), "{found}, wanted {code} {said}: {printed}");
}

#[test]
fn a_store_that_takes_writes_is_good_and_gets_none() {
    let victoria = Victoria::start();
    check_says(&[&format!("url={}", victoria.url())], 0, &format!("{}: good", victoria.url()));
    assert_eq!(victoria.count("{__name__!=\"\"}"), 0);
    // InfluxDB 2 wants lines, but not before it has looked at everything else.
    let store = Store::start(|request| {
        assert!(request.lines.is_empty());
        Reaction::says(400, r#"{"code":"invalid","message":"writing requires points"}"#)
    });
    check_says(&[&format!("url={}", store.url())], 0, ": good");
}

#[test]
fn what_is_in_the_way_is_said_and_the_token_is_not() {
    let store = Store::start(|_| {
        Reaction::says(404, r#"{"code":"not found","message":"bucket \"north\" not found"}"#)
    });
    store.require_token("right");
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "hunter2\n").unwrap();
    let url = format!("url={}", store.url());
    let token_file = format!("token_file={}", token.path().display());
    let (code, printed) = check(&[&url, &token_file], &[]);
    assert!(code == 69 && printed.contains("look at token_file"), "{code} {printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
    assert_eq!(store.requests()[0].token.as_deref(), Some("hunter2"));
    std::fs::write(token.path(), "right\n").unwrap();
    check_says(&[&url, &token_file], 69, "bucket \"north\" not found");
    check_says(&[&url, "token_file=/nowhere/token"], 69, "token_file /nowhere/token can't be read");
    // A label longer than any may be: no name server is asked, who may be silent.
    let nowhere = format!("url=http://{}.invalid", "a".repeat(64));
    check_says(&[&nowhere], 69, "host name does not resolve");
    check_says(&["url=http://127.0.0.1:1"], 69, "nothing listens");
    check_says(&["url=127.0.0.1:1"], 78, "must begin with http:// or https://");
}

#[test]
fn offline_it_asks_nobody() {
    let store = Store::start(|_| Reaction::stored());
    let (code, printed) = check(&[&format!("url={}", store.url())], &["--offline"]);
    assert!(code == 0 && printed.contains("The configuration is good"), "{code} {printed}");
    assert!(store.requests().is_empty());
}
