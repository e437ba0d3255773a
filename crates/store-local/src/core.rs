//! What a batch of requests leads to, without threads: the writer and the tests drive it.
//!
//! ```text
//!  judge (under the lock)  ─▶ one frame, synced (no lock) ─▶ apply (under the lock) ─▶ answers
//! ```
//!
//! A request is judged against the table and what the requests before it in the batch lead to. Nothing is applied, and
//! nobody is answered, before the frame is on the disk.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use escrow_store::{BatchCounters, Claim, Clock, EncodedChange, Head, StoredTxn, Version};
use escrow_txn::{Gid, Timestamp};

use crate::archive::Archive;
use crate::log::{AppendError, Log, SegmentNo, Segments};
use crate::record::{self, SettingKey};
use crate::spill::Spill;
use crate::table::Table;
use crate::tuning::Tuning;

/// The setting that says before when finished transactions are gone; it is not one of the users'.
const PURGED_CATEGORY: &str = "store";
const PURGED_KEY: &str = "purged_before";

/// What the threads of a store share.
pub(crate) struct Core {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tuning: Tuning,
    pub(crate) archive: Archive,
    pub(crate) spill: Spill,
    pub(crate) segments: Arc<Segments>,
    pub(crate) counters: BatchCounters,
    /// No new transactions: there is no space for the log.
    pub(crate) log_full: AtomicBool,
    /// No new transactions: more are finished than can be archived.
    pub(crate) backlog_full: AtomicBool,
    /// Finished transactions from before are gone; in microseconds.
    purged_before: AtomicU64,
    /// Segments from before may be retired: whatever they could make up for has been settled.
    settled_first: AtomicU64,
    table: Mutex<Table>,
}

/// What is asked of the writer.
#[derive(Debug)]
pub(crate) enum Request {
    /// Creates a transaction.
    Create {
        new: Arc<StoredTxn>,
        record: Bytes,
        /// It was looked for outside of the table and not found, after this [`crate::moves::Moves::mark`].
        absent_since: Option<u64>,
    },
    /// Changes a transaction.
    Commit {
        change: Arc<EncodedChange>,
        record: Bytes,
        /// What was found outside of the table, after this [`crate::moves::Moves::mark`].
        elsewhere: Option<(Option<Arc<StoredTxn>>, u64)>,
    },
    /// Takes settings over with their versions, whatever is there.
    Import { settings: Vec<(SettingKey, (Version, Bytes))> },
    /// Writes a setting, or removes it (`None`).
    Setting { at: SettingKey, value: Option<Bytes>, expected: Option<Version> },
}

/// What it led to.
#[derive(Debug)]
pub(crate) enum Outcome {
    Created,
    /// The gid is taken by this.
    Exists(Arc<StoredTxn>),
    Committed(Version),
    /// It is at another version; `None`: absent.
    Conflict(Option<Version>),
    /// It may stand outside of the table: look there and ask again.
    LookElsewhere,
    /// The setting was written or removed; the version it has now.
    Setting(Option<Version>),
    SettingConflict(Option<Version>),
    Imported,
    /// No new transactions are taken at the moment.
    Busy,
}

/// What a batch makes of the table, in the order of its records.
#[derive(Debug, Default)]
struct Effects {
    txns: HashMap<Gid, Arc<StoredTxn>>,
    order: Vec<Gid>,
    settings: BTreeMap<SettingKey, Option<(Version, Bytes)>>,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { clock, tuning, archive, spill, segments, table } = parts;
        let first = segments.oldest();
        Self {
            clock,
            tuning,
            archive,
            spill,
            segments,
            counters: BatchCounters::default(),
            log_full: AtomicBool::new(false),
            backlog_full: AtomicBool::new(false),
            purged_before: AtomicU64::new(purged_before(&table).as_micros()),
            settled_first: AtomicU64::new(first.0),
            table: Mutex::new(table),
        }
    }

    /// The oldest segment that a start may need.
    pub(crate) fn first_needed(&self) -> SegmentNo {
        SegmentNo(self.settled_first.load(Relaxed))
    }

    /// From now on no start needs a segment from before `first`.
    pub(crate) fn settled(&self, first: SegmentNo) {
        self.settled_first.fetch_max(first.0, Relaxed);
    }

    /// Whether new transactions are refused at the moment.
    pub(crate) fn is_full(&self) -> bool {
        self.log_full.load(Relaxed) || self.backlog_full.load(Relaxed)
    }

    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        // No code that can panic runs while the table is half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call of `claim_due`.
    pub(crate) fn claim(&self, now: Timestamp) -> Claim<'_, Table> {
        Claim::new(&self.table, now)
    }

    /// Finished transactions from before this time count as absent.
    pub(crate) fn purged_before(&self) -> Timestamp {
        Timestamp::from_micros(self.purged_before.load(Relaxed))
    }

    /// The version of [`Core::purged_before`]: whoever wants to change it asks before deciding to what.
    pub(crate) fn purged_version(&self) -> Option<Version> {
        self.table().setting(&purged_key()).map(|(version, _)| *version)
    }

    /// The request that makes a new [`Core::purged_before`] durable, if it is at this version.
    pub(crate) fn purge_request(&self, before: Timestamp, expected: Option<Version>) -> Request {
        Request::Setting { at: purged_key(), value: Some(Bytes::from(before.as_micros().to_string())), expected }
    }

    /// Carries a batch out: its outcomes, once they are durable.
    ///
    /// # Errors
    /// [`AppendError`]: nothing of the batch has happened, except after [`AppendError::Failed`], when nobody can know.
    pub(crate) fn write(&self, log: &mut Log, requests: &[&Request]) -> Result<Vec<Outcome>, AppendError> {
        let mut body = Vec::new();
        let mut effects = Effects::default();
        let outcomes: Vec<Outcome> = {
            let table = self.table();
            let judge = |request: &&Request| self.judge(&table, &mut effects, &mut body, request);
            requests.iter().map(judge).collect()
        };
        if body.is_empty() {
            return Ok(outcomes);
        }
        let begun = Instant::now();
        let appended = log.append(&body, self.first_needed());
        self.log_full.store(matches!(appended, Err(AppendError::Full(_))), Relaxed);
        let appended = appended?;
        self.counters.batch(requests.len(), appended.bytes, begun.elapsed());
        self.apply(effects, appended.segment);
        Ok(outcomes)
    }

    fn apply(&self, effects: Effects, segment: SegmentNo) {
        let Effects { mut txns, order, settings } = effects;
        let mut table = self.table();
        for row in order.iter().filter_map(|gid| txns.remove(gid)) {
            table.store(row, segment);
        }
        if settings.is_empty() {
            return;
        }
        for (at, value) in settings {
            table.put_setting(at, value, segment);
        }
        self.purged_before.store(purged_before(&table).as_micros(), Relaxed);
    }

    fn judge(&self, table: &Table, effects: &mut Effects, body: &mut Vec<u8>, request: &Request) -> Outcome {
        match request {
            Request::Create { new, record, absent_since } => {
                if let Some(stands) = effects.txns.get(&new.gid).or_else(|| table.get(&new.gid)) {
                    return Outcome::Exists(Arc::clone(stands));
                }
                if self.is_full() {
                    return Outcome::Busy;
                }
                let is_absent = absent_since.is_some_and(|mark| !table.moves.has_left_since(&new.gid, mark));
                if !is_absent && (self.spill.may_hold(&new.gid) || self.archive.may_hold(&new.gid)) {
                    return Outcome::LookElsewhere;
                }
                body.extend_from_slice(record);
                effects.put(Arc::clone(new));
                Outcome::Created
            }
            Request::Commit { change, record, elsewhere } => {
                let here = effects.txns.get(&change.gid).or_else(|| table.get(&change.gid));
                let stands = match (here, elsewhere) {
                    (Some(here), _) => Some(here),
                    (None, Some((found, mark))) if !table.moves.has_left_since(&change.gid, *mark) => found.as_ref(),
                    (None, _) if self.spill.may_hold(&change.gid) || self.archive.may_hold(&change.gid) => {
                        return Outcome::LookElsewhere;
                    }
                    (None, _) => None,
                };
                let Some(stands) = stands.filter(|stands| stands.version == change.expected) else {
                    return Outcome::Conflict(stands.map(|stands| stands.version));
                };
                let mut row = StoredTxn::clone(stands);
                row.apply(change);
                let version = row.version;
                body.extend_from_slice(record);
                effects.put(Arc::new(row));
                Outcome::Committed(version)
            }
            Request::Import { settings } => {
                for (at, (version, value)) in settings {
                    body.extend(record::setting_put(at, *version, value));
                    effects.settings.insert(at.clone(), Some((*version, value.clone())));
                }
                Outcome::Imported
            }
            Request::Setting { at, value, expected } => {
                let stands = match effects.settings.get(at) {
                    Some(stands) => stands.as_ref(),
                    None => table.setting(at),
                };
                let stands = stands.map(|(version, _)| *version);
                if stands != *expected || (stands.is_none() && value.is_none()) {
                    return Outcome::SettingConflict(stands);
                }
                let value = value.clone().map(|value| (stands.map_or(Version::FIRST, Version::next), value));
                match &value {
                    Some((version, value)) => body.extend(record::setting_put(at, *version, value)),
                    None => body.extend(record::setting_deleted(at)),
                }
                let version = value.as_ref().map(|(version, _)| *version);
                effects.settings.insert(at.clone(), value);
                Outcome::Setting(version)
            }
        }
    }
}

/// What [`Core::new`] puts together.
pub(crate) struct Parts {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tuning: Tuning,
    pub(crate) archive: Archive,
    pub(crate) spill: Spill,
    pub(crate) segments: Arc<Segments>,
    pub(crate) table: Table,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
}

impl Request {
    /// How much memory it holds, about.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Create { new, record, .. } => new.bytes() + record.len(),
            Self::Commit { change, record, .. } => change.bytes() + record.len(),
            Self::Import { settings } => settings.iter().map(|(_, (_, value))| value.len()).sum(),
            Self::Setting { value, .. } => value.as_ref().map_or(0, Bytes::len),
        }
    }
}

impl Effects {
    fn put(&mut self, row: Arc<StoredTxn>) {
        self.order.push(row.gid.clone());
        self.txns.insert(row.gid.clone(), row);
    }
}

/// Whether a transaction counts as absent, because it became final before everything of that time was purged.
pub(crate) fn is_purged(head: &Head, purged_before: Timestamp) -> bool {
    head.status.is_final() && head.finished_at.is_some_and(|at| at < purged_before)
}

/// Whether a setting is one of the store's own.
pub(crate) fn is_own((category, _): &SettingKey) -> bool {
    category == PURGED_CATEGORY
}

fn purged_key() -> SettingKey {
    (PURGED_CATEGORY.to_owned(), PURGED_KEY.to_owned())
}

/// What the table says about it. A text that is no number can only have come from a damaged program.
pub(crate) fn purged_before(table: &Table) -> Timestamp {
    let stored = table.setting(&purged_key()).and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok());
    Timestamp::from_micros(stored.unwrap_or(0))
}
