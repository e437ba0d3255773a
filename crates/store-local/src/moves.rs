//! Which transactions have left the table.
//!
//! Whoever looks a gid up in the databases does so without the table's lock, and comes back with what was found. As long as
//! the gid stands not in the table and has not left it meanwhile, that is still so.

use escrow_txn::Gid;

/// Gids are told apart by as much: one that shares its place with another is looked up once more than it need be.
const PLACES: usize = 1 << 14;

/// Remembers, for each gid, the last time that it left; now and then a later one.
#[derive(Debug)]
pub(crate) struct Moves {
    count: u64,
    last: Box<[u64]>,
}

impl Default for Moves {
    fn default() -> Self {
        Self { count: 0, last: vec![0; PLACES].into() }
    }
}

impl Moves {
    /// A transaction leaves the table, because it stands elsewhere now.
    pub(crate) fn note(&mut self, gid: &Gid) {
        self.count += 1;
        self.last[place(gid)] = self.count;
    }

    /// This moment.
    pub(crate) fn mark(&self) -> u64 {
        self.count
    }

    /// Whether the gid may have left the table since a moment.
    pub(crate) fn has_left_since(&self, gid: &Gid, mark: u64) -> bool {
        self.last[place(gid)] > mark
    }
}

fn place(gid: &Gid) -> usize {
    crc32c::crc32c(gid.as_str().as_bytes()) as usize % PLACES
}
