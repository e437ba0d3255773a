//! What a run will do, drawn from its seed before it starts.

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::bank::Report;
use crate::ids::PayerNo;
use crate::money::Money;

/// Payers of the reference data, `U1` to `U100`.
const PAYERS: u32 = 100;
/// Least amount of an order, in minor units.
const AMOUNT_MIN: i64 = 1;
/// Greatest amount of an order, in minor units: what the reference data puts on a card.
const AMOUNT_MAX: i64 = 60_000;
/// Of a hundred paid orders, how many are refunded.
const REFUNDED_OF_100: u32 = 20;

/// Every order of one run. The same seed and number make the same plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they are pushed in.
    pub orders: Vec<PlannedOrder>,
}

/// One buyer's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedOrder {
    /// The merchant's number of it.
    pub merchant_order_no: String,
    /// Who pays.
    pub payer_no: PayerNo,
    /// How much.
    pub amount: Money,
    /// What the bank reports about it.
    pub bank: Report,
    /// What the merchant gives back afterwards, if the order is paid.
    pub refund: Option<Money>,
}

/// What the bank makes of a hundred payers.
const OF_100: [(Report, u32); 5] = [
    (Report::Paid, 80),
    (Report::PaidTwice, 8),
    (Report::Failed, 6),
    (Report::WrongAmount, 3),
    (Report::UnknownOrder, 3),
];

impl PlannedOrder {
    /// Whether the order must end as a success: not if the money was not taken, or if the report about it has to be rejected.
    pub fn pays(&self) -> bool {
        pays(self.bank)
    }
}

fn pays(report: Report) -> bool {
    match report {
        Report::Paid | Report::PaidTwice => true,
        Report::Failed | Report::WrongAmount | Report::UnknownOrder => false,
    }
}

impl Plan {
    /// Draws a plan of `orders` orders. From five orders on, the bank says everything it can say at least once.
    pub fn draw(seed: u64, orders: u32) -> Plan {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let says = draw_results(&mut random, orders);
        let orders = (1..=orders).zip(says).map(|(number, bank)| draw_order(&mut random, number, bank)).collect();
        Plan { orders }
    }
}

fn draw_results(random: &mut ChaCha8Rng, orders: u32) -> Vec<Report> {
    let deck: Vec<Report> =
        OF_100.iter().flat_map(|(says, count)| std::iter::repeat_n(*says, *count as usize)).collect();
    let mut says: Vec<Report> = OF_100.iter().map(|(says, _)| *says).collect();
    while says.len() < orders as usize {
        says.extend(deck.choose(random));
    }
    says.truncate(orders as usize);
    says.shuffle(random);
    says
}

fn draw_order(random: &mut ChaCha8Rng, number: u32, bank: Report) -> PlannedOrder {
    // Small amounts are as likely as large ones, so that shares which round to nothing come up.
    let limit = *[100, 1_000, 10_000, AMOUNT_MAX].choose(random).unwrap_or(&AMOUNT_MAX);
    let amount = random.random_range(AMOUNT_MIN..=limit);
    let refunded = pays(bank) && random.random_ratio(REFUNDED_OF_100, 100);
    let refund = refunded.then(|| match random.random_bool(0.5) {
        true => amount,
        false => random.random_range(1..=amount),
    });
    PlannedOrder {
        merchant_order_no: format!("SO{number:06}"),
        payer_no: PayerNo::new(format!("U{}", random.random_range(1..=PAYERS))),
        amount: Money::cny(amount),
        bank,
        refund: refund.map(Money::cny),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_seed_fixes_the_plan() {
        assert_eq!(Plan::draw(7, 50), Plan::draw(7, 50));
        assert_ne!(Plan::draw(7, 50), Plan::draw(8, 50));
    }

    #[test]
    fn a_plan_has_as_many_orders_as_asked_each_with_its_own_number() {
        for orders in [0, 1, 4, 5, 300] {
            let plan = Plan::draw(1, orders);
            let numbers: HashSet<_> = plan.orders.iter().map(|order| &order.merchant_order_no).collect();
            assert_eq!((plan.orders.len(), numbers.len()), (orders as usize, orders as usize));
        }
    }

    #[test]
    fn the_bank_says_everything_it_can_say() {
        for seed in 0..20 {
            let said: HashSet<_> = Plan::draw(seed, 5).orders.iter().map(|order| order.bank).collect();
            assert_eq!(said.len(), OF_100.len(), "seed {seed}");
        }
    }

    #[test]
    fn only_paid_orders_are_refunded_and_never_for_more_than_was_paid() {
        let plan = Plan::draw(3, 1_000);
        let refunded: Vec<_> = plan.orders.iter().filter_map(|order| Some((order, order.refund?))).collect();
        assert!(
            refunded.iter().all(|(order, refund)| order.pays() && (1..=order.amount.minor).contains(&refund.minor))
        );
        assert!(refunded.iter().any(|(order, refund)| *refund == order.amount), "some in full");
        assert!(refunded.iter().any(|(order, refund)| *refund != order.amount), "some in part");
    }
}
