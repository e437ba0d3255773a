use std::sync::Arc;
use std::time::Duration;

use escrow_store::{Clock, ListQuery, Page, Store, StoreError, TxnSummary, Versioned};
use escrow_txn::{Abort, Begin, Gid, Operator, Registration, Status, Txn};

use crate::{BranchCaller, EngineConfig, Jitter, Observer, RequestError};

/// The coordinator: takes requests, drives transactions, wakes them in time.
///
/// Cheap to clone; all clones are one coordinator. Must be made inside a tokio runtime.
#[derive(Clone)]
pub struct Coordinator {}

/// What a request for a result came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It is durable and is carried out; nobody asked to wait.
    Accepted,
    /// It ended so, durably.
    Ended {
        /// The final status.
        status: Status,
        /// Why it turned back or was stopped.
        reason: Option<String>,
    },
    /// It waits, durably, or it has taken too long to wait for.
    Waiting {
        /// Where it stands.
        status: Status,
        /// Why it turns back.
        reason: Option<String>,
    },
}

impl Coordinator {
    /// Starts a coordinator: recovers what was in flight, and waits for what is due.
    pub fn start(
        config: EngineConfig,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        caller: Arc<dyn BranchCaller>,
        observer: Arc<dyn Observer>,
        jitter: Jitter,
    ) -> Self {
        let _ = (config, store, clock, caller, observer, jitter);
        unimplemented!()
    }

    /// Begins a transaction. Repeating the same request is fine while it is prepared.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn prepare(&self, begin: Begin) -> Result<(), RequestError> {
        let _ = begin;
        unimplemented!()
    }

    /// Decides a transaction forward; begins it if it is a saga or a message and new. Waits for the result if
    /// `begin.options.wait_result` says so.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn submit(&self, begin: Begin) -> Result<Receipt, RequestError> {
        let _ = begin;
        unimplemented!()
    }

    /// Turns a prepared transaction back. Waits for the result if it was prepared with `wait_result`.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn abort(&self, abort: Abort) -> Result<Receipt, RequestError> {
        let _ = abort;
        unimplemented!()
    }

    /// Adds a branch to a prepared TCC or XA. Repeating the identical registration is fine while it is prepared.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn register(&self, registration: Registration) -> Result<(), RequestError> {
        let _ = registration;
        unimplemented!()
    }

    /// The transaction as it is durable.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn query(&self, gid: &Gid) -> Result<Option<Versioned<Txn>>, StoreError> {
        let _ = gid;
        unimplemented!()
    }

    /// One page of transactions, newest first, as they are durable.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, query: &ListQuery) -> Result<Page<TxnSummary>, StoreError> {
        let _ = query;
        unimplemented!()
    }

    /// An operator asks a transaction to go on at once.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn retry_now(&self, gid: Gid) -> Result<(), RequestError> {
        let _ = gid;
        unimplemented!()
    }

    /// An operator turns back a submitted saga; recorded with the transaction.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn order_abort(&self, gid: Gid, operator: Operator) -> Result<(), RequestError> {
        let _ = (gid, operator);
        unimplemented!()
    }

    /// An operator ends a transaction, whatever has been done; recorded with the transaction.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn force_stop(&self, gid: Gid, operator: Operator) -> Result<(), RequestError> {
        let _ = (gid, operator);
        unimplemented!()
    }

    /// Transactions in memory now.
    pub fn active(&self) -> usize {
        unimplemented!()
    }

    /// Takes no more requests, lets what is on its way finish for at most `grace`, stores it, and hands the rest back.
    /// Returns whether everything ended in time.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        let _ = grace;
        unimplemented!()
    }
}
