//! Opening a database: looked at without writing, refused, or migrated and taken into use.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use feed::Clock;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlSafeStr, SqliteConnection};
use tokio::sync::watch;

use super::{Store, primary_code};
use crate::{OpenError, Random};

impl Store {
    /// Opens the database of a file that exists, and migrates it. An empty file is a new store.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`], [`OpenError::NewerSchema`], [`OpenError::Unwritable`], [`OpenError::Database`].
    pub(crate) async fn open(path: &Path, clock: &Clock, random: &Random) -> Result<Self, OpenError> {
        let file = std::fs::metadata(path).map_err(|source| OpenError::Io {
            path: path.to_owned(),
            source,
        })?;
        if file.len() > 0 {
            inspect(path, file.len()).await?;
        }
        let id = random.uuid().map_err(|source| OpenError::Io {
            path: path.to_owned(),
            source,
        })?;
        let opened = Self::connect(path, clock, &id.to_string()).await;
        opened.map_err(|error| refusal(path, error))
    }

    async fn connect(path: &Path, clock: &Clock, new_id: &str) -> Result<Self, sqlx::Error> {
        let writable = options(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("journal_size_limit", WAL_BYTES_KEPT);
        let writer = pool(1, WAIT_MAX).connect_with(writable).await?;
        migrations().run(&writer).await.map_err(unmigrated)?;
        sqlx::query("INSERT INTO store (only_row, id, revision) VALUES (1, ?, 0) ON CONFLICT DO NOTHING")
            .bind(new_id)
            .execute(&writer)
            .await?;
        let (id, revision): (String, i64) = sqlx::query_as("SELECT id, revision FROM store")
            .fetch_one(&writer)
            .await?;
        let readable = options(path).read_only(true);
        Ok(Self {
            id,
            clock: clock.clone(),
            writer,
            readers: pool(READERS, WAIT_MAX).connect_lazy_with(readable.clone()),
            snapshots: pool(SNAPSHOTS, SNAPSHOT_WAIT_MAX).connect_lazy_with(readable),
            newest: Arc::new(watch::Sender::new(u64::try_from(revision).unwrap_or_default())),
        })
    }
}

/// The versions of the schema, the oldest first. Published ones never change.
fn migrations() -> Migrator {
    let versions = [
        ("initial", include_str!("../../migrations/0001_initial.sql")),
        (
            "token certificates",
            include_str!("../../migrations/0002_token_certificates.sql"),
        ),
        ("policies", include_str!("../../migrations/0003_policies.sql")),
    ];
    let migration = |(index, (name, sql)): (usize, (&'static str, &'static str))| {
        let version = i64::try_from(index + 1).unwrap_or(i64::MAX);
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(versions.into_iter().enumerate().map(migration).collect())
}

fn unmigrated(error: MigrateError) -> sqlx::Error {
    if let MigrateError::Execute(error) = error {
        return error;
    }
    sqlx::Error::Migrate(Box::new(error))
}

/// Looks at a database without changing it.
///
/// SQLite itself refuses a file that is shorter than its header says. Beyond that, a small file is checked whole; in a
/// large one, where that would take seconds, only the ends of the tables are read. In both the revision must be that
/// of the newest audit entry and of the newest change.
async fn inspect(path: &Path, bytes: u64) -> Result<(), OpenError> {
    let connected = options(path).read_only(true).connect().await;
    let mut connection = connected.map_err(|error| refusal(path, error))?;
    let found = findings(&mut connection, bytes).await;
    // Closing fails only after a failed statement, which is the better thing to tell.
    connection.close().await.ok();
    let corrupt = |detail: String| OpenError::Corrupt {
        path: path.to_owned(),
        detail,
    };
    match found.map_err(|error| refusal(path, error))? {
        Finding::New | Finding::Sound => Ok(()),
        Finding::Foreign => Err(corrupt("another program's database".to_owned())),
        Finding::Broken(detail) => Err(corrupt(detail)),
        Finding::Newer { found, known } => Err(OpenError::NewerSchema {
            path: path.to_owned(),
            found,
            known,
        }),
    }
}

enum Finding {
    /// Its first migration has not been finished.
    New,
    Sound,
    Foreign,
    Broken(String),
    Newer {
        found: i64,
        known: i64,
    },
}

async fn findings(connection: &mut SqliteConnection, bytes: u64) -> Result<Finding, sqlx::Error> {
    let (tables,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('_sqlx_migrations')")
            .fetch_one(&mut *connection)
            .await?;
    if tables == 0 {
        return Ok(Finding::New);
    }
    let (application,): (i64,) = sqlx::query_as("PRAGMA application_id")
        .fetch_one(&mut *connection)
        .await?;
    if application != APPLICATION_ID {
        return Ok(Finding::Foreign);
    }
    let (found,): (i64,) = sqlx::query_as("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut *connection)
        .await?;
    let known = migrations()
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0);
    if found > known {
        return Ok(Finding::Newer { found, known });
    }
    let problem = if bytes <= WHOLE_CHECK_BYTES_MAX {
        whole_check(connection).await?
    } else {
        ends_check(connection).await?
    };
    if let Some(problem) = problem {
        return Ok(Finding::Broken(problem));
    }
    let revisions: (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT coalesce(max(revision), 0) FROM store),
                (SELECT coalesce(max(revision), 0) FROM changes),
                (SELECT coalesce(max(revision), 0) FROM audit_entries)",
    )
    .fetch_one(connection)
    .await?;
    if revisions.0 != revisions.1 || revisions.0 != revisions.2 {
        let detail = "the revision, the change log and the audit entries are not in step";
        return Ok(Finding::Broken(detail.to_owned()));
    }
    Ok(Finding::Sound)
}

async fn whole_check(connection: &mut SqliteConnection) -> Result<Option<String>, sqlx::Error> {
    let (answer,): (String,) = sqlx::query_as("PRAGMA quick_check(1)").fetch_one(connection).await?;
    Ok((answer != "ok").then_some(answer))
}

async fn ends_check(connection: &mut SqliteConnection) -> Result<Option<String>, sqlx::Error> {
    // One end for each query: SQLite reads an index for one of the two, and the whole table for both at once.
    let sql = "SELECT (SELECT min(id) FROM organisations), (SELECT max(id) FROM organisations),
                      (SELECT min(id) FROM subjects), (SELECT max(id) FROM subjects),
                      (SELECT min(scope) FROM role_bindings), (SELECT max(scope) FROM role_bindings),
                      (SELECT min(number) FROM tokens), (SELECT max(number) FROM tokens),
                      (SELECT min(digest) FROM tokens), (SELECT max(digest) FROM tokens),
                      (SELECT min(revision) FROM changes), (SELECT min(revision) FROM audit_entries)";
    sqlx::query(sql).fetch_one(connection).await?;
    Ok(None)
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(WAIT_MAX)
        .disable_statement_logging()
}

fn pool(connections: u32, wait: Duration) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(wait)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

fn refusal(path: &Path, error: sqlx::Error) -> OpenError {
    let path = path.to_owned();
    let code = error.as_database_error().and_then(primary_code);
    match code {
        Some(SQLITE_CORRUPT | SQLITE_NOTADB) => OpenError::Corrupt {
            path,
            detail: error.to_string(),
        },
        Some(SQLITE_PERM | SQLITE_READONLY | SQLITE_CANTOPEN) => OpenError::Unwritable {
            path,
            source: std::io::Error::other(error),
        },
        Some(_) | None => OpenError::Database {
            path,
            source: Box::new(error),
        },
    }
}

/// "pstn" in ASCII, as the first migration sets it.
const APPLICATION_ID: i64 = 0x7073_746E;

/// Largest file that is checked whole: about 0.2 s of work.
const WHOLE_CHECK_BYTES_MAX: u64 = 64 << 20;

/// How much of the write-ahead log is kept on the disk after a checkpoint, in octets.
const WAL_BYTES_KEPT: &str = "67108864";

/// Connections for reading by the API.
const READERS: u32 = 4;

/// Snapshots that are read at once; more gateways wait for their turn.
const SNAPSHOTS: u32 = 4;

/// Longest wait for a connection or for the database's own lock.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Longest wait of a gateway for its turn.
const SNAPSHOT_WAIT_MAX: Duration = Duration::from_secs(60);

// https://www.sqlite.org/rescode.html
const SQLITE_PERM: u32 = 3;
const SQLITE_READONLY: u32 = 8;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_CANTOPEN: u32 = 14;
const SQLITE_NOTADB: u32 = 26;
