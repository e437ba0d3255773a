//! What the platform hands to each service.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::branch::BranchContext;
use super::coordinator::Coordinator;
use super::db::{Database, DbName};
use super::http::HttpClient;
use super::outbox::{Route, WakeUp};
use crate::barrier::Barrier;
use crate::contract::{self, Topic};
use crate::time::Clock;

/// One of the platform's services, or of its two counterparts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceName {
    /// Merchants' requests and banks' notices come in here.
    Gateway,
    /// Payment orders and refunds.
    Order,
    /// Merchants' money.
    Funds,
    /// Payers' points.
    Points,
    /// Vouchers and entries.
    Accounting,
    /// Tells merchants.
    Notify,
    /// The merchant's own endpoint: not ours, but the demo has to play it.
    Merchant,
    /// The bank: not ours either.
    Bank,
}

impl ServiceName {
    /// Every service.
    pub const ALL: [Self; 8] = [
        Self::Gateway,
        Self::Order,
        Self::Funds,
        Self::Points,
        Self::Accounting,
        Self::Notify,
        Self::Merchant,
        Self::Bank,
    ];

    /// Its name in logs and faults.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Order => "order",
            Self::Funds => "funds",
            Self::Points => "points",
            Self::Accounting => "accounting",
            Self::Notify => "notify",
            Self::Merchant => "merchant",
            Self::Bank => "bank",
        }
    }

    /// Its database.
    pub fn database(self) -> DbName {
        match self {
            Self::Gateway => DbName::PayGateway,
            Self::Order => DbName::PayOrder,
            Self::Funds => DbName::PayFunds,
            Self::Points => DbName::PayPoints,
            Self::Accounting => DbName::PayLedger,
            Self::Notify => DbName::PayNotify,
            Self::Merchant => DbName::Merchant,
            Self::Bank => DbName::Bank,
        }
    }
}

/// Who listens where. Fixed before the first service starts.
#[derive(Debug, Clone)]
pub struct Directory(Arc<BTreeMap<ServiceName, SocketAddr>>);

impl Directory {
    /// A directory of these addresses.
    pub fn new(addresses: BTreeMap<ServiceName, SocketAddr>) -> Self {
        Self(Arc::new(addresses))
    }

    /// The address of a service, if it runs.
    pub fn addr(&self, service: ServiceName) -> Option<SocketAddr> {
        self.0.get(&service).copied()
    }

    /// The URL of `path` at a service. One that does not run is given the discard port, where nobody answers.
    pub fn url(&self, service: ServiceName, path: &str) -> String {
        match self.addr(service) {
            Some(addr) => format!("http://{addr}{path}"),
            None => format!("http://127.0.0.1:9{path}"),
        }
    }

    /// What becomes of each topic's outbox rows, and where they go.
    pub fn routes(&self) -> BTreeMap<Topic, Route> {
        Topic::ALL.into_iter().map(|topic| (topic, self.route(topic))).collect()
    }

    fn route(&self, topic: Topic) -> Route {
        use contract::{accounting, funds, gateway, notify, order, points};
        let to = |destinations: &[(ServiceName, &str)], in_order| Route::Message {
            destinations: destinations.iter().map(|(service, path)| self.url(*service, path)).collect(),
            in_order,
        };
        match topic {
            // The notice is done only once the order's service has accepted the result.
            Topic::BankResult => {
                to(&[(ServiceName::Order, order::BANK_RESULT), (ServiceName::Gateway, gateway::NOTICE_DONE)], true)
            }
            Topic::Voucher => to(&[(ServiceName::Accounting, accounting::VOUCHER)], false),
            Topic::Notice => to(&[(ServiceName::Notify, notify::NOTIFY)], false),
            Topic::RefundSaga => Route::Saga { steps: self.refund_steps() },
            Topic::Refund => {
                to(&[(ServiceName::Funds, funds::REFUND_POST), (ServiceName::Points, points::REVOKE)], false)
            }
        }
    }

    /// The refund saga. Step 1 is the refund row itself: made by the initiator's first local transaction, `FAILED` when the
    /// saga turns back. Asking the bank is the pivot: nothing undoes it, and what follows it cannot be refused.
    fn refund_steps(&self) -> Vec<(String, String)> {
        use contract::{funds, order};
        let nothing = String::new;
        vec![
            (nothing(), self.url(ServiceName::Order, order::REFUND_COMPENSATE)),
            (self.url(ServiceName::Funds, funds::HOLD_ACTION), self.url(ServiceName::Funds, funds::HOLD_COMPENSATE)),
            (self.url(ServiceName::Order, order::BANK_REFUND_ACTION), nothing()),
            (self.url(ServiceName::Order, order::REFUND_SETTLE_ACTION), nothing()),
        ]
    }
}

/// What a service works with. Cheap to clone; the state of its routes.
#[derive(Debug, Clone)]
pub struct Service {
    /// Which one it is.
    pub name: ServiceName,
    /// Its own database.
    pub db: Database,
    /// The platform's clock.
    pub clock: Clock,
    /// For calls to other services.
    pub client: HttpClient,
    /// For global transactions.
    pub coordinator: Coordinator,
    /// Where the others are.
    pub directory: Directory,
    /// To be woken after a commit that enqueued something.
    pub outbox: WakeUp,
    /// False lets every call run its business code: shows what the barrier prevents.
    pub barrier_on: bool,
}

impl Service {
    /// The barrier of a branch call.
    pub fn barrier(&self, call: &BranchContext) -> Barrier {
        let now_us = self.clock.now().as_micros();
        let barrier = Barrier::new(&call.trans_type, call.gid.as_str(), &call.branch_id, call.op, now_us);
        if self.barrier_on { barrier } else { barrier.switched_off() }
    }
}
