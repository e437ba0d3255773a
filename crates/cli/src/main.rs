//! The `escrow` command: the coordinator, its demo, a look at its transactions, and work on its store.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod serve;

mod tx;

mod store;

mod backup;

mod demo;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A distributed-transaction coordinator: saga, TCC, XA and two-phase messages over the DTM REST API.
#[derive(Debug, Parser)]
#[command(name = "escrow", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Demo(demo::Args),
    Tx(tx::Args),
    Store(store::Args),
    Backup(backup::Backup),
    Restore(backup::Restore),
}

// A transaction's pieces are made in one thread and freed in another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Tx(args) => tx::run(args).await,
        Command::Store(args) => store::run(args).await,
        Command::Backup(backup) => backup.run().await,
        Command::Restore(restore) => restore.run().await,
    };
    result.unwrap_or_else(|error| {
        match serve::error_code(&error) {
            Some(code) => eprintln!("error: {error:#} [{code}]"),
            None => eprintln!("error: {error:#}"),
        }
        ExitCode::FAILURE
    })
}
