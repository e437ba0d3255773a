//! Money in minor units, and the formulas for fees, costs and points. No floating point anywhere.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A currency by its ISO 4217 code. The platform deals in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Currency {
    /// Chinese yuan; the minor unit is the fen (分).
    #[serde(rename = "CNY")]
    Cny,
}

impl Currency {
    /// The currency with these three letters, if the platform deals in it.
    pub fn from_code(code: &str) -> Option<Self> {
        (code == "CNY").then_some(Self::Cny)
    }

    /// The three letters, as rows store them.
    pub fn code(self) -> &'static str {
        match self {
            Self::Cny => "CNY",
        }
    }
}

/// An amount of money: a signed count of minor units beside its currency.
///
/// Payloads flatten it, so JSON reads `"amount":1000,"currency":"CNY"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units (fen).
    #[serde(rename = "amount")]
    pub minor: i64,
    /// What the units are of.
    pub currency: Currency,
}

/// Arithmetic that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// The result does not fit 64 bits.
    #[error("amount out of range")]
    Overflow,
    /// Two different currencies met.
    #[error("currencies differ")]
    CurrencyMismatch,
}

impl Money {
    /// That many fen.
    pub fn cny(minor: i64) -> Self {
        Self { minor, currency: Currency::Cny }
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError`] when the currencies differ or the sum does not fit.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_add)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`MoneyError`] when the currencies differ or the difference does not fit.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_sub)
    }

    /// The share of `rate`, rounded half up to a whole minor unit. For amounts that are not negative.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] when the share does not fit.
    pub fn share(self, rate: BasisPoints) -> Result<Self, MoneyError> {
        let exact = i128::from(self.minor) * i128::from(rate.0) + 5_000;
        let minor = i64::try_from(exact.div_euclid(10_000)).map_err(|_| MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    fn combine(self, other: Self, op: fn(i64, i64) -> Option<i64>) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch);
        }
        let minor = op(self.minor, other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.minor < 0 { "-" } else { "" };
        let units = self.minor.unsigned_abs();
        write!(out, "{sign}{}.{:02} {}", units / 100, units % 100, self.currency.code())
    }
}

/// A rate in hundredths of a per cent: 80 is 0.8 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BasisPoints(pub u32);

/// What a merchant pays for each payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeTerms {
    /// Share of the amount.
    pub rate: BasisPoints,
    /// Least fee, in minor units.
    pub min: i64,
    /// Greatest fee, in minor units; `None`: no maximum.
    pub max: Option<i64>,
}

impl FeeTerms {
    /// The fee on one payment: the rounded share, at least the minimum, at most the maximum and the amount itself.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] when the share does not fit.
    pub fn fee(&self, amount: Money) -> Result<Money, MoneyError> {
        let share = amount.share(self.rate)?.minor.max(self.min);
        let minor = share.min(self.max.unwrap_or(i64::MAX)).min(amount.minor);
        Ok(Money { minor, ..amount })
    }
}

/// Points for one payment: one per whole hundred minor units.
pub fn payment_points(amount: Money) -> i64 {
    amount.minor.div_euclid(100)
}

/// What part of `total` belongs to `done` of `whole`, rounded down: the cumulative share of a refund in fee or points.
///
/// Taking differences of cumulative shares, the refund that completes the amount gets the remainder, whatever the split.
/// A `whole` of zero has no shares: the answer is zero.
///
/// # Errors
/// [`MoneyError::Overflow`] when the share does not fit.
pub fn cumulative_share(total: i64, done: i64, whole: i64) -> Result<i64, MoneyError> {
    if whole == 0 {
        return Ok(0);
    }
    let exact = i128::from(total) * i128::from(done);
    i64::try_from(exact.div_euclid(i128::from(whole))).map_err(|_| MoneyError::Overflow)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REFERENCE: FeeTerms = FeeTerms { rate: BasisPoints(80), min: 0, max: None };

    #[test]
    fn ten_yuan_at_eighty_basis_points_leave_nine_ninety_two() {
        let amount = Money::cny(1000);
        let fee = REFERENCE.fee(amount).unwrap();
        assert_eq!(fee, Money::cny(8));
        assert_eq!(amount.minus(fee).unwrap(), Money::cny(992));
        assert_eq!(payment_points(amount), 10);
    }

    #[test]
    fn shares_are_rounded_half_up() {
        let half = BasisPoints(5_000);
        assert_eq!(Money::cny(1).share(half).unwrap().minor, 1);
        assert_eq!(Money::cny(62).share(BasisPoints(80)).unwrap().minor, 0);
        assert_eq!(Money::cny(63).share(BasisPoints(80)).unwrap().minor, 1);
    }

    #[test]
    fn a_fee_is_held_between_its_bounds_and_never_above_the_amount() {
        let terms = FeeTerms { rate: BasisPoints(80), min: 5, max: Some(10) };
        assert_eq!(terms.fee(Money::cny(100)).unwrap().minor, 5);
        assert_eq!(terms.fee(Money::cny(3)).unwrap().minor, 3);
        assert_eq!(terms.fee(Money::cny(100_000)).unwrap().minor, 10);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert_eq!(Money::cny(i64::MAX).plus(Money::cny(1)), Err(MoneyError::Overflow));
        assert_eq!(Money::cny(i64::MIN).minus(Money::cny(1)), Err(MoneyError::Overflow));
        assert_eq!(Money::cny(i64::MAX).share(BasisPoints(20_000)), Err(MoneyError::Overflow));
    }

    #[test]
    fn money_travels_as_amount_and_currency() {
        assert_eq!(serde_json::to_string(&Money::cny(1000)).unwrap(), r#"{"amount":1000,"currency":"CNY"}"#);
        assert!(serde_json::from_str::<Money>(r#"{"amount":10.5,"currency":"CNY"}"#).is_err());
        assert_eq!(Money::cny(-5).to_string(), "-0.05 CNY");
    }

    proptest! {
        /// However an amount is refunded in parts, the fee given back adds up to the whole fee, and no part is negative.
        #[test]
        fn refunds_in_parts_give_the_whole_fee_back(parts in prop::collection::vec(1_i64..100_000, 1..12)) {
            let whole: i64 = parts.iter().sum();
            let fee = REFERENCE.fee(Money::cny(whole)).unwrap().minor;
            let (mut done, mut given_back) = (0, 0);
            for part in parts {
                done += part;
                let share = cumulative_share(fee, done, whole).unwrap() - given_back;
                prop_assert!(share >= 0);
                given_back += share;
            }
            prop_assert_eq!(given_back, fee);
        }
    }
}
