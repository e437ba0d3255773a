//! Transactions as tables for people.

use std::io::{self, Write};

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{ContentArrangement, Table};

use super::replies::{AllReply, BranchRow, Transaction};

/// One line per transaction, and how to see the next page.
pub(super) fn write_list(out: &mut impl Write, page: &AllReply) -> io::Result<()> {
    if page.transactions.is_empty() {
        return writeln!(out, "no transactions");
    }
    let mut table = table(["gid", "type", "status", "created", "goes on", "business key", ""]);
    for transaction in &page.transactions {
        table.add_row([
            printable(&transaction.gid),
            printable(&transaction.trans_type),
            printable(&transaction.status),
            seconds(&transaction.create_time),
            transaction.next_cron_time.as_deref().map(seconds).unwrap_or_default(),
            transaction.business_key.as_deref().map(printable).unwrap_or_default(),
            if transaction.attention { "attention".to_owned() } else { String::new() },
        ]);
    }
    writeln!(out, "{table}")?;
    if !page.next_position.is_empty() {
        writeln!(out, "more with --position '{}'", printable(&page.next_position).replace('\'', r"'\''"))?;
    }
    Ok(())
}

/// One transaction: what is known of it, then a line per operation of its branches.
pub(super) fn write_transaction(
    out: &mut impl Write,
    transaction: &Transaction,
    branches: &[BranchRow],
) -> io::Result<()> {
    let mut fact = |name: &str, value: Option<String>| match value {
        Some(value) => writeln!(out, "{name:<13} {value}"),
        None => Ok(()),
    };
    let text = |text: &Option<String>| text.as_deref().map(printable);
    let time = |time: &Option<String>| time.as_deref().map(seconds);
    fact("gid", Some(printable(&transaction.gid)))?;
    fact("type", Some(printable(&transaction.trans_type)))?;
    fact("status", Some(printable(&transaction.status)))?;
    fact("reason", text(&transaction.rollback_reason))?;
    fact("attention", text(&transaction.attention_reason))?;
    fact("  since", time(&transaction.attention_since))?;
    fact("business key", text(&transaction.business_key))?;
    fact("created", Some(seconds(&transaction.create_time)))?;
    fact("changed", Some(seconds(&transaction.update_time)))?;
    fact("finished", time(&transaction.finish_time).or_else(|| time(&transaction.rollback_time)))?;
    fact("goes on", time(&transaction.next_cron_time))?;
    fact("checked back", text(&transaction.query_prepared))?;
    fact("options", text(&transaction.options))?;
    fact("custom data", text(&transaction.custom_data))?;
    if branches.is_empty() {
        return writeln!(out, "no branches");
    }
    let mut table = table(["branch", "op", "status", "finished", "url"]);
    for row in branches {
        table.add_row([
            printable(&row.branch_id),
            printable(&row.op),
            printable(&row.status),
            time(&row.finish_time).unwrap_or_default(),
            printable(&row.url),
        ]);
    }
    writeln!(out, "{table}")
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table
}

/// An RFC 3339 time in UTC without its fraction of a second.
fn seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => printable(seconds) + "Z",
        None => printable(time),
    }
}

/// Texts come from clients and participants: what would steer a terminal is escaped.
fn printable(text: &str) -> String {
    text.chars().fold(String::new(), |mut printable, c| {
        if c.is_control() {
            printable.extend(c.escape_default());
        } else {
            printable.push(c);
        }
        printable
    })
}
