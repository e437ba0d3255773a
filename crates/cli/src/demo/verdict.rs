//! The end of a run, for people.

use std::io::{self, Write};

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use escrow_payments::audit::{Finding, Outcome, Report};
use escrow_payments::demo::DemoReport;

/// Prints what the run did, the auditor's table and the verdict; the table within so many columns, if it is for a terminal.
pub(super) fn print(out: &mut impl Write, run: &DemoReport, columns: Option<u16>) -> io::Result<()> {
    writeln!(out, "orders      {} ({})", run.orders, run.outcomes)?;
    writeln!(out, "faults      {} injected: {}", run.faults.total(), run.faults)?;
    writeln!(out, "kills       {} of the coordinator in mid-flight", run.kills)?;
    let seconds = run.elapsed.as_secs_f64();
    writeln!(
        out,
        "time        {seconds:.1} s until quiet, {:.1} orders per second\n",
        f64::from(run.orders) / seconds
    )?;
    writeln!(out, "{}", table(&run.audit, columns))?;
    for finding in run.audit.findings().iter().filter(|finding| finding.violations > 0) {
        writeln!(out, "\n{} is violated {} times:", finding.id, finding.violations)?;
        for example in &finding.examples {
            writeln!(out, "  {example}")?;
        }
    }
    writeln!(out, "\n{}", verdict(&run.audit))
}

fn table(report: &Report, columns: Option<u16>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    if let Some(columns) = columns {
        table.set_width(columns);
    }
    table.set_header(["check", "what sound books say", "rows", "result"]);
    for finding in report.findings() {
        table.add_row([finding.id, finding.claim, &finding.looked_at.to_string(), &result(finding)]);
    }
    if let Some(rows) = table.column_mut(2) {
        rows.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn result(finding: &Finding) -> String {
    match finding.outcome() {
        Outcome::Passed => "passed".to_owned(),
        Outcome::NothingToCheck => "nothing to check".to_owned(),
        Outcome::Violated => format!("{} violations", finding.violations),
    }
}

fn verdict(report: &Report) -> String {
    let checks = report.findings().len();
    let unproven: Vec<&str> = report.unproven().map(|finding| finding.id).collect();
    match report.violations() {
        0 if unproven.is_empty() => format!("verdict: sound. {checks} checks, 0 violations."),
        0 => format!(
            "verdict: not proven. {checks} checks, 0 violations, but nothing to check for {}.",
            unproven.join(", ")
        ),
        violations => format!("verdict: NOT SOUND. {checks} checks, {violations} violations."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let claim = "a SUCCESS order credits its merchant once with amount less fee, a SUCCESS refund debits once";
        let mut report = Report::default();
        for (id, violations) in [("P4", 0), ("P6", 12)] {
            let (looked_at, examples) = (44_395, Vec::new());
            report.add(Finding { id, claim, looked_at, violations, examples, essential: true });
        }
        report
    }

    #[test]
    fn the_table_fits_its_terminal_and_is_as_wide_as_it_needs_elsewhere() {
        let widest = |columns| table(&report(), columns).lines().map(|line| line.chars().count()).max().unwrap();
        for columns in [60, 80, 100] {
            assert!(widest(Some(columns)) <= columns.into(), "{}", table(&report(), Some(columns)));
        }
        let narrow = table(&report(), Some(80)).to_string();
        assert!(["P4", "debits once", "44395", "12 violations"].iter().all(|text| narrow.contains(text)), "{narrow}");
        assert!(widest(None) > 100);
    }
}
