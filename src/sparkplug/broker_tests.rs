//! Stories of brokers and daemons that are lost and come back, and of what a host says there.

use super::proto::payload::metric::Value as Field;
use super::proto::{DataType as Tahu, Payload};
use super::tests::{
    D, INT, N, NOW, Story, aliased, at, bdseq, born, bytes, int, is_rebirth, kinds, presence, told,
};
use super::*;
use crate::decode::Content;
use prost::Message;
use std::time::Duration;

#[test]
fn a_lost_broker_makes_everything_stale_and_tables_are_recalled() {
    let mut story = Story::begun();
    story.now = 50;
    let heard = story.host.disconnected(at(50));
    assert_eq!(presence(&heard), [(N, false), (D, false)]);
    assert_eq!(heard.presence[0].at, at(50));
    assert!(story.host.disconnected(at(51)).is_empty());
    story.pass(10_000);
    story.host.connected(at(10_000));
    let heard = story.tell("DDATA/N/D", Some(99), &[aliased(2, int(5))]);
    assert_eq!(presence(&heard), [(N, true), (D, true)]);
    assert_eq!(told(&heard), ["G/N/D d=5"]);
    assert_eq!(heard.acts, []);
    // It is asked to confirm its tables, once, when those that come by themselves have come.
    assert_eq!(story.asked(25_000), [20_000]);
    story.births(0);
    assert_eq!(story.asked(600_000), [0; 0]);
}

#[test]
fn a_recalled_table_that_is_contradicted_is_believed_no_more() {
    for wrong in [aliased(3, int(1)), aliased(1, Field::StringValue("no number".to_owned()))] {
        let mut story = Story::begun();
        story.host.disconnected(at(0));
        story.host.connected(at(0));
        let heard = story.tell("NDATA/N", Some(50), &[wrong]);
        assert!(is_rebirth(&heard.acts[0]));
        let heard = story.tell("NDATA/N", Some(51), &[aliased(1, int(1))]);
        assert_eq!(kinds(&heard), [PuzzleKind::AwaitingBirth]);
    }
    // A death that is not of the births we know: we missed one.
    let mut story = Story::begun();
    story.host.disconnected(at(0));
    story.host.connected(at(0));
    let heard = story.tell("NDEATH/N", None, &[bdseq(5)]);
    assert!(is_rebirth(&heard.acts[0]));
}

#[test]
fn tables_survive_a_restart() {
    let mut story = Story::begun();
    let told_then = story.pass(2_000);
    let wanted: Vec<_> = told_then.iter().flat_map(|(_, heard)| heard.remember.clone()).collect();
    assert_eq!(wanted.len(), 1, "births come in bursts, and are written down once");
    let kept = story.host.remember(&wanted[0]).unwrap();

    let mut host = Host::new(Settings::default());
    assert_eq!(host.restore(&kept).unwrap(), wanted[0]);
    assert_eq!(host.restore(&kept), Err(Damaged), "twice");
    host.connected(at(0));
    let mut story = Story { host, now: 0 };
    let heard = story.tell("DDATA/N/D", Some(99), &[aliased(2, int(5))]);
    assert_eq!(told(&heard), ["G/N/D d=5"]);
    assert_eq!(presence(&heard), [(N, true), (D, true)]);
    assert_eq!(heard.acts, []);

    // A node that died meanwhile does not answer, and is told to be offline.
    let mut host = Host::new(Settings::default());
    host.restore(&kept).unwrap();
    host.connected(at(0));
    let mut story = Story { host, now: 0 };
    let told_then = story.pass(60_000);
    let gone: Vec<_> = told_then.iter().filter(|(_, heard)| !heard.presence.is_empty()).collect();
    assert_eq!(gone[0].0, 40_000);
    assert_eq!(presence(&gone[0].1), [(N, false), (D, false)]);

    for at in 0..kept.len() {
        let mut damaged = kept.clone();
        damaged[at] ^= 0x10;
        assert_eq!(Host::new(Settings::default()).restore(&damaged), Err(Damaged), "{at}");
        assert_eq!(Host::new(Settings::default()).restore(&kept[..at]), Err(Damaged), "{at}");
    }
    // Who dies is forgotten.
    let mut story = Story::begun();
    story.tell("NDEATH/N", None, &[bdseq(0)]);
    let told_then = story.pass(2_000);
    assert_eq!(told_then.iter().map(|(_, heard)| heard.remember.len()).sum::<usize>(), 1);
    assert_eq!(story.host.remember(&wanted[0]), None);
}

#[test]
fn many_recalled_nodes_are_asked_one_after_the_other() {
    let mut host = Host::new(Settings::default());
    host.connected(at(0));
    for node in 0..50 {
        let birth = bytes(Some(0), 0, &[born("m", 1, INT, int(1))]);
        host.message(&format!("spBv1.0/G/NBIRTH/{node}"), &birth, at(0), false).unwrap();
    }
    host.disconnected(at(0));
    assert!(host.connected(at(0)).is_empty(), "no host id, no STATE");
    let mut story = Story { host, now: 0 };
    let asked = story.asked(34_501);
    assert_eq!(asked.len(), 50);
    let fast = |gap: &[u64]| gap[1] - gap[0] != 500;
    assert_eq!(asked.windows(2).filter(|gap| fast(gap)).count(), 0, "{asked:?}");
    assert_eq!(asked[0], 10_000);
}

#[test]
fn our_state_has_the_timestamp_of_our_will() {
    let settings = Settings { host_id: "scada".to_owned(), ..Settings::default() };
    let mut host = Host::new(settings);
    let will = host.will(at(5)).unwrap();
    assert_eq!((will.qos, will.retain, &*will.topic), (1, true, "spBv1.0/STATE/scada"));
    assert_eq!(will.payload, format!(r#"{{"online":false,"timestamp":{}}}"#, NOW + 5).as_bytes());
    let online = Act::Publish {
        topic: "spBv1.0/STATE/scada".to_owned(),
        payload: format!(r#"{{"online":true,"timestamp":{}}}"#, NOW + 5).into_bytes(),
        qos: 1,
        retain: true,
    };
    let subscribe = Act::Subscribe { filter: "spBv1.0/STATE/scada".to_owned(), qos: 1 };
    assert_eq!(host.connected(at(9)), [subscribe, online.clone()]);
    let mut state = |host_id: &str, payload: &str, retained| {
        let topic = format!("spBv1.0/STATE/{host_id}");
        host.message(&topic, payload.as_bytes(), at(20), retained).unwrap().acts
    };
    assert_eq!(state("scada", r#"{"online":true,"timestamp":7}"#, false), []);
    assert_eq!(state("other", r#"{"online":false,"timestamp":7}"#, false), []);
    assert_eq!(
        state("scada", r#"{"online":false,"timestamp":7}"#, true),
        std::slice::from_ref(&online)
    );
    assert_eq!(state("scada", "OFFLINE", false), [online]);
    // Nodes would not believe an older one.
    let newer = format!(r#"{{"online":false,"timestamp":{}}}"#, NOW + 10);
    let [Act::Publish { payload, .. }] = &state("scada", &newer, false)[..] else { panic!() };
    assert_eq!(payload, format!(r#"{{"online":true,"timestamp":{}}}"#, NOW + 20).as_bytes());
    let Some(Act::Publish { payload, .. }) = host.farewell(at(30)) else { panic!() };
    assert_eq!(payload, format!(r#"{{"online":false,"timestamp":{}}}"#, NOW + 30).as_bytes());
    assert_eq!(Host::new(Settings::default()).will(at(0)), None);
}

#[test]
fn commands_go_to_who_is_here_and_has_the_metric() {
    let mut story = Story::begun();
    let set = |story: &Story, device: &str, metric: &str, value: Content<'_>| {
        story.host.command(device, metric, &value, at(3))
    };
    let Ok(Act::Publish { topic, payload, qos: 0, retain: false }) =
        set(&story, D, "d", Content::Int(-2))
    else {
        panic!()
    };
    assert_eq!(topic, "spBv1.0/G/DCMD/N/D");
    let payload = Payload::decode(&payload[..]).unwrap();
    assert_eq!((payload.timestamp, payload.seq), (Some(NOW + 3), None));
    let metric = &payload.metrics[0];
    assert_eq!(metric.name.as_deref(), Some("d"));
    assert_eq!(metric.datatype, Some(Tahu::Int32 as u32));
    assert_eq!(metric.value, Some(Field::IntValue(-2_i32 as u32)));
    let error = |result: Result<Act, CommandError>| result.unwrap_err().to_string();
    assert_eq!(error(set(&story, D, "d", Content::Bool(true))), "the value is not a Int32");
    assert_eq!(error(set(&story, D, "d", Content::Int(1 << 40))), "the value is not a Int32");
    assert_eq!(error(set(&story, D, "e", Content::Int(1))), "G/N/D has no metric e");
    assert_eq!(error(set(&story, "G/X", "e", Content::Int(1))), "no Sparkplug device G/X is known");
    story.tell("DDEATH/N/D", Some(2), &[]);
    assert_eq!(error(set(&story, D, "d", Content::Int(1))), "G/N/D is offline");
}

#[test]
fn nobody_is_asked_through_a_broker_that_is_gone() {
    let mut story = Story::begun();
    story.tell("NDATA/N", Some(9), &[]);
    story.host.disconnected(at(0));
    assert_eq!(story.asked(600_000), [0; 0]);
    let mut story = Story::begun();
    story.tell("DDATA/N/E", Some(2), &[aliased(1, int(1))]);
    story.host.farewell(at(0));
    assert_eq!(story.asked(600_000), [0; 0]);
    assert_eq!(Duration::from_millis(600_000), REBIRTH_INTERVAL_MIN * 20);
}
