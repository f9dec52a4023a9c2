//! Any bytes as messages to a Sparkplug host: a byte says which verb and how much time passed, two how
//! long the payload is, and so on. What is read must fit a batch, and tables must survive being
//! remembered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::time::Duration;
use tidegate::decode::{Gather, Limits};
use tidegate::model::Timestamp;
use tidegate::sparkplug::{Caps, Heard, Host, NodeId, Settings};

const TOPICS: [&str; 8] = [
    "spBv1.0/G/NBIRTH/N",
    "spBv1.0/G/NDATA/N",
    "spBv1.0/G/NDEATH/N",
    "spBv1.0/G/DBIRTH/N/D",
    "spBv1.0/G/DDATA/N/D",
    "spBv1.0/G/DDEATH/N/D",
    "spBv1.0/STATE/host",
    "spBv1.0/G/DBIRTH/N/E",
];

fn fits(heard: Heard, limits: &Limits) -> Vec<NodeId> {
    let mut gather = Gather::new(limits);
    for heard in heard.readings {
        gather.push(heard.reading, heard.received_at).expect("what is told keeps the limits");
    }
    heard.remember
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let caps = Caps { nodes: 4, table_bytes: 1 << 20, held_bytes: 1 << 16, ..Caps::default() };
    let settings = Settings { host_id: "host".to_owned(), caps, ..Settings::default() };
    let mut host = Host::new(settings.clone());
    let mut now = Timestamp(1_800_000_000_000_000_000);
    host.will(now);
    host.connected(now);
    let mut rest = bytes;
    while let [what, low, high, after @ ..] = rest {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (payload, after) = after.split_at(len);
        rest = after;
        now = now.saturating_add(Duration::from_millis(u64::from(what >> 3) * 500));
        while host.next_deadline().is_some_and(|due| due <= now) {
            for node in fits(host.tick(now), &limits) {
                if let Some(kept) = host.remember(&node) {
                    let mut again = Host::new(settings.clone());
                    assert_eq!(again.restore(&kept), Ok(node.clone()));
                    assert_eq!(again.remember(&node), Some(kept));
                }
            }
        }
        let topic = TOPICS[usize::from(what & 7)];
        if let Ok(heard) = host.message(topic, payload, now, false) {
            fits(heard, &limits);
        }
        assert!(host.standing().memory_bytes <= (1 << 20) + (1 << 16));
    }
    fits(host.disconnected(now), &limits);
    let _damaged = host.restore(bytes);
});
