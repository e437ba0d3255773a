//! The accounting service (会计): keeps the original vouchers (原始凭证) and makes the entries (会计分录) from them.
//!
//! It is told by message: late at worst, never lost, and booked once however often the message comes, since a voucher is
//! unique by its business. What it refuses (an unbalanced voucher, a closed day) needs a person; it is never dropped.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use crate::barrier::Entry;
use crate::contract::accounting::{EntryType, VOUCHER, Voucher};
use crate::foundation::branch::{BranchContext, BranchError, BranchResult, Done, refuse};
use crate::foundation::db::Database;
use crate::foundation::service::Service;
use crate::time::Timestamp;

/// Refusal: a kind of business that has no rule for its entries.
pub const UNKNOWN_ENTRY_TYPE: &str = "UNKNOWN_ENTRY_TYPE";
/// Refusal: the amounts do not make entries of which debits equal credits.
pub const UNBALANCED: &str = "UNBALANCED";
/// Refusal: the accounting date is closed.
pub const DAY_CLOSED: &str = "DAY_CLOSED";
/// Refusal: this business was booked before with other figures.
pub const VOUCHER_DIFFERS: &str = "VOUCHER_DIFFERS";

/// Cash at bank, customer reserve (备付金).
const RESERVE: &str = "1002";
/// Payable to merchants (应付商户), one party per merchant.
const PAYABLE_TO_MERCHANTS: &str = "2202";
/// Fee income (手续费收入).
const FEE_INCOME: &str = "6021";

/// The chart of accounts: code, name, kind.
const CHART: [(&str, &str, &str); 8] = [
    (RESERVE, "cash at bank, customer reserve", "ASSET"),
    ("1012", "own account at the bank", "ASSET"),
    (PAYABLE_TO_MERCHANTS, "payable to merchants", "LIABILITY"),
    ("2203", "payable to users", "LIABILITY"),
    ("2241", "suspense, other payables", "LIABILITY"),
    ("4001", "capital", "EQUITY"),
    (FEE_INCOME, "fee income", "INCOME"),
    ("6421", "commission expense", "EXPENSE"),
];

/// The service's routes.
pub fn router(service: Service) -> Router {
    Router::new().route(VOUCHER, post(book)).with_state(service)
}

/// Writes the chart of accounts into a new ledger.
///
/// # Errors
/// The database did not answer.
pub async fn install_chart(db: &Database, now: Timestamp) -> Result<(), sqlx::Error> {
    let mut tx = db.begin().await?;
    for (code, name, kind) in CHART {
        sqlx::query(
            "INSERT INTO subject (code, name, kind, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)
             ON CONFLICT DO NOTHING",
        )
        .bind(code)
        .bind(name)
        .bind(kind)
        .bind(now.as_micros())
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await
}

/// One entry of a voucher.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    side: Side,
    subject: &'static str,
    party: Option<String>,
    minor: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Debit,
    Credit,
}

impl Side {
    fn as_str(self) -> &'static str {
        match self {
            Self::Debit => "D",
            Self::Credit => "C",
        }
    }
}

/// The entries of a voucher, or the code of its refusal. A line of zero is not written.
fn entries(voucher: &Voucher) -> Result<Vec<Line>, &'static str> {
    let (whole, fee) = (voucher.money.minor, voucher.fee);
    let net = whole.checked_sub(fee).ok_or(UNBALANCED)?;
    if whole <= 0 || fee < 0 || net < 0 {
        return Err(UNBALANCED);
    }
    let (cash_side, other_side) = match voucher.entry_type {
        EntryType::CARD_PAYMENT => (Side::Debit, Side::Credit),
        EntryType::CARD_REFUND => (Side::Credit, Side::Debit),
        _ => return Err(UNKNOWN_ENTRY_TYPE),
    };
    let merchant = Some(voucher.merchant_no.to_string());
    let lines = [
        Line { side: cash_side, subject: RESERVE, party: None, minor: whole },
        Line { side: other_side, subject: PAYABLE_TO_MERCHANTS, party: merchant, minor: net },
        Line { side: other_side, subject: FEE_INCOME, party: None, minor: fee },
    ];
    Ok(lines.into_iter().filter(|line| line.minor != 0).collect())
}

/// Books a voucher with its entries in one transaction.
async fn book(State(service): State<Service>, call: BranchContext, raw: Bytes) -> BranchResult {
    let voucher: Voucher = serde_json::from_slice(&raw)?;
    let lines = entries(&voucher).map_err(refuse)?;
    let mut tx = service.db.begin().await?;
    if service.barrier(&call).enter(&mut tx).await? == Entry::Run && !is_booked(&mut tx, &voucher).await? {
        if is_day_closed(&mut tx, &voucher).await? {
            return Err(refuse(DAY_CLOSED));
        }
        let now = service.clock.now();
        let voucher_no = format!("{}-{}-{}", voucher.source_system, voucher.entry_type.0, voucher.source_no);
        insert_voucher(&mut tx, &voucher_no, &voucher, &call, &raw, now).await?;
        for (line_no, line) in (1_i64..).zip(&lines) {
            insert_line(&mut tx, &voucher_no, line_no, line, now).await?;
        }
    }
    tx.commit().await?;
    Ok(Done)
}

/// Whether this business has its voucher already, under another message. With other figures that is an error of whoever
/// sent one of the two.
async fn is_booked(db: &mut SqliteConnection, voucher: &Voucher) -> Result<bool, BranchError> {
    let row = sqlx::query("SELECT raw FROM voucher WHERE entry_type = ?1 AND source_system = ?2 AND source_no = ?3")
        .bind(voucher.entry_type.0)
        .bind(&voucher.source_system)
        .bind(&voucher.source_no)
        .fetch_optional(db)
        .await?;
    let Some(row) = row else { return Ok(false) };
    let booked: Voucher = serde_json::from_str(row.try_get("raw")?)?;
    if booked == *voucher { Ok(true) } else { Err(refuse(VOUCHER_DIFFERS)) }
}

async fn is_day_closed(db: &mut SqliteConnection, voucher: &Voucher) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM acct_day WHERE acct_date = ?1 AND status = 'CLOSED')")
        .bind(voucher.acct_date.to_string())
        .fetch_one(db)
        .await
}

async fn insert_voucher(
    db: &mut SqliteConnection,
    voucher_no: &str,
    voucher: &Voucher,
    call: &BranchContext,
    raw: &Bytes,
    now: Timestamp,
) -> Result<(), BranchError> {
    sqlx::query(
        "INSERT INTO voucher (voucher_no, entry_type, source_system, source_no, amount, acct_date, msg_id, raw,
                              created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)",
    )
    .bind(voucher_no)
    .bind(voucher.entry_type.0)
    .bind(&voucher.source_system)
    .bind(&voucher.source_no)
    .bind(voucher.money.minor)
    .bind(voucher.acct_date.to_string())
    .bind(call.gid.as_str())
    .bind(std::str::from_utf8(raw)?)
    .bind(now.as_micros())
    .execute(db)
    .await?;
    Ok(())
}

async fn insert_line(
    db: &mut SqliteConnection,
    voucher_no: &str,
    line_no: i64,
    line: &Line,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO ledger_entry (voucher_no, line_no, subject_code, party_no, dc, amount, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
    )
    .bind(voucher_no)
    .bind(line_no)
    .bind(line.subject)
    .bind(&line.party)
    .bind(line.side.as_str())
    .bind(line.minor)
    .bind(now.as_micros())
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::MerchantNo;
    use crate::money::Money;

    fn voucher(entry_type: EntryType, amount: i64, fee: i64) -> Voucher {
        Voucher {
            entry_type,
            source_system: "pay_order".to_owned(),
            source_no: "P1".to_owned(),
            merchant_no: MerchantNo::new("M1001"),
            money: Money::cny(amount),
            fee,
            acct_date: "2026-01-05".parse().unwrap(),
        }
    }

    fn written(lines: &[Line]) -> Vec<String> {
        let party = |line: &Line| line.party.as_ref().map(|party| format!(" {party}")).unwrap_or_default();
        let text = |line: &Line| format!("{} {}{} {}", line.side.as_str(), line.subject, party(line), line.minor);
        lines.iter().map(text).collect()
    }

    #[test]
    fn a_card_payment_debits_the_reserve_and_credits_merchant_and_fee() {
        let lines = entries(&voucher(EntryType::CARD_PAYMENT, 1000, 8)).unwrap();
        assert_eq!(written(&lines), ["D 1002 1000", "C 2202 M1001 992", "C 6021 8"]);
    }

    #[test]
    fn a_card_refund_is_the_payment_turned_around() {
        let lines = entries(&voucher(EntryType::CARD_REFUND, 400, 3)).unwrap();
        assert_eq!(written(&lines), ["C 1002 400", "D 2202 M1001 397", "D 6021 3"]);
    }

    #[test]
    fn a_zero_line_is_not_written() {
        let lines = entries(&voucher(EntryType::CARD_PAYMENT, 10, 0)).unwrap();
        assert_eq!(written(&lines), ["D 1002 10", "C 2202 M1001 10"]);
        let lines = entries(&voucher(EntryType::CARD_PAYMENT, 10, 10)).unwrap();
        assert_eq!(written(&lines), ["D 1002 10", "C 6021 10"]);
    }

    #[test]
    fn figures_without_balanced_entries_are_refused() {
        for (amount, fee) in [(0, 0), (-1, 0), (10, 11), (10, -1), (i64::MIN, 1)] {
            assert_eq!(entries(&voucher(EntryType::CARD_PAYMENT, amount, fee)), Err(UNBALANCED), "{amount} {fee}");
        }
        assert_eq!(entries(&voucher(EntryType(9999), 10, 1)), Err(UNKNOWN_ENTRY_TYPE));
    }

    proptest! {
        #[test]
        fn debits_equal_credits(kind in 0..2, amount: i64, fee: i64) {
            let entry_type = [EntryType::CARD_PAYMENT, EntryType::CARD_REFUND][kind as usize];
            if let Ok(lines) = entries(&voucher(entry_type, amount, fee)) {
                let sum = |side| lines.iter().filter(|line| line.side == side).map(|line| i128::from(line.minor)).sum();
                let (debits, credits): (i128, i128) = (sum(Side::Debit), sum(Side::Credit));
                prop_assert_eq!(debits, credits);
                prop_assert!(lines.iter().all(|line| line.minor > 0));
            }
        }
    }
}
