//! The whole store, without its threads, on a disk whose power is cut at random points of a random load: nothing that was
//! acknowledged is lost, nothing is wrong, and nothing sound is taken for damaged.
//!
//! One seed decides everything. A power cut may come at any operation of the disk, also while the store recovers from the
//! one before.

mod asked;
mod counts;
mod model;
mod world;

use counts::Counts;
use world::World;

/// Lives of one store, one after the other.
const CUTS_PER_SEED: u32 = 20;

fn run(seeds: std::ops::Range<u64>) -> Counts {
    let mut all = Counts::default();
    for seed in seeds {
        let mut world = World::new(seed);
        for cut in 0..CUTS_PER_SEED {
            world.live_until_it_ends();
            if cut % 4 == 0 {
                world.back_up();
            }
            world.recover();
        }
        world.ends_well();
        all.add(&world.counts);
    }
    all
}

/// Two halves, so that two cores can share the work.
fn a_half(seeds: std::ops::Range<u64>) {
    let counts = run(seeds);
    // Shown with `--nocapture`.
    eprintln!("{counts}");
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
