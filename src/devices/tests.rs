use super::file::File;
use crate::live::{
    ClientInfo, Clock, ClockPolicy, ClockState, DeviceState, KnownDevice, Seed, SeedRest, Via,
};
use crate::model::{Protocol, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

fn labels(site: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("site".to_owned(), site.to_owned())])
}

fn state(id: &str, off: bool) -> DeviceState {
    let state = if off { ClockState::Off } else { ClockState::Ok };
    DeviceState {
        id: id.to_owned(),
        online: !off,
        since: Timestamp(20),
        reason: off.then(|| "connection closed".into()),
        via: Some(Via { protocol: Protocol::Ws, client: "gw".into() }),
        address: "10.0.0.7".parse().ok(),
        first_seen: Timestamp(10),
        last_seen: Timestamp(30),
        info: ClientInfo { labels: labels("north"), software: "fw 2".to_owned() },
        labels: labels("south"),
        series: 3,
        interval: Some(Duration::from_millis(1500)),
        expected: off.then_some(Duration::from_secs(30)),
        told: off,
        clock: Some(Clock { offset_ns: 7_000, drift_ppm: None, state }),
        clock_policy: ClockPolicy::Correct,
        clock_policy_set: off,
        known: off,
        refused: 9,
        detail: None,
    }
}

fn known(id: &str, off: bool) -> KnownDevice {
    KnownDevice {
        seed: Seed {
            name: id.into(),
            first_seen: Timestamp(10),
            last_seen: Timestamp(30),
            rest: Some(SeedRest {
                online: !off,
                since: Timestamp(20),
                reason: off.then(|| "connection closed".into()),
                via: Some(Via { protocol: Protocol::Ws, client: "gw".into() }),
                interval: Some(Duration::from_millis(1500)),
                expected: off.then_some(Duration::from_secs(30)),
                told: off,
                known: off,
                clock_policy: off.then_some(ClockPolicy::Correct),
                clock_off: off.then_some(7_000),
            }),
        },
        info: ClientInfo { labels: labels("north"), software: "fw 2".to_owned() },
        labels: labels("south"),
        address: "10.0.0.7".parse().ok(),
    }
}

#[test]
fn what_was_written_is_known_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("devices.db");
    let (mut file, found, set_aside) = File::open(&path).unwrap();
    assert!(found.is_empty() && set_aside.is_none());
    file.write([state("a", false), state("b", false)].iter()).unwrap();
    file.write([state("b", true)].iter()).unwrap();
    drop(file);
    let (_, found, set_aside) = File::open(&path).unwrap();
    assert!(set_aside.is_none());
    assert_eq!(found, [known("a", false), known("b", true)]);
}

#[test]
fn a_damaged_register_is_set_aside_and_one_of_others_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("devices.db");
    std::fs::write(&path, vec![0x55; 8192]).unwrap();
    let (_, found, set_aside) = File::open(&path).unwrap();
    assert!(found.is_empty());
    assert_eq!(set_aside.unwrap().bytes, 8192);
    let foreign = directory.path().join("foreign.db");
    let other = rusqlite::Connection::open(&foreign).unwrap();
    other.execute_batch("PRAGMA application_id=7; CREATE TABLE theirs(x);").unwrap();
    drop(other);
    assert!(matches!(File::open(&foreign), Err(super::FileError::Foreign { application: 7 })));
}
