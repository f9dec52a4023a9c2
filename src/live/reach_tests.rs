//! Viewers who may see some devices only.

use super::feed::Begin;
use super::frame::FrameKind;
use super::rig::*;
use crate::model::{Position, Reach, Timestamp};
use proptest::prelude::*;

fn reach(globs: &[&str]) -> Reach {
    Reach::new(&globs.iter().map(|&glob| glob.to_owned()).collect::<Vec<_>>()).unwrap()
}

#[test]
fn devices_out_of_reach_are_in_no_frame() {
    let mut rig = Rig::whole(8);
    let mut page = rig.page_within("", &reach(&["pump-*"]));
    rig.tick();
    assert_eq!(page.read(), GREETING);
    rig.fold(8..12);
    rig.tick();
    page.read();
    assert!(!page.known.is_empty() && page.known.keys().all(|(device, ..)| device == "pump-1"));
    let told = page.log.iter().filter(|(kind, _)| *kind == FrameKind::Device);
    assert!(
        told.clone().count() > 0
            && told.clone().all(|(_, data)| !data.to_string().contains("boiler"))
    );

    let mut nothing = rig.page_within("device=pump-1", &reach(&[]));
    rig.tick();
    nothing.read();
    assert!(nothing.known.is_empty());
}

#[test]
fn equal_subscriptions_of_different_reach_share_nothing() {
    let mut rig = Rig::whole(8);
    let mut all = rig.page("");
    let mut some = rig.page_within("", &reach(&["boiler"]));
    rig.tick();
    all.read();
    some.read();
    assert!(all.known.keys().any(|(device, ..)| device == "pump-1"));
    assert!(some.known.keys().all(|(device, ..)| device == "boiler"));
    assert_eq!(rig.hub.stats(Timestamp(rig.now)).subscriptions, 2);
}

#[test]
fn the_status_is_the_one_for_their_reach() {
    let mut rig = Rig::whole(1);
    let mut pages = [rig.page(""), rig.page_within("", &reach(&["pump-*"]))];
    rig.tick();
    pages.iter_mut().for_each(|page| drop(page.read()));
    rig.set_status(7);
    rig.tick();
    for (page, n) in pages.iter_mut().zip([7, 1007]) {
        assert_eq!(page.read(), [FrameKind::Status]);
        assert_eq!(page.last(FrameKind::Status)["n"], n);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What somebody of limited reach is told is what all are told, less what is out of reach: at first, as
    /// it goes on, and when they come back.
    #[test]
    fn within_a_reach_everything_is_as_for_all(
        steps in proptest::collection::vec((any::<u8>(), any::<i8>()), 1..60),
        cut in any::<prop::sample::Index>(),
        globs in proptest::sample::subsequence(vec!["d0", "d1", "d[12]", "!d1", "*"], 0..4),
        query in prop_oneof![Just(""), Just("device=d0"), Just("device=d*&metric=n")],
    ) {
        let log = random_log(&steps);
        let reach = reach(&globs);
        let cut = cut.index(log.len());
        let mut rig = Rig::new(0..0, settings(Begin::Kept(Position(0))));
        rig.fold_all(&log[..cut]);
        let (mut all, mut some) = (rig.page(query), rig.page_within(query, &reach));
        rig.tick();
        all.read();
        some.read();
        rig.fold_all(&log[cut..]);
        rig.tick();
        all.read();
        some.read();
        let mut expected = all.known.clone();
        expected.retain(|(device, ..), _| reach.allows(device));
        prop_assert_eq!(&some.known, &expected);

        let cursor = some.cursor.map(|cursor| format!("{query}&cursor={cursor}"));
        if let Some(query) = cursor {
            let mut again = rig.page_within(&query, &reach);
            rig.tick();
            again.read();
            prop_assert!(again.known.keys().all(|(device, ..)| reach.allows(device)));
        }
    }
}
