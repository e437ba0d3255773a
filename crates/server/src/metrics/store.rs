//! What the store has counted itself, read when somebody asks.

use std::fmt;

use escrow_store::{BATCH_SIZES, Clock, EmbeddedStats, SYNC_MICROS, Stats, SystemClock};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

const MICROS_PER_SECOND: f64 = 1e6;

pub(super) struct StoreCollector(pub(super) Box<dyn Fn() -> Stats + Send + Sync>);

impl fmt::Debug for StoreCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreCollector").finish_non_exhaustive()
    }
}

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = (self.0)();
        let mut out = Out(&mut encoder);
        out.counter("changes", "Changes that became durable or were found in conflict", stats.changes)?;
        out.counter("batches", "Commits, each with one sync, that changes shared", stats.batches)?;
        out.counter("batch_bytes", "Bytes written for commits", stats.batch_bytes)?;
        out.counter(
            "other_syncs",
            "Syncs besides those of commits: checkpoints, segments, archives",
            stats.other_syncs,
        )?;
        out.metric("batch_changes", "Changes that shared a commit", &batch_changes(&stats))?;
        out.metric("sync_seconds", "Seconds that a commit took to be written and synced", &sync_seconds(&stats))?;
        let full = "1 while new transactions are refused because the disk or the store's backlog is full";
        out.gauge("full", full, stats.full.into())?;
        out.gauge("live", "Unfinished transactions that the store has in memory", stats.live)?;
        stats.embedded.map_or(Ok(()), |embedded| out.embedded(&embedded))
    }
}

/// Where metrics are written; all names begin alike.
struct Out<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Out<'_, '_> {
    /// What only the embedded store has.
    fn embedded(&mut self, stats: &EmbeddedStats) -> fmt::Result {
        self.gauge("segments", "Segments that the log consists of", stats.segments)?;
        self.gauge("segment_bytes", "Bytes of these segments", stats.segment_bytes)?;
        self.gauge("archive_backlog", "Finished transactions that are not archived yet", stats.archive_backlog)?;
        self.gauge("partitions", "Files of the archive", stats.partitions)?;
        self.gauge("archived", "Finished transactions in the archive", stats.archived)?;
        self.gauge("spilled", "Unfinished transactions that are out of memory", stats.spilled)?;
        self.gauge("held", "Unfinished transactions on hold since a restore", stats.held)?;
        let now = SystemClock.now().as_micros();
        let age = stats.oldest_unfinished_at.map_or(0, |at| now.saturating_sub(at));
        let help = "Age of the oldest unfinished transaction; 0 if there is none";
        self.metric("oldest_unfinished_age_seconds", help, &ConstGauge::new(age as f64 / MICROS_PER_SECOND))
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.metric(name, help, &ConstCounter::new(value))
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.metric(name, help, &ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    fn metric(&mut self, name: &str, help: &str, metric: &impl EncodeMetric) -> fmt::Result {
        let name = format!("escrow_store_{name}");
        metric.encode(self.0.encode_descriptor(&name, help, None, metric.metric_type())?)
    }
}

/// A histogram that somebody else has counted: upper ends of its classes, and how many fell into each.
struct Counted {
    sum: f64,
    classes: Vec<(f64, u64)>,
}

fn batch_changes(stats: &Stats) -> Counted {
    let end = |class: usize| if class + 1 == BATCH_SIZES { f64::INFINITY } else { 2_f64.powi(class as i32) };
    let classes = stats.batch_sizes.iter().enumerate().map(|(class, &count)| (end(class), count));
    Counted { sum: stats.changes as f64, classes: classes.collect() }
}

fn sync_seconds(stats: &Stats) -> Counted {
    let ends = SYNC_MICROS.iter().map(|&micros| micros as f64 / MICROS_PER_SECOND).chain([f64::INFINITY]);
    Counted { sum: stats.sync_time.as_secs_f64(), classes: ends.zip(stats.sync_times).collect() }
}

impl EncodeMetric for Counted {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let count = self.classes.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.sum, count, &self.classes, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use escrow_store::BatchCounters;

    use super::*;
    use crate::metrics::Metrics;

    fn assert_lines(stats: Stats, lines: &[&str]) {
        let text = Metrics::new(move || stats.clone()).render(0);
        for line in lines {
            assert!(text.lines().any(|found| found == *line), "{line} in\n{text}");
        }
    }

    #[test]
    fn every_store_tells_of_its_commits() {
        let counters = BatchCounters::default();
        counters.batch(1, 100, Duration::from_micros(90));
        counters.batch(3, 200, Duration::from_micros(410));
        counters.batch(5_000, 300, Duration::from_secs(2));
        counters.other_syncs(2);
        assert_lines(
            Stats { full: true, live: 9, ..counters.read() },
            &[
                "escrow_store_changes_total 5004",
                "escrow_store_batches_total 3",
                "escrow_store_batch_bytes_total 600",
                "escrow_store_other_syncs_total 2",
                "escrow_store_batch_changes_sum 5004.0",
                r#"escrow_store_batch_changes_bucket{le="1"} 1"#,
                r#"escrow_store_batch_changes_bucket{le="4"} 2"#,
                r#"escrow_store_batch_changes_bucket{le="1024"} 2"#,
                r#"escrow_store_batch_changes_bucket{le="+Inf"} 3"#,
                "escrow_store_sync_seconds_sum 2.0005",
                "escrow_store_sync_seconds_count 3",
                r#"escrow_store_sync_seconds_bucket{le="0.0001"} 1"#,
                r#"escrow_store_sync_seconds_bucket{le="0.0008"} 2"#,
                r#"escrow_store_sync_seconds_bucket{le="1"} 2"#,
                r#"escrow_store_sync_seconds_bucket{le="+Inf"} 3"#,
                "escrow_store_full 1",
                "escrow_store_live 9",
            ],
        );
    }

    #[test]
    fn only_the_embedded_store_tells_of_its_files() {
        let embedded = EmbeddedStats {
            segments: 2,
            segment_bytes: 3,
            archive_backlog: 4,
            partitions: 5,
            archived: 6,
            spilled: 7,
            held: 8,
            oldest_unfinished_at: None,
        };
        assert_lines(
            Stats { embedded: Some(embedded.clone()), ..Stats::default() },
            &[
                "escrow_store_segments 2",
                "escrow_store_segment_bytes 3",
                "escrow_store_archive_backlog 4",
                "escrow_store_partitions 5",
                "escrow_store_archived 6",
                "escrow_store_spilled 7",
                "escrow_store_held 8",
                "escrow_store_oldest_unfinished_age_seconds 0.0",
            ],
        );
        let old = EmbeddedStats { oldest_unfinished_at: Some(0), ..embedded };
        let text = Metrics::new(move || Stats { embedded: Some(old.clone()), ..Stats::default() }).render(0);
        let age =
            text.lines().find_map(|line| line.strip_prefix("escrow_store_oldest_unfinished_age_seconds ")).unwrap();
        assert!(age.parse::<f64>().unwrap() > 1e9, "since 1970: {age}");
        assert!(!Metrics::new(Stats::default).render(0).contains("escrow_store_segments"));
    }
}
