//! The transactions that the laws are checked on.

use std::time::Duration;

use bytes::Bytes;

use crate::{Branch, BranchId, Definition, Gid, Options, Pattern, Timestamp};

/// When every sample was created: not at the beginning of time, so that a moment before it exists.
pub(crate) const CREATED_AT: Timestamp = Timestamp::from_micros(1_000_000_000);

/// A transaction with `count` branches and no options.
pub(crate) fn definition(pattern: Pattern, count: usize) -> Definition {
    Definition {
        gid: Gid::parse("g").unwrap(),
        pattern,
        created_at: CREATED_AT,
        options: Options::default(),
        orders: Vec::new(),
        check_back_url: "http://initiator/check".to_owned(),
        custom_data: String::new(),
        business_key: None,
        digest: None,
        branches: (0..count).map(branch).collect(),
    }
}

/// The branch at `index`.
pub(crate) fn branch(index: usize) -> Branch {
    Branch {
        id: BranchId::of_step(index),
        forward_url: format!("http://rm/{index}/forward"),
        backward_url: format!("http://rm/{index}/backward"),
        payload: Bytes::new(),
    }
}

/// How a sample saga differs from the plain sequential one.
#[derive(Clone, Debug, Default)]
pub(super) struct SagaShape {
    pub(super) steps: usize,
    pub(super) concurrent: bool,
    /// For each step, the steps it waits for.
    pub(super) orders: Vec<Vec<u16>>,
    pub(super) retry_limit: u32,
    pub(super) timeout: Option<Duration>,
}

impl SagaShape {
    pub(crate) fn definition(&self) -> Definition {
        let mut def = definition(Pattern::Saga, self.steps);
        def.orders.clone_from(&self.orders);
        def.options.concurrent = self.concurrent;
        def.options.retry_limit = self.retry_limit;
        def.options.timeout_to_fail = self.timeout;
        def.check().unwrap();
        def
    }
}
