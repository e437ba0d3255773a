//! The calls that a driver makes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use escrow_txn::{Answer, BranchOp, BranchOutcome, CallId, Txn};
use tokio::time::Instant;

use crate::lanes::Rank;
use crate::shared::Shared;
use crate::{BranchCall, BranchReply};

/// One call: waits for its lane, calls, and says what came of it. An empty URL is done without a call.
pub(super) fn make_call(
    shared: Arc<Shared>,
    txn: &Txn,
    id: CallId,
    timeout: Duration,
    rank: Rank,
) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
    let pattern = txn.def.pattern;
    let call = branch_call(txn, id, timeout);
    Box::pin(async move {
        if call.url.is_empty() {
            let text = String::new();
            return Answer { call: id, outcome: BranchOutcome::Done, code: None, latency: Duration::ZERO, text };
        }
        let permit = shared.lanes.acquire(&shared.caller.lane(&call.url), rank).await;
        let started = Instant::now();
        let reply = match permit {
            Ok(_permit) => shared.caller.call(call).await,
            Err(_) => BranchReply {
                outcome: BranchOutcome::Unknown,
                code: None,
                text: "not called: too many calls are waiting for this target".to_owned(),
            },
        };
        let latency = started.elapsed();
        shared.observer.answered(pattern, id.op, reply.outcome, latency);
        Answer { call: id, outcome: reply.outcome, code: reply.code, latency, text: reply.text }
    })
}

fn branch_call(txn: &Txn, id: CallId, timeout: Duration) -> BranchCall {
    let def = &txn.def;
    let branch = id.branch.and_then(|index| def.branches.get(index));
    let payload = match id.op {
        BranchOp::Commit | BranchOp::Rollback | BranchOp::CheckBack => Default::default(),
        _ => branch.map(|b| b.payload.clone()).unwrap_or_default(),
    };
    BranchCall {
        gid: def.gid.clone(),
        pattern: def.pattern,
        branch: branch.map(|b| b.id.clone()),
        op: id.op,
        url: call_url(txn, id).to_owned(),
        payload,
        headers: txn.options().branch_headers.clone(),
        timeout,
    }
}

pub(super) fn call_url(txn: &Txn, id: CallId) -> &str {
    let def = &txn.def;
    match id.branch.and_then(|index| def.branches.get(index)) {
        None => &def.check_back_url,
        Some(branch) if id.op == def.pattern.forward_op() => &branch.forward_url,
        Some(branch) => &branch.backward_url,
    }
}
