//! Lists over everything: what is live, what is spilled, what is archived, in one order.

use std::collections::HashSet;

use escrow_store::{Cursor, ListQuery, PAGE_MAX, Page, StoreError, TxnSummary};
use escrow_txn::Gid;

use crate::core::Core;

/// One page.
///
/// Looked at in the order in which transactions move, so that none is missed; one that moves meanwhile is met twice, and
/// shown as it was met first.
pub(crate) fn list(core: &Core, query: &ListQuery) -> Result<Page<TxnSummary>, StoreError> {
    let limit = query.limit.get().min(PAGE_MAX) as usize;
    let purged_before = Some(core.purged_before());
    // One more than asked for: whether there is another page.
    let mut items = live(core, query, limit + 1);
    // A row there may be out of date: what is live is shown from the table, or is none that the query wants.
    let is_live = |gid: &Gid| core.table().get(gid).is_some();
    items.extend(core.spill.list(query, limit + 1, &is_live)?);
    items.extend(core.archive.list(query, limit + 1, purged_before)?);
    let mut seen = HashSet::new();
    items.retain(|item| seen.insert(item.gid.clone()));
    items.sort_by(|a, b| (b.created_at, &b.gid).cmp(&(a.created_at, &a.gid)));
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| Cursor { created_at: last.created_at, gid: last.gid.clone() });
    Ok(Page { items, next })
}

fn live(core: &Core, query: &ListQuery, limit: usize) -> Vec<TxnSummary> {
    let mut items = Vec::new();
    let mut after = query.after.clone();
    loop {
        let (found, next) = core.table().list(query, after.as_ref(), limit - items.len());
        items.extend(found);
        if items.len() >= limit || next.is_none() {
            return items;
        }
        after = next;
    }
}
