//! Lists over everything: what is live, what is spilled, what is archived, in one order.

use std::collections::HashSet;

use escrow_store::{Cursor, ListQuery, PAGE_MAX, Page, StoreError, TxnSummary};
use escrow_txn::Gid;

use crate::core::Core;
use crate::find;

/// One page.
///
/// Looked at in the order in which transactions move, so that none is missed; one that moves meanwhile is met twice, and
/// shown as it was met first.
pub(crate) fn list(core: &Core, query: &ListQuery) -> Result<Page<TxnSummary>, StoreError> {
    let limit = query.limit.get().min(PAGE_MAX) as usize;
    let purged_before = Some(core.purged_before());
    let mark = core.table().moves.mark();
    // One more than asked for: whether there is another page.
    let mut items = live(core, query, limit + 1);
    items.extend(spilled(core, query, limit + 1, mark)?);
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

/// The first `limit` of those that are saved, and perhaps some more.
///
/// A row there is out of date while its transaction is live, and it may have come back to life since `live` was here. Then it
/// is shown as it is now, if the query wants it so.
fn spilled(core: &Core, query: &ListQuery, limit: usize, mark: u64) -> Result<Vec<TxnSummary>, StoreError> {
    let mut changed = Vec::new();
    let mut moved: Vec<Gid> = Vec::new();
    let mut skip = |gid: &Gid| {
        let table = core.table();
        match table.get(gid) {
            Some(row) if row.matches(query) => changed.push(row.summary()),
            Some(_) => {}
            None if table.moves.has_left_since(gid, mark) => moved.push(gid.clone()),
            None => return false,
        }
        true
    };
    let mut items = core.spill.list(query, limit, &mut skip)?;
    for gid in moved {
        let found = find::find(core, &gid)?.filter(|found| found.txn.matches(query));
        changed.extend(found.map(|found| found.txn.summary()));
    }
    items.extend(changed);
    Ok(items)
}
