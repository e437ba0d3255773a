//! From the log back to the table.

use std::collections::BTreeMap;
use std::sync::Arc;

use escrow_store::{EncodedChange, Head, StoreError, StoredTxn, Version};
use escrow_txn::{Gid, Timestamp};

use crate::archive::Archive;
use crate::core::{is_purged, purged_before};
use crate::log::SegmentNo;
use crate::record::{self, Item, Record, RecordError};
use crate::spill::Spill;
use crate::table::Table;

/// Why what the log tells makes no sense, though its frames are sound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// A record cannot be read.
    #[error("frame {sequence} in segment {segment} holds a record that cannot be read")]
    Record {
        /// The segment's number.
        segment: u64,
        /// The frame's number.
        sequence: u64,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A change of a transaction stands in the log, and what it changes stands nowhere.
    #[error(
        "frame {sequence} in segment {segment} changes transaction {gid} from version {expected}, and that is nowhere"
    )]
    Missing {
        /// The transaction.
        gid: Gid,
        /// The version that is missing.
        expected: u64,
        /// The segment's number.
        segment: u64,
        /// The frame's number.
        sequence: u64,
    },
    /// What is saved beside the log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes frames over, one after the other.
#[derive(Debug)]
pub(crate) struct Replay<'s> {
    table: Table,
    spill: &'s Spill,
    archive: &'s Archive,
    /// The latest that is known. What is saved can be ahead of the log, which then tells of earlier times again.
    purged_before: Timestamp,
    /// Changes of transactions that are nowhere: the last of each. They are sound if the transaction has been purged.
    orphans: BTreeMap<Gid, Orphan>,
    /// What makes no sense is noted instead of ending the reading: for checks and repairs.
    noted: Option<Vec<ReplayError>>,
    /// A kind of record that a newer version of this program has written.
    unknown: Option<u8>,
}

#[derive(Debug)]
struct Orphan {
    expected: Version,
    head: Head,
    segment: SegmentNo,
    sequence: u64,
}

impl<'s> Replay<'s> {
    pub(crate) fn new(spill: &'s Spill, archive: &'s Archive) -> Result<Self, StoreError> {
        let mut table = Table::default();
        table.load_settings(spill.settings()?);
        let purged_before = purged_before(&table);
        Ok(Self { table, purged_before, spill, archive, orphans: BTreeMap::new(), noted: None, unknown: None })
    }

    /// Goes on at what makes no sense, and notes it.
    pub(crate) fn lenient(self) -> Self {
        Self { noted: Some(Vec::new()), ..self }
    }

    /// A kind of record that was met and is not known.
    pub(crate) fn unknown(&self) -> Option<u8> {
        self.unknown
    }

    /// Takes the next frame over.
    pub(crate) fn frame(&mut self, segment: SegmentNo, sequence: u64, body: &[u8]) -> Result<(), ReplayError> {
        for item in record::split(body) {
            let unreadable =
                |source: RecordError| ReplayError::Record { segment: segment.0, sequence, source: source.into() };
            match item.map_err(unreadable) {
                Ok(Item::Known(record)) => self.record(*record, segment, sequence)?,
                Ok(Item::Unknown { kind }) => {
                    self.unknown = Some(kind);
                    self.table.keep_segment(segment);
                }
                Err(error) => self.note(error)?,
            }
        }
        Ok(())
    }

    fn record(&mut self, record: Record, segment: SegmentNo, sequence: u64) -> Result<(), ReplayError> {
        match record {
            Record::Created(row) => {
                // A gid that was purged can be used again: what came before belongs to another transaction, and may even have
                // been judged by what is saved of this one.
                self.table.forget(&row.gid);
                self.orphans.remove(&row.gid);
                self.table.put(Arc::new(row), segment);
            }
            Record::Changed(change) => self.change(change, segment, sequence)?,
            Record::SettingPut { at, version, value } => {
                self.table.put_setting(at, Some((version, value)), segment);
                self.purged_before = self.purged_before.max(purged_before(&self.table));
            }
            Record::SettingDeleted { at } => self.table.put_setting(at, None, segment),
        }
        Ok(())
    }

    fn change(&mut self, change: EncodedChange, segment: SegmentNo, sequence: u64) -> Result<(), ReplayError> {
        let stands = self.standing(&change.gid)?;
        let is_ahead = |stands: &Arc<StoredTxn>| stands.version < change.expected && !stands.head.status.is_final();
        let (Some(stands), true) = (&stands, self.noted.is_some() || !stands.as_ref().is_some_and(is_ahead)) else {
            let orphan = Orphan { expected: change.expected, head: change.head, segment, sequence };
            self.orphans.insert(change.gid, orphan);
            return Ok(());
        };
        if stands.version > change.expected || stands.head.status.is_final() {
            // Saved or archived since.
            let is_archived = stands.head.status.is_final() && self.table.get(&change.gid).is_none();
            if is_archived && change.head.status.is_final() && self.is_saved(stands)? {
                // The keeper was kept from deleting that row. Until it has, the transaction stands where all look first.
                self.table.put(Arc::clone(stands), segment);
            }
            return Ok(());
        }
        if stands.version < change.expected {
            let (gid, Version(expected)) = (change.gid.clone(), change.expected);
            // The last progress says most. If branches are missing, whoever loads the transaction is told.
            self.note(ReplayError::Missing { gid, expected, segment: segment.0, sequence })?;
        }
        let mut row = StoredTxn::clone(stands);
        row.apply(&change);
        self.table.put(Arc::new(row), segment);
        Ok(())
    }

    /// The transaction before the next change: what is finished comes before what is saved.
    fn standing(&self, gid: &Gid) -> Result<Option<Arc<StoredTxn>>, StoreError> {
        if let Some(row) = self.table.get(gid) {
            return Ok(Some(Arc::clone(row)));
        }
        if let Some(archived) = self.archive.find(gid, Some(self.purged_before))? {
            return Ok(Some(Arc::new(archived)));
        }
        Ok(self.spill.find(gid)?.map(|spilled| Arc::new(spilled.txn)))
    }

    fn note(&mut self, error: ReplayError) -> Result<(), ReplayError> {
        match &mut self.noted {
            Some(noted) => noted.push(error),
            None => return Err(error),
        }
        Ok(())
    }

    /// Whether there is still a row of an unfinished transaction that has ended.
    fn is_saved(&self, finished: &StoredTxn) -> Result<bool, StoreError> {
        let saved = self.spill.find(&finished.gid)?;
        // Otherwise its gid was used again.
        Ok(saved.is_some_and(|saved| saved.txn.created_at == finished.created_at))
    }

    /// The table, with everything that was in flight due at once.
    pub(crate) fn finish(self, now: Timestamp) -> Result<Table, ReplayError> {
        Ok(self.finish_noting(now)?.0)
    }

    /// The same, with what was noted.
    pub(crate) fn finish_noting(mut self, now: Timestamp) -> Result<(Table, Vec<ReplayError>), ReplayError> {
        let purged_before = self.purged_before;
        for (gid, orphan) in std::mem::take(&mut self.orphans) {
            if !is_purged(&orphan.head, purged_before) {
                let (Version(expected), SegmentNo(segment)) = (orphan.expected, orphan.segment);
                self.note(ReplayError::Missing { gid, expected, segment, sequence: orphan.sequence })?;
            }
        }
        let mut purged = Vec::new();
        for row in self.table.rows().filter(|row| is_purged(&row.head, purged_before)) {
            // It goes when it has no row that would speak for it.
            if !self.is_saved(row)? {
                purged.push(row.gid.clone());
            }
        }
        purged.iter().for_each(|gid| self.table.forget(gid));
        let in_flight = self.spill.in_flight()?;
        self.table.finish_loading(&in_flight, self.spill.info().rows > 0, now);
        Ok((self.table, self.noted.unwrap_or_default()))
    }
}
