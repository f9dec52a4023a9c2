//! Rounds against what is known of them: nothing missing, nothing twice, every device in one part.

use super::{Round, Shape, Source};
use crate::model::Globs;
use crate::model::{BatchBuilder, Keep, Position, Timestamp};
use crate::sinks::influx::names::Naming;
use crate::spool::Protocol;
use crate::wire::{Limits, inflate};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn shape(part_samples: usize, request_bytes: usize) -> Shape {
    Shape { naming: Naming::new("telemetry"), devices: None, part_samples, request_bytes }
}

/// A batch with one reading of `flow.rate` for each of the devices, at this time.
fn source(position: u64, devices: &[u8]) -> Source {
    let mut builder = BatchBuilder::new();
    for device in devices {
        let name = format!("d{device}");
        builder.table(&name, &mut [], [position.cast_signed()]).unwrap();
        builder.floats("flow.rate", "", [f64::from(*device)], &[]).unwrap();
        builder.ints("starts", "", [i64::from(*device)], &[]).unwrap();
    }
    Source {
        position: Position(position),
        received_at: Timestamp(0),
        protocol: Protocol::Ws,
        client: "c".into(),
        batch: Arc::new(builder.finish()),
        skipped: 0,
    }
}

/// The lines of the requests of each part, in the order in which they are sent.
fn lines(round: &Round) -> Vec<Vec<String>> {
    let mut scratch = Vec::new();
    let of_part = |part: &super::Part| {
        let mut lines = Vec::new();
        for piece in &part.pieces {
            let plain = inflate(&piece.gzipped, &Limits::READ_BACK, &mut scratch).unwrap();
            assert_eq!(plain, part.body.slice(piece.lines.clone()));
            let text = std::str::from_utf8(plain).unwrap();
            assert!(text.ends_with('\n'));
            lines.extend(text.lines().map(str::to_owned));
        }
        lines
    };
    round.parts.iter().map(of_part).collect()
}

fn device(line: &str) -> &str {
    line.split_once("device=").unwrap().1.split_once(' ').unwrap().0
}

proptest! {
    #[test]
    fn all_lines_are_in_one_part_each_with_the_others_of_their_device_in_order(
        batches in prop::collection::vec(prop::collection::btree_set(0..12_u8, 1..6), 1..20),
        part_samples in 1..40_usize, request_bytes in 1..400_usize, parts_max in 0..6_u32,
    ) {
        let sources: Vec<_> = (0..)
            .zip(&batches)
            .map(|(at, devices)| source(at * 3, &Vec::from_iter(devices.iter().copied())))
            .collect();
        let whole = Round::encode(sources.clone(), &shape(usize::MAX, usize::MAX), 1);
        let round = Round::encode(sources, &shape(part_samples, request_bytes), parts_max);
        let parts = lines(&round);
        prop_assert!(parts.len() <= parts_max.max(1) as usize);
        prop_assert_eq!(round.samples, whole.samples);
        let mut home = BTreeMap::new();
        for (part, lines) in parts.iter().enumerate() {
            for line in lines {
                prop_assert_eq!(*home.entry(device(line).to_owned()).or_insert(part), part);
            }
        }
        let of_device = |parts: &[Vec<String>], name: &str| -> Vec<String> {
            parts.iter().flatten().filter(|line| device(line) == name).cloned().collect()
        };
        let expected = lines(&whole);
        let names: BTreeSet<_> = expected.iter().flatten().map(|line| device(line)).collect();
        for name in names {
            prop_assert_eq!(of_device(&parts, name), of_device(&expected, name));
        }
        for part in &round.parts {
            for piece in &part.pieces {
                let bytes = part.body.slice(piece.lines.clone()).len();
                prop_assert!(bytes <= request_bytes || piece.lines.len() == 1);
            }
        }
    }
}

#[test]
fn little_goes_in_one_request_however_many_may_be_sent() {
    let round = Round::encode(vec![source(1, &[1, 2, 3, 4, 5])], &shape(10_000, 1 << 20), 8);
    assert_eq!(round.parts.len(), 1);
    assert_eq!(round.parts[0].pieces.len(), 1);
}

#[test]
fn what_is_not_selected_is_counted_and_not_sent() {
    let only = |glob: &str| Globs::new(&[glob.to_owned()]).unwrap().unwrap();
    let sources = vec![source(1, &[1, 2, 3]), source(2, &[2])];
    let mut shape = shape(10_000, 1 << 20);
    shape.devices = Some(only("d[12]"));
    shape.naming = shape.naming.only(only("flow.*"));
    let round = Round::encode(sources, &shape, 4);
    let sent = lines(&round).concat();
    assert_eq!(
        sent,
        ["flow,device=d1 rate=1.0 1", "flow,device=d2 rate=2.0 1", "flow,device=d2 rate=2.0 2"]
    );
    assert_eq!((round.samples, round.skipped), (8, 5));
    assert_eq!(round.sources.iter().map(|source| source.skipped).collect::<Vec<_>>(), [4, 1]);
    assert!(Round::encode(Vec::new(), &shape, 4).parts.is_empty());
}

#[test]
fn what_is_for_live_only_is_skipped_and_counted() {
    let mut builder = BatchBuilder::new();
    for (device, keep) in [("a", Keep::Everywhere), ("b", Keep::LiveOnly), ("c", Keep::StoresOnly)]
    {
        builder.table(device, &mut [], [1, 2]).unwrap();
        builder.keep(keep);
        builder.floats("flow.rate", "", [1.0, 2.0], &[]).unwrap();
    }
    let batch = Arc::new(builder.finish());
    let source = Source { batch, ..source(7, &[]) };
    let round = Round::encode(vec![source], &shape(1, usize::MAX), 4);
    assert_eq!((round.samples, round.skipped), (6, 2));
    let lines = lines(&round).concat();
    let devices: BTreeSet<_> = lines.iter().map(|line| device(line)).collect();
    assert_eq!((lines.len(), devices), (4, BTreeSet::from(["a", "c"])));
}
