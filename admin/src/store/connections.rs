//! Connections to either database, and transactions on them.

use sqlx::pool::Pool as SqlxPool;
use sqlx::{PgConnection, Postgres, Sqlite, SqliteConnection};

use super::dialect::{Begin, Dialect};

/// Some connections to one database.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    Sqlite(SqlxPool<Sqlite>),
    Postgres(SqlxPool<Postgres>),
}

/// A transaction, which never was unless it is committed.
#[derive(Debug)]
pub(super) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

/// A connection, lent for one statement.
#[derive(Debug)]
pub(super) enum Connection<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Pool {
    pub(super) async fn begin(&self, begin: Begin) -> Result<Transaction, sqlx::Error> {
        let statement = self.dialect().begin(begin);
        match self {
            Self::Sqlite(pool) => pool.begin_with(statement).await.map(Transaction::Sqlite),
            Self::Postgres(pool) => pool.begin_with(statement).await.map(Transaction::Postgres),
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Waits until all connections are back, and closes them.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Transaction {
    pub(super) fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(transaction) => Connection::Sqlite(transaction),
            Self::Postgres(transaction) => Connection::Postgres(transaction),
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }
}
