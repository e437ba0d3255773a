//! Runs simulations: `--seed N` replays one, `--seeds M` runs M of them from N on.

#![allow(clippy::print_stdout)]

use anyhow::bail;
use clap::Parser;
use escrow_sim::{Plan, simulate};

/// Simulates coordinators, participants and clients under faults and crashes.
#[derive(Debug, Parser)]
struct Args {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds to run, one after the other.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Transactions per seed.
    #[arg(long, default_value_t = 12)]
    transactions: usize,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut violated = 0;
    let (mut crashes, mut calls) = (0, 0);
    for seed in args.seed..args.seed.saturating_add(args.seeds) {
        let plan = Plan { transactions: args.transactions, ..Plan::of_seed(seed) };
        let report = simulate(&plan)?;
        crashes += report.crashes;
        calls += report.calls;
        if args.seeds == 1 {
            for (gid, status) in &report.history {
                println!("{gid}: {status:?}");
            }
        }
        if !report.violations.is_empty() {
            violated += 1;
            println!(
                "seed {seed}: {} violations; replay with `cargo xtask sim --seed {seed}`",
                report.violations.len()
            );
            report.violations.iter().take(5).for_each(|violation| println!("  {violation}"));
        }
    }
    println!("{} seeds, {crashes} crashes, {calls} calls, {violated} seeds with violations", args.seeds);
    if violated > 0 {
        bail!("{violated} of {} seeds violate an invariant", args.seeds);
    }
    Ok(())
}
