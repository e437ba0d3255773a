//! The initiators: each begins one transaction, loses requests and replies, and sometimes vanishes in the middle.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use escrow_engine::{Coordinator, Receipt, RequestError};
use escrow_txn::{
    Abort, Begin, Branch, BranchId, BranchOp, BranchOutcome, Gid, Operator, Options, Pattern, Registration, Status,
};

use crate::network::Network;
use crate::participants::Key;
use crate::sights::Sight;

/// How often a client repeats a request whose outcome it does not know.
const REPEATS_MAX: u32 = 20;
/// Time-outs of the simulated transactions.
const TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(1);

/// What clients were told; the audit holds the coordinator to it.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// A request that begins the transaction was acknowledged.
    pub begun: bool,
    /// A submit was acknowledged.
    pub submitted: bool,
    /// An abort was acknowledged.
    pub aborted: bool,
    /// A final status was told.
    pub ended: Option<Status>,
    /// Somebody was told that it turns or has turned back.
    pub turned_back: bool,
    /// Somebody was told that it goes or has gone forward.
    pub goes_forward: bool,
    /// An operator's force was acknowledged.
    pub stopped: bool,
    /// Another transaction was accepted under the same gid.
    pub gid_reused: bool,
}

/// One transaction as its client means it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its id.
    pub gid: Gid,
    /// Its rules.
    pub pattern: Pattern,
    /// Its branches.
    pub branches: Vec<BranchId>,
}

/// What the clients share.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) network: Network,
    pub(crate) coordinator: Arc<Mutex<Option<Coordinator>>>,
    pub(crate) told: Arc<Mutex<BTreeMap<Gid, Told>>>,
}

impl Clients {
    pub(crate) fn new(network: Network) -> Self {
        Self { network, coordinator: Arc::default(), told: Arc::default() }
    }

    /// Plans a transaction: everything about it is drawn now, so that it does not depend on interleavings.
    pub(crate) fn plan(&self, index: usize) -> (Case, Begin) {
        let weather = &self.network.weather;
        let gid = Gid::parse(format!("t{index}")).expect("a short text");
        let pattern = [Pattern::Saga, Pattern::Saga, Pattern::Tcc, Pattern::Xa, Pattern::Message][weather.below(5)];
        let branches: Vec<_> = (0..1 + weather.below(3)).map(|step| branch(&gid, step)).collect();
        let refusals_per_mille = if weather.chance(150) { 600 } else { 80 };
        for branch in &branches {
            let key: Key = (gid.to_string(), branch.id.to_string());
            if weather.chance(refusals_per_mille) {
                self.network.participants(|p| p.refuse(key.clone()));
            }
            if weather.chance(100) {
                let times = 1 + weather.below(3);
                self.network.participants(|p| p.be_busy(key, times as u32));
            }
        }
        let mut orders = vec![Vec::new(); branches.len()];
        if weather.chance(200) && branches.len() > 1 {
            orders[branches.len() - 1].push(0);
        }
        let options = Options {
            request_timeout: Some(CALL_TIMEOUT),
            retry_interval: Some(Duration::from_secs(1)),
            timeout_to_fail: (pattern != Pattern::Saga || weather.chance(400)).then_some(TIMEOUT),
            retry_limit: if weather.chance(300) { 1 + weather.below(2) as u32 } else { 0 },
            concurrent: weather.chance(500),
            delay: (pattern == Pattern::Message && weather.chance(200)).then_some(Duration::from_secs(2)),
            wait_result: weather.chance(300),
            ..Options::default()
        };
        let case = Case { gid: gid.clone(), pattern, branches: branches.iter().map(|b| b.id.clone()).collect() };
        let begin = Begin {
            gid,
            pattern,
            branches,
            orders: if pattern == Pattern::Saga { orders } else { Vec::new() },
            options,
            check_back_url: if pattern == Pattern::Message { "check".to_owned() } else { String::new() },
            custom_data: String::new(),
            business_key: None,
        };
        (case, begin)
    }

    /// Lives through one transaction.
    pub(crate) async fn run(&self, begin: Begin) {
        tokio::time::sleep(self.network.weather.millis(15_000)).await;
        match begin.pattern {
            Pattern::Saga => self.saga(begin).await,
            Pattern::Message => self.message(begin).await,
            Pattern::Tcc => self.two_phase(begin, BranchOp::Try).await,
            Pattern::Xa => self.two_phase(begin, BranchOp::Prepare).await,
        }
    }

    async fn saga(&self, begin: Begin) {
        self.submit(&begin).await;
        if self.network.weather.chance(100) {
            tokio::time::sleep(self.network.weather.millis(2_000)).await;
            let operator = Operator { by: "operator".to_owned(), reason: "test".to_owned() };
            let told = self.request(|c| {
                let (gid, operator) = (begin.gid.clone(), operator.clone());
                async move { c.order_abort(gid, operator).await }
            });
            if told.await.is_some_and(|r| r.is_ok()) {
                self.tell(&begin.gid, |t| t.turned_back = true);
            }
        } else if self.network.weather.chance(50) {
            self.submit(&begin).await;
        } else if self.network.weather.chance(100) {
            self.reuse_gid(begin).await;
        }
    }

    /// Another transaction under a gid that is taken, if the first one is known to have been begun.
    async fn reuse_gid(&self, begin: Begin) {
        let begun = self.told.lock().unwrap_or_else(PoisonError::into_inner).get(&begin.gid).is_some_and(|t| t.begun);
        if !begun {
            return;
        }
        let mut other = begin;
        other.branches.iter_mut().for_each(|branch| branch.payload = Bytes::from_static(b"another"));
        let told = self.request(|c| {
            let other = other.clone();
            async move { c.submit(other).await }
        });
        match told.await {
            Some(Ok(_)) => self.tell(&other.gid, |t| t.gid_reused = true),
            Some(Err(_)) => self.network.sights.saw(Sight::GidReuseRefused),
            None => {}
        }
    }

    async fn message(&self, begin: Begin) {
        if self.network.weather.chance(200) {
            self.network.participants(|p| p.commit_locally(begin.gid.as_str()));
            return self.submit(&begin).await;
        }
        if !self.prepare(&begin).await || self.network.weather.chance(100) {
            return;
        }
        tokio::time::sleep(self.network.weather.millis(8_000)).await;
        let commits =
            self.network.weather.chance(800) && self.network.participants(|p| p.commit_locally(begin.gid.as_str()));
        match (self.network.weather.chance(200), commits) {
            (true, _) => {} // Vanishes; the check-back has to find out.
            (false, true) => self.submit(&begin).await,
            (false, false) => self.abort(&begin).await,
        }
    }

    /// TCC and XA: registers each branch, then has it tried or prepared; decides.
    async fn two_phase(&self, begin: Begin, phase_one: BranchOp) {
        let declared = self.network.weather.chance(300);
        let branches = begin.branches.clone();
        let prepare = Begin { branches: if declared { branches.clone() } else { Vec::new() }, ..begin.clone() };
        if !self.prepare(&prepare).await {
            return;
        }
        let mut all_done = true;
        for branch in branches {
            if self.network.weather.chance(50) {
                tokio::time::sleep(self.network.weather.millis(8_000)).await; // Held up; its time may run out.
            }
            if !declared && !self.register(&begin, &branch).await {
                all_done = false;
                break;
            }
            let key = (begin.gid.to_string(), branch.id.to_string());
            let mut outcome = self.network.ask(key.clone(), phase_one, CALL_TIMEOUT).await;
            if outcome != BranchOutcome::Done {
                outcome = self.network.ask(key, phase_one, CALL_TIMEOUT).await;
            }
            if outcome != BranchOutcome::Done {
                all_done = false;
                break;
            }
        }
        if self.network.weather.chance(80) {
            return; // Vanishes; the time-out has to turn it back.
        }
        tokio::time::sleep(self.network.weather.millis(3_000)).await;
        let decision = Begin { branches: Vec::new(), ..begin };
        if all_done {
            self.submit(&decision).await;
        } else {
            self.abort(&decision).await;
        }
    }
}

// ---- single requests ----

impl Clients {
    async fn prepare(&self, begin: &Begin) -> bool {
        let told = self.request(|c| {
            let begin = begin.clone();
            async move { c.prepare(begin).await }
        });
        let done = told.await.is_some_and(|r| r.is_ok());
        if done {
            self.tell(&begin.gid, |t| t.begun = true);
        }
        done
    }

    async fn register(&self, begin: &Begin, branch: &Branch) -> bool {
        let registration = Registration { gid: begin.gid.clone(), pattern: begin.pattern, branch: branch.clone() };
        let told = self.request(|c| {
            let registration = registration.clone();
            async move { c.register(registration).await }
        });
        let told = told.await;
        if matches!(&told, Some(Err(error)) if error.status().is_some()) {
            self.network.sights.saw(Sight::LateRegistration);
        }
        told.is_some_and(|r| r.is_ok())
    }

    async fn submit(&self, begin: &Begin) {
        let told = self.request(|c| {
            let begin = begin.clone();
            async move { c.submit(begin).await }
        });
        match told.await {
            Some(Ok(receipt)) => {
                match &receipt {
                    Receipt::Accepted => {}
                    Receipt::Ended { .. } => self.network.sights.saw(Sight::ResultHeard),
                    Receipt::Waiting { .. } => self.network.sights.saw(Sight::WaitHeard),
                }
                self.tell(&begin.gid, |t| {
                    t.begun = true;
                    t.submitted = true;
                    t.note(&receipt);
                });
            }
            Some(Err(error)) => {
                if matches!(error.status(), Some(Status::Aborting | Status::Aborted)) {
                    self.network.sights.saw(Sight::LateSubmit);
                }
                self.tell(&begin.gid, |t| t.note_conflict(error.status()));
            }
            None => {}
        }
    }

    async fn abort(&self, begin: &Begin) {
        let abort = Abort { gid: begin.gid.clone(), pattern: begin.pattern, reason: Some("client".to_owned()) };
        let told = self.request(|c| {
            let abort = abort.clone();
            async move { c.abort(abort).await }
        });
        match told.await {
            Some(Ok(receipt)) => self.tell(&begin.gid, |t| {
                t.aborted = true;
                t.note(&receipt);
            }),
            Some(Err(error)) => self.tell(&begin.gid, |t| t.note_conflict(error.status())),
            None => {}
        }
    }

    fn tell(&self, gid: &Gid, f: impl FnOnce(&mut Told)) {
        f(self.told.lock().unwrap_or_else(PoisonError::into_inner).entry(gid.clone()).or_default());
    }

    /// Asks the coordinator until it gets a definite answer or gives up. `None`: it never learned one.
    async fn request<T, F>(&self, ask: impl Fn(Coordinator) -> F) -> Option<Result<T, RequestError>>
    where
        F: Future<Output = Result<T, RequestError>>,
    {
        for _ in 0..REPEATS_MAX {
            let coordinator = self.coordinator.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(coordinator) = coordinator.filter(|_| !self.network.weather.fault()) {
                let answer = ask(coordinator).await;
                if matches!(answer, Err(RequestError::Overloaded { .. })) {
                    self.network.sights.saw(Sight::Shed);
                }
                let definite = !matches!(
                    answer,
                    Err(RequestError::Interrupted { .. }
                        | RequestError::ShuttingDown
                        | RequestError::Overloaded { .. }
                        | RequestError::Store { .. })
                );
                if definite && !self.network.weather.fault() {
                    return Some(answer);
                }
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        None
    }
}

impl Told {
    fn note(&mut self, receipt: &Receipt) {
        match receipt {
            Receipt::Accepted => {}
            Receipt::Ended { status, .. } => self.ended = Some(*status),
            Receipt::Waiting { status, .. } => self.note_status(*status),
        }
    }

    /// A conflict tells where the transaction stands.
    fn note_conflict(&mut self, status: Option<Status>) {
        if let Some(status) = status {
            self.begun = true;
            self.note_status(status);
        }
    }

    fn note_status(&mut self, status: Status) {
        match status {
            Status::Aborting | Status::Aborted => self.turned_back = true,
            Status::Committed => self.goes_forward = true,
            Status::Prepared | Status::Submitted | Status::Stopped => {}
        }
    }
}

fn branch(gid: &Gid, step: usize) -> Branch {
    let id = BranchId::of_step(step);
    let url = format!("rm/{gid}/{id}");
    Branch { id, forward_url: url.clone(), backward_url: url, payload: Bytes::from_static(b"{}") }
}
