//! Messages to topics: their subscribers are found when the steps are stored, once.

use std::collections::BTreeMap;
use std::sync::Arc;

use escrow_txn::{Branch, Definition, Gid, InvalidDefinition, Pattern, limits, message};

use crate::shared::Shared;
use crate::{RequestError, Topics};

/// Whether a step is addressed to a topic.
pub(super) fn names_topics(def: &Definition) -> bool {
    def.pattern == Pattern::Message && def.branches.iter().any(|step| step.topic().is_some())
}

/// The definition as it is stored: with the subscribers in place of topics.
pub(super) async fn fanned_out(shared: &Shared, def: &Arc<Definition>) -> Result<Arc<Definition>, RequestError> {
    if !names_topics(def) {
        return Ok(Arc::clone(def));
    }
    let invalid = |source| RequestError::Invalid { gid: def.gid.clone(), source };
    let mut def = Definition::clone(def);
    let subscribers = subscribers(&*shared.topics, &def.gid, &def.branches).await?;
    def.branches = message::fan_out(def.branches, &subscribers).map_err(invalid)?;
    def.check().map_err(invalid)?;
    Ok(Arc::new(def))
}

async fn subscribers(
    topics: &dyn Topics,
    gid: &Gid,
    steps: &[Branch],
) -> Result<BTreeMap<String, Vec<String>>, RequestError> {
    let mut subscribers = BTreeMap::new();
    let mut count = 0;
    for topic in steps.iter().filter_map(Branch::topic) {
        if subscribers.contains_key(topic) {
            continue;
        }
        let urls = topics.subscribers(topic).await;
        let urls = urls.map_err(|source| RequestError::Store { gid: gid.clone(), source: Arc::new(source) })?;
        if urls.is_empty() {
            return Err(RequestError::NoSubscribers { gid: gid.clone(), topic: topic.to_owned() });
        }
        count += urls.len();
        if count > limits::BRANCHES_MAX {
            let source = InvalidDefinition::TooManyBranches { count };
            return Err(RequestError::Invalid { gid: gid.clone(), source });
        }
        subscribers.insert(topic.to_owned(), urls);
    }
    Ok(subscribers)
}
