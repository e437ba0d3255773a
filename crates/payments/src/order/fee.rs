//! How a payment's fee comes about, line by line. The lines add up to the fee.

use crate::money::{FeeTerms, Money, MoneyError};

/// One line of the explanation that is stored beside an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FeeLine {
    pub(super) kind: FeeKind,
    /// What the line is reckoned from, for people: `1000 x 80 bp`.
    pub(super) basis: String,
    /// Minor units; negative when a maximum takes something off.
    pub(super) minor: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FeeKind {
    /// The share of the amount.
    Rate,
    /// What lifts the share to the minimum.
    Min,
    /// What the maximum, or the amount itself, takes off.
    Max,
}

impl FeeKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "RATE",
            Self::Min => "MIN",
            Self::Max => "MAX",
        }
    }
}

/// The fee on `amount` and its lines; the rate's line is there even when it is zero.
///
/// # Errors
/// [`MoneyError::Overflow`] when the share does not fit.
pub(super) fn reckon(terms: &FeeTerms, amount: Money) -> Result<(Money, Vec<FeeLine>), MoneyError> {
    let fee = terms.fee(amount)?;
    let share = amount.share(terms.rate)?.minor;
    let lifted = share.max(terms.min);
    let mut lines =
        vec![FeeLine { kind: FeeKind::Rate, basis: format!("{} x {} bp", amount.minor, terms.rate.0), minor: share }];
    if lifted > share {
        lines.push(FeeLine { kind: FeeKind::Min, basis: format!("at least {}", terms.min), minor: lifted - share });
    }
    if fee.minor < lifted {
        lines.push(FeeLine { kind: FeeKind::Max, basis: format!("at most {}", fee.minor), minor: fee.minor - lifted });
    }
    Ok((fee, lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::BasisPoints;
    use proptest::prelude::*;

    fn lines(rate: u32, min: i64, max: Option<i64>, amount: i64) -> Vec<(FeeKind, i64)> {
        let (_, lines) = reckon(&FeeTerms { rate: BasisPoints(rate), min, max }, Money::cny(amount)).unwrap();
        lines.into_iter().map(|line| (line.kind, line.minor)).collect()
    }

    #[test]
    fn every_bound_that_acts_has_its_line() {
        assert_eq!(lines(80, 0, None, 1000), [(FeeKind::Rate, 8)]);
        assert_eq!(lines(80, 10, None, 1000), [(FeeKind::Rate, 8), (FeeKind::Min, 2)]);
        assert_eq!(lines(80, 0, Some(5), 1000), [(FeeKind::Rate, 8), (FeeKind::Max, -3)]);
        assert_eq!(lines(80, 10, None, 4), [(FeeKind::Rate, 0), (FeeKind::Min, 10), (FeeKind::Max, -6)]);
    }

    proptest! {
        #[test]
        fn the_lines_add_up_to_the_fee(rate in 0_u32..=10_000, min in 0_i64..1_000, above in prop::option::of(0_i64..1_000), amount in 1_i64..1_000_000) {
            let terms = FeeTerms { rate: BasisPoints(rate), min, max: above.map(|above| min + above) };
            let (fee, lines) = reckon(&terms, Money::cny(amount)).unwrap();
            prop_assert_eq!(lines.iter().map(|line| line.minor).sum::<i64>(), fee.minor);
        }
    }
}
