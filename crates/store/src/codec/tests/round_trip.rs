//! What is written is what is read.

use std::time::Duration;

use escrow_txn::{
    Amendment, Attention, BranchOp, BranchOutcome, BranchProgress, BusinessKey, CallId, Digest, OpProgress, OpStatus,
    OperatorOrder, Options, Pattern, Reach, Status, Timestamp,
};
use proptest::collection::{btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn time() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp::from_micros)
}

fn span() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_micros)
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn id() -> impl Strategy<Value = String> {
    "\\PC{1,12}"
}

fn branch() -> impl Strategy<Value = Branch> {
    (id(), text(), text(), vec(any::<u8>(), 0..40)).prop_map(|(id, forward_url, backward_url, payload)| Branch {
        id: BranchId::parse(id).unwrap(),
        forward_url,
        backward_url,
        payload: payload.into(),
    })
}

fn options() -> impl Strategy<Value = Options> {
    let headers = vec((text(), text()), 0..4);
    let times = (of(span()), of(span()), of(span()), of(span()));
    (times, any::<u32>(), headers, any::<bool>(), any::<bool>()).prop_map(
        |((request_timeout, retry_interval, timeout_to_fail, delay), retry_limit, headers, concurrent, wait_result)| {
            Options {
                request_timeout,
                retry_interval,
                timeout_to_fail,
                retry_limit,
                branch_headers: headers,
                concurrent,
                delay,
                wait_result,
            }
        },
    )
}

fn definition() -> impl Strategy<Value = Definition> {
    let pattern = select(vec![Pattern::Saga, Pattern::Tcc, Pattern::Xa, Pattern::Message]);
    let texts = (text(), text(), of(id()));
    let orders = vec(vec(any::<u16>(), 0..4), 0..4);
    (id(), pattern, time(), options(), orders, texts, of(any::<[u8; 16]>()), vec(branch(), 0..4)).prop_map(
        |(gid, pattern, created_at, options, orders, (check_back_url, custom_data, key), digest, branches)| {
            Definition {
                gid: Gid::parse(gid).unwrap(),
                pattern,
                created_at,
                options,
                orders,
                check_back_url,
                custom_data,
                business_key: key.map(|key| BusinessKey::parse(key).unwrap()),
                digest: digest.map(Digest::from_bytes),
                branches,
            }
        },
    )
}

fn op_progress() -> impl Strategy<Value = OpProgress> {
    let status = select(vec![OpStatus::Open, OpStatus::Done, OpStatus::Refused]);
    (status, any::<u32>(), of(time()), of(time())).prop_map(|(status, failures, next_at, finished_at)| OpProgress {
        status,
        failures,
        next_at,
        finished_at,
    })
}

fn branch_progress() -> impl Strategy<Value = BranchProgress> {
    (op_progress(), op_progress()).prop_map(|(forward, backward)| BranchProgress { forward, backward })
}

fn op() -> impl Strategy<Value = BranchOp> {
    use BranchOp::{Action, Cancel, CheckBack, Commit, Compensate, Confirm, Deliver, Prepare, Rollback, Try};
    select(vec![Action, Compensate, Try, Confirm, Cancel, Prepare, Commit, Rollback, Deliver, CheckBack])
}

fn attention() -> impl Strategy<Value = Attention> {
    (of(0..1_000_usize), op(), text(), text(), time()).prop_map(|(branch, op, reason, last_answer, since)| Attention {
        call: CallId { branch, op },
        reason,
        last_answer,
        since,
    })
}

fn progress() -> impl Strategy<Value = Progress> {
    use Status::{Aborted, Aborting, Committed, Prepared, Stopped, Submitted};
    let status = select(vec![Prepared, Submitted, Aborting, Committed, Aborted, Stopped]);
    let reach = prop_oneof![Just(Reach::All), btree_set(any::<u16>(), 0..5).prop_map(Reach::Steps)];
    let digest = of(any::<[u8; 16]>().prop_map(Digest::from_bytes));
    let amended = (options(), text(), digest).prop_map(|(options, custom_data, digest)| Amendment {
        options,
        custom_data,
        digest,
    });
    let order = (text(), text(), time()).prop_map(|(by, reason, at)| OperatorOrder { by, reason, at });
    let operations = (vec(branch_progress(), 0..4), op_progress(), reach, any::<u32>());
    let times = (of(time()), time(), of(time()));
    (status, operations, of(text()), of(attention()), of(amended), of(order), times).prop_map(
        |(status, (branches, check_back, reach, retries), reason, attention, amended, order, times)| Progress {
            status,
            branches,
            check_back,
            reach,
            retries,
            reason,
            attention,
            next_run_at: times.0,
            amended,
            order,
            updated_at: times.1,
            finished_at: times.2,
        },
    )
}

fn attempt() -> impl Strategy<Value = Attempt> {
    use BranchOutcome::{Done, InProgress, Refused, Unknown};
    let outcome = select(vec![Done, Refused, InProgress, Unknown]);
    (time(), of(id()), op(), outcome, of(any::<u16>()), span(), text()).prop_map(
        |(at, branch, op, outcome, code, latency, answer)| Attempt {
            at,
            branch: branch.map(|id| BranchId::parse(id).unwrap()),
            op,
            outcome,
            code,
            latency,
            answer,
        },
    )
}

proptest! {
    #[test]
    fn a_definition_is_read_as_it_was_written(def in definition()) {
        prop_assert_eq!(decode_definition(&encode_definition(&def)).unwrap(), def);
    }

    #[test]
    fn a_progress_is_read_as_it_was_written(progress in progress()) {
        prop_assert_eq!(decode_progress(&encode_progress(&progress)).unwrap(), progress);
    }

    #[test]
    fn appended_branches_are_read_in_their_order(first in vec(branch(), 0..4), second in vec(branch(), 0..4)) {
        let blob = [encode_branches(&first), encode_branches(&second)].concat();
        prop_assert_eq!(decode_branches(&blob).unwrap(), [first, second].concat());
    }

    #[test]
    fn appended_attempts_are_read_in_their_order(first in vec(attempt(), 0..4), second in vec(attempt(), 0..4)) {
        let blob = [encode_attempts(&first), encode_attempts(&second)].concat();
        prop_assert_eq!(decode_attempts(&blob).unwrap(), [first, second].concat());
    }

    #[test]
    fn no_bytes_at_all_make_a_decoder_panic(blob in vec(any::<u8>(), 0..200)) {
        let _ = decode_definition(&blob);
        let _ = decode_progress(&blob);
        let _ = decode_branches(&blob);
        let _ = decode_attempts(&blob);
    }
}
