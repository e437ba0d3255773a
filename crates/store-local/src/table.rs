//! What is live, in memory, as of the last frame that is on the disk.
//!
//! Everything in here can be read by anybody: it is durable. What a batch changes stands beside it until its frame is synced
//! (see `core`), so there are two images, and nobody sees the pending one.
//!
//! The table also knows which segments of the log are still needed. A transaction *needs* every segment from the one on
//! that holds the oldest of its records that stands nowhere else: once a finished one is in the archive, or an unfinished one
//! is saved in `unfinished.db`, it needs none.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use escrow_store::{Cursor, ListQuery, Schedule, StoredTxn, TxnSummary, Version};
use escrow_txn::{Gid, Timestamp};

use crate::log::SegmentNo;
use crate::moves::Moves;
use crate::record::SettingKey;
use crate::spill::SavedSetting;
use crate::tuning::Tuning;

/// Rows that a list looks at before it lets others come in between.
const LOOK_AT_MAX: usize = 4_096;

/// Bytes of rows that go into a database at once: it has to hold all of them before any is durable.
const ROWS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A place in the order of far timers.
pub(crate) type Mark = (Timestamp, Gid);

/// A live transaction.
#[derive(Clone, Debug)]
struct Entry {
    row: Arc<StoredTxn>,
    /// The oldest segment with a record of it that stands nowhere else.
    needs: Option<SegmentNo>,
}

/// A setting; a removed one is remembered until that is saved.
#[derive(Clone, Debug)]
struct SettingEntry {
    value: Option<(Version, Bytes)>,
    needs: Option<SegmentNo>,
}

/// Who needs one segment.
#[derive(Debug, Default)]
struct Needed {
    /// How many transactions do.
    count: usize,
    /// All of them, and some that did.
    txns: Vec<Gid>,
    settings: BTreeSet<SettingKey>,
    /// It holds records of a newer version of this program, which nobody here can save elsewhere.
    unknown: bool,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: HashMap<Gid, Entry>,
    /// Newest last.
    order: BTreeSet<(Timestamp, Gid)>,
    settings: BTreeMap<SettingKey, SettingEntry>,
    needed: BTreeMap<SegmentNo, Needed>,
    /// To be archived, in the order in which they became final.
    finished: VecDeque<Gid>,
    /// Their memory, about.
    finished_bytes: usize,
    pub(crate) moves: Moves,
    pub(crate) schedule: Schedule,
    pub(crate) far: Far,
}

/// Timers that are in `unfinished.db` only.
#[derive(Debug)]
pub(crate) struct Far {
    /// Waiting transactions up to here are in the schedule; `None`: not a single one need be.
    pub(crate) horizon: Option<Mark>,
    /// There may be some behind the horizon.
    pub(crate) any: bool,
}

impl Default for Far {
    fn default() -> Self {
        Self { horizon: None, any: true }
    }
}

impl Needed {
    fn add(&mut self, gid: &Gid) {
        self.count += 1;
        self.txns.push(gid.clone());
    }

    /// One of the transactions needs it no more. Its gid stays: to look for it would cost more.
    fn remove_one(&mut self) {
        self.count -= 1;
    }
}

impl Far {
    /// Whether the timer that is due next may be one that is not in memory.
    pub(crate) fn hides_next(&self, next_due_at: Option<Timestamp>) -> bool {
        let Some((horizon, _)) = self.horizon.as_ref().filter(|_| self.any) else { return self.any };
        next_due_at.is_none_or(|next| next > *horizon)
    }

    /// Whether timers have to come into memory: none is known that is surely the next, or the window runs out.
    pub(crate) fn needs_refill(&self, now: Timestamp, window: Duration, next_due_at: Option<Timestamp>) -> bool {
        let runs_out = self.horizon.as_ref().is_none_or(|(horizon, _)| *horizon <= now.plus(window / 2));
        self.any && (runs_out || self.hides_next(next_due_at))
    }
}

impl AsMut<Schedule> for Table {
    fn as_mut(&mut self) -> &mut Schedule {
        &mut self.schedule
    }
}

impl Table {
    /// The transaction, if it is live here.
    pub(crate) fn get(&self, gid: &Gid) -> Option<&Arc<StoredTxn>> {
        self.entries.get(gid).map(|entry| &entry.row)
    }

    /// The setting under a key; `None`: it is not known here whether there is one.
    pub(crate) fn setting(&self, at: &SettingKey) -> Option<&(Version, Bytes)> {
        self.settings.get(at)?.value.as_ref()
    }

    /// The settings of one category behind `after`, in key order.
    pub(crate) fn settings_of<'t>(
        &'t self,
        category: &'t str,
        after: Option<&str>,
    ) -> impl Iterator<Item = (&'t str, &'t (Version, Bytes))> {
        let from = (category.to_owned(), after.unwrap_or_default().to_owned());
        let is_after = after.is_some();
        let range = self.settings.range(from.clone()..).take_while(move |((of, _), _)| of == category);
        let behind = range.filter(move |(at, _)| !(is_after && **at == from));
        behind.filter_map(|((_, key), entry)| Some((key.as_str(), entry.value.as_ref()?)))
    }

    /// All settings.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&SettingKey, &(Version, Bytes))> {
        self.settings.iter().filter_map(|(at, entry)| Some((at, entry.value.as_ref()?)))
    }

    /// Settings that are gone, and may still be saved.
    pub(crate) fn removed_settings(&self) -> impl Iterator<Item = SavedSetting> {
        let removed = self.settings.iter().filter(|(_, entry)| entry.value.is_none());
        removed.map(|((category, key), _)| SavedSetting { category: category.clone(), key: key.clone(), value: None })
    }

    /// Takes a transaction over whose record is on the disk, in `segment`.
    pub(crate) fn store(&mut self, row: Arc<StoredTxn>, segment: SegmentNo) {
        self.schedule.stored(&row.gid, &row.head);
        self.put(row, segment);
    }

    /// The same, without a place in the schedule: while the log is read.
    pub(crate) fn put(&mut self, row: Arc<StoredTxn>, segment: SegmentNo) {
        let (is_final, bytes) = (row.head.status.is_final(), row.bytes());
        let gid = row.gid.clone();
        let (was_final, needs) = match self.entries.get_mut(&gid) {
            Some(entry) => {
                let before = std::mem::replace(&mut entry.row, row);
                (before.head.status.is_final(), &mut entry.needs)
            }
            None => {
                self.order.insert((row.created_at, gid.clone()));
                (false, &mut self.entries.entry(gid.clone()).or_insert(Entry { row, needs: None }).needs)
            }
        };
        if needs.is_none() {
            *needs = Some(segment);
            self.needed.entry(segment).or_default().add(&gid);
        }
        if is_final && !was_final {
            self.finished.push_back(gid);
            self.finished_bytes += bytes;
        }
    }

    /// Takes a setting over whose record is on the disk, in `segment`.
    pub(crate) fn put_setting(&mut self, at: SettingKey, value: Option<(Version, Bytes)>, segment: SegmentNo) {
        let entry = self.settings.entry(at.clone()).or_insert(SettingEntry { value: None, needs: None });
        entry.value = value;
        if entry.needs.is_none() {
            entry.needs = Some(segment);
            self.needed.entry(segment).or_default().settings.insert(at);
        }
    }

    /// Takes settings over that are saved.
    pub(crate) fn load_settings(&mut self, saved: Vec<SavedSetting>) {
        for SavedSetting { category, key, value } in saved {
            self.settings.insert((category, key), SettingEntry { value, needs: None });
        }
    }

    /// Drops a transaction: it stands elsewhere, has been purged, or its gid is used again.
    pub(crate) fn forget(&mut self, gid: &Gid) {
        if let Some(entry) = self.entries.remove(gid) {
            self.order.remove(&(entry.row.created_at, gid.clone()));
            no_longer_needed(&mut self.needed, entry.needs, Needed::remove_one);
        }
    }

    /// After the log was read: lines up what is to be archived, and sets the timers.
    ///
    /// `in_flight`: those in `unfinished.db` that were; `far`: whether there are others.
    pub(crate) fn finish_loading(&mut self, in_flight: &[Gid], far: bool, now: Timestamp) {
        let mut finished = Vec::new();
        for (gid, Entry { row, .. }) in &self.entries {
            match (row.head.status.is_final(), row.head.owner) {
                (true, _) => finished.push((row.head.finished_at, gid.clone())),
                (false, Some(_)) => drop(self.schedule.resume(gid, now)),
                (false, None) => self.schedule.stored(gid, &row.head),
            }
        }
        finished.sort_unstable();
        self.finished = finished.into_iter().map(|(_, gid)| gid).collect();
        self.finished_bytes = self.finished.iter().filter_map(|gid| self.get(gid)).map(|row| row.bytes()).sum();
        for gid in in_flight.iter().filter(|gid| !self.entries.contains_key(gid)) {
            self.schedule.resume(gid, now);
        }
        self.far.any = far;
    }

    /// The segment holds what this version of the program does not know: it is kept.
    pub(crate) fn keep_segment(&mut self, segment: SegmentNo) {
        self.needed.entry(segment).or_default().unknown = true;
    }

    /// The oldest segment that is needed, `current` at the latest.
    pub(crate) fn first_needed(&self, current: SegmentNo) -> SegmentNo {
        self.needed.first_key_value().map_or(current, |(first, _)| (*first).min(current))
    }

    /// How many wait to be archived.
    pub(crate) fn backlog(&self) -> usize {
        self.finished.len()
    }

    /// Whether more wait to be archived than should.
    pub(crate) fn is_backlog_over(&self, tuning: &Tuning) -> bool {
        self.finished.len() > tuning.backlog_max || self.finished_bytes > tuning.backlog_bytes_max
    }

    /// How many there are, those that wait to be archived included.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// When the oldest unfinished one was created. Few stand before it: finished ones are soon archived.
    pub(crate) fn oldest_unfinished(&self) -> Option<Timestamp> {
        let is_unfinished = |gid: &Gid| self.entries.get(gid).is_some_and(|entry| !entry.row.head.status.is_final());
        self.order.iter().find(|(_, gid)| is_unfinished(gid)).map(|(at, _)| *at)
    }

    /// All, in no order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Arc<StoredTxn>> {
        self.entries.values().map(|entry| &entry.row)
    }

    /// Looks at the next rows in the order of lists, behind `after`, for those that a list shows, up to `limit`. Looks at a
    /// bounded number, because nothing can be stored meanwhile; returns where to go on, `None` at the end.
    pub(crate) fn list(
        &self,
        query: &ListQuery,
        after: Option<&Cursor>,
        limit: usize,
    ) -> (Vec<TxnSummary>, Option<Cursor>) {
        let below = after.map_or(Bound::Unbounded, |after| Bound::Excluded((after.created_at, after.gid.clone())));
        let mut found = Vec::new();
        for (looked_at, (_, gid)) in self.order.range((Bound::Unbounded, below)).rev().enumerate() {
            let Some(row) = self.get(gid) else { continue };
            if row.matches(query) {
                found.push(row.summary());
            }
            if found.len() == limit || looked_at == LOOK_AT_MAX {
                return (found, Some(row.cursor()));
            }
        }
        (found, None)
    }

    /// The first finished ones that wait to be archived, up to `limit`, or to about 32 MiB.
    pub(crate) fn finished(&self, limit: usize) -> Vec<Arc<StoredTxn>> {
        let rows = self.finished.iter().filter_map(|gid| self.get(gid));
        rows.take(limit).take_while(up_to_some_bytes()).map(Arc::clone).collect()
    }

    /// Drops finished transactions that are archived: the first of those that wait for it.
    pub(crate) fn archived(&mut self, count: usize) {
        let done: Vec<Gid> = self.finished.drain(..count.min(self.finished.len())).collect();
        for gid in done {
            self.moves.note(&gid);
            let bytes = self.get(&gid).map_or(0, |row| row.bytes());
            self.finished_bytes = self.finished_bytes.saturating_sub(bytes);
            self.forget(&gid);
        }
    }

    /// Unfinished transactions that need a segment older than `before`, up to `limit`, or to about 32 MiB.
    pub(crate) fn holding(&self, before: SegmentNo, limit: usize) -> Vec<Arc<StoredTxn>> {
        let needed = self.needed.range(..before);
        let gids = needed.flat_map(|(segment, needed)| needed.txns.iter().map(move |gid| (segment, gid)));
        let entries = gids.filter_map(|(segment, gid)| Some((segment, self.entries.get(gid)?)));
        let still = entries.filter(|(segment, entry)| entry.needs.as_ref() == Some(segment));
        let rows = still.map(|(_, entry)| &entry.row).filter(|row| !row.head.status.is_final());
        rows.take(limit).take_while(up_to_some_bytes()).map(Arc::clone).collect()
    }

    /// Settings that need a segment older than `before`.
    pub(crate) fn settings_holding(&self, before: SegmentNo) -> Vec<SavedSetting> {
        let keys = self.needed.range(..before).flat_map(|(_, needed)| &needed.settings);
        let saved = |at: &SettingKey| {
            let value = self.settings.get(at)?.value.clone();
            Some(SavedSetting { category: at.0.clone(), key: at.1.clone(), value })
        };
        keys.filter_map(saved).collect()
    }

    /// Unfinished transactions are saved as they were when `current` was the newest segment. Those that only wait are dropped
    /// from memory.
    pub(crate) fn saved(&mut self, rows: &[Arc<StoredTxn>], current: SegmentNo) {
        for row in rows {
            let Some(entry) = self.entries.get_mut(&row.gid) else { continue };
            // What was written since stands in the segment that was the newest then, or in a later one.
            let needs = (entry.row.version != row.version).then_some(current);
            let before = std::mem::replace(&mut entry.needs, needs);
            if before != needs {
                no_longer_needed(&mut self.needed, before, Needed::remove_one);
                if let Some(segment) = needs {
                    self.needed.entry(segment).or_default().add(&row.gid);
                }
            }
            self.drop_if_it_waits(&row.gid);
        }
    }

    /// Settings are saved as they were when `current` was the newest segment.
    pub(crate) fn saved_settings(&mut self, saved: Vec<SavedSetting>, current: SegmentNo) {
        for SavedSetting { category, key, value } in saved {
            let at = (category, key);
            let Some(entry) = self.settings.get_mut(&at) else { continue };
            let needs = (entry.value != value).then_some(current);
            let before = std::mem::replace(&mut entry.needs, needs);
            no_longer_needed(&mut self.needed, before, |needed| _ = needed.settings.remove(&at));
            match needs {
                Some(segment) => drop(self.needed.entry(segment).or_default().settings.insert(at)),
                None if value.is_none() => drop(self.settings.remove(&at)),
                None => {}
            }
        }
    }

    /// Takes timers over that follow the horizon in `unfinished.db`, and moves the horizon: to the end of the window, or of what was
    /// read, and at least to the first. Whether there is more to take over.
    pub(crate) fn refill(&mut self, due: &[Mark], window: Timestamp, was_all: bool) -> bool {
        let end_of_window = last_gid().map(|gid| (window, gid));
        for (read, (at, gid)) in due.iter().enumerate() {
            if *at > window && read > 0 {
                self.far.horizon = self.far.horizon.take().max(end_of_window);
                return false;
            }
            if !self.entries.contains_key(gid) {
                self.schedule.wait(gid, *at);
            }
            self.far.horizon = Some((*at, gid.clone()));
        }
        if was_all {
            self.far.any = false;
            self.far.horizon = self.far.horizon.take().max(end_of_window);
        }
        !was_all
    }

    /// A transaction that was on hold is free.
    pub(crate) fn released(&mut self, gid: &Gid, next_run_at: Option<Timestamp>, was_in_flight: bool, now: Timestamp) {
        match next_run_at {
            // Its time is known better here.
            _ if self.entries.contains_key(gid) => {}
            _ if was_in_flight => drop(self.schedule.resume(gid, now)),
            Some(at) => drop(self.schedule.wait(gid, at)),
            None => {}
        }
    }

    fn drop_if_it_waits(&mut self, gid: &Gid) {
        let Some(entry) = self.entries.get(gid) else { return };
        let head = &entry.row.head;
        let is_busy = head.status.is_final() || head.owner.is_some() || self.schedule.is_claimed(gid);
        if entry.needs.is_some() || is_busy {
            return;
        }
        let next_run_at = head.next_run_at;
        self.moves.note(gid);
        self.forget(gid);
        let is_near = |at: Timestamp| self.far.horizon.as_ref().is_some_and(|(horizon, _)| at <= *horizon);
        // A near timer stays, without its transaction.
        if next_run_at.is_some_and(|at| !is_near(at)) && self.schedule.due_at(gid).is_none_or(|at| !is_near(at)) {
            self.schedule.forget(gid);
            self.far.any = true;
        }
    }
}

/// Takes rows until they are [`ROWS_BYTES_MAX`]; one at least.
fn up_to_some_bytes() -> impl FnMut(&&Arc<StoredTxn>) -> bool {
    let mut bytes = 0;
    move |row| {
        let is_taken = bytes < ROWS_BYTES_MAX;
        bytes += row.bytes();
        is_taken
    }
}

/// Comes after every gid that is likely; one that comes later still is found by the next look at `unfinished.db`.
fn last_gid() -> Option<Gid> {
    Gid::parse("\u{10FFFF}").ok()
}

fn no_longer_needed(
    needed: &mut BTreeMap<SegmentNo, Needed>,
    segment: Option<SegmentNo>,
    remove: impl FnOnce(&mut Needed),
) {
    let Some(segment) = segment else { return };
    if let Some(of_segment) = needed.get_mut(&segment) {
        remove(of_segment);
        if of_segment.count == 0 && of_segment.settings.is_empty() && !of_segment.unknown {
            needed.remove(&segment);
        }
    }
}
