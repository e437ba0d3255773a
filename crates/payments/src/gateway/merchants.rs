//! Who may send requests.

use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use crate::foundation::db::Database;
use crate::ids::MerchantNo;
use crate::money::{BasisPoints, FeeTerms};
use crate::signing::Secret;
use crate::time::Timestamp;

/// A merchant as the gateway knows it.
#[derive(Debug, Clone)]
pub struct Merchant {
    /// Its number.
    pub merchant_no: MerchantNo,
    /// Its name, for people.
    pub name: String,
    /// False: suspended or closed; its requests are refused.
    pub active: bool,
    /// Signs its requests and our answers.
    pub secret: Secret,
    /// What it pays for each payment.
    pub terms: FeeTerms,
    /// Where it is told unless a payment says otherwise.
    pub default_notify_url: Option<String>,
}

/// Writes an active merchant, or brings the one that stands up to date.
///
/// # Errors
/// The database did not answer, or the terms are out of range.
pub async fn add_merchant(db: &Database, merchant: &Merchant, now: Timestamp) -> Result<(), sqlx::Error> {
    let mut tx = db.begin().await?;
    sqlx::query(
        "INSERT INTO merchant (merchant_no, name, status, api_secret, fee_bp, fee_min, fee_max, default_notify_url,
           created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)
         ON CONFLICT (merchant_no) DO UPDATE SET name = excluded.name, status = excluded.status,
           api_secret = excluded.api_secret, fee_bp = excluded.fee_bp, fee_min = excluded.fee_min,
           fee_max = excluded.fee_max, default_notify_url = excluded.default_notify_url, updated_at = excluded.updated_at",
    )
    .bind(merchant.merchant_no.as_str())
    .bind(&merchant.name)
    .bind(if merchant.active { "ACTIVE" } else { "SUSPENDED" })
    .bind(merchant.secret.as_bytes())
    .bind(merchant.terms.rate.0)
    .bind(merchant.terms.min)
    .bind(merchant.terms.max)
    .bind(&merchant.default_notify_url)
    .bind(now.as_micros())
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// The merchant with this number.
pub(super) async fn find(db: &SqlitePool, merchant_no: &str) -> Result<Option<Merchant>, sqlx::Error> {
    let row = sqlx::query("SELECT * FROM merchant WHERE merchant_no = ?1").bind(merchant_no);
    row.fetch_optional(db).await?.as_ref().map(read).transpose()
}

fn read(row: &SqliteRow) -> Result<Merchant, sqlx::Error> {
    let rate = BasisPoints(row.try_get("fee_bp")?);
    Ok(Merchant {
        merchant_no: MerchantNo::new(row.try_get::<String, _>("merchant_no")?),
        name: row.try_get("name")?,
        active: row.try_get::<&str, _>("status")? == "ACTIVE",
        secret: Secret::new(row.try_get::<Vec<u8>, _>("api_secret")?),
        terms: FeeTerms { rate, min: row.try_get("fee_min")?, max: row.try_get("fee_max")? },
        default_notify_url: row.try_get("default_notify_url")?,
    })
}
