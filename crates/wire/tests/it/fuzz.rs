//! Decoders and encoders under bytes and histories that nobody has thought of. Every run is the same: what varies is made
//! from fixed seeds.

mod corpus;
mod mutation;
mod replies;
mod requests;

use arbitrary::{Arbitrary, Unstructured};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Bytes that one case is made of; what needs more gets zeros.
const CASE_BYTES: usize = 512;

/// `count` cases, made from this seed and those after it.
fn cases<T: for<'a> Arbitrary<'a>>(seed: u64, count: u64) -> impl Iterator<Item = T> {
    (seed..seed + count).map(|seed| {
        let mut bytes = [0; CASE_BYTES];
        ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
        T::arbitrary(&mut Unstructured::new(&bytes)).expect("what is missing is zero")
    })
}
