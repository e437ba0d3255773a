//! The whole store, without its threads, on a disk whose power is cut at random points of a random load: nothing that was
//! acknowledged is lost, nothing is wrong, and nothing sound is taken for damaged.
//!
//! One seed decides everything. A power cut may come at any operation of the disk, also while the store recovers from the
//! one before.

mod model;
mod world;

use std::time::Instant;

use world::{Counts, World};

/// Lives of one store, one after the other.
const CUTS_PER_SEED: u32 = 20;

fn run(seeds: std::ops::Range<u64>) -> Counts {
    let mut all = Counts::default();
    for seed in seeds {
        let mut world = World::new(seed);
        for _ in 0..CUTS_PER_SEED {
            world.live_until_it_ends();
            world.recover();
        }
        world.ends_well();
        all.add(&world.counts);
    }
    all
}

/// Two halves, so that two cores can share the work.
fn a_half(seeds: std::ops::Range<u64>) {
    let begun = Instant::now();
    let counts = run(seeds);
    println!("{counts} in {:.1} s", begun.elapsed().as_secs_f64());
    assert!(counts.cuts >= 2_500, "{counts}");
    // The load has to have come across everything that can be cut in two.
    counts.assert_everything_happened();
}

#[test]
fn nothing_acknowledged_is_lost_in_power_cuts() {
    a_half(0..150);
}

#[test]
fn nothing_acknowledged_is_lost_in_more_power_cuts() {
    a_half(1_000..1_150);
}
