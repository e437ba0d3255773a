//! The one command that says whether a change may land. A desk and the build machine run the same.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::{bench, cargo, tidy};

/// A check with the name it is reported under.
struct Step {
    name: &'static str,
    check: Check,
}

enum Check {
    Cargo(&'static [&'static str]),
    Docs,
    Tidy,
    /// In its quick form: that it works, not how fast.
    Bench,
}

/// Cheap checks first. Lints build what the tests need, so they cost little.
const STEPS: &[Step] = &[
    Step { name: "format", check: Check::Cargo(&["fmt", "--all", "--check"]) },
    Step { name: "tidy", check: Check::Tidy },
    Step { name: "lints", check: Check::Cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]) },
    Step { name: "docs", check: Check::Docs },
    Step { name: "tests", check: Check::Cargo(&["test", "--workspace"]) },
    Step { name: "bench", check: Check::Bench },
];

/// Runs every step in order, says how long each took, and ends with a summary.
///
/// # Errors
/// The first step that fails; later ones are not run, and the summary says so.
pub(crate) fn run() -> anyhow::Result<()> {
    let start = Instant::now();
    let mut passed = Vec::new();
    for step in STEPS {
        println!("\n==> {}: {}", step.name, step.check.shown());
        let begun = Instant::now();
        let outcome = step.check.run();
        let took = begun.elapsed();
        if let Err(error) = outcome {
            println!("\n{}", summary(&passed, Some((step.name, took))));
            return Err(error).with_context(|| format!("ci stopped at step `{}`", step.name));
        }
        println!("==> {} passed in {}", step.name, seconds(took));
        passed.push((step.name, took));
    }
    println!("\n{}", summary(&passed, None));
    println!("ci: all {} steps passed in {}", STEPS.len(), seconds(start.elapsed()));
    Ok(())
}

impl Check {
    fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::Cargo(args) => cargo::run(args),
            Self::Docs => cargo::doc(),
            Self::Tidy => tidy::run(),
            Self::Bench => bench::run(&[bench::QUICK.to_owned()]),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Cargo(args) => cargo::shown(args),
            Self::Docs => cargo::shown(cargo::DOC),
            Self::Tidy => cargo::shown(&["xtask", "tidy"]),
            Self::Bench => cargo::shown(&["xtask", "bench", bench::QUICK]),
        }
    }
}

/// One line per step: passed, failed, or not run.
fn summary(passed: &[(&str, Duration)], failed: Option<(&str, Duration)>) -> String {
    STEPS
        .iter()
        .enumerate()
        .map(|(index, step)| match (passed.get(index), failed) {
            (Some((_, took)), _) => format!("{:<8}passed   {:>9}", step.name, seconds(*took)),
            (None, Some((name, took))) if name == step.name => {
                format!("{:<8}FAILED   {:>9}", step.name, seconds(took))
            }
            _ => format!("{:<8}not run", step.name),
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_passed_what_failed_and_what_was_not_run() {
        let second = Duration::from_secs(1);
        let text = summary(&[("format", second)], Some(("tidy", second)));
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            words,
            [
                vec!["format", "passed", "1.0", "s"],
                vec!["tidy", "FAILED", "1.0", "s"],
                vec!["lints", "not", "run"],
                vec!["docs", "not", "run"],
                vec!["tests", "not", "run"],
                vec!["bench", "not", "run"],
            ]
        );
    }
}
