//! `escrow store`: what is done to stores that no coordinator has open.

mod check;
mod copy;
mod repair;

use std::process::ExitCode;

/// Work on stores while no coordinator runs on them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(check::Check),
    Repair(repair::Repair),
    Copy(copy::Copy),
}

/// Runs one subcommand.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Check(check) => check.run().await,
        Command::Repair(repair) => repair.run().await,
        Command::Copy(copy) => copy.run().await,
    }
}

/// A number of things, in words.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}
