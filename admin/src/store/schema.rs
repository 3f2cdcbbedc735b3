//! The versions of the schema, the oldest first, of both databases. Published ones never change.

use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use super::dialect::Dialect;

/// A version: its name, and its statements for SQLite and for PostgreSQL.
type Version = (&'static str, &'static str, &'static str);

const VERSIONS: [Version; 6] = [
    (
        "initial",
        include_str!("../../migrations/0001_initial.sql"),
        include_str!("../../migrations/postgres/0001_initial.sql"),
    ),
    (
        "token certificates",
        include_str!("../../migrations/0002_token_certificates.sql"),
        include_str!("../../migrations/postgres/0002_token_certificates.sql"),
    ),
    (
        "policies",
        include_str!("../../migrations/0003_policies.sql"),
        include_str!("../../migrations/postgres/0003_policies.sql"),
    ),
    (
        "incarnations",
        include_str!("../../migrations/0004_incarnations.sql"),
        include_str!("../../migrations/postgres/0004_incarnations.sql"),
    ),
    (
        "gateways",
        include_str!("../../migrations/0005_gateways.sql"),
        include_str!("../../migrations/postgres/0005_gateways.sql"),
    ),
    (
        "console",
        include_str!("../../migrations/0006_console.sql"),
        include_str!("../../migrations/postgres/0006_console.sql"),
    ),
];

/// Returns what brings a database to the newest version.
pub(super) fn migrator(dialect: Dialect) -> Migrator {
    let migration = |(index, (name, sqlite, postgres)): (usize, Version)| {
        let version = i64::try_from(index + 1).unwrap_or(i64::MAX);
        let sql = match dialect {
            Dialect::Sqlite => sqlite,
            Dialect::Postgres => postgres,
        };
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(VERSIONS.into_iter().enumerate().map(migration).collect())
}

/// Returns the newest version that this binary knows.
pub(super) fn newest() -> i64 {
    i64::try_from(VERSIONS.len()).unwrap_or(i64::MAX)
}

pub(super) fn unmigrated(error: MigrateError) -> sqlx::Error {
    if let MigrateError::Execute(error) = error {
        return error;
    }
    sqlx::Error::Migrate(Box::new(error))
}
