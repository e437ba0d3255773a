//! How one transaction is found: where it is live, saved or archived.

use std::sync::Arc;

use escrow_store::{StoreError, StoredTxn};
use escrow_txn::Gid;

use crate::core::Core;

/// A transaction, and whether it is on hold.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) txn: Arc<StoredTxn>,
    pub(crate) held: bool,
}

/// What stands under a gid outside of the table, and where [`crate::moves::Moves::mark`] stood before it was looked for.
pub(crate) fn elsewhere(core: &Core, gid: &Gid) -> Result<(Option<Found>, u64), StoreError> {
    let mark = core.table().moves.mark();
    // In the order in which transactions move.
    let spilled = core.spill.find(gid)?;
    // One that was spilled may have been archived since, and its row there be about to go.
    let archived = core.archive.find(gid, Some(core.purged_before()))?;
    let archived = archived.map(|txn| Found { txn: Arc::new(txn), held: false });
    let spilled = spilled.map(|spilled| Found { txn: Arc::new(spilled.txn), held: spilled.held });
    Ok((archived.or(spilled), mark))
}

/// What stands under a gid, if memory alone can say: `None` if the databases have to be asked.
pub(crate) fn at_once(core: &Core, gid: &Gid) -> Option<Option<Found>> {
    let here = core.table().get(gid).map(Arc::clone);
    if let Some(txn) = here {
        return Some(Some(Found { txn, held: false }));
    }
    // In this order, too.
    (!core.spill.may_hold(gid) && !core.archive.may_hold(gid)).then_some(None)
}

/// What stands under a gid.
pub(crate) fn find(core: &Core, gid: &Gid) -> Result<Option<Found>, StoreError> {
    match at_once(core, gid) {
        Some(found) => Ok(found),
        None => Ok(elsewhere(core, gid)?.0),
    }
}
