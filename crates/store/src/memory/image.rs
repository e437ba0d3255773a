//! What the in-memory store holds, and what one write does to it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use bytes::Bytes;
use escrow_txn::{Gid, Timestamp};

use crate::{
    Cursor, EncodedChange, ListQuery, NewTxn, PAGE_MAX, Page, Schedule, Setting, StoredTxn, TxnSummary, Version,
};

/// (category, key)
pub(super) type SettingKey = (String, String);

#[derive(Default)]
pub(super) struct State {
    /// What has been accepted.
    pending: Image,
    /// What a crash leaves.
    pub(super) durable: Image,
    /// What differs between the two.
    unsynced: Vec<Touched>,
    /// Follows the durable image.
    pub(super) schedule: Schedule,
    /// How many writes have been accepted.
    pub(super) accepted: u64,
    pub(super) sync_held: bool,
    pub(super) crashed: bool,
}

#[derive(Clone, Default)]
pub(super) struct Image {
    pub(super) txns: BTreeMap<Gid, StoredTxn>,
    pub(super) settings: BTreeMap<SettingKey, SettingRow>,
}

enum Touched {
    Txn(Gid),
    Setting(SettingKey),
}

#[derive(Clone)]
pub(super) struct SettingRow {
    version: Version,
    value: Bytes,
}

impl State {
    /// What the next life begins with.
    pub(super) fn after_crash(&self, now: Timestamp) -> Self {
        let mut schedule = Schedule::default();
        for (gid, row) in &self.durable.txns {
            if row.head.owner.is_some() && !row.head.status.is_final() {
                schedule.resume(gid, now);
            } else {
                schedule.stored(gid, &row.head);
            }
        }
        Self { pending: self.durable.clone(), durable: self.durable.clone(), schedule, ..Self::default() }
    }

    /// Makes everything that was accepted durable.
    pub(super) fn sync(&mut self) {
        for touched in self.unsynced.drain(..) {
            match touched {
                Touched::Txn(gid) => match self.pending.txns.get(&gid) {
                    Some(row) => {
                        self.schedule.stored(&gid, &row.head);
                        self.durable.txns.insert(gid, row.clone());
                    }
                    None => {
                        self.schedule.forget(&gid);
                        self.durable.txns.remove(&gid);
                    }
                },
                Touched::Setting(at) => match self.pending.settings.get(&at) {
                    Some(row) => drop(self.durable.settings.insert(at, row.clone())),
                    None => drop(self.durable.settings.remove(&at)),
                },
            }
        }
    }

    fn touch(&mut self, touched: Touched) {
        self.unsynced.push(touched);
        self.accepted += 1;
    }

    /// Whether the gid was free.
    pub(super) fn create(&mut self, new: NewTxn) -> bool {
        if self.pending.txns.contains_key(&new.gid) {
            return false;
        }
        let gid = new.gid.clone();
        self.pending.txns.insert(gid.clone(), new.into());
        self.touch(Touched::Txn(gid));
        true
    }

    /// The new version, or the one that stands in the way.
    pub(super) fn commit(&mut self, change: EncodedChange) -> Result<Version, Option<Version>> {
        let row = self.pending.txns.get_mut(&change.gid).ok_or(None)?;
        if row.version != change.expected {
            return Err(Some(row.version));
        }
        row.apply(&change);
        let version = row.version;
        self.touch(Touched::Txn(change.gid));
        Ok(version)
    }

    /// How many were removed.
    pub(super) fn purge(&mut self, final_before: Timestamp, limit: NonZeroU32) -> u32 {
        let is_old = |row: &StoredTxn| row.head.finished_at.is_some_and(|at| at < final_before);
        let txns = self.pending.txns.iter();
        let old = txns.filter(|(_, row)| row.head.status.is_final() && is_old(row)).map(|(gid, _)| gid.clone());
        let old: Vec<Gid> = old.take(limit.get() as usize).collect();
        let mut removed = 0;
        for gid in old {
            self.pending.txns.remove(&gid);
            self.touch(Touched::Txn(gid));
            removed += 1;
        }
        removed
    }

    /// The new version, or the one that stands in the way.
    pub(super) fn put_setting(
        &mut self,
        at: SettingKey,
        value: Bytes,
        expected: Option<Version>,
    ) -> Result<Version, Option<Version>> {
        let current = self.pending.settings.get(&at).map(|row| row.version);
        if current != expected {
            return Err(current);
        }
        let version = current.map_or(Version::FIRST, Version::next);
        self.pending.settings.insert(at.clone(), SettingRow { version, value });
        self.touch(Touched::Setting(at));
        Ok(version)
    }

    /// Nothing, or the version that stands in the way.
    pub(super) fn delete_setting(&mut self, at: SettingKey, expected: Version) -> Result<(), Option<Version>> {
        let current = self.pending.settings.get(&at).map(|row| row.version);
        if current != Some(expected) {
            return Err(current);
        }
        self.pending.settings.remove(&at);
        self.touch(Touched::Setting(at));
        Ok(())
    }

    pub(super) fn list(&self, query: &ListQuery) -> Page<TxnSummary> {
        let limit = query.limit.get().min(PAGE_MAX) as usize;
        let key = |(gid, row): &(&Gid, &StoredTxn)| (row.created_at, (*gid).clone());
        let mut rows: Vec<_> = self.durable.txns.iter().filter(|(_, row)| row.matches(query)).collect();
        rows.sort_by_cached_key(|entry| Reverse(key(entry)));
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more).map(key);
        Page {
            items: rows.into_iter().map(|(_, row)| row.summary()).collect(),
            next: last.map(|(created_at, gid)| Cursor { created_at, gid }),
        }
    }

    pub(super) fn damage(&mut self, gid: &Gid) -> bool {
        let images = [&mut self.pending, &mut self.durable];
        let rows = images.into_iter().filter_map(|image| image.txns.get_mut(gid));
        rows.map(|row| row.progress.truncate(row.progress.len() - 1)).count() > 0
    }
}

impl SettingRow {
    pub(super) fn setting(&self, key: &str) -> Setting {
        Setting { key: key.to_owned(), value: self.value.clone(), version: self.version }
    }
}
