//! The store: all that the control plane knows, in SQLite. The only place that holds SQL.
//!
//! Reading is done through a [`View`], one consistent state; changing through a [`Change`], one transaction that holds
//! the rows, the audit entry and the change-log entry of one revision. There is one change at a time. The store knows
//! no HTTP and no roles; what may be changed is decided by its callers, inside the transaction.
//!
//! # Layout
//! - [`open`]: opening, migrating and refusing a database.
//! - [`changes`]: the transaction of a change, and the change log.
//! - [`audit`]: who changed what.
//! - [`subjects`], [`bindings`], [`tokens`], [`effects`]: the tables.
//! - [`policies`], [`guards`], [`shadows`]: the tables of policies.
//! - [`history`]: what a subject and the policies were at an older revision.
//! - [`decisions`]: the decisions of gateways, in a database of their own.
//! - [`snapshot`]: the state as lines of the feed.

use std::sync::Arc;

use feed::Clock;
use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, SqliteConnection, Transaction};
use tokio::sync::watch;

pub(crate) mod audit;
pub(crate) mod bindings;
pub(crate) mod changes;
pub(crate) mod decisions;
pub(crate) mod effects;
pub(crate) mod guards;
pub(crate) mod history;
pub(crate) mod open;
pub(crate) mod policies;
pub(crate) mod shadows;
pub(crate) mod snapshot;
pub(crate) mod subjects;
pub(crate) mod tokens;

pub(crate) use audit::{Actor, AuditEntry};
pub(crate) use changes::Change;
pub(crate) use policies::{StoredPolicy, StoredShadow, StoredVersion};
pub(crate) use subjects::{Invite, NewSubject, Subject};
pub(crate) use tokens::{NewToken, Token};

/// An open store.
#[derive(Debug)]
pub(crate) struct Store {
    id: String,
    clock: Clock,
    /// One connection: whoever holds it is the one writer.
    writer: SqlitePool,
    readers: SqlitePool,
    /// Apart from the readers, so that gateways which read slowly do not keep the API waiting.
    snapshots: SqlitePool,
    newest: Arc<watch::Sender<u64>>,
}

/// One consistent state of the store.
#[derive(Debug)]
pub(crate) struct View {
    transaction: Transaction<'static, Sqlite>,
}

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Others have used it for too long.
    #[error("the store is busy")]
    Busy,
    /// A row cannot be what it is.
    #[error("the store holds something that it cannot hold: {0}")]
    Damaged(String),
    /// The transaction's task ended without an answer: the process is shutting down.
    #[error("the store was closed during a change")]
    Interrupted,
    /// Anything else.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

/// How much the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Service users.
    pub service_users: u64,
    /// Members.
    pub members: u64,
    /// Groups.
    pub groups: u64,
    /// Tokens, expired ones included.
    pub tokens: u64,
}

impl Store {
    /// Returns the store's identity: revisions of two stores cannot be compared.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Returns the newest revision, and a way to wait for the next.
    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Returns the state as it is now.
    pub(crate) async fn view(&self) -> Result<View, StoreError> {
        let transaction = self.readers.begin().await?;
        Ok(View { transaction })
    }

    /// Returns the state as it is now, for a reader that may take long.
    pub(crate) async fn long_view(&self) -> Result<View, StoreError> {
        let transaction = self.snapshots.begin().await?;
        Ok(View { transaction })
    }

    /// Counts what the store holds.
    pub(crate) async fn counts(&self) -> Result<Counts, StoreError> {
        let mut view = self.view().await?;
        let sql = "SELECT (SELECT count(*) FROM subjects WHERE kind = 'service-user'),
                          (SELECT count(*) FROM subjects WHERE kind = 'member'),
                          (SELECT count(*) FROM subjects WHERE kind = 'group'),
                          (SELECT count(*) FROM tokens)";
        let row: (i64, i64, i64, i64) = sqlx::query_as(sql).fetch_one(view.connection()).await?;
        Ok(Counts {
            service_users: unsigned(row.0)?,
            members: unsigned(row.1)?,
            groups: unsigned(row.2)?,
            tokens: unsigned(row.3)?,
        })
    }

    /// Waits until running transactions have ended and closes the database. The whole of it is in one file then.
    pub(crate) async fn close(&self) {
        self.snapshots.close().await;
        self.readers.close().await;
        if let Err(error) = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&self.writer)
            .await
        {
            // Nothing is lost: the log is read again at the next start.
            tracing::warn!(%error, "the store's log was not written back at the end");
        }
        self.writer.close().await;
    }
}

impl View {
    fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let waited = matches!(error, sqlx::Error::PoolTimedOut);
        let code = error.as_database_error().and_then(primary_code);
        if waited || matches!(code, Some(SQLITE_BUSY | SQLITE_LOCKED)) {
            return Self::Busy;
        }
        Self::Database(error)
    }
}

const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;

/// Returns the result code without its extension.
///
/// # Source
/// <https://www.sqlite.org/rescode.html>: the low octet of an extended code is the primary one.
fn primary_code(error: &(dyn sqlx::error::DatabaseError + 'static)) -> Option<u32> {
    error.code()?.parse::<u32>().ok().map(|code| code & 0xff)
}

fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_negative| StoreError::Damaged(format!("the number {number}")))
}

fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_large| StoreError::Damaged(format!("the number {number}")))
}
