//! The store: all that the control plane knows, in SQLite or in PostgreSQL. The only place that holds SQL.
//!
//! Reading is done through a [`View`], one consistent state; changing through a [`Change`], one transaction that holds
//! the rows, the audit entry and the change-log entry of one revision. There is one change at a time, however many
//! processes share the store. The store knows no HTTP and no roles; what may be changed is decided by its callers, inside
//! the transaction.
//!
//! # Layout
//! - [`open`]: from a place to a store that is in use.
//! - [`sqlite`], [`postgres`]: opening, migrating and refusing a database of each kind; [`schema`]: its versions.
//! - [`mod@sql`], [`connections`], [`dialect`]: statements, run by either; what the two understand differently.
//! - [`following`]: the changes of other processes; [`health`]: numbers for people.
//! - [`changes`]: the transaction of a change, and the change log.
//! - [`audit`]: who changed what.
//! - [`subjects`], [`bindings`], [`tokens`], [`effects`]: the tables.
//! - [`gateways`]: which gateways there are.
//! - [`sessions`]: who has signed in to the console; [`service_users`]: lists of service users, a page at a time.
//! - [`policies`], [`guards`], [`shadows`]: the tables of policies.
//! - [`history`]: what a subject and the policies were at an older revision.
//! - [`decisions`]: the decisions of gateways, which no revision tells of.
//! - [`snapshot`]: the state as lines of the feed.
//! - [`transfer`], [`tables`]: the whole of it as lines of a file; [`moving`], [`restore`]: filling another store with them.

use std::sync::Arc;

use feed::Clock;
use tokio::sync::watch;

use crate::Random;

pub(crate) mod audit;
pub(crate) mod bindings;
pub(crate) mod changes;
mod connections;
pub(crate) mod decisions;
mod dialect;
pub(crate) mod effects;
mod following;
pub(crate) mod gateways;
pub(crate) mod guards;
mod health;
pub(crate) mod history;
pub(crate) mod moving;
pub(crate) mod open;
pub(crate) mod policies;
mod postgres;
mod restore;
mod schema;
pub(crate) mod service_users;
pub(crate) mod sessions;
pub(crate) mod shadows;
pub(crate) mod snapshot;
mod sql;
mod sqlite;
pub(crate) mod subjects;
mod tables;
pub(crate) mod tokens;
pub(crate) mod transfer;

pub(crate) use audit::{Actor, AuditEntry};
pub(crate) use changes::Change;
pub use health::StoreHealth;
pub(crate) use policies::{StoredPolicy, StoredShadow, StoredVersion};
pub use postgres::{InvalidUrl, PostgresPlace};
pub(crate) use subjects::{Invite, NewSubject, Subject};
pub(crate) use tokens::{NewToken, Token};

use connections::{Connection, Pool, Transaction};
use dialect::{Begin, Dialect};
use following::Following;
use health::Health;
use sql::sql;

/// An open store.
#[derive(Debug)]
pub(crate) struct Store {
    /// As the feed tells it: a [`feed::StoreName`].
    name: String,
    incarnation: u64,
    clock: Clock,
    random: Random,
    pools: Pools,
    newest: Arc<watch::Sender<u64>>,
    /// Of a store that other processes may change.
    following: Option<Following>,
    health: Health,
}

/// The connections of a store.
#[derive(Debug, Clone)]
struct Pools {
    /// One connection: whoever holds it is the one writer of this process.
    writer: Pool,
    readers: Pool,
    /// Apart from the readers, so that gateways which read slowly do not keep the API waiting.
    snapshots: Pool,
    /// For following what other processes change, where there may be any.
    following: Option<sqlx::Pool<sqlx::Postgres>>,
}

/// One consistent state of the store.
#[derive(Debug)]
pub(crate) struct View {
    transaction: Transaction,
}

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Others have used it for too long.
    #[error("the store is busy")]
    Busy,
    /// The database cannot be reached, or does not take changes at the moment.
    #[error("the database cannot be reached")]
    Unreachable,
    /// A backup was restored in its place since it was opened, or it lost what it had confirmed.
    #[error("the database is not what it was when it was opened")]
    Replaced,
    /// Contact was lost while a change was being committed, and nobody can tell whether it was made.
    #[error("contact was lost while the change was being committed")]
    OutcomeUnknown,
    /// A row cannot be what it is.
    #[error("the store holds something that it cannot hold: {0}")]
    Damaged(String),
    /// The system gives no randomness.
    #[error("there is no randomness")]
    Random(#[source] std::io::Error),
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
    /// Returns the store's name: revisions of two stores cannot be compared, nor those of two lives of one.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the newest revision, and a way to wait for the next.
    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Returns whether the newest revision that this process knows was the newest one a moment ago.
    ///
    /// Who says otherwise makes gateways believe that a revocation which others have made has not happened.
    pub(crate) fn is_current(&self) -> bool {
        self.following.as_ref().is_none_or(Following::is_current)
    }

    /// Returns how it fares.
    pub(crate) fn health(&self) -> StoreHealth {
        self.health.counts()
    }

    /// Returns the state as it is now.
    pub(crate) async fn view(&self) -> Result<View, StoreError> {
        self.begin(&self.pools.readers, Begin::Read).await
    }

    /// Returns the state as it is now, for a reader that may take long.
    pub(crate) async fn long_view(&self) -> Result<View, StoreError> {
        self.begin(&self.pools.snapshots, Begin::Read).await
    }

    /// Returns the state as it is now and stays, but for what is done with it.
    async fn locked(&self) -> Result<View, StoreError> {
        let mut view = self.begin(&self.pools.writer, Begin::Write).await?;
        // Taking the row keeps all others waiting, in either database.
        let (incarnation,): (i64,) = sql("UPDATE store SET revision = revision RETURNING incarnation")
            .fetch_one(view.connection())
            .await?;
        if unsigned(incarnation)? != self.incarnation {
            return Err(StoreError::Replaced);
        }
        Ok(view)
    }

    async fn begin(&self, pool: &Pool, begin: Begin) -> Result<View, StoreError> {
        if let Some(following) = &self.following {
            following.check()?;
        }
        let begun = pool.begin(begin).await;
        if begun.is_err() {
            self.health.failed();
        }
        Ok(View::new(begun?))
    }

    /// Counts what the store holds.
    pub(crate) async fn counts(&self) -> Result<Counts, StoreError> {
        let mut view = self.view().await?;
        let text = "SELECT (SELECT count(*) FROM subjects WHERE kind = 'service-user'),
                          (SELECT count(*) FROM subjects WHERE kind = 'member'),
                          (SELECT count(*) FROM subjects WHERE kind = 'group'),
                          (SELECT count(*) FROM tokens)";
        let row: (i64, i64, i64, i64) = sql(text).fetch_one(view.connection()).await?;
        Ok(Counts {
            service_users: unsigned(row.0)?,
            members: unsigned(row.1)?,
            groups: unsigned(row.2)?,
            tokens: unsigned(row.3)?,
        })
    }

    /// Waits until running transactions have ended and closes the database. A database in a file is in one file then.
    pub(crate) async fn close(&self) {
        if let Some(following) = &self.following {
            following.end().await;
        }
        self.pools.close().await;
    }
}

impl Pools {
    async fn close(&self) {
        if let Some(pool) = &self.following {
            pool.close().await;
        }
        self.snapshots.close().await;
        self.readers.close().await;
        if let Pool::Sqlite(writer) = &self.writer {
            sqlite::write_back(writer).await;
        }
        self.writer.close().await;
    }
}

impl View {
    fn new(transaction: Transaction) -> Self {
        Self { transaction }
    }

    fn connection(&mut self) -> Connection<'_> {
        self.transaction.connection()
    }

    fn dialect(&self) -> Dialect {
        self.transaction.dialect()
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let refused = error.as_database_error();
        if matches!(refused.and_then(primary_code), Some(SQLITE_BUSY | SQLITE_LOCKED)) {
            return Self::Busy;
        }
        if let Some(known) = postgres::known(&error) {
            return known;
        }
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::Busy;
        }
        Self::Database(error)
    }
}

const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;

/// Returns SQLite's result code without its extension.
///
/// # Source
/// <https://www.sqlite.org/rescode.html>: the low octet of an extended code is the primary one.
fn primary_code(error: &(dyn sqlx::error::DatabaseError + 'static)) -> Option<u32> {
    let error = error.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    let code = sqlx::error::DatabaseError::code(error)?;
    code.parse::<u32>().ok().map(|code| code & 0xff)
}

fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_negative| StoreError::Damaged(format!("the number {number}")))
}

fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_large| StoreError::Damaged(format!("the number {number}")))
}
