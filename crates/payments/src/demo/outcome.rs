//! How a run ended, against what its plan says.

use std::collections::BTreeMap;
use std::fmt;

use super::plan::{Plan, PlannedOrder};
use crate::audit::{EXAMPLES_MAX, EndedOrder, Finding, OpenWork};

/// How many orders ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcomes {
    /// Paid, settled and kept.
    pub paid: u32,
    /// Paid, settled, then refunded in part.
    pub part_refunded: u32,
    /// Paid, settled, then refunded in full.
    pub refunded: u32,
    /// Not paid.
    pub unpaid: u32,
    /// Anything else, which a sound run does not have.
    pub other: u32,
}

impl Outcomes {
    pub(super) fn count<'a>(orders: impl IntoIterator<Item = &'a EndedOrder>) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for order in orders {
            let counter = match order.status.as_str() {
                "SUCCESS" if order.refunded == 0 => &mut outcomes.paid,
                "SUCCESS" if order.refunded < order.amount => &mut outcomes.part_refunded,
                "SUCCESS" => &mut outcomes.refunded,
                "WAIT_PAY" => &mut outcomes.unpaid,
                _ => &mut outcomes.other,
            };
            *counter += 1;
        }
        outcomes
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcomes { paid, part_refunded, refunded, unpaid, other } = self;
        write!(out, "{paid} paid, {part_refunded} refunded in part, {refunded} refunded in full, {unpaid} unpaid")?;
        match other {
            0 => Ok(()),
            other => write!(out, ", {other} neither"),
        }
    }
}

/// Compares every order with its plan. What the shop complained about counts, too.
pub(super) fn compare(plan: &Plan, ended: &BTreeMap<String, EndedOrder>, complaints: &[String]) -> Finding {
    let differences = plan.orders.iter().filter_map(|order| difference(order, ended.get(&order.merchant_order_no)));
    let all: Vec<String> = complaints.iter().cloned().chain(differences).collect();
    finding(
        "D1",
        "every order ended as its bank said, and no more was refunded than its merchant asked for",
        plan.orders.len(),
        all,
    )
}

/// Turns what never came to rest into a violation.
pub(super) fn rest(open: &[OpenWork]) -> Finding {
    let all = open.iter().map(|work| format!("{} {}, for instance {}", work.count, work.what, work.example)).collect();
    finding("D2", "the platform came to rest: nothing is open in its databases nor at the coordinator", 1, all)
}

fn finding(id: &'static str, claim: &'static str, looked_at: usize, mut violations: Vec<String>) -> Finding {
    let count = violations.len() as u64;
    violations.truncate(EXAMPLES_MAX);
    Finding { id, claim, looked_at: looked_at as u64, violations: count, examples: violations, essential: true }
}

fn difference(planned: &PlannedOrder, ended: Option<&EndedOrder>) -> Option<String> {
    let number = &planned.merchant_order_no;
    let Some(order) = ended else { return Some(format!("order {number} is not in the books")) };
    let asked = planned.refund.map_or(0, |refund| refund.minor);
    let EndedOrder { pay_no, status, amount, refunded, .. } = order;
    if planned.pays() != (status == "SUCCESS") {
        return Some(format!("the bank's word for order {number} ({pay_no}) was {:?}, it is {status}", planned.bank));
    }
    if *amount != planned.amount.minor {
        return Some(format!("order {number} ({pay_no}) was over {}, the books say {amount}", planned.amount.minor));
    }
    (*refunded != 0 && *refunded != asked)
        .then(|| format!("order {number} ({pay_no}) was to be refunded {asked}, the books say {refunded}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bank::Report;
    use crate::ids::PayerNo;
    use crate::money::Money;

    fn planned(bank: Report, refund: Option<i64>) -> Plan {
        let order = PlannedOrder {
            merchant_order_no: "SO1".to_owned(),
            payer_no: PayerNo::new("U1"),
            amount: Money::cny(100),
            bank,
            refund: refund.map(Money::cny),
        };
        Plan { orders: vec![order] }
    }

    fn ended(status: &str, amount: i64, refunded: i64) -> BTreeMap<String, EndedOrder> {
        let order =
            EndedOrder { pay_no: "P1".to_owned(), status: status.to_owned(), amount, refunded, settle_gid: None };
        BTreeMap::from([("SO1".to_owned(), order)])
    }

    #[test]
    fn an_order_must_end_as_its_bank_said() {
        let paid = planned(Report::PaidTwice, None);
        assert_eq!(compare(&paid, &ended("SUCCESS", 100, 0), &[]).violations, 0);
        for status in ["WAIT_PAY", "SETTLING"] {
            assert_eq!(compare(&paid, &ended(status, 100, 0), &[]).violations, 1, "{status}");
        }
        for says in [Report::Failed, Report::WrongAmount, Report::UnknownOrder] {
            assert_eq!(compare(&planned(says, None), &ended("WAIT_PAY", 100, 0), &[]).violations, 0);
            assert_eq!(compare(&planned(says, None), &ended("SUCCESS", 100, 0), &[]).violations, 1, "{says:?}");
        }
    }

    #[test]
    fn an_order_that_is_missing_or_has_another_amount_is_found() {
        let paid = planned(Report::Paid, None);
        assert_eq!(compare(&paid, &BTreeMap::new(), &[]).violations, 1);
        assert_eq!(compare(&paid, &ended("SUCCESS", 101, 0), &[]).violations, 1);
    }

    /// A refund may fail at the bank: then nothing is given back.
    #[test]
    fn a_refund_is_what_was_asked_for_or_nothing() {
        let plan = planned(Report::Paid, Some(30));
        for (refunded, violations) in [(0, 0), (30, 0), (29, 1), (60, 1)] {
            assert_eq!(compare(&plan, &ended("SUCCESS", 100, refunded), &[]).violations, violations, "{refunded}");
        }
        assert_eq!(compare(&planned(Report::Paid, None), &ended("SUCCESS", 100, 30), &[]).violations, 1);
    }

    #[test]
    fn complaints_and_open_work_are_violations() {
        let complaint = ["the shop was refused".to_owned()];
        assert_eq!(compare(&planned(Report::Paid, None), &ended("SUCCESS", 100, 0), &complaint).violations, 1);
        assert_eq!(rest(&[]).violations, 0);
        let open = OpenWork { what: "orders settling", count: 3, example: "P1".to_owned() };
        assert_eq!(rest(&[open]).examples, ["3 orders settling, for instance P1"]);
    }

    #[test]
    fn outcomes_tell_full_from_partial_refunds() {
        let orders: Vec<EndedOrder> =
            [("SUCCESS", 0), ("SUCCESS", 1), ("SUCCESS", 100), ("WAIT_PAY", 0), ("CLOSED", 0)]
                .into_iter()
                .flat_map(|(status, refunded)| ended(status, 100, refunded).into_values())
                .collect();
        let outcomes = Outcomes::count(&orders);
        assert_eq!(outcomes, Outcomes { paid: 1, part_refunded: 1, refunded: 1, unpaid: 1, other: 1 });
        assert_eq!(outcomes.to_string(), "1 paid, 1 refunded in part, 1 refunded in full, 1 unpaid, 1 neither");
    }
}
