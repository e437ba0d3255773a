//! Everything that can be asked of a store, compared with what it must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use escrow_store::conformance::sample::limit;
use escrow_store::{ListQuery, StoreError, StoredTxn, TxnSummary, Version};
use escrow_txn::{BusinessKey, Gid, Status, Timestamp};

use super::victim::{Contents, create};
use crate::core::{Core, Outcome};
use crate::find::{self, Found};
use crate::keeper::{Keeper, KeeperError};
use crate::log::Log;
use crate::record::SettingKey;
use crate::{list, transfer};

/// The answers of a store; an error is one.
#[derive(Debug)]
pub(super) struct Answers {
    txns: BTreeMap<Gid, Result<Option<Found>, StoreError>>,
    lists: Vec<(ListQuery, Result<Vec<TxnSummary>, StoreError>)>,
    exported: Result<Vec<StoredTxn>, StoreError>,
    settings: BTreeMap<SettingKey, (Version, Bytes)>,
    purged_before: Timestamp,
    claimed: Result<BTreeSet<Gid>, KeeperError>,
    /// Gids under which a transaction could be created.
    free: BTreeSet<Gid>,
    pub(super) errors: u32,
}

impl Answers {
    /// Asks for everything there may be.
    pub(super) fn of(core: &Arc<Core>, mut log: Log, gids: &[&Gid]) -> Self {
        let mut errors = 0;
        let mut noted = |is_error: bool| errors += u32::from(is_error);
        let mut txns = BTreeMap::new();
        for gid in gids {
            let found = find::find(core, gid);
            noted(found.is_err());
            txns.insert((*gid).clone(), found);
        }
        let lists: Vec<_> = queries().into_iter().map(|query| (query.clone(), walk(core, query))).collect();
        lists.iter().for_each(|(_, listed)| noted(listed.is_err()));
        let exported = export(core);
        noted(exported.is_err());
        let settings = core.table().settings().map(|(at, value)| (at.clone(), value.clone())).collect();
        let claimed = claim(core);
        noted(claimed.is_err());
        let is_free = |gid: &&&Gid| can_be_created(core, &mut log, gid);
        let free = gids.iter().filter(is_free).map(|gid| (*gid).clone()).collect();
        let purged_before = core.purged_before();
        Self { txns, lists, exported, settings, purged_before, claimed, free, errors }
    }

    /// What is wrong with them; errors are not.
    pub(super) fn compare(&self, expected: &Contents) -> Result<(), String> {
        let same = |is_same: bool, what: &dyn std::fmt::Debug| if is_same { Ok(()) } else { Err(format!("{what:?}")) };
        same(self.purged_before == expected.purged_before, &("purged before", self.purged_before))?;
        let mut settings = self.settings.clone();
        settings.retain(|(category, _), _| category != "store");
        same(settings == expected.settings, &("settings", &settings))?;
        for (gid, found) in &self.txns {
            let Ok(found) = found else { continue };
            let should = expected.txns.get(gid).map(|txn| (txn, expected.held.contains(gid)));
            let found = found.as_ref().map(|found| (&found.txn, found.held));
            same(found == should, &("found", gid, found))?;
            let is_wrongly_free = self.free.contains(gid) && should.is_some();
            same(!is_wrongly_free, &("created once more", gid))?;
        }
        for (query, listed) in &self.lists {
            let Ok(listed) = listed else { continue };
            let mut should: Vec<_> = expected.txns.values().filter(|txn| txn.matches(query)).collect();
            should.sort_by_key(|txn| std::cmp::Reverse((txn.created_at, txn.gid.clone())));
            let should: Vec<_> = should.into_iter().map(|txn| txn.summary()).collect();
            same(*listed == should, &("listed", query, listed.len(), should.len()))?;
        }
        if let Ok(exported) = &self.exported {
            let is_same = exported.iter().eq(expected.txns.values().map(|txn| &**txn));
            same(is_same, &("exported", exported.len()))?;
        }
        if let Ok(claimed) = &self.claimed {
            let comes_up = |txn: &&Arc<StoredTxn>| {
                let is_driven = txn.head.owner.is_some() || txn.head.next_run_at.is_some();
                !txn.head.status.is_final() && is_driven && !expected.held.contains(&txn.gid)
            };
            let should: BTreeSet<_> = expected.txns.values().filter(comes_up).map(|txn| txn.gid.clone()).collect();
            same(*claimed == should, &("claimed", claimed.symmetric_difference(&should).collect::<Vec<_>>()))?;
        }
        Ok(())
    }
}

/// Every way to list: through each of the indexes.
fn queries() -> Vec<ListQuery> {
    let all = ListQuery::newest(limit(7));
    vec![
        all.clone(),
        ListQuery { business_key: Some(BusinessKey::parse("k1").unwrap()), ..all.clone() },
        ListQuery { attention: Some(true), ..all.clone() },
        ListQuery { waiting_past: Some(Timestamp::from_micros(5)), ..all.clone() },
        ListQuery { statuses: vec![Status::Committed, Status::Aborting], ..all },
    ]
}

fn walk(core: &Core, mut query: ListQuery) -> Result<Vec<TxnSummary>, StoreError> {
    let mut listed = Vec::new();
    loop {
        let page = list::list(core, &query)?;
        listed.extend(page.items);
        let Some(next) = page.next else { return Ok(listed) };
        query.after = Some(next);
    }
}

fn export(core: &Core) -> Result<Vec<StoredTxn>, StoreError> {
    let mut exported: Vec<StoredTxn> = Vec::new();
    loop {
        let more = transfer::export(core, exported.last().map(|txn| &txn.gid), 10)?;
        if more.is_empty() {
            return Ok(exported);
        }
        exported.extend(more);
    }
}

/// Whatever comes up until long after the last timer.
fn claim(core: &Arc<Core>) -> Result<BTreeSet<Gid>, KeeperError> {
    let keeper = Keeper::new(Arc::clone(core), Box::new(|| Some(Box::new(()))));
    let now = core.clock.now();
    let mut claimed = BTreeSet::new();
    loop {
        keeper.refill(now)?;
        let mut table = core.table();
        let due = table.schedule.claim(now, 4);
        if due.is_empty() && !table.far.hides_next(table.schedule.next_due_at()) {
            return Ok(claimed);
        }
        claimed.extend(due.into_iter().map(|(gid, _)| gid));
    }
}

/// Whether a transaction can be created under a gid, by all that the store does before it says so.
fn can_be_created(core: &Core, log: &mut Log, gid: &Gid) -> bool {
    let txn = crate::samples::waiting(gid.as_str(), 1, 1);
    match create(core, log, &txn, None) {
        Outcome::Created => true,
        Outcome::Exists(_) => false,
        Outcome::LookElsewhere => match find::elsewhere(core, gid) {
            Ok((None, mark)) => matches!(create(core, log, &txn, Some(mark)), Outcome::Created),
            Ok((Some(_), _)) | Err(_) => false,
        },
        other => panic!("{other:?}"),
    }
}
