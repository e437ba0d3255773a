//! Bits flipped and pages lost everywhere in the directory of a store: it is refused, or everything in it is as it was, or
//! whoever asks for what was hit is told. Nothing is ever wrong, or absent, in silence.
//!
//! There is one exception. After an unclean stop the last frame of the log cannot be told from one that was being written: it
//! may be gone, with those frames before it that were lost along with it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use escrow_txn::Gid;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::disk::sim::SimDisk;

mod look;
mod victim;

use look::Answers;
use victim::{End, Victim, open_on};

const PAGE_BYTES: u64 = 4_096;
/// The pages of the databases are this long or twice as long.
const DATABASE_PAGE_BYTES: u64 = 4_096;
/// What SQLite keeps at the beginning of a file.
const FILE_HEADER_BYTES: u64 = 100;
/// And of each page.
const PAGE_HEADER_BYTES: u64 = 12;
/// Bits that are flipped in each file besides.
const FLIPS: u64 = 130;

/// What damage leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// The store is not opened.
    Refused,
    /// It is opened, and some answers are errors.
    Told,
    /// Everything is as it was.
    Harmless,
    /// The store is as it was before so many of the last frames.
    WithoutLast(usize),
}

/// Something that is done to a file.
#[derive(Clone, Debug)]
enum Damage {
    Flip { at: u64, bit: u8 },
    Zero(Range<u64>),
}

impl Damage {
    fn do_to(&self, disk: &SimDisk, path: &str) {
        match self {
            Self::Flip { at, bit } => disk.flip(path, *at, 1 << bit),
            Self::Zero(range) => disk.zero(path, range.clone()),
        }
    }

    fn range(&self) -> Range<u64> {
        match self {
            Self::Flip { at, .. } => *at..at + 1,
            Self::Zero(range) => range.clone(),
        }
    }
}

/// Every page, every byte of a small file and of what SQLite reads first, and a sample of the rest.
fn damages(rng: &mut ChaCha8Rng, path: &str, bytes: u64) -> Vec<Damage> {
    let mut places: Vec<u64> = (0..FLIPS.min(bytes)).map(|_| rng.random_range(0..bytes)).collect();
    if bytes <= FILE_HEADER_BYTES {
        places = (0..bytes).collect();
    } else if path.ends_with(".db") {
        let pages = (DATABASE_PAGE_BYTES..bytes).step_by(DATABASE_PAGE_BYTES as usize);
        places.extend(
            (0..FILE_HEADER_BYTES + PAGE_HEADER_BYTES).chain(pages.flat_map(|page| page..page + PAGE_HEADER_BYTES)),
        );
    }
    let flips = places.into_iter().map(|at| Damage::Flip { at, bit: rng.random_range(0..8) });
    let pages = (0..bytes).step_by(PAGE_BYTES as usize).map(|at| Damage::Zero(at..(at + PAGE_BYTES).min(bytes)));
    pages.chain(flips).collect()
}

impl Victim {
    /// Opens a damaged copy and looks at everything. The error says what is wrong with the answers.
    fn judge(&self, path: &str, damage: &Damage) -> Result<Verdict, String> {
        let disk = self.disk.snapshot();
        damage.do_to(&disk, path);
        let Ok((core, log)) = open_on(&disk) else { return Ok(Verdict::Refused) };
        let gids: Vec<&Gid> = self.contents[0].txns.keys().chain(&self.absent).collect();
        let answers = Answers::of(&core, log, &gids);
        let Err(wrong) = answers.compare(&self.contents[0]) else {
            return Ok(if answers.errors > 0 { Verdict::Told } else { Verdict::Harmless });
        };
        let lost = self.last_frames_hit(path, &damage.range());
        let without = (1..=lost).find(|lost| answers.compare(&self.contents[*lost]).is_ok());
        without.map(Verdict::WithoutLast).ok_or(wrong)
    }

    /// How many of the last frames are hit, if nothing protects them.
    fn last_frames_hit(&self, path: &str, range: &Range<u64>) -> usize {
        let is_hit =
            |(of, frame): &&(String, Range<u64>)| of == path && frame.start < range.end && range.start < frame.end;
        self.last_frames.iter().take_while(is_hit).count()
    }

    /// Damages everything, in turn; how often each verdict came.
    fn damage_everything(&self, seed: u64) -> BTreeMap<Verdict, u32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut verdicts = BTreeMap::new();
        for (path, bytes) in self.files() {
            for damage in damages(&mut rng, &path, bytes) {
                let judged = catch_unwind(AssertUnwindSafe(|| self.judge(&path, &damage)));
                let judged = judged.unwrap_or_else(|_| Err("a panic".to_owned()));
                let verdict = judged.unwrap_or_else(|wrong| panic!("{path}, {damage:?}: {wrong}"));
                *verdicts.entry(verdict).or_default() += 1;
            }
        }
        verdicts
    }
}

#[test]
fn after_a_clean_stop_no_flipped_bit_and_no_lost_page_leads_to_a_wrong_answer() {
    let victim = Victim::new(End::Stopped);
    let verdicts = victim.damage_everything(1);
    // Shown with `--nocapture`.
    eprintln!("{verdicts:?}");
    let kinds: Vec<_> = verdicts.keys().collect();
    assert_eq!(kinds, [&Verdict::Refused, &Verdict::Told, &Verdict::Harmless]);
    assert!(verdicts.values().all(|count| *count > 100), "{verdicts:?}");
}

#[test]
fn after_a_kill_no_flipped_bit_and_no_lost_page_leads_to_a_wrong_answer_but_the_last_frame_may_go() {
    let victim = Victim::new(End::Killed);
    let verdicts = victim.damage_everything(2);
    eprintln!("{verdicts:?}");
    let without_last = Verdict::WithoutLast(1);
    assert!([Verdict::Refused, Verdict::Told, Verdict::Harmless, without_last].iter().all(|kind| verdicts[kind] > 0));
    assert!(verdicts[&Verdict::Told] > 100 && verdicts[&Verdict::Refused] > 100, "{verdicts:?}");
}
