//! The events that an administrator may want to match, and their `MESSAGE_ID` in the journal.
//!
//! A line of the log that is such an event says so by `event = "word"`; `docs/journal.md` tells what each
//! means and what to do. An id is for ever: a word that goes takes its id with it.

/// Each word and its id, in the order of words.
pub(super) const EVENTS: &[(&str, &str)] = &[
    ("address-waits", "458d591f4ce747c8aa4a912a640b0215"),
    ("breaker-closed", "41f60940e9d34416874bf7ec72397907"),
    ("breaker-opened", "0ea2d30b020841ccbd8aa195296f5bd7"),
    ("breaker-wished", "04844744c76e4fc1abc23812a46ca6af"),
    ("broker-away", "783b2fd37fd3433ea1ccd8ca596894c8"),
    ("broker-connected", "16f87a109d734cc6a614eec0bc7741a2"),
    ("broker-holding", "1f127f1530274e88bbc72678744f628d"),
    ("broker-refused", "2e461a2fd86845e69358ffe96483d53e"),
    ("certificate-expires", "973dcd1dd4d04c89b4b57797285849d8"),
    ("certificate-loaded", "880c3b61b1fe4a9eb9b6d682f54a9193"),
    ("certificate-refused", "04fc537d4d534ccfb6c96f19c5787b99"),
    ("client-refused", "524b7e9657404e869319e66ffbb21f53"),
    ("connections-ended", "70248763a30049b2b45e01242fd6df44"),
    ("dead-lettered", "7239c3482b114785ac302b1c5a2c9b2c"),
    ("dead-letters-shed", "60ccb11725b844bbbec6b008735054e8"),
    ("disk-full", "95a4acb3bc6b433ca674c904f9b7f338"),
    ("drain-incomplete", "229695d1d90c4a14b6576509c9de13c8"),
    ("file-set-aside", "54147c4d2648442f927e6cfd0da432c0"),
    ("history-failed", "6a7d2d61a64f4d0da3f602f91f15b745"),
    ("intake-refused", "837381de39954c85b4215d545005dc97"),
    ("keys-read", "7f9050ce301b4f45ac4ca9e7e7088803"),
    ("keys-refused", "8cb8120a641544e2a714c14686a7b131"),
    ("letters-replayed", "ce977b7e501147c1868d13800b4bce53"),
    ("listen-overridden", "a12b497e3ef245adabf0052f7c8c87e3"),
    ("memory-high-low", "0c4da745a6c44a3f93d23e6a52e8d889"),
    ("nobody-asked", "03dc1379f0bf48daa7d671dc2956f472"),
    ("pressure-changed", "0fd8e32b5a5140fd90b366389a88f8a2"),
    ("reload-failed", "c1f0a9f1b6a84c1d9be1f2d7a5d3e04b"),
    ("reload-refused", "bb23b8c4bacc4a7e95f4488074e6162f"),
    ("reloaded", "e463e822ee004aae80a5205782c8a768"),
    ("repeated", "8adb8b0b18f9447bb1a69e6ff14d3cc1"),
    ("restart-needed", "400775a77e3940299c11675894c32341"),
    ("spool-damaged", "160ad9946ef3429eb736fe162c20d7b6"),
    ("spool-shed", "a2a4c332718d4613bc6b1f4fc55f3c05"),
    ("spool-sync-failed", "70d1a4decfc142b3bebb2239ecb55118"),
    ("spool-torn", "ef6f109c443f4c6b82344ad78140f445"),
    ("started", "efcaf181ddb241098317ac605805bd05"),
    ("stopped", "51e52bbf454c49c59c75223185c05049"),
    ("stopping", "32325153f9b44159ac4741892761ab02"),
    ("thread-goes-on", "fad948511f93492aa98ecd98d0d33ee6"),
    ("thread-panicked", "6e0b188079c642f69f007794c74567ea"),
    ("thread-stuck", "7d6f028cc01f426986ecd7f79a4ad5a3"),
    ("trail", "ff127b1324334bb3948b416bac6597af"),
];

/// The id of an event; none if the word is not in the table, which a test keeps from happening.
pub(super) fn message_id(event: &str) -> Option<&'static str> {
    let found = EVENTS.binary_search_by_key(&event, |(word, _)| word).ok()?;
    Some(EVENTS[found].1)
}

#[cfg(test)]
mod tests {
    use super::{EVENTS, message_id};

    #[test]
    fn every_event_is_found_and_every_id_is_its_own() {
        for (word, id) in EVENTS {
            assert_eq!(message_id(word), Some(*id), "{word}");
            assert!(id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit()), "{word}");
            let same = EVENTS.iter().filter(|(other, known)| other == word || known == id).count();
            assert_eq!(same, 1, "{word}");
        }
        assert_eq!(message_id("no-such-event"), None);
    }
}
