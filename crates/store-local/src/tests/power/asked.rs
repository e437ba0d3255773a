use std::sync::Arc;

use bytes::Bytes;
use escrow_store::conformance::sample::gid;
use escrow_store::{EncodedChange, StoredTxn, Version};

use super::model::Model;
use crate::core::Request;
use crate::record::{self, SettingKey};

/// A request, and what it is to lead to.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) what: What,
    pub(super) elsewhere: Option<(Option<Arc<StoredTxn>>, u64)>,
    pub(super) is_reused: bool,
}

#[derive(Debug)]
pub(super) enum What {
    Create { row: Arc<StoredTxn>, record: Bytes },
    Commit { change: Arc<EncodedChange>, row: Arc<StoredTxn> },
    Setting { value: Option<Bytes>, expected: Option<Version> },
}

impl Asked {
    pub(super) fn setting(&self) -> SettingKey {
        ("test".to_owned(), self.name.clone())
    }

    pub(super) fn request(&self) -> Request {
        match &self.what {
            What::Create { row, record } => Request::Create {
                new: Arc::clone(row),
                record: record.clone(),
                absent_since: self.elsewhere.as_ref().filter(|(found, _)| found.is_none()).map(|(_, mark)| *mark),
            },
            What::Commit { change, .. } => Request::Commit {
                change: Arc::clone(change),
                record: Bytes::from(record::changed(change)),
                elsewhere: self.elsewhere.clone(),
            },
            What::Setting { value, expected } => {
                Request::Setting { at: self.setting(), value: value.clone(), expected: *expected }
            }
        }
    }

    pub(super) fn attempt(&self, model: &mut Model) {
        match &self.what {
            What::Create { row, .. } | What::Commit { row, .. } => model.attempt(Arc::clone(row)),
            What::Setting { value, expected } => {
                let version = expected.map_or(Version::FIRST, Version::next);
                let known = model.settings.entry(self.setting()).or_default();
                known.attempted.push(value.clone().map(|value| (version, value)));
            }
        }
    }

    pub(super) fn acknowledge(&self, model: &mut Model) {
        match &self.what {
            What::Create { .. } | What::Commit { .. } => model.acknowledge(&gid(&self.name)),
            What::Setting { .. } => {
                let known = model.settings.entry(self.setting()).or_default();
                known.acknowledged = known.attempted.pop().unwrap();
                known.attempted.clear();
            }
        }
    }

    pub(super) fn withdraw(&self, model: &mut Model) {
        match &self.what {
            What::Create { .. } | What::Commit { .. } => model.withdraw(&gid(&self.name)),
            What::Setting { .. } => drop(model.settings.entry(self.setting()).or_default().attempted.pop()),
        }
    }
}
