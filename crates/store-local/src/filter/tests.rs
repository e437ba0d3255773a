use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn fingerprint(number: u32) -> Fingerprint {
    Fingerprint::of(&Gid::parse(format!("transaction-{number}")).unwrap())
}

fn filter_of(numbers: impl Iterator<Item = u32>) -> GidFilter {
    let mut filter = GidFilter::with_capacity(0);
    for number in numbers {
        filter.insert(fingerprint(number));
    }
    filter
}

proptest! {
    /// Few bits, so that many gids share a fingerprint.
    #[test]
    fn what_is_in_it_is_never_denied(steps in prop::collection::vec((any::<bool>(), 0..400_u32), 0..600)) {
        let mut filter = GidFilter::with_bits(0, 12);
        let mut inside = BTreeSet::new();
        for (comes, number) in steps {
            if comes && inside.insert(number) {
                filter.insert_counted(fingerprint(number));
            } else if !comes && inside.remove(&number) {
                filter.remove(fingerprint(number));
            }
        }
        for number in inside {
            prop_assert!(filter.may_hold(fingerprint(number)));
        }
    }

    #[test]
    fn a_saved_filter_says_the_same(numbers in prop::collection::btree_set(0..100_000_u32, 0..500)) {
        let filter = filter_of(numbers.iter().copied());
        let restored = GidFilter::restore(&filter.save().unwrap()).unwrap();
        for number in 0..2_000 {
            let asked = fingerprint(number);
            prop_assert!(!numbers.contains(&number) || restored.may_hold(asked));
            prop_assert_eq!(filter.may_hold(asked), restored.may_hold(asked));
        }
    }
}

#[test]
fn fewer_than_one_in_a_thousand_absent_gids_is_not_denied() {
    let filter = filter_of(0..100_000);
    assert!((0..100_000).all(|number| filter.may_hold(fingerprint(number))));
    let wrong = (100_000..300_000).filter(|&number| filter.may_hold(fingerprint(number))).count();
    assert!(wrong < 200, "{wrong} of 200,000");
}

#[test]
fn removed_gids_are_denied_again() {
    let mut filter = GidFilter::with_capacity(0);
    (0..5_000).for_each(|number| filter.insert_counted(fingerprint(number)));
    (0..5_000).for_each(|number| filter.remove(fingerprint(number)));
    assert!((0..5_000).all(|number| !filter.may_hold(fingerprint(number))));
}

#[test]
fn one_that_cannot_grow_any_more_denies_nothing() {
    let mut filter = GidFilter::with_bits(0, 7);
    (0..1_000).for_each(|number| filter.insert_counted(fingerprint(number)));
    assert!((0..5_000).all(|number| filter.may_hold(fingerprint(number))));
    filter.remove(fingerprint(3));
    assert!(filter.may_hold(fingerprint(3)) && filter.save().is_none());
    assert!(filter.fingerprints().is_none());
}

#[test]
fn one_made_of_all_gids_at_once_denies_none_of_them_and_takes_more() {
    let mut filter = GidFilter::of((0..3_000).map(fingerprint).collect(), 10);
    assert!((3_000..9_000).all(|number| filter.insert(fingerprint(number))), "each is new");
    assert!(!filter.insert(fingerprint(4)));
    assert!((0..9_000).all(|number| filter.may_hold(fingerprint(number))));
}

#[test]
fn every_damaged_byte_of_a_saved_filter_is_noticed() {
    let saved = filter_of(0..50).save().unwrap();
    assert!(GidFilter::restore(&saved).is_some());
    for place in 0..saved.len() {
        let mut damaged = saved.clone();
        damaged[place] ^= 0x10;
        assert!(GidFilter::restore(&damaged).is_none(), "byte {place}");
        assert!(GidFilter::restore(&saved[..place]).is_none(), "{place} bytes");
    }
}
