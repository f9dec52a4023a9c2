//! SIGHUP: channels of notifications come, change and go; what another has under way is left alone.

use crate::daemon::Daemon;
use crate::notify::measured;
use crate::receiver::{Endpoint, How};
use crate::reload::{says, started};
use serde_json::Value;
use std::time::Duration;

/// One rule, channels to these endpoints, and how long news wait for others.
fn settings(wait: &str, channels: &[(&str, &Endpoint)]) -> String {
    let webhook = |(name, endpoint): &(&str, &Endpoint)| {
        let url = endpoint.url();
        format!("[[notify.webhook]]\nname = \"{name}\"\nurl = \"{url}\"\ntimeout = \"8 s\"\n")
    };
    let channels: String = channels.iter().map(webhook).collect();
    format!(
        "[[alerts]]\nname = \"motor hot\"\nkind = \"threshold\"\nmetric = [\"motor.temperature\"]\n\
         above = 80\n[notify]\ngroup_wait = \"{wait}\"\ngroup_interval = \"{wait}\"\n{channels}"
    )
}

fn channel(daemon: &Daemon, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let find = |answer: &Value| {
        let all = answer["channels"].as_array().unwrap();
        all.iter().find(|channel| channel["name"] == name).cloned().unwrap_or_default()
    };
    find(&daemon.eventually("/api/v1/notifications", |answer| wanted(&find(answer))))
}

#[test]
fn channels_come_change_and_go_and_the_others_go_on() {
    const SOON: &str = "100 ms";
    let [stays, goes, comes, moved] = [(); 4].map(|()| Endpoint::start());
    let daemon = started(&settings(SOON, &[("stays", &stays), ("goes", &goes)]));
    stays.will(&[How::Hang]);
    measured(&daemon, "pump-7", 92.5);
    let under_way = stays.next(How::Hang);
    assert!(goes.taken().summary().contains("pump-7"));
    channel(&daemon, "goes", |channel| channel["sent"] == 1);
    assert!(daemon.get("/metrics").1.contains("channel=\"goes\""));

    // One mistake, and all stays.
    let wrong = settings(SOON, &[("comes", &comes), ("NO NAME", &goes)]);
    let log = daemon.reload(&wrong);
    assert!(says(&log, &["reload-refused", "notify.webhook.1.name"]), "{log:#?}");
    channel(&daemon, "goes", |channel| channel["sent"] == 1);

    // It finishes what is under way, and is not asked twice: nobody cut it off.
    let log = daemon.reload(&settings(SOON, &[("comes", &comes), ("stays", &stays)]));
    let applied = "applied=\"notify.webhook.comes, notify.webhook.goes\"";
    assert!(says(&log, &["event=reloaded", applied]), "{log:#?}");
    assert!(!says(&log, &["level=error"]) && !says(&log, &["restart-needed"]), "{log:#?}");
    let status = daemon.json("/api/v1/notifications");
    let names: Vec<_> =
        status["channels"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["comes", "stays"]);
    assert!(!daemon.get("/metrics").1.contains("channel=\"goes\""));
    measured(&daemon, "pump-8", 93.5);
    let first = comes.taken();
    assert!(first.summary().contains("pump-8") && !first.raw.contains("pump-7"), "{first:?}");
    let again = stays.taken();
    assert_eq!((&again.delivery, &again.raw), (&under_way.delivery, &under_way.raw));
    assert!(stays.taken().summary().contains("pump-8"));
    channel(&daemon, "stays", |channel| channel["sent"] == 2 && channel["failed"] == 1);
    // With nothing on its way, which would go to the other address.
    channel(&daemon, "comes", |channel| channel["sent"] == 1 && channel["state"] == "idle");

    // It goes on elsewhere, with what happens from now on.
    let log = daemon.reload(&settings(SOON, &[("comes", &moved), ("stays", &stays)]));
    assert!(says(&log, &["event=reloaded", "applied=notify.webhook.comes.url"]), "{log:#?}");
    measured(&daemon, "pump-9", 94.5);
    assert!(moved.taken().summary().contains("pump-9"));
    assert!(stays.taken().summary().contains("pump-9"));
    channel(&daemon, "comes", |channel| channel["sent"] == 2);
    assert!(
        comes.is_silent(Duration::from_millis(100)) && goes.is_silent(Duration::from_millis(100))
    );
}

#[test]
fn how_long_news_wait_holds_for_those_that_wait_already() {
    let ops = Endpoint::start();
    let daemon = started(&settings("1 h", &[("ops", &ops)]));
    measured(&daemon, "pump-7", 92.5);
    channel(&daemon, "ops", |channel| channel["pending_events"] == 1);
    let log = daemon.reload(&settings("1 s", &[("ops", &ops)]));
    let applied = "applied=\"notify.group_interval, notify.group_wait\"";
    assert!(says(&log, &["event=reloaded", applied]), "{log:#?}");
    assert!(ops.taken().summary().contains("pump-7"));
    channel(&daemon, "ops", |channel| channel["sent"] == 1);
}
