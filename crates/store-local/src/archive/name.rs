use std::fmt;

use escrow_txn::Timestamp;

const MICROS_PER_DAY: u64 = 24 * 60 * 60 * 1_000_000;

const ENDING: &str = ".db";

/// The name of a partition's file: the day on which it was begun, and a number that counts on. Partitions are in the order of
/// their numbers; the day is for people, and says when the next one is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) number: u32,
    pub(super) day: Day,
}

/// A day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day {
    year: u64,
    month: u8,
    day: u8,
}

impl Day {
    pub(super) fn of(at: Timestamp) -> Self {
        let mut days = at.as_micros() / MICROS_PER_DAY;
        let mut year = 1970;
        while days >= days_of_year(year) {
            days -= days_of_year(year);
            year += 1;
        }
        let mut month = 1;
        while days >= days_of_month(year, month) {
            days -= days_of_month(year, month);
            month += 1;
        }
        // Fewer than 31.
        Self { year, month, day: days as u8 + 1 }
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_of_month(year: u64, month: u8) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Name {
    /// Reads the name of a file; `None` if it is not that of a partition.
    pub(super) fn parse(file: &str) -> Option<Self> {
        let mut parts = file.strip_suffix(ENDING)?.split('-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        let number = parts.next()?.parse().ok()?;
        let day = Day { year: year.parse().ok()?, month: month.parse().ok()?, day: day.parse().ok()? };
        let name = Self { number, day };
        (name.to_string() == file).then_some(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Day { year, month, day } = self.day;
        write!(f, "{year:04}-{month:02}-{day:02}-{:04}{ENDING}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(seconds: u64, number: u32) -> String {
        Name { number, day: Day::of(Timestamp::from_micros(seconds * 1_000_000)) }.to_string()
    }

    #[test]
    fn a_name_tells_the_day_in_utc_and_the_number() {
        assert_eq!(name(0, 1), "1970-01-01-0001.db");
        assert_eq!(name(951_782_399, 2), "2000-02-28-0002.db");
        assert_eq!(name(951_782_400, 2), "2000-02-29-0002.db");
        assert_eq!(name(4_107_542_399, 3), "2100-02-28-0003.db");
        assert_eq!(name(4_107_542_400, 3), "2100-03-01-0003.db");
        assert_eq!(name(1_798_761_599, 12_345), "2026-12-31-12345.db");
        assert_eq!(name(1_798_761_600, 12_345), "2027-01-01-12345.db");
    }

    #[test]
    fn only_what_was_written_as_a_name_is_read_as_one() {
        for text in ["2026-12-31-0007.db", "2026-02-01-12345.db", "584554-05-28-0001.db"] {
            assert_eq!(Name::parse(text).map(|name| name.to_string()).as_deref(), Some(text));
        }
        for text in ["2026-12-31-7.db", "2026-12-31-0007.db-wal", "2026-12-31-0007.db.new", "2026-12-31.db", "a.db"] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
        let end = Name { number: 1, day: Day::of(Timestamp::from_micros(u64::MAX)) };
        assert_eq!(Name::parse(&end.to_string()), Some(end));
    }
}
