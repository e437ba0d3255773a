//! Two-phase message: delivered if and only if the initiator's local transaction committed.
//!
//! ```text
//! Prepared ──submit, or check-back says done──▶ Submitted ──every delivery done──▶ Committed
//!     │ abort, or check-back says refused
//!     └───────────────────────────────────────▶ Aborted
//! ```
//!
//! An initiator that vanishes between prepare and submit is asked back, again and again; age decides nothing. A
//! submitted message is never turned back: a refused delivery is retried like an unknown one, and shows as attention.
//!
//! Source: transactional messages of RocketMQ (half message and check), two-phase messages of DTM.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::drive::{decide_forward, raise_attention, record};
use crate::next::open_branches;
use crate::{
    Answer, Branch, BranchOp, BranchOutcome, CallId, Drive, InvalidDefinition, Moment, Pattern, Status, Timestamp,
    limits,
};

/// How long a check-back may be undecided before a human should look.
const UNDECIDED_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The check-back while prepared, if there is somebody to ask; then the deliveries: all if concurrent, else the first that
/// is open.
pub(crate) fn open(drive: &Drive) -> Vec<CallId> {
    match drive.txn.progress.status {
        // Without an address only the initiator can decide: taking its silence for a yes would deliver what never happened.
        Status::Prepared if drive.txn.def.check_back_url.is_empty() => Vec::new(),
        Status::Prepared => vec![CallId::CHECK_BACK],
        Status::Submitted => {
            let mut branches = open_branches(drive);
            if !drive.txn.options().concurrent {
                branches.truncate(1);
            }
            branches.into_iter().map(|index| CallId::of(index, BranchOp::Deliver)).collect()
        }
        Status::Aborting | Status::Committed | Status::Aborted | Status::Stopped => Vec::new(),
    }
}

/// Deliveries may have to wait until then.
pub(crate) fn not_before(drive: &Drive) -> Option<Timestamp> {
    match (drive.txn.def.pattern, drive.txn.progress.status) {
        (Pattern::Message, Status::Submitted) => {
            drive.txn.options().delay.map(|delay| drive.txn.def.created_at.plus(delay))
        }
        _ => None,
    }
}

/// What an answer means: of a check-back, the decision; of a delivery, progress.
pub(crate) fn answered(drive: &mut Drive, answer: &Answer, moment: Moment) {
    if answer.call != CallId::CHECK_BACK {
        return record(drive, answer, moment);
    }
    match answer.outcome {
        BranchOutcome::Done => {
            record(drive, answer, moment);
            decide_forward(drive);
        }
        BranchOutcome::Refused => {
            drive.txn.progress.reason =
                Some("the check-back said that the local transaction did not commit".to_owned());
            drive.finish(Status::Aborted, moment.now);
        }
        BranchOutcome::InProgress | BranchOutcome::Unknown => {
            record(drive, answer, moment);
            if moment.now.since(drive.txn.def.created_at) >= UNDECIDED_MAX {
                raise_attention(drive, answer, "the check-back has been undecided for 24 hours".to_owned(), moment.now);
            }
        }
    }
}

/// Puts the subscribers of topics in place of the steps that name them: `01-01`, `01-02`, ... for step `01`, and `01` for a
/// subscriber that is alone. All get the step's payload. A topic that is not in `subscribers` has none.
///
/// Done once, when the steps are stored: who subscribes or leaves later changes nothing.
///
/// # Errors
/// [`InvalidDefinition::TooManyBranches`], before any of them is made.
pub fn fan_out(
    steps: Vec<Branch>,
    subscribers: &BTreeMap<String, Vec<String>>,
) -> Result<Vec<Branch>, InvalidDefinition> {
    let of_topic = |topic: &str| subscribers.get(topic).map_or(&[][..], Vec::as_slice);
    let count = steps.iter().map(|step| step.topic().map_or(1, |topic| of_topic(topic).len())).sum();
    if count > limits::BRANCHES_MAX {
        return Err(InvalidDefinition::TooManyBranches { count });
    }
    let deliveries = |step: Branch| {
        let Some(topic) = step.topic() else { return vec![step] };
        let urls = of_topic(topic);
        let id = |index| if urls.len() == 1 { step.id.clone() } else { step.id.of_subscriber(index) };
        let delivery =
            |(index, url): (usize, &String)| Branch { id: id(index), forward_url: url.clone(), ..step.clone() };
        urls.iter().enumerate().map(delivery).collect()
    };
    Ok(steps.into_iter().flat_map(deliveries).collect())
}

/// `Committed` once every delivery is done.
pub(crate) fn finished(drive: &Drive) -> Option<Status> {
    match drive.txn.progress.status {
        Status::Submitted => open_branches(drive).is_empty().then_some(Status::Committed),
        Status::Prepared | Status::Aborting | Status::Committed | Status::Aborted | Status::Stopped => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::BranchId;

    fn step(index: usize, url: &str) -> Branch {
        Branch {
            id: BranchId::of_step(index),
            forward_url: url.to_owned(),
            backward_url: String::new(),
            payload: Bytes::from(format!("payload {index}")),
        }
    }

    #[test]
    fn a_topic_becomes_its_subscribers_in_the_place_of_its_step() {
        let urls = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
        let subscribers = BTreeMap::from([
            ("many".to_owned(), urls(&["http://a/1", "http://a/2", "http://a/3"])),
            ("one".to_owned(), urls(&["http://b/1"])),
        ]);
        let steps = ["topic://many", "http://c/1", "topic://one", "topic://none"];
        let steps = steps.iter().enumerate().map(|(index, url)| step(index, url)).collect();
        let found: Vec<_> = fan_out(steps, &subscribers)
            .unwrap()
            .into_iter()
            .map(|b| format!("{} {} {}", b.id, b.forward_url, String::from_utf8(b.payload.to_vec()).unwrap()))
            .collect();
        let expected = [
            "01-01 http://a/1 payload 0",
            "01-02 http://a/2 payload 0",
            "01-03 http://a/3 payload 0",
            "02 http://c/1 payload 1",
            "03 http://b/1 payload 2",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_message_has_no_more_deliveries_than_it_could_have_steps() {
        let subscribers = BTreeMap::from([("t".to_owned(), vec!["http://a/".to_owned(); 500])]);
        let deliveries = |steps: usize, others: usize| {
            let topics = (0..steps).map(|index| step(index, "topic://t"));
            fan_out(topics.chain((0..others).map(|index| step(steps + index, "http://b/"))).collect(), &subscribers)
        };
        assert_eq!(deliveries(2, 0).unwrap().len(), limits::BRANCHES_MAX);
        assert_eq!(deliveries(2, 1), Err(InvalidDefinition::TooManyBranches { count: 1_001 }));
        assert_eq!(deliveries(1_000, 0), Err(InvalidDefinition::TooManyBranches { count: 500_000 }));
    }
}
