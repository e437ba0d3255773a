//! What Escrow's store counts, read from its page of metrics.

/// Where the page is.
pub(super) const PATH: &str = "/api/metrics";

/// What a coordinator's own store has counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Changes made durable.
    pub(crate) changes: u64,
    /// Syncs of any kind.
    pub(crate) syncs: u64,
    /// Bytes written for commits.
    pub(crate) bytes: u64,
}

impl Counters {
    /// What was counted after `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            changes: self.changes.saturating_sub(before.changes),
            syncs: self.syncs.saturating_sub(before.syncs),
            bytes: self.bytes.saturating_sub(before.bytes),
        }
    }

    /// From a page of metrics; `None` if one of the counters is missing.
    pub(super) fn parse(page: &str) -> Option<Self> {
        let value = |name: &str| {
            let mut values = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            values.next()?.trim().parse::<u64>().ok()
        };
        Some(Self {
            changes: value("escrow_store_changes_total")?,
            // A commit is a batch of changes with one sync.
            syncs: value("escrow_store_batches_total")? + value("escrow_store_other_syncs_total")?,
            bytes: value("escrow_store_batch_bytes_total")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# HELP escrow_store_changes Changes that became durable or were found in conflict.
# TYPE escrow_store_changes counter
escrow_store_changes_total 5004
# TYPE escrow_store_batches counter
escrow_store_batches_total 300
escrow_store_batch_bytes_total 60000
escrow_store_other_syncs_total 21
# TYPE escrow_store_batch_changes histogram
escrow_store_batch_changes_sum 5004.0
escrow_store_batch_changes_bucket{le=\"1\"} 1
escrow_store_live 9
# EOF
";

    #[test]
    fn syncs_are_those_of_commits_and_the_others() {
        assert_eq!(Counters::parse(PAGE), Some(Counters { changes: 5_004, syncs: 321, bytes: 60_000 }));
    }

    #[test]
    fn what_was_counted_since_is_the_difference() {
        let before = Counters { changes: 1, syncs: 2, bytes: 3 };
        let after = Counters { changes: 11, syncs: 22, bytes: 33 };
        assert_eq!(after.since(before), Counters { changes: 10, syncs: 20, bytes: 30 });
        assert_eq!(before.since(after), Counters::default());
    }

    #[test]
    fn a_page_without_one_of_the_counters_tells_nothing() {
        assert_eq!(Counters::parse(&PAGE.replace("other_syncs_total", "other")), None);
        assert_eq!(Counters::parse(""), None);
    }
}
