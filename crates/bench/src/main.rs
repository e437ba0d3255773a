//! What a transaction costs, measured beside the same HTTP work without rules and store.
//!
//! ```text
//!   this process, core 0                    another process, core 1
//!   load ──requests──▶                      target: null | escrow | a peer
//!   participants ◀──calls──
//! ```
//!
//! `plan` says what is run, `run` interleaves the rounds, `load` makes the transactions, `target` starts coordinators and reads
//! what they cost, `report` writes tables and plots. `lateness` and `backlog` are measurements of their own.

// A benchmark talks to the person who started it.
#![allow(clippy::print_stdout)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod backlog;
mod fill;
mod http;
mod lateness;
mod load;
mod measure;
mod null;
mod participant;
mod plan;
mod process;
mod report;
mod run;
mod target;
mod workload;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

/// Measures what a transaction costs its coordinator. People start it with `cargo xtask bench`.
#[derive(Debug, Parser)]
#[command(name = "escrow-bench")]
enum Args {
    /// Run the benchmark
    Run(Box<plan::RunArgs>),
    /// Write tables and plots anew from the results.json in a folder
    Report { folder: PathBuf },
    /// The coordinator without rules and store, which `run` starts
    #[command(hide = true)]
    Null {
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Becomes another program, on one core
    #[command(hide = true)]
    Pinned {
        #[arg(long)]
        core: usize,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    let outcome = match Args::parse() {
        // One thread makes load and participants: on their core there is nothing to share the work with.
        Args::Run(args) => runtime(tokio::runtime::Builder::new_current_thread(), run::run(&args)),
        Args::Report { folder } => report::rewrite(&folder).map(|tables| println!("{tables}")),
        // As many threads as it has cores, like the coordinators that it stands beside.
        Args::Null { listen } => runtime(tokio::runtime::Builder::new_multi_thread(), null::serve(listen)),
        Args::Pinned { core, command } => Err(pinned(core, &command)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("escrow-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn runtime(mut builder: tokio::runtime::Builder, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    builder.enable_all().build().context("cannot start a runtime")?.block_on(work)
}

/// Returns only if it fails.
fn pinned(core: usize, command: &[String]) -> anyhow::Error {
    match command.split_first() {
        Some((program, args)) => process::exec_pinned(core, program, args),
        None => anyhow::anyhow!("no program is named"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_pinned_command_keeps_its_own_flags() {
        let args =
            Args::try_parse_from(["escrow-bench", "pinned", "--core", "1", "--", "serve", "--core", "2"]).unwrap();
        assert!(matches!(args, Args::Pinned { core: 1, command } if command == ["serve", "--core", "2"]));
    }
}
