//! Numbers as people read them.

use super::summary::Spread;

/// What stands where there is no number.
pub(crate) const NONE: &str = "–";

/// Three significant digits, thousands apart: `12,345`, `123`, `12.3`, `1.23`, `0.123`.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        ..0.9995 => format!("{value:.3}"),
        ..9.995 => format!("{value:.2}"),
        ..99.95 => format!("{value:.1}"),
        _ => thousands(&format!("{value:.0}")),
    }
}

/// A median, with its range where more than one round gave it: `71.3 (69.8–72.0)`.
pub(crate) fn with_range(spread: Option<Spread>) -> String {
    spread.map_or(NONE.to_owned(), |Spread { median, low, high }| {
        if low == high { number(median) } else { format!("{} ({}–{})", number(median), number(low), number(high)) }
    })
}

/// A median alone.
pub(crate) fn median(spread: Option<Spread>) -> String {
    spread.map_or(NONE.to_owned(), |spread| number(spread.median))
}

/// Bytes as mebibytes.
pub(crate) fn mebibytes(spread: Option<Spread>) -> String {
    spread.map_or(NONE.to_owned(), |spread| number(spread.median / 1_048_576.0))
}

fn thousands(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        let left = digits.len() - index;
        if index > 0 && left.is_multiple_of(3) && digit.is_ascii_digit() && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_significant_digits() {
        let shown =
            [0.0, 0.1234, 0.9996, 1.234, 9.996, 12.34, 99.96, 123.4, 1234.5, 1_234_567.0, -123_456.0].map(number);
        assert_eq!(
            shown,
            ["0", "0.123", "1.00", "1.23", "10.0", "12.3", "100", "123", "1,234", "1,234,567", "-123,456"]
        );
    }

    #[test]
    fn a_range_is_shown_where_there_is_one() {
        let spread = |low, high| Some(Spread { median: 2.0, low, high });
        assert_eq!(with_range(spread(1.5, 30.0)), "2.00 (1.50–30.0)");
        assert_eq!(with_range(spread(2.0, 2.0)), "2.00");
        assert_eq!(median(spread(1.0, 3.0)), "2.00");
        assert_eq!((with_range(None), median(None), mebibytes(None)), (NONE.into(), NONE.into(), NONE.into()));
    }
}
