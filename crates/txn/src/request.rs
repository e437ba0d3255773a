//! What initiators and participants ask of a coordinator, whatever dialect they speak.

use crate::{Branch, BusinessKey, Definition, Digest, Gid, Options, Pattern, Timestamp};

/// Begins a transaction (prepare), or begins and decides it, or decides one that was begun (submit).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Its id.
    pub gid: Gid,
    /// Its rules.
    pub pattern: Pattern,
    /// Steps of a saga or message, declared branches of a TCC or XA.
    pub branches: Vec<Branch>,
    /// Saga: see [`Definition::orders`].
    pub orders: Vec<Vec<u16>>,
    /// How to drive it.
    pub options: Options,
    /// Message: see [`Definition::check_back_url`].
    pub check_back_url: String,
    /// Free text.
    pub custom_data: String,
    /// What people know it by.
    pub business_key: Option<BusinessKey>,
}

/// Turns a prepared transaction back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abort {
    /// Its id.
    pub gid: Gid,
    /// The rules that the caller believes it has.
    pub pattern: Pattern,
    /// Why, in the caller's words.
    pub reason: Option<String>,
}

/// Adds a branch to a prepared TCC or XA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its id.
    pub gid: Gid,
    /// The rules that the caller believes it has.
    pub pattern: Pattern,
    /// The branch.
    pub branch: Branch,
}

impl Begin {
    /// The digest of the steps as they were sent.
    pub fn digest(&self) -> Option<Digest> {
        Digest::of(self.pattern, &self.branches)
    }

    /// The definition of a transaction that begins with this request.
    pub fn into_definition(self, created_at: Timestamp) -> Definition {
        Definition {
            digest: self.digest(),
            gid: self.gid,
            pattern: self.pattern,
            created_at,
            options: self.options,
            orders: self.orders,
            check_back_url: self.check_back_url,
            custom_data: self.custom_data,
            business_key: self.business_key,
            branches: self.branches,
        }
    }
}
