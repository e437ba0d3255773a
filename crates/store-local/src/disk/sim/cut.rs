use std::ops::RangeInclusive;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::content::Sector;
use super::file::Change;

/// Which un-synced changes reach the disk when the power goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Lost,
    Kept,
    /// Each sector by itself with this probability, in any version that it had.
    Scattered(f64),
    /// This share of the changed sectors, from the start of the file.
    First(f64),
    /// The same from its end.
    Last(f64),
    /// What was done up to this operation: the disk wrote in order.
    Until(u64),
    /// What was done from this operation on: the disk wrote the newest first.
    Since(u64),
}

impl Fate {
    /// `operations`: those that are not durable.
    pub(super) fn draw(operations: RangeInclusive<u64>, rng: &mut ChaCha8Rng) -> Fate {
        match rng.random_range(0..8) {
            0 => Fate::Lost,
            1 => Fate::Kept,
            2 | 3 => Fate::Scattered(rng.random_range(0.05..0.95)),
            4 => Fate::First(rng.random_range(0.0..1.0)),
            5 => Fate::Last(rng.random_range(0.0..1.0)),
            6 => Fate::Until(rng.random_range(operations)),
            _ => Fate::Since(rng.random_range(operations)),
        }
    }

    /// The version of a sector that is found afterwards; `None` is the durable one. `place`: where it stands among the
    /// changed sectors of its file, from 0 to 1.
    pub(super) fn of_sector<'a>(
        self,
        versions: &'a [Change<Sector>],
        place: f64,
        rng: &mut ChaCha8Rng,
    ) -> Option<&'a Sector> {
        let kept = match self {
            Fate::Lost => None,
            Fate::Kept => versions.last(),
            Fate::Scattered(share) if rng.random_bool(share) => any_version(versions, rng),
            Fate::Scattered(_) => None,
            Fate::First(share) => versions.last().filter(|_| place < share),
            Fate::Last(share) => versions.last().filter(|_| place >= 1.0 - share),
            Fate::Until(last) => versions.iter().rfind(|change| change.at <= last),
            Fate::Since(first) => versions.last().filter(|change| change.at >= first),
        };
        kept.map(|change| &change.value)
    }

    /// How many changes of a file's length reach the disk.
    pub(super) fn of_lengths(self, lengths: &[Change<u64>], rng: &mut ChaCha8Rng) -> usize {
        match self {
            Fate::Lost => 0,
            Fate::Kept => lengths.len(),
            Fate::Until(last) => lengths.partition_point(|change| change.at <= last),
            Fate::Since(first) if lengths.last().is_some_and(|change| change.at < first) => 0,
            // The length is not part of the content: either can arrive without the other.
            _ if rng.random_bool(0.25) => rng.random_range(0..=lengths.len()),
            _ => lengths.len(),
        }
    }

    /// How many changes of names reach the disk: always the first ones, because file systems keep their order.
    pub(super) fn of_names(self, operations: &[u64], rng: &mut ChaCha8Rng) -> usize {
        match self {
            Fate::Lost => 0,
            Fate::Kept => operations.len(),
            Fate::Until(last) => operations.partition_point(|&at| at <= last),
            _ => match rng.random_range(0..4) {
                0 => 0,
                1 => operations.len(),
                _ => rng.random_range(0..=operations.len()),
            },
        }
    }
}

/// Any version, the newest as often as not.
fn any_version<'a>(versions: &'a [Change<Sector>], rng: &mut ChaCha8Rng) -> Option<&'a Change<Sector>> {
    match versions.len() {
        len @ 2.. if rng.random_bool(0.5) => versions.get(rng.random_range(0..len)),
        _ => versions.last(),
    }
}
