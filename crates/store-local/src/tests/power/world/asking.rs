//! What is asked of the store at random.

use super::*;

impl World {
    pub(super) fn ask(&mut self) -> Asked {
        self.writes += 1;
        if self.rng.random_range(0..12) == 0 {
            return self.ask_setting();
        }
        let name = format!("gid-{}", self.rng.random_range(0..GIDS));
        let known = self.model.acknowledged(&gid(&name)).cloned();
        let sample = self.sample(&name);
        let head = self.head(&sample);
        let write = WriteId(self.writes);
        let is_reused = self.model.txns.contains_key(&gid(&name));
        let what = match known {
            Some(stands) if !stands.head.status.is_final() && self.rng.random_range(0..10) > 0 => {
                let stale = self.rng.random_range(0..10) == 0;
                let expected = if stale { Version(stands.version.0 + 1) } else { stands.version };
                let change = Change { write, head, ..sample.change(expected) };
                let change = Arc::new(EncodedChange::from(change));
                let mut row = StoredTxn::clone(&stands);
                row.apply(&change);
                What::Commit { change, row: Arc::new(row) }
            }
            _ => {
                let new = escrow_store::NewTxn { write, head, ..sample.new_txn() };
                let record = Bytes::from(record::created(&new));
                What::Create { row: Arc::new(new.into()), record }
            }
        };
        Asked { name, what, elsewhere: None, is_reused }
    }

    fn ask_setting(&mut self) -> Asked {
        let name = format!("setting-{}", self.rng.random_range(0..4));
        let known = self.model.settings.get(&("test".to_owned(), name.clone())).cloned().unwrap_or_default();
        let expected = known.acknowledged.map(|(version, _)| version);
        let is_removed = expected.is_some() && self.rng.random_range(0..4) == 0;
        let value = (!is_removed).then(|| Bytes::from(format!("value {}", self.writes)));
        Asked { name, what: What::Setting { value, expected }, elsewhere: None, is_reused: false }
    }

    /// A transaction in a random state, with a payload of random length.
    fn sample(&mut self, name: &str) -> Sample {
        let mut sample = Sample::new(&gid(name)).created_at(self.clock.now());
        let length = [3, 40, 400, 3_000][self.rng.random_range(0..4)];
        sample.def.branches[0] = branch("01", vec![b'x'; length]);
        sample
    }

    fn head(&mut self, sample: &Sample) -> Head {
        let now = self.clock.now();
        let head = Head { updated_at: now, ..sample.new_txn().head };
        let waits = |next_run_at| Head { owner: None, next_run_at, ..head.clone() };
        let is_final = |status| Head { status, finished_at: Some(now), ..waits(None) };
        match self.rng.random_range(0..10) {
            0 | 1 => Head { owner: Some(OwnerEpoch(3)), ..head },
            2 => waits(None),
            3 => waits(Some(now.plus(Duration::from_secs(5)))),
            4 | 5 => waits(Some(now.plus(Duration::from_secs(self.rng.random_range(0..100_000))))),
            6..9 => is_final(Status::Committed),
            _ => is_final(Status::Aborted),
        }
    }
}
