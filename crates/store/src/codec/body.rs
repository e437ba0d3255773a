//! The bodies of records: mirrors of the types in `escrow-txn`, so that a change there cannot change what is on disk.
//!
//! Fields are known by their numbers, which are never used again. New fields are optional and come last. Times are in
//! microseconds.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use escrow_txn::{
    Amendment, Attempt, Attention, Branch, BranchId, BranchProgress, BusinessKey, CallId, Definition, Digest, Gid,
    OpProgress, OperatorOrder, Options, Progress, Reach, Timestamp,
};
use minicbor::bytes::{ByteArray, ByteSlice};
use minicbor::{Decode, Encode};

use super::{CodecError, tags};

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn digest_bytes(digest: Digest) -> ByteArray<16> {
    (*digest.as_bytes()).into()
}

fn branch_id(text: &str) -> Result<BranchId, CodecError> {
    BranchId::parse(text).map_err(|source| CodecError::Id { what: "branch id", source })
}

#[derive(Encode, Decode)]
pub(super) struct DefinitionBody<'a> {
    #[b(0)]
    gid: &'a str,
    #[n(1)]
    pattern: u8,
    #[n(2)]
    created_at: u64,
    #[b(3)]
    options: OptionsBody<'a>,
    #[n(4)]
    orders: Vec<Vec<u16>>,
    #[b(5)]
    check_back_url: &'a str,
    #[b(6)]
    custom_data: &'a str,
    #[b(7)]
    branches: Vec<BranchBody<'a>>,
    #[b(8)]
    business_key: Option<&'a str>,
    #[n(9)]
    digest: Option<ByteArray<16>>,
}

impl<'a> From<&'a Definition> for DefinitionBody<'a> {
    fn from(def: &'a Definition) -> Self {
        Self {
            gid: def.gid.as_str(),
            pattern: tags::of_pattern(def.pattern),
            created_at: def.created_at.as_micros(),
            options: OptionsBody::from(&def.options),
            orders: def.orders.clone(),
            check_back_url: &def.check_back_url,
            custom_data: &def.custom_data,
            branches: def.branches.iter().map(BranchBody::from).collect(),
            business_key: def.business_key.as_ref().map(BusinessKey::as_str),
            digest: def.digest.map(digest_bytes),
        }
    }
}

impl TryFrom<DefinitionBody<'_>> for Definition {
    type Error = CodecError;

    fn try_from(body: DefinitionBody<'_>) -> Result<Self, CodecError> {
        let business_key = body.business_key.map(BusinessKey::parse).transpose();
        Ok(Self {
            gid: Gid::parse(body.gid).map_err(|source| CodecError::Id { what: "gid", source })?,
            pattern: tags::to_pattern(body.pattern)?,
            created_at: Timestamp::from_micros(body.created_at),
            options: body.options.into(),
            orders: body.orders,
            check_back_url: body.check_back_url.to_owned(),
            custom_data: body.custom_data.to_owned(),
            business_key: business_key.map_err(|source| CodecError::Id { what: "business key", source })?,
            digest: body.digest.map(|bytes| Digest::from_bytes(bytes.into())),
            branches: body.branches.into_iter().map(Branch::try_from).collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Encode, Decode)]
pub(super) struct BranchBody<'a> {
    #[b(0)]
    id: &'a str,
    #[b(1)]
    forward_url: &'a str,
    #[b(2)]
    backward_url: &'a str,
    #[b(3)]
    payload: &'a ByteSlice,
}

impl<'a> From<&'a Branch> for BranchBody<'a> {
    fn from(branch: &'a Branch) -> Self {
        Self {
            id: branch.id.as_str(),
            forward_url: &branch.forward_url,
            backward_url: &branch.backward_url,
            payload: (&*branch.payload).into(),
        }
    }
}

impl TryFrom<BranchBody<'_>> for Branch {
    type Error = CodecError;

    fn try_from(body: BranchBody<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            id: branch_id(body.id)?,
            forward_url: body.forward_url.to_owned(),
            backward_url: body.backward_url.to_owned(),
            payload: Bytes::copy_from_slice(body.payload),
        })
    }
}

#[derive(Encode, Decode)]
struct OptionsBody<'a> {
    #[n(0)]
    retry_limit: u32,
    #[n(1)]
    concurrent: bool,
    #[n(2)]
    wait_result: bool,
    #[b(3)]
    branch_headers: Vec<(&'a str, &'a str)>,
    #[n(4)]
    request_timeout: Option<u64>,
    #[n(5)]
    retry_interval: Option<u64>,
    #[n(6)]
    timeout_to_fail: Option<u64>,
    #[n(7)]
    delay: Option<u64>,
}

impl<'a> From<&'a Options> for OptionsBody<'a> {
    fn from(options: &'a Options) -> Self {
        Self {
            retry_limit: options.retry_limit,
            concurrent: options.concurrent,
            wait_result: options.wait_result,
            branch_headers: options.branch_headers.iter().map(|(name, value)| (&**name, &**value)).collect(),
            request_timeout: options.request_timeout.map(micros),
            retry_interval: options.retry_interval.map(micros),
            timeout_to_fail: options.timeout_to_fail.map(micros),
            delay: options.delay.map(micros),
        }
    }
}

impl From<OptionsBody<'_>> for Options {
    fn from(body: OptionsBody<'_>) -> Self {
        let headers = body.branch_headers.into_iter();
        Self {
            request_timeout: body.request_timeout.map(Duration::from_micros),
            retry_interval: body.retry_interval.map(Duration::from_micros),
            timeout_to_fail: body.timeout_to_fail.map(Duration::from_micros),
            retry_limit: body.retry_limit,
            branch_headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            concurrent: body.concurrent,
            delay: body.delay.map(Duration::from_micros),
            wait_result: body.wait_result,
        }
    }
}

#[derive(Encode, Decode)]
pub(super) struct ProgressBody<'a> {
    #[n(0)]
    status: u8,
    #[n(1)]
    branches: Vec<BranchProgressBody>,
    #[n(2)]
    check_back: OpBody,
    #[n(3)]
    reach: ReachBody,
    #[n(4)]
    retries: u32,
    #[n(5)]
    updated_at: u64,
    #[n(6)]
    next_run_at: Option<u64>,
    #[n(7)]
    finished_at: Option<u64>,
    #[b(8)]
    reason: Option<&'a str>,
    #[b(9)]
    attention: Option<AttentionBody<'a>>,
    #[b(10)]
    amended: Option<AmendmentBody<'a>>,
    #[b(11)]
    order: Option<OrderBody<'a>>,
}

impl<'a> From<&'a Progress> for ProgressBody<'a> {
    fn from(progress: &'a Progress) -> Self {
        Self {
            status: tags::of_status(progress.status),
            branches: progress.branches.iter().map(BranchProgressBody::from).collect(),
            check_back: OpBody::from(&progress.check_back),
            reach: ReachBody::from(&progress.reach),
            retries: progress.retries,
            updated_at: progress.updated_at.as_micros(),
            next_run_at: progress.next_run_at.map(Timestamp::as_micros),
            finished_at: progress.finished_at.map(Timestamp::as_micros),
            reason: progress.reason.as_deref(),
            attention: progress.attention.as_ref().map(AttentionBody::from),
            amended: progress.amended.as_ref().map(AmendmentBody::from),
            order: progress.order.as_ref().map(OrderBody::from),
        }
    }
}

impl TryFrom<ProgressBody<'_>> for Progress {
    type Error = CodecError;

    fn try_from(body: ProgressBody<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            status: tags::to_status(body.status)?,
            branches: body.branches.into_iter().map(BranchProgress::try_from).collect::<Result<_, _>>()?,
            check_back: body.check_back.try_into()?,
            reach: body.reach.into(),
            retries: body.retries,
            reason: body.reason.map(str::to_owned),
            attention: body.attention.map(Attention::try_from).transpose()?,
            next_run_at: body.next_run_at.map(Timestamp::from_micros),
            amended: body.amended.map(Amendment::from),
            order: body.order.map(OperatorOrder::from),
            updated_at: Timestamp::from_micros(body.updated_at),
            finished_at: body.finished_at.map(Timestamp::from_micros),
        })
    }
}

#[derive(Encode, Decode)]
struct BranchProgressBody {
    #[n(0)]
    forward: OpBody,
    #[n(1)]
    backward: OpBody,
}

impl From<&BranchProgress> for BranchProgressBody {
    fn from(branch: &BranchProgress) -> Self {
        Self { forward: OpBody::from(&branch.forward), backward: OpBody::from(&branch.backward) }
    }
}

impl TryFrom<BranchProgressBody> for BranchProgress {
    type Error = CodecError;

    fn try_from(body: BranchProgressBody) -> Result<Self, CodecError> {
        Ok(Self { forward: body.forward.try_into()?, backward: body.backward.try_into()? })
    }
}

#[derive(Encode, Decode)]
struct OpBody {
    #[n(0)]
    status: u8,
    #[n(1)]
    failures: u32,
    #[n(2)]
    next_at: Option<u64>,
    #[n(3)]
    finished_at: Option<u64>,
}

impl From<&OpProgress> for OpBody {
    fn from(op: &OpProgress) -> Self {
        Self {
            status: tags::of_op_status(op.status),
            failures: op.failures,
            next_at: op.next_at.map(Timestamp::as_micros),
            finished_at: op.finished_at.map(Timestamp::as_micros),
        }
    }
}

impl TryFrom<OpBody> for OpProgress {
    type Error = CodecError;

    fn try_from(body: OpBody) -> Result<Self, CodecError> {
        Ok(Self {
            status: tags::to_op_status(body.status)?,
            failures: body.failures,
            next_at: body.next_at.map(Timestamp::from_micros),
            finished_at: body.finished_at.map(Timestamp::from_micros),
        })
    }
}

/// Not an option and without a default: a reach that got lost would leave effects in place.
#[derive(Encode, Decode)]
enum ReachBody {
    #[n(0)]
    All,
    #[n(1)]
    Steps(#[n(0)] BTreeSet<u16>),
}

impl From<&Reach> for ReachBody {
    fn from(reach: &Reach) -> Self {
        match reach {
            Reach::All => Self::All,
            Reach::Steps(steps) => Self::Steps(steps.clone()),
        }
    }
}

impl From<ReachBody> for Reach {
    fn from(body: ReachBody) -> Self {
        match body {
            ReachBody::All => Self::All,
            ReachBody::Steps(steps) => Self::Steps(steps),
        }
    }
}

#[derive(Encode, Decode)]
struct AttentionBody<'a> {
    /// The branch by its index; `None` for the check-back.
    #[n(0)]
    branch: Option<u32>,
    #[n(1)]
    op: u8,
    #[b(2)]
    reason: &'a str,
    #[b(3)]
    last_answer: &'a str,
    #[n(4)]
    since: u64,
}

impl<'a> From<&'a Attention> for AttentionBody<'a> {
    fn from(attention: &'a Attention) -> Self {
        Self {
            // `limits::BRANCHES_MAX` fits.
            branch: attention.call.branch.map(|index| u32::try_from(index).unwrap_or(u32::MAX)),
            op: tags::of_op(attention.call.op),
            reason: &attention.reason,
            last_answer: &attention.last_answer,
            since: attention.since.as_micros(),
        }
    }
}

impl TryFrom<AttentionBody<'_>> for Attention {
    type Error = CodecError;

    fn try_from(body: AttentionBody<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            call: CallId { branch: body.branch.map(|index| index as usize), op: tags::to_op(body.op)? },
            reason: body.reason.to_owned(),
            last_answer: body.last_answer.to_owned(),
            since: Timestamp::from_micros(body.since),
        })
    }
}

#[derive(Encode, Decode)]
struct AmendmentBody<'a> {
    #[b(0)]
    options: OptionsBody<'a>,
    #[b(1)]
    custom_data: &'a str,
    #[n(2)]
    digest: Option<ByteArray<16>>,
}

impl<'a> From<&'a Amendment> for AmendmentBody<'a> {
    fn from(amendment: &'a Amendment) -> Self {
        Self {
            options: OptionsBody::from(&amendment.options),
            custom_data: &amendment.custom_data,
            digest: amendment.digest.map(digest_bytes),
        }
    }
}

impl From<AmendmentBody<'_>> for Amendment {
    fn from(body: AmendmentBody<'_>) -> Self {
        let digest = body.digest.map(|bytes| Digest::from_bytes(bytes.into()));
        Self { options: body.options.into(), custom_data: body.custom_data.to_owned(), digest }
    }
}

#[derive(Encode, Decode)]
struct OrderBody<'a> {
    #[b(0)]
    by: &'a str,
    #[b(1)]
    reason: &'a str,
    #[n(2)]
    at: u64,
}

impl<'a> From<&'a OperatorOrder> for OrderBody<'a> {
    fn from(order: &'a OperatorOrder) -> Self {
        Self { by: &order.by, reason: &order.reason, at: order.at.as_micros() }
    }
}

impl From<OrderBody<'_>> for OperatorOrder {
    fn from(body: OrderBody<'_>) -> Self {
        Self { by: body.by.to_owned(), reason: body.reason.to_owned(), at: Timestamp::from_micros(body.at) }
    }
}

#[derive(Encode, Decode)]
pub(super) struct AttemptBody<'a> {
    #[n(0)]
    at: u64,
    /// `None` for the check-back.
    #[b(1)]
    branch: Option<&'a str>,
    #[n(2)]
    op: u8,
    #[n(3)]
    outcome: u8,
    #[n(4)]
    latency: u64,
    #[b(5)]
    answer: &'a str,
    #[n(6)]
    code: Option<u16>,
}

impl<'a> From<&'a Attempt> for AttemptBody<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        Self {
            at: attempt.at.as_micros(),
            branch: attempt.branch.as_ref().map(BranchId::as_str),
            op: tags::of_op(attempt.op),
            outcome: tags::of_outcome(attempt.outcome),
            latency: micros(attempt.latency),
            answer: &attempt.answer,
            code: attempt.code,
        }
    }
}

impl TryFrom<AttemptBody<'_>> for Attempt {
    type Error = CodecError;

    fn try_from(body: AttemptBody<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            at: Timestamp::from_micros(body.at),
            branch: body.branch.map(branch_id).transpose()?,
            op: tags::to_op(body.op)?,
            outcome: tags::to_outcome(body.outcome)?,
            code: body.code,
            latency: Duration::from_micros(body.latency),
            answer: body.answer.to_owned(),
        })
    }
}
