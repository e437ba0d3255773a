//! Results as a page of Markdown tables, aligned so that they can be read in a terminal too.

#[cfg(test)]
mod tests;

use std::fmt::Write;

use super::figures::{mebibytes, median, number, with_range};
use super::markdown::Table;
use super::plot::Plot;
use super::summary::{self, Level, Row, Spread};
use super::{NULL, Results};
use crate::lateness::Kind;
use crate::workload::Workload;

/// The goal for a transaction's processor time, as a multiple of the null coordinator's.
const GOAL_TIMES_NULL: f64 = 2.0;
/// With fewer clients group commit has no company, and the goal is not for that.
const COMPANY_OF_THE_GOAL: usize = 64;
/// The goal for the lateness of a hundredth of the waiting transactions.
const GOAL_LATE_MS: f64 = 20.0;
/// The target the goals are for.
const EMBEDDED: &str = "escrow, embedded";

/// The whole page.
pub(crate) fn page(results: &Results, plots: &[Plot]) -> String {
    let sections = [
        head(results),
        goals(results),
        others(results),
        loops(results, false),
        loops(results, true),
        lateness(results),
        backlog(results),
        pictures(plots),
    ];
    let mut page: String = sections.into_iter().flatten().collect::<Vec<_>>().join("\n");
    while page.ends_with("\n\n") {
        page.pop();
    }
    page
}

/// What was measured where, and what a reader has to know first.
fn head(results: &Results) -> Option<String> {
    let mut text = String::from("# Results\n\n");
    let warnings = results.failures.iter().map(|failure| format!("FAILED: {failure}"));
    for warning in warnings.chain(results.notes.iter().cloned()) {
        let _ = writeln!(text, "- **{warning}**");
    }
    if !text.ends_with("\n\n") {
        text.push('\n');
    }
    for (name, fact) in results.origin.facts().into_iter().chain(results.machine.facts()) {
        let _ = writeln!(text, "- {name}: {fact}");
    }
    for (target, words) in &results.origin.durability {
        let _ = writeln!(text, "- durability of {target}: {words}");
    }
    text.push_str(
        "\nMedians of the rounds, where it matters with (lowest–highest). *commits*, *syncs* and *bytes* are the store's own \
         counters, per\ntransaction. *× null* is the processor time per transaction as a multiple of the null coordinator's \
         in the same round.\n",
    );
    Some(text)
}

/// The declared ratios, measured: the embedded store against the null coordinator.
fn goals(results: &Results) -> Option<String> {
    let company = summary::company(&results.measurements).filter(|clients| *clients >= COMPANY_OF_THE_GOAL)?;
    let mut table = Table::new(1, &["workload", "clients", "CPU × null", "goal", ""]);
    for workload in [Workload::Saga, Workload::Message, Workload::TccDeclared] {
        let level = Level::Clients(company);
        let Some(ratio) = summary::cpu_ratio(&results.measurements, workload, level, EMBEDDED, NULL) else { continue };
        let verdict = if ratio.median <= GOAL_TIMES_NULL { "met" } else { "missed" };
        let goal = format!("≤ {GOAL_TIMES_NULL}");
        table.row([name(workload), company.to_string(), with_range(Some(ratio)), goal, verdict.to_owned()]);
    }
    table.section("Goals", "Escrow on the embedded store, every commit synced, with company for its group commit.")
}

/// What the others cost, as a multiple of Escrow on the embedded store.
fn others(results: &Results) -> Option<String> {
    let company = summary::company(&results.measurements)?;
    let mut table = Table::new(2, &["workload", "target", "clients", "CPU × escrow, embedded"]);
    for workload in Workload::ALL {
        for row in summary::rows(&results.measurements, workload) {
            let is_other = row.target != NULL && row.target != EMBEDDED && row.level == Level::Clients(company);
            let ratio = summary::cpu_ratio(&results.measurements, workload, row.level, &row.target, EMBEDDED);
            if is_other && ratio.is_some() {
                table.row([name(workload), row.target, company.to_string(), with_range(ratio)]);
            }
        }
    }
    table.section(
        "Others",
        "Processor time per transaction, as a multiple of Escrow's on the embedded store in the same round.",
    )
}

/// One table per workload.
fn loops(results: &Results, open: bool) -> Option<String> {
    let mut text = String::new();
    for workload in Workload::ALL {
        let rows = summary::rows(&results.measurements, workload);
        let rows = rows.iter().filter(|row| row.level.is_open() == open);
        let mut table = if open { Table::new(1, OPEN) } else { Table::new(1, CLOSED) };
        rows.for_each(|row| table.row(if open { open_cells(row) } else { closed_cells(row) }));
        let (title, words) = if open {
            (
                format!("{}, open loop", name(workload)),
                "So many transactions per second as a share of the target's own capacity; latency counts from when a \
                 transaction was due.",
            )
        } else {
            (name(workload), what_it_is(workload))
        };
        text.extend(table.section(&title, words).into_iter().flat_map(|section| [section, "\n".to_owned()]));
    }
    (!text.is_empty()).then(|| text.trim_end_matches('\n').to_owned() + "\n")
}

const CLOSED: &[&str] = &[
    "target",
    "clients",
    "txn/s",
    "txn/CPU-s",
    "CPU µs/txn",
    "× null",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "commits",
    "syncs",
    "bytes",
    "MiB",
    "errors",
];

fn closed_cells(row: &Row) -> Vec<String> {
    let times_null = if row.target == NULL { "1".to_owned() } else { with_range(row.times_null) };
    let mut cells = vec![
        row.target.clone(),
        level(row.level),
        with_range(row.per_second),
        median(row.per_cpu_second()),
        with_range(row.cpu_us),
        times_null,
    ];
    cells.extend(latency_cells(row));
    cells.extend([median(row.changes), median(row.syncs), median(row.bytes), mebibytes(row.resident_bytes)]);
    cells.push(row.errors.to_string());
    cells
}

const OPEN: &[&str] =
    &["target", "load", "asked/s", "txn/s", "CPU µs/txn", "p50 ms", "p99 ms", "p99.9 ms", "syncs", "bytes", "errors"];

fn open_cells(row: &Row) -> Vec<String> {
    let mut cells = vec![
        row.target.clone(),
        level(row.level),
        median(row.asked_per_second),
        with_range(row.per_second),
        with_range(row.cpu_us),
    ];
    cells.extend(latency_cells(row));
    cells.extend([median(row.syncs), median(row.bytes), row.errors.to_string()]);
    cells
}

fn latency_cells(row: &Row) -> [String; 3] {
    [median(row.p50_ms), with_range(row.p99_ms), median(row.p999_ms)]
}

/// How late waiting transactions were.
fn lateness(results: &Results) -> Option<String> {
    let head = &["what waits", "scheduled is", "samples", "p50 ms", "p99 ms", "max ms", "early", "errors"];
    let mut table = Table::new(2, head);
    for one in &results.lateness {
        let numbers = [one.p50_ms, one.p99_ms, one.max_ms].map(number);
        let mut cells = vec![what_waits(one.kind).to_owned(), one.scheduled.clone(), number(one.samples as f64)];
        cells.extend(numbers);
        cells.extend([one.early.to_string(), one.errors.to_string()]);
        table.row(cells);
    }
    let beside = results.lateness.first().map_or(0.0, |one| one.beside_per_second);
    let words = format!(
        "From the scheduled time until a participant has read the call, on the embedded store, beside {} sagas per second: \
         half of its\ncapacity. The goal is a p99 of {GOAL_LATE_MS} ms at most.",
        number(beside),
    );
    table.section("Lateness", &words)
}

fn what_waits(kind: Kind) -> &'static str {
    match kind {
        Kind::Delay => "message with a delay",
        Kind::RetryAfterInProgress => "retry after *in progress*",
        Kind::RetryAfterUnknown => "retry after *unknown*",
        Kind::TimeOut => "time-out of a TCC",
        Kind::DelayOfMany => "1,000 delayed messages at once",
    }
}

/// What a saga costs beside many others.
fn backlog(results: &Results) -> Option<String> {
    let mut table = Table::new(
        0,
        &[
            "unfinished",
            "finished",
            "CPU µs/txn",
            "empty store",
            "null",
            "× empty",
            "start ms",
            "MiB",
            "MiB, empty",
            "errors",
        ],
    );
    let mebibytes = |bytes: u64| number(bytes as f64 / 1_048_576.0);
    for point in &results.backlog {
        let ratio = Spread { median: point.ratio, low: point.ratio_low, high: point.ratio_high };
        table.row([
            number(point.unfinished as f64),
            number(point.finished as f64),
            number(point.cpu_us),
            number(point.cpu_us_empty),
            number(point.cpu_us_null),
            with_range(Some(ratio)),
            number(point.start_ms),
            mebibytes(point.resident_bytes),
            mebibytes(point.resident_bytes_empty),
            point.errors.to_string(),
        ]);
    }
    let words = "Sagas on an embedded store that already holds so many waiting, or finished, transactions; in the same rounds \
                 on a store\nthat was empty, and on the null coordinator. The goal is to stay within 10 % of the empty store.";
    table.section("Backlog", words)
}

fn pictures(plots: &[Plot]) -> Option<String> {
    let pictures = plots.iter().map(|plot| format!("![{}]({})\n", plot.title, plot.file));
    let pictures = pictures.collect::<Vec<_>>().join("\n");
    (!pictures.is_empty()).then(|| format!("## Plots\n\n{pictures}"))
}

fn level(level: Level) -> String {
    match level {
        Level::Clients(clients) => clients.to_string(),
        Level::Percent(percent) => format!("{percent} %"),
    }
}

/// A workload's heading.
pub(crate) fn name(workload: Workload) -> String {
    match workload {
        Workload::Saga => "Saga, two steps",
        Workload::Message => "Message, one step",
        Workload::Tcc => "TCC, two branches registered",
        Workload::TccDeclared => "TCC, two branches declared",
        Workload::Xa => "XA, two branches",
    }
    .to_owned()
}

fn what_it_is(workload: Workload) -> &'static str {
    match workload {
        Workload::Saga => "One request with `wait_result`; two calls, one after the other. 2 commits.",
        Workload::Message => "One request, answered at once; one call. 2 commits.",
        Workload::Tcc => "Prepare, two registrations, submit; two calls to confirm. 5 commits.",
        Workload::TccDeclared => "Prepare with both branches, submit; two calls to confirm. 3 commits.",
        Workload::Xa => "Prepare, two registrations, submit; two calls to commit, without databases. 5 commits.",
    }
}
