//! The network between coordinator and participants: slow, lossy, and indifferent to who has crashed meanwhile.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use escrow_engine::{BranchCall, BranchCaller, BranchReply};
use escrow_txn::{BranchOp, BranchOutcome};
use tokio::sync::oneshot;

use crate::participants::{Key, Participants};
use crate::sights::{Sight, Sights};
use crate::storm::Storm;
use crate::weather::{Mutation, Weather};

/// How late a delayed request may arrive.
const LATE_MILLIS_MAX: u64 = 20_000;

/// The world outside the coordinator.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) weather: Weather,
    pub(crate) sights: Sights,
    participants: Arc<Mutex<Participants>>,
    calls: Arc<AtomicU64>,
}

impl Network {
    pub(crate) fn new(weather: Weather) -> Self {
        let sights = Sights::default();
        let participants = Arc::new(Mutex::new(Participants::new(sights.clone())));
        Self { weather, sights, participants, calls: Arc::default() }
    }

    pub(crate) fn participants<T>(&self, f: impl FnOnce(&mut Participants) -> T) -> T {
        f(&mut self.participants.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many calls coordinators made.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Asks a participant, over this network. What was sent arrives whether or not the asker still waits.
    pub(crate) async fn ask(&self, key: Key, op: BranchOp, timeout: Duration) -> BranchOutcome {
        let weather = &self.weather;
        if weather.fault() {
            tokio::time::sleep(timeout).await;
            return BranchOutcome::Unknown; // The request is lost.
        }
        let late = weather.fault().then(|| timeout + weather.millis(LATE_MILLIS_MAX));
        let delay = late.unwrap_or_else(|| weather.millis(40));
        let reply_lost = weather.fault();
        let (reply, answer) = oneshot::channel();
        let network = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let outcome = network.participants(|p| match op {
                BranchOp::CheckBack => p.check_back(&key.0),
                _ => p.handle(&key, op),
            });
            if late.is_some() {
                network.sights.saw(Sight::LateRequest);
            }
            let is_heard = !reply_lost && reply.send(outcome).is_ok();
            if !is_heard && outcome == BranchOutcome::Done {
                network.sights.saw(Sight::ReplyLost);
            }
        });
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => BranchOutcome::Unknown,
        }
    }
}

/// The coordinator's end of the network, for one life of it.
pub(crate) struct Caller {
    pub(crate) network: Network,
    pub(crate) storm: Storm,
    pub(crate) life: u64,
    pub(crate) mutation: Option<Mutation>,
}

#[async_trait]
impl BranchCaller for Caller {
    async fn call(&self, call: BranchCall) -> BranchReply {
        self.storm.before_call(self.life).await;
        self.network.calls.fetch_add(1, Ordering::Relaxed);
        let branch = call.branch.as_ref().map_or("00", |b| b.as_str()).to_owned();
        let key = (call.gid.to_string(), branch);
        let mut outcome = self.network.ask(key.clone(), call.op, call.timeout).await;
        self.storm.after_call(self.life).await;
        if (call.op, outcome) == (BranchOp::Action, BranchOutcome::Done) {
            self.network.participants(|p| p.hear(key));
        }
        if self.mutation == Some(Mutation::UnknownIsRefused) && outcome == BranchOutcome::Unknown {
            outcome = BranchOutcome::Refused;
        }
        BranchReply { outcome, code: None, text: format!("{outcome:?}") }
    }

    fn lane<'a>(&self, url: &'a str) -> Cow<'a, str> {
        url.into()
    }
}
