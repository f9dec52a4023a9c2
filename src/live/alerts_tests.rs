//! What viewers see of alerts.

use super::feed::Begin;
use super::frame::FrameKind;
use super::rig::*;
use crate::model::Timestamp;
use crate::rules::{Alert, Severity, State};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

fn alert(id: u64, device: Option<&str>, state: State) -> Arc<Alert> {
    Arc::new(Alert {
        id,
        rule: "too hot".into(),
        severity: Severity::Critical,
        device: device.map(Into::into),
        metric: None,
        tags: BTreeMap::new(),
        subject: String::new(),
        state,
        value: None,
        unit: String::new(),
        text: "line\nbreak".to_owned(),
        runbook: String::new(),
        pending_at: Timestamp(id as i64 * 1_000_000),
        fired_at: None,
        acknowledged: None,
        resolved_at: None,
        silenced: false,
        notify: Vec::new(),
    })
}

fn ids(page: &Page) -> Vec<u64> {
    let alerts = page.last(FrameKind::Alert)["alerts"].as_array().unwrap();
    alerts.iter().map(|alert| alert["id"].as_u64().unwrap()).collect()
}

#[test]
fn a_viewer_sees_open_alerts_at_first_and_then_each_change() {
    let mut rig = Rig::whole(1);
    rig.hub.set_alert(alert(1, Some("pump-1"), State::Firing));
    rig.hub.set_alert(alert(2, Some("boiler"), State::Pending));
    rig.hub.set_alert(alert(3, None, State::Firing));
    rig.hub.set_alert(alert(4, Some("pump-1"), State::Resolved));
    let mut pumps = rig.page("device=pump-*");
    let mut others = rig.page("device=other-*");
    rig.tick();
    assert_eq!(pumps.read(), GREETING);
    assert_eq!(ids(&pumps), [1, 3], "of its devices, and of the daemon");
    assert_eq!(pumps.last(FrameKind::Alert)["all"], true);
    let first = &pumps.last(FrameKind::Alert)["alerts"][0];
    assert_eq!(first, &alert(1, Some("pump-1"), State::Firing).json());
    others.read();
    assert_eq!(ids(&others), [3]);

    rig.tick();
    assert!(pumps.read().is_empty(), "nothing changed");
    rig.hub.set_alert(alert(1, Some("pump-1"), State::Resolved));
    rig.hub.set_alert(alert(2, Some("boiler"), State::Firing));
    rig.tick();
    assert_eq!(pumps.read(), [FrameKind::Alert]);
    let changed = pumps.last(FrameKind::Alert);
    assert_eq!((ids(&pumps), changed.get("all")), (vec![1], None::<&Value>));
    assert_eq!(changed["alerts"][0]["state"], "resolved");
    assert!(others.read().is_empty());
}

#[test]
fn who_comes_back_learns_of_alerts_that_are_over_by_what_is_open() {
    let mut rig = Rig::whole(5);
    rig.hub.set_alert(alert(1, None, State::Firing));
    rig.hub.set_alert(alert(1, None, State::Resolved));
    rig.tick();
    let mut page = rig.page("cursor=1f-5");
    rig.tick();
    assert_eq!(page.read(), RESUMED[..2]);
    assert_eq!(page.last(FrameKind::Alert), &json!({"all": true, "alerts": []}));
}

#[test]
fn open_alerts_beyond_the_most_are_counted() {
    let mut rig = Rig::new(0..0, settings(Begin::Kept(crate::model::Position(0))));
    for id in 1..=10_003 {
        rig.hub.set_alert(alert(id, None, State::Firing));
    }
    let mut page = rig.page("");
    rig.tick();
    page.read();
    assert_eq!(page.last(FrameKind::Alert)["more"], 3);
    assert_eq!(ids(&page).len(), 10_000);
    rig.hub.set_alert(alert(10_001, None, State::Resolved));
    rig.hub.set_alert(alert(1, None, State::Resolved));
    rig.hub.set_alert(alert(10_002, None, State::Acknowledged));
    let mut later = rig.page("");
    rig.tick();
    later.read();
    assert_eq!(later.last(FrameKind::Alert)["more"], 1);
    assert_eq!(ids(&later).last(), Some(&10_002));
    page.read();
    assert_eq!(ids(&page), [1, 10_001, 10_002], "who watches sees each change");
}
