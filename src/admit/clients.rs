//! Who sent what: the counts of each client over each protocol, bounded in number.
//!
//! Hot path: a client that is known costs one look-up per batch, and no allocation. When there are too
//! many, one that has not been heard of for long is forgotten (a clock hand goes round and takes the
//! first that was not used since it last came by); what it had sent is then among the counts of its
//! protocol only, which are exact always.

use super::Counts;
use crate::model::ClientId;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// The counts of one client over one protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCounts {
    /// Who.
    pub client: ClientId,
    /// Over what, as the spool stores it.
    pub protocol: u8,
    /// What became of its batches.
    pub counts: Counts,
}

#[derive(Debug)]
pub(super) struct Clients {
    max: usize,
    hasher: RandomState,
    /// Places in `entries`.
    index: HashTable<usize>,
    entries: Vec<Entry>,
    hand: usize,
}

#[derive(Debug)]
struct Entry {
    told: ClientCounts,
    /// Since the hand came by.
    used: bool,
}

impl Clients {
    pub fn new(max: usize) -> Clients {
        Clients {
            max: max.max(1),
            hasher: RandomState::default(),
            index: HashTable::new(),
            entries: Vec::new(),
            hand: 0,
        }
    }

    pub fn max(&self) -> usize {
        self.max
    }

    /// Its counts, to count on.
    pub fn of(&mut self, client: &ClientId, protocol: u8) -> &mut Counts {
        let hash = self.hash(client, protocol);
        let Clients { index, entries, .. } = self;
        let found = index.find(hash, |&at| entries[at].is(client, protocol)).copied();
        let at = match found {
            Some(at) => {
                self.entries[at].used = true;
                at
            }
            None => self.add(hash, client.clone(), protocol),
        };
        &mut self.entries[at].told.counts
    }

    /// All of them; those that would be forgotten first come first.
    pub fn iter(&self) -> impl Iterator<Item = &ClientCounts> {
        let (young, old) = self.entries.split_at(self.hand);
        old.iter().chain(young).map(|entry| &entry.told)
    }

    fn add(&mut self, hash: u64, client: ClientId, protocol: u8) -> usize {
        let told = ClientCounts { client, protocol, counts: Counts::default() };
        // Who comes once only is the first to go.
        let entry = Entry { told, used: false };
        let at = if self.entries.len() < self.max {
            self.entries.push(entry);
            self.entries.len() - 1
        } else {
            let at = self.forget();
            self.entries[at] = entry;
            at
        };
        let Clients { index, entries, hasher, .. } = self;
        index.insert_unique(hash, at, |&at| entries[at].hash(hasher));
        at
    }

    /// Makes a place free, and tells which.
    fn forget(&mut self) -> usize {
        let at = loop {
            let at = self.hand;
            self.hand = (self.hand + 1) % self.entries.len();
            if !std::mem::replace(&mut self.entries[at].used, false) {
                break at;
            }
        };
        let hash = self.entries[at].hash(&self.hasher);
        if let Ok(found) = self.index.find_entry(hash, |&other| other == at) {
            found.remove();
        }
        at
    }

    fn hash(&self, client: &str, protocol: u8) -> u64 {
        self.hasher.hash_one((client, protocol))
    }
}

impl Entry {
    fn is(&self, client: &str, protocol: u8) -> bool {
        *self.told.client == *client && self.told.protocol == protocol
    }

    fn hash(&self, hasher: &RandomState) -> u64 {
        hasher.hash_one((&*self.told.client, self.told.protocol))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Admission, Decided, SeriesLimits};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const LIMITS: SeriesLimits = SeriesLimits { new_per_minute: 1, max: 1, seed: 1 };

    #[derive(Debug, Clone)]
    enum Step {
        Count {
            client: usize,
            protocol: u8,
            decided: Decided,
        },
        /// A new process goes on from the checkpoint.
        Restart,
    }

    fn step() -> impl Strategy<Value = Step> {
        let decided = prop_oneof![
            (1..100_u64).prop_map(|samples| Decided::Entered { samples }),
            Just(Decided::Duplicate),
            Just(Decided::Refused),
        ];
        prop_oneof![
            8 => (0..5_usize, 1..3_u8, decided)
                .prop_map(|(client, protocol, decided)| Step::Count { client, protocol, decided }),
            1 => Just(Step::Restart),
        ]
    }

    fn add(counts: &mut Counts, decided: Decided) {
        match decided {
            Decided::Entered { samples } => {
                counts.batches += 1;
                counts.samples += samples;
            }
            Decided::Duplicate => counts.duplicates += 1,
            Decided::Refused => counts.refused += 1,
        }
    }

    proptest! {
        /// Whatever the order, and wherever a checkpoint is made and read.
        #[test]
        fn a_fold_over_checkpoints_counts_as_one_that_never_stopped(
            steps in prop::collection::vec(step(), 0..80),
            max in prop_oneof![Just(3_usize), Just(100)],
        ) {
            let names: Vec<ClientId> = ["a", "b", "c", "d", "e"].map(Into::into).to_vec();
            let mut admission = Admission::new(max, LIMITS);
            let (mut model, mut sums) = (BTreeMap::new(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Count { client, protocol, decided } => {
                        admission.count(&names[client], protocol, decided);
                        add(model.entry((client, protocol)).or_default(), decided);
                        add(sums.entry(protocol).or_default(), decided);
                        let last = admission.clients().any(|it| it.client == names[client]);
                        prop_assert!(last, "who was heard last is not forgotten");
                    }
                    Step::Restart => {
                        let bytes = admission.checkpoint();
                        admission = Admission::new(max, LIMITS);
                        admission.restore(&bytes).unwrap();
                    }
                }
                prop_assert!(admission.clients().count() <= max);
            }
            prop_assert_eq!(&admission.tally().by_protocol, &sums);
            let name = |client: &ClientId| names.iter().position(|name| name == client).unwrap();
            let found: BTreeMap<_, _> = admission
                .clients()
                .map(|it| ((name(&it.client), it.protocol), it.counts))
                .collect();
            if max == 100 {
                prop_assert_eq!(&found, &model);
            }
            for (key, counts) in &found {
                prop_assert!(counts.samples <= model[key].samples);
            }
            // Those that were forgotten are in the sums: nothing is counted twice or not at all.
            for (protocol, sum) in sums {
                let named = found.iter().filter(|((_, it), _)| *it == protocol);
                let (samples, refused) = named.fold((0, 0), |(samples, refused), (_, it)| {
                    (samples + it.samples, refused + it.refused)
                });
                prop_assert!(samples <= sum.samples && refused <= sum.refused);
            }
        }
    }

    #[test]
    fn who_is_heard_of_stays_and_who_is_quiet_goes() {
        let mut clients = Clients::new(100);
        let busy: ClientId = "busy".into();
        for number in 0..1000 {
            clients.of(&busy, 1).batches += 1;
            clients.of(&format!("once-{number}").as_str().into(), 1).batches += 1;
        }
        assert_eq!(clients.iter().count(), 100);
        assert_eq!(clients.of(&busy, 1).batches, 1000);
        assert_eq!(clients.of(&"once-0".into(), 1).batches, 0, "it was forgotten");
    }

    #[test]
    fn ten_thousand_clients_fit_a_checkpoint_of_a_few_hundred_kilobytes() {
        let mut admission = Admission::new(20_000, LIMITS);
        for number in 0..10_000 {
            let client: ClientId = format!("gateway-{number:08}").as_str().into();
            for _ in 0..3 {
                admission.count(&client, 1, Decided::Entered { samples: 1_000_000_000 });
            }
        }
        let bytes = admission.checkpoint().len();
        assert!(bytes < 350_000, "{bytes}");
    }
}
