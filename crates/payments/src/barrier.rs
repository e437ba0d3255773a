//! The sub-transaction barrier (子事务屏障) on SQLite: lets a participant take calls that come twice, too late, or for
//! something that never happened.
//!
//! A coordinator repeats calls and an initiator may time out, so a participant sees three anomalies: the *duplicate*, the
//! *empty compensation* (a cancel whose Try never ran) and the *late action* (a Try that comes after its cancel and would
//! hang for ever). One row per operation in table `barrier`, written in the same database transaction as the business rows,
//! settles all three. An undo also claims the row of the operation it undoes: whoever comes second finds it taken.
//!
//! | operation | row of the undone operation | own row | entry |
//! |---|---|---|---|
//! | try, action, confirm, ... | - | new | run |
//! | try, action, confirm, ... | - | exists | skip: duplicate, or late if an undo wrote the row |
//! | cancel, compensate, rollback | exists | new | run |
//! | cancel, compensate, rollback | new | new | skip: empty compensation |
//! | cancel, compensate, rollback | any | exists | skip: duplicate |
//! | msg (an initiator's local transaction) | - | exists | error: already decided, roll back |
//!
//! Table and decisions are those of DTM (sub-transaction barrier, 2021), so that participants in other languages can share
//! a database. A refusal rolls the transaction back and with it the row; the undo that follows is then an empty one.

use sqlx::sqlite::SqliteConnection;

/// The barrier's table, for a database that has none yet.
pub const TABLE: &str = include_str!("barrier/table.sql");

/// Branch id of an initiator's own local transaction in a two-phase message.
const MESSAGE_BRANCH_ID: &str = "00";
/// Barrier id of that local transaction: it has one barrier only.
const MESSAGE_BARRIER_ID: &str = "01";
/// The reason a check-back leaves behind when it comes first.
const CHECKED_BACK: &str = "rollback";

/// What a branch is asked to do, in the words of the DTM protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BarrierOp {
    /// A saga's step, or delivery of a message.
    Action,
    /// Undoes an action.
    Compensate,
    /// Reserves.
    Try,
    /// Uses what was reserved.
    Confirm,
    /// Frees what was reserved.
    Cancel,
    /// Commits a prepared branch.
    Commit,
    /// Rolls a prepared branch back.
    Rollback,
    /// The initiator's local transaction of a two-phase message.
    Msg,
}

impl BarrierOp {
    /// The operation of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "action" => Self::Action,
            "compensate" => Self::Compensate,
            "try" => Self::Try,
            "confirm" => Self::Confirm,
            "cancel" => Self::Cancel,
            "commit" => Self::Commit,
            "rollback" => Self::Rollback,
            "msg" => Self::Msg,
            _ => return None,
        })
    }

    /// Its name on the wire and in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Compensate => "compensate",
            Self::Try => "try",
            Self::Confirm => "confirm",
            Self::Cancel => "cancel",
            Self::Commit => "commit",
            Self::Rollback => "rollback",
            Self::Msg => "msg",
        }
    }

    /// The operation that this one undoes.
    fn undoes(self) -> Option<Self> {
        match self {
            Self::Cancel => Some(Self::Try),
            Self::Compensate | Self::Rollback => Some(Self::Action),
            Self::Action | Self::Try | Self::Confirm | Self::Commit | Self::Msg => None,
        }
    }
}

/// Whether the business work is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a skipped call must not do its business work"]
pub enum Entry {
    /// First time: do the work, in the same transaction, and commit.
    Run,
    /// Do nothing, commit (the barrier's rows must stay), and answer *done*.
    Skip(Skip),
}

/// Why a call has nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// The same operation ran before.
    Duplicate,
    /// An undo of something that never ran, and from now on never will.
    EmptyCompensation,
    /// The operation was undone before it came.
    LateAction,
}

/// How an initiator's local transaction ended, as its check-back answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckBack {
    /// It committed: deliver the message.
    Committed,
    /// It did not commit and never can: discard the message.
    RolledBack,
}

/// The barrier took no decision, and recorded none. Roll back and answer *unknown*.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BarrierError {
    /// The database did not answer. A busy one may by the next time.
    #[error("barrier of {gid} not reached")]
    Database {
        /// The global transaction.
        gid: String,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// A two-phase message's local transaction came after its check-back, or a second time: roll it back.
    #[error("local transaction of message {gid} was decided before")]
    MessageDecided {
        /// The message.
        gid: String,
    },
    /// The row of a two-phase message holds a reason that nobody writes.
    #[error("barrier row of message {gid} has reason {reason:?}")]
    UnknownReason {
        /// The message.
        gid: String,
        /// What the row says.
        reason: String,
    },
}

/// The barrier of one call: made from what the coordinator sent with it, entered once per piece of work.
#[derive(Debug, Clone)]
pub struct Barrier {
    trans_type: String,
    gid: String,
    branch_id: String,
    op: BarrierOp,
    now_us: i64,
    entered: u32,
    switched_on: bool,
}

impl Barrier {
    /// The barrier of the call with these coordinates. `now_us` (microseconds since the epoch) only dates its rows.
    pub fn new(trans_type: &str, gid: &str, branch_id: &str, op: BarrierOp, now_us: i64) -> Self {
        let (trans_type, gid, branch_id) = (trans_type.into(), gid.into(), branch_id.into());
        Self { trans_type, gid, branch_id, op, now_us, entered: 0, switched_on: true }
    }

    /// The barrier around an initiator's local transaction of a two-phase message: enter it first, in that transaction.
    pub fn for_message(gid: &str, now_us: i64) -> Self {
        Self::new("msg", gid, MESSAGE_BRANCH_ID, BarrierOp::Msg, now_us)
    }

    /// The same barrier, letting everything through and recording nothing. Shows what the barrier is for; nothing else.
    pub fn switched_off(self) -> Self {
        Self { switched_on: false, ..self }
    }

    /// Decides whether this call may do its business work, and records the decision.
    ///
    /// Runs inside the caller's database transaction, which must have begun with `BEGIN IMMEDIATE`: barrier rows and business
    /// rows commit together or not at all. A request that does several pieces of work enters once for each, always in the
    /// same order; they are numbered `01`, `02`, ...
    ///
    /// # Errors
    /// [`BarrierError`]: nothing was recorded. Roll back; the coordinator will ask again.
    pub async fn enter(&mut self, db: &mut SqliteConnection) -> Result<Entry, BarrierError> {
        if !self.switched_on {
            return Ok(Entry::Run);
        }
        self.entered += 1;
        let barrier_id = format!("{:02}", self.entered);
        let undone_is_new = match self.op.undoes() {
            Some(undone) => self.insert(db, undone, &barrier_id).await?,
            None => false,
        };
        let own_is_new = self.insert(db, self.op, &barrier_id).await?;
        Ok(match (undone_is_new, own_is_new) {
            (false, true) => Entry::Run,
            (true, true) => Entry::Skip(Skip::EmptyCompensation),
            (_, false) if self.op == BarrierOp::Msg => {
                return Err(BarrierError::MessageDecided { gid: self.gid.clone() });
            }
            (_, false) => Entry::Skip(self.why_taken(db, &barrier_id).await?),
        })
    }

    /// Claims the row of `op` for this call's operation; false if it was taken.
    async fn insert(&self, db: &mut SqliteConnection, op: BarrierOp, barrier_id: &str) -> Result<bool, BarrierError> {
        let inserted = sqlx::query(
            "INSERT INTO barrier (trans_type, gid, branch_id, op, barrier_id, reason, create_time, update_time)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) ON CONFLICT (gid, branch_id, op, barrier_id) DO NOTHING",
        )
        .bind(&self.trans_type)
        .bind(&self.gid)
        .bind(&self.branch_id)
        .bind(op.as_str())
        .bind(barrier_id)
        .bind(self.op.as_str())
        .bind(self.now_us)
        .execute(db)
        .await
        .map_err(|source| self.not_reached(source))?;
        Ok(inserted.rows_affected() == 1)
    }

    async fn why_taken(&self, db: &mut SqliteConnection, barrier_id: &str) -> Result<Skip, BarrierError> {
        let reason = read_reason(db, &self.gid, &self.branch_id, self.op, barrier_id).await;
        let reason = reason.map_err(|source| self.not_reached(source))?;
        Ok(if reason == self.op.as_str() { Skip::Duplicate } else { Skip::LateAction })
    }

    fn not_reached(&self, source: sqlx::Error) -> BarrierError {
        BarrierError::Database { gid: self.gid.clone(), source }
    }
}

/// Answers the check-back of a two-phase message: did its local transaction commit?
///
/// If it did not, it never can after this: the row it has to insert is taken. Runs inside the caller's transaction (`BEGIN
/// IMMEDIATE` waits for a local transaction that is still open), which must be committed before the answer is given.
///
/// # Errors
/// [`BarrierError`]: nothing is decided; roll back and answer *in progress* or *unknown*.
pub async fn check_back(db: &mut SqliteConnection, gid: &str, now_us: i64) -> Result<CheckBack, BarrierError> {
    let not_reached = |source| BarrierError::Database { gid: gid.to_owned(), source };
    sqlx::query(
        "INSERT INTO barrier (trans_type, gid, branch_id, op, barrier_id, reason, create_time, update_time)
         VALUES ('msg', ?1, ?2, 'msg', ?3, ?4, ?5, ?5) ON CONFLICT (gid, branch_id, op, barrier_id) DO NOTHING",
    )
    .bind(gid)
    .bind(MESSAGE_BRANCH_ID)
    .bind(MESSAGE_BARRIER_ID)
    .bind(CHECKED_BACK)
    .bind(now_us)
    .execute(&mut *db)
    .await
    .map_err(not_reached)?;
    let reason = read_reason(db, gid, MESSAGE_BRANCH_ID, BarrierOp::Msg, MESSAGE_BARRIER_ID).await;
    match reason.map_err(not_reached)?.as_str() {
        "msg" => Ok(CheckBack::Committed),
        CHECKED_BACK => Ok(CheckBack::RolledBack),
        other => Err(BarrierError::UnknownReason { gid: gid.to_owned(), reason: other.to_owned() }),
    }
}

async fn read_reason(
    db: &mut SqliteConnection,
    gid: &str,
    branch_id: &str,
    op: BarrierOp,
    barrier_id: &str,
) -> Result<String, sqlx::Error> {
    sqlx::query_scalar("SELECT reason FROM barrier WHERE gid = ?1 AND branch_id = ?2 AND op = ?3 AND barrier_id = ?4")
        .bind(gid)
        .bind(branch_id)
        .bind(op.as_str())
        .bind(barrier_id)
        .fetch_one(db)
        .await
}

#[cfg(test)]
mod tests;
