//! The checks, as SQL over the attached books.
//!
//! Each names sound books in a sentence, counts the rows it looks at and selects one line of text per violation. They are
//! written from the meaning of the tables alone and share no arithmetic with the services they watch.

mod funds;
mod ledger;
mod notices;
mod orders;
mod partners;
mod points;
mod transactions;

/// One claim about the books and the two queries that test it.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) id: &'static str,
    pub(super) claim: &'static str,
    /// The verdict demands that this check looked at something.
    pub(super) essential: bool,
    /// Selects one integer: how many rows the claim is about.
    pub(super) looked_at: &'static str,
    /// Selects one text per violation.
    pub(super) violations: &'static str,
}

/// Every check, in the order of the report.
pub(super) fn all() -> impl Iterator<Item = &'static Check> {
    [
        orders::CHECKS,
        funds::CHECKS,
        points::CHECKS,
        ledger::CHECKS,
        notices::CHECKS,
        partners::CHECKS,
        transactions::CHECKS,
    ]
    .into_iter()
    .flatten()
}
