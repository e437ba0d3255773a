//! Carries everything from one store over into another one, while no coordinator runs on either.

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;

use escrow_store::{Backend, Clock, StoreError, StoredTxn, SystemClock};

use super::{OpenStoreError, StoreChoice, mark, open, open_any};
use crate::codes::Code;

/// Transactions that are carried over at once.
const CHUNK: NonZeroU32 = NonZeroU32::new(500).expect("not zero");
/// Settings that are carried over at once.
const SETTINGS_CHUNK: usize = 500;

/// What a copy has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All transactions.
    pub transactions: u64,
    /// Those that are not final.
    pub unfinished: u64,
    /// Settings, among them topics.
    pub settings: u64,
    /// The versions of all transactions together.
    pub versions: u64,
    /// Bytes of their records.
    pub record_bytes: u64,
}

/// What a copy does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyStep {
    /// Reads one store and writes the other.
    Copying,
    /// Reads what was written, and counts it.
    Checking,
}

/// Why a copy was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// One of the stores cannot be opened.
    #[error("the store {store} cannot be used")]
    Open {
        /// Which one.
        store: StoreChoice,
        /// Why.
        #[source]
        source: OpenStoreError,
    },
    /// There is nothing to copy from.
    #[error("there is no store {store}")]
    NoSource {
        /// What was named.
        store: StoreChoice,
    },
    /// A copy goes into a store of its own.
    #[error("the store {store} is not empty: a copy goes into a new one")]
    NotEmpty {
        /// What was named.
        store: StoreChoice,
    },
    /// A copy does not carry holds over: the transactions would be driven.
    #[error("{held} transactions of {store} are on hold since a restore: release them before, with escrow tx release")]
    Held {
        /// Where from.
        store: StoreChoice,
        /// How many.
        held: u64,
    },
    /// It cannot be said where the copy goes that it is one.
    #[error("the store {store} cannot be marked as a copy under way, or as a whole one")]
    Mark {
        /// The copy.
        store: StoreChoice,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A store failed in the middle.
    #[error("the copy broke off: {to} holds a part of it; copy again, which begins anew")]
    BrokenOff {
        /// The copy.
        to: StoreChoice,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// What was written is not what was read.
    #[error("{to} does not hold what was copied ({found:?} instead of {copied:?}): remove it, and copy into a new one")]
    Differs {
        /// The copy.
        to: StoreChoice,
        /// What was read from the first store.
        copied: Tally,
        /// What was found in the copy.
        found: Tally,
    },
}

impl CopyError {
    /// A name for this kind of error that does not change.
    pub fn code(&self) -> &'static str {
        let code = match self {
            Self::Open { source, .. } => source.stable(),
            Self::NoSource { .. } | Self::NotEmpty { .. } | Self::Held { .. } => Code::COPY_REFUSED,
            Self::Mark { .. } | Self::BrokenOff { .. } | Self::Differs { .. } => Code::COPY_INCOMPLETE,
        };
        code.as_str()
    }
}

impl Tally {
    fn add(&mut self, txn: &StoredTxn) {
        let records = [&txn.definition, &txn.added, &txn.progress, &txn.history];
        self.transactions += 1;
        self.unfinished += u64::from(!txn.head.status.is_final());
        self.versions = self.versions.wrapping_add(txn.version.0);
        self.record_bytes += records.iter().map(|record| record.len() as u64).sum::<u64>();
    }
}

/// Copies everything from one store into another one that is new or empty, then reads the copy and compares the counts.
/// `progress` hears how far either has come. The stores' locks keep coordinators out meanwhile, and until the copy is known to
/// be whole, a mark does; one that was broken off before is begun anew.
///
/// # Errors
/// [`CopyError`]. The first store is never changed.
pub async fn copy(
    from: &StoreChoice,
    to: &StoreChoice,
    mut progress: impl FnMut(CopyStep, &Tally),
) -> Result<Tally, CopyError> {
    if !from.exists() {
        return Err(CopyError::NoSource { store: from.clone() });
    }
    let source = opened(from).await?;
    let held = source.stats().embedded.map_or(0, |embedded| embedded.held);
    if held > 0 {
        return Err(CopyError::Held { store: from.clone(), held });
    }
    let target = open_target(to).await?;
    let broken_off = |source| CopyError::BrokenOff { to: to.clone(), source };
    let report = |tally: &Tally| progress(CopyStep::Copying, tally);
    let copied = carry_over(&*source, &*target, report).await.map_err(broken_off)?;
    let report = |tally: &Tally| progress(CopyStep::Checking, tally);
    let found = count(&*target, report).await.map_err(broken_off)?;
    if found != copied {
        return Err(CopyError::Differs { to: to.clone(), copied, found });
    }
    mark::take_off(to).map_err(|source| CopyError::Mark { store: to.clone(), source })?;
    Ok(copied)
}

/// Opens the store that a copy goes into, marked. A new one is marked before it is made, one that is there only once it has
/// been seen to be empty.
async fn open_target(to: &StoreChoice) -> Result<Arc<dyn Backend>, CopyError> {
    let of_mark = |source| CopyError::Mark { store: to.clone(), source };
    if mark::is_on(to) || !to.exists() {
        let was_marked = mark::put_on(to).map_err(of_mark)?;
        let opened = open_any(to, Arc::new(SystemClock)).await;
        if opened.is_err() && !was_marked {
            mark::take_off(to).map_err(of_mark)?;
        }
        return opened.map_err(|source| CopyError::Open { store: to.clone(), source });
    }
    let target = opened(to).await?;
    let broken_off = |source| CopyError::BrokenOff { to: to.clone(), source };
    if !is_empty(&*target).await.map_err(broken_off)? {
        return Err(CopyError::NotEmpty { store: to.clone() });
    }
    mark::put_on(to).map_err(of_mark)?;
    Ok(target)
}

async fn opened(store: &StoreChoice) -> Result<Arc<dyn Backend>, CopyError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    open(store, clock).await.map_err(|source| CopyError::Open { store: store.clone(), source })
}

async fn is_empty(store: &dyn Backend) -> Result<bool, StoreError> {
    Ok(store.export(None, NonZeroU32::MIN).await?.is_empty() && store.export_settings().await?.is_empty())
}

async fn carry_over(from: &dyn Backend, to: &dyn Backend, mut report: impl FnMut(&Tally)) -> Result<Tally, StoreError> {
    let mut tally = Tally::default();
    let mut chunk = from.export(None, CHUNK).await?;
    while let Some(last) = chunk.last() {
        let after = last.gid.clone();
        chunk.iter().for_each(|txn| tally.add(txn));
        to.import(chunk).await?;
        report(&tally);
        chunk = from.export(Some(&after), CHUNK).await?;
    }
    let settings = from.export_settings().await?;
    tally.settings = settings.len() as u64;
    for chunk in settings.chunks(SETTINGS_CHUNK) {
        to.import_settings(chunk.to_vec()).await?;
    }
    report(&tally);
    Ok(tally)
}

async fn count(store: &dyn Backend, mut report: impl FnMut(&Tally)) -> Result<Tally, StoreError> {
    let mut tally = Tally::default();
    let mut chunk = store.export(None, CHUNK).await?;
    while let Some(last) = chunk.last() {
        chunk.iter().for_each(|txn| tally.add(txn));
        report(&tally);
        chunk = store.export(Some(&last.gid), CHUNK).await?;
    }
    tally.settings = store.export_settings().await?.len() as u64;
    Ok(tally)
}

#[cfg(test)]
mod tests;
