//! What the auditor found, check by check.

/// Examples kept of each violated check; the count goes on.
pub const EXAMPLES_MAX: usize = 3;

/// The auditor's verdict over all books at one moment.
///
/// Made by [`audit`](super::audit); a caller may [`add`](Report::add) what it checked itself.
#[derive(Debug, Clone, Default)]
pub struct Report {
    findings: Vec<Finding>,
}

/// What one check found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The check's short name, as in `P4`.
    pub id: &'static str,
    /// What the check says of sound books, in a sentence.
    pub claim: &'static str,
    /// Rows the check looked at.
    pub looked_at: u64,
    /// Rows that break the claim.
    pub violations: u64,
    /// The first [`EXAMPLES_MAX`] of them, each naming its row and what is wrong with it.
    pub examples: Vec<String>,
    /// The verdict demands that this check looked at something.
    pub essential: bool,
}

/// How one check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Rows were looked at and all of them keep the claim.
    Passed,
    /// There was no row to look at, which shows nothing.
    NothingToCheck,
    /// At least one row breaks the claim.
    Violated,
}

impl Finding {
    /// How the check came out; a check that looked at nothing has not passed.
    pub fn outcome(&self) -> Outcome {
        match (self.violations, self.looked_at) {
            (1.., _) => Outcome::Violated,
            (0, 0) => Outcome::NothingToCheck,
            (0, 1..) => Outcome::Passed,
        }
    }
}

impl Report {
    /// Adds a finding behind those that are there.
    pub fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// One finding per check, in the order in which they ran.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Rows that break a claim, over all checks.
    pub fn violations(&self) -> usize {
        let rows: u64 = self.findings.iter().map(|finding| finding.violations).sum();
        usize::try_from(rows).unwrap_or(usize::MAX)
    }

    /// Essential checks that found no row to look at: a verdict on empty books is worth nothing.
    pub fn unproven(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.essential && finding.outcome() == Outcome::NothingToCheck)
    }

    /// No violation, and every essential check looked at something.
    pub fn passed(&self) -> bool {
        self.violations() == 0 && self.unproven().next().is_none()
    }
}
