//! `escrow tx`: looks at the transactions of a running coordinator, releases and stops them, over its DTM REST API.

mod client;
mod replies;
mod tables;

use std::io::{BufRead, Write};
use std::process::ExitCode;

use anyhow::Context;
use escrow_txn::{BusinessKey, Gid};

use crate::store::counted;

use client::Client;
use replies::{AllReply, QueryReply, ReleaseReply};

/// Look at the transactions of a running coordinator, release and stop them.
///
/// States are shown in the words of the DTM API: prepared, submitted, aborting, succeed, failed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the coordinator is.
    #[arg(long, global = true, env = "ESCROW_SERVER", value_name = "URL", default_value = "http://127.0.0.1:36789")]
    server: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The newest transactions.
    List(List),
    /// One transaction with its branches.
    Show(Show),
    /// Lets transactions go on that are on hold since their store was restored from a backup.
    Release(Release),
    /// Ends one transaction, whatever has been done of it. Nothing is called, nothing is undone.
    Stop(Stop),
}

#[derive(Debug, clap::Args)]
struct List {
    /// At most this many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// Go on where the page before ended: the position that it printed.
    #[arg(long, default_value = "", hide_default_value = true)]
    position: String,
    /// Only those known by this key, such as an order number.
    #[arg(long, value_name = "KEY", value_parser = parse_business_key)]
    business_key: Option<BusinessKey>,
    /// Print the coordinator's reply as it came.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The transaction.
    #[arg(value_parser = parse_gid)]
    gid: Gid,
    /// Print the coordinator's reply as it came.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Stop {
    /// The transaction.
    #[arg(value_parser = parse_gid)]
    gid: Gid,
    /// Why; kept with the transaction, and shown to its initiator.
    #[arg(long)]
    reason: String,
    /// Who stops it; kept with the transaction.
    #[arg(
        long,
        value_name = "NAME",
        env = "USER",
        default_value = "",
        hide_env_values = true,
        hide_default_value = true
    )]
    by: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Print the coordinator's reply as it came.
    #[arg(long, requires = "yes")]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Release {
    /// The transaction.
    #[arg(value_parser = parse_gid, required_unless_present = "all", conflicts_with = "all")]
    gid: Option<Gid>,
    /// All that are on hold.
    #[arg(long)]
    all: bool,
    /// Print the coordinator's reply as it came.
    #[arg(long)]
    json: bool,
}

fn parse_gid(text: &str) -> Result<Gid, String> {
    Gid::parse(text).map_err(|error| format!("a gid that {error}"))
}

fn parse_business_key(text: &str) -> Result<BusinessKey, String> {
    BusinessKey::parse(text).map_err(|error| format!("a key that {error}"))
}

/// Runs one subcommand; the exit code is 1 if the transaction does not exist, was not stopped or was not on hold.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut terminal = Terminal { input: std::io::stdin().lock(), out: std::io::stdout() };
    run_on(args, &mut terminal).await
}

/// Where a person reads and answers.
struct Terminal<R, W> {
    input: R,
    out: W,
}

async fn run_on(args: Args, terminal: &mut Terminal<impl BufRead, impl Write>) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    match args.command {
        Command::List(list) => list.run(&client, &mut terminal.out).await,
        Command::Show(show) => show.run(&client, &mut terminal.out).await,
        Command::Release(release) => release.run(&client, &mut terminal.out).await,
        Command::Stop(stop) => stop.run(&client, terminal).await,
    }
}

impl List {
    async fn run(self, client: &Client, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let limit = self.limit.to_string();
        let key = self.business_key.as_ref().map_or("", BusinessKey::as_str);
        let reply =
            client.get("all", &[("limit", limit.as_str()), ("position", &self.position), ("businessKey", key)]).await?;
        if self.json {
            writeln!(out, "{}", reply.text())?;
            return Ok(ExitCode::SUCCESS);
        }
        let page: AllReply = reply.parse()?;
        tables::write_list(out, &page)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    async fn run(self, client: &Client, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let reply = client.get("query", &[("gid", self.gid.as_str())]).await?;
        let shown: QueryReply = reply.parse()?;
        if self.json {
            writeln!(out, "{}", reply.text())?;
        } else if let Some(transaction) = &shown.transaction {
            tables::write_transaction(out, transaction, &shown.branches)?;
        } else {
            writeln!(out, "{} knows no transaction {}", client.address(), self.gid)?;
        }
        Ok(if shown.transaction.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Release {
    async fn run(self, client: &Client, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let reply = match &self.gid {
            Some(gid) => client.post("releaseHeld", &serde_json::json!({ "gid": gid.as_str() })).await?,
            None => client.post("releaseAllHeld", &serde_json::json!({})).await?,
        };
        let ReleaseReply { released_count: count } = reply.parse()?;
        match &self.gid {
            _ if self.json => writeln!(out, "{}", reply.text())?,
            Some(gid) if count == 0 => writeln!(out, "{gid} is not on hold")?,
            Some(gid) => writeln!(out, "released {gid}")?,
            None => writeln!(out, "released {}", counted(count, "transaction"))?,
        }
        // Where all are meant, none is as good as many.
        Ok(if self.all || count > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Stop {
    async fn run(self, client: &Client, terminal: &mut Terminal<impl BufRead, impl Write>) -> anyhow::Result<ExitCode> {
        if !self.yes && !self.confirmed(client, terminal).await? {
            writeln!(terminal.out, "not stopped")?;
            return Ok(ExitCode::FAILURE);
        }
        let body = serde_json::json!({ "gid": self.gid.as_str(), "reason": self.reason, "operator": self.by });
        let reply = client.post("forceStop", &body).await?;
        match self.json {
            true => writeln!(terminal.out, "{}", reply.text())?,
            false => writeln!(terminal.out, "stopped {}", self.gid)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Shows what would be stopped and asks. No answer is a no.
    async fn confirmed(
        &self,
        client: &Client,
        terminal: &mut Terminal<impl BufRead, impl Write>,
    ) -> anyhow::Result<bool> {
        let shown: QueryReply = client.get("query", &[("gid", self.gid.as_str())]).await?.parse()?;
        let Some(transaction) = &shown.transaction else {
            writeln!(terminal.out, "{} knows no transaction {}", client.address(), self.gid)?;
            return Ok(false);
        };
        tables::write_transaction(&mut terminal.out, transaction, &shown.branches)?;
        writeln!(
            terminal.out,
            "\nStopping it calls nobody: what was done stays done, what was reserved stays reserved."
        )?;
        write!(terminal.out, "Type yes to stop it: ")?;
        terminal.out.flush()?;
        let mut answer = String::new();
        terminal.input.read_line(&mut answer).context("cannot read the answer")?;
        Ok(answer.trim() == "yes")
    }
}

#[cfg(test)]
mod tests;
