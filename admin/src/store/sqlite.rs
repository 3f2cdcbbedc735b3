//! SQLite: looked at without writing, refused, or migrated and taken into use.

use std::path::Path;
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection};

use super::connections::Pool;
use super::dialect::Dialect;
use super::health::Health;
use super::open::{READERS, SNAPSHOT_WAIT_MAX, SNAPSHOTS, WAIT_MAX};
use super::schema;
use super::{Pools, primary_code};
use crate::OpenError;

/// Opens the database of a file that exists, and migrates it. An empty file is a new store.
///
/// # Errors
/// [`OpenError::Corrupt`], [`OpenError::NewerSchema`], [`OpenError::Unwritable`], [`OpenError::Database`].
pub(super) async fn open(path: &Path, health: &Health) -> Result<Pools, OpenError> {
    let file = std::fs::metadata(path).map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })?;
    if file.len() > 0 {
        inspect(path, file.len()).await?;
    }
    let opened = connect(path, health).await;
    opened.map_err(|error| refusal(path, error))
}

async fn connect(path: &Path, health: &Health) -> Result<Pools, sqlx::Error> {
    let writable = options(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", WAL_BYTES_KEPT);
    let writer = pool(1, WAIT_MAX, health).connect_with(writable).await?;
    let migrated = schema::migrator(Dialect::Sqlite).run(&writer).await;
    migrated.map_err(schema::unmigrated)?;
    let readable = options(path).read_only(true);
    let readers = pool(READERS, WAIT_MAX, health).connect_lazy_with(readable.clone());
    let snapshots = pool(SNAPSHOTS, SNAPSHOT_WAIT_MAX, health).connect_lazy_with(readable);
    Ok(Pools {
        writer: Pool::Sqlite(writer),
        readers: Pool::Sqlite(readers),
        snapshots: Pool::Sqlite(snapshots),
        following: None,
    })
}

/// Opens a database for reading, as its file is. It must have this binary's schema.
///
/// # Errors
/// [`OpenError::Corrupt`], [`OpenError::NewerSchema`], [`OpenError::OlderSchema`], [`OpenError::Database`].
pub(super) async fn look(path: &Path) -> Result<Pool, OpenError> {
    let file = std::fs::metadata(path).map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })?;
    inspect(path, file.len()).await?;
    let readers = pool(READERS, WAIT_MAX, &Health::default()).connect_lazy_with(options(path).read_only(true));
    let version: Result<(i64,), _> = sqlx::query_as("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&readers)
        .await;
    let (found,) = version.map_err(|error| refusal(path, error))?;
    if found < schema::newest() {
        return Err(OpenError::OlderSchema {
            store: path.display().to_string(),
            found,
            needed: schema::newest(),
        });
    }
    Ok(Pool::Sqlite(readers))
}

/// Opens the database of decisions, of a file that exists; an empty one is new. Returns the writer and the readers.
pub(super) async fn open_decisions(path: &Path) -> Result<(Pool, Pool), sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(WAIT_MAX)
        .disable_statement_logging();
    let writable = options
        .clone()
        .journal_mode(SqliteJournalMode::Wal)
        // What the last second before a crash of the machine decided may be lost here; it is in the gateway's log.
        .synchronous(SqliteSynchronous::Normal);
    let health = Health::default();
    let writer = pool(1, WAIT_MAX, &health).connect_with(writable).await?;
    sqlx::raw_sql(DECISIONS_SCHEMA).execute(&writer).await?;
    let readers = pool(DECISIONS_READERS, WAIT_MAX, &health).connect_lazy_with(options.read_only(true));
    Ok((Pool::Sqlite(writer), Pool::Sqlite(readers)))
}

/// Writes the log back into the file, so that the whole of the database is in one.
pub(super) async fn write_back(pool: &sqlx::Pool<Sqlite>) {
    let written = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(pool).await;
    if let Err(error) = written {
        // Nothing is lost: the log is read again at the next start.
        tracing::warn!(%error, "the store's log was not written back at the end");
    }
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
    let known = schema::newest();
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

fn pool(connections: u32, wait: Duration, health: &Health) -> PoolOptions<Sqlite> {
    let health = health.clone();
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(wait)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_connect(move |_, _| {
            health.connected();
            Box::pin(async { Ok(()) })
        })
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

const DECISIONS_SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS decisions (
        number    INTEGER PRIMARY KEY,
        id        TEXT NOT NULL UNIQUE,
        org       TEXT NOT NULL,
        subject   TEXT NOT NULL,
        operation TEXT NOT NULL,
        outcome   TEXT NOT NULL,
        record    TEXT NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS decisions_by_org ON decisions (org, number);
    CREATE INDEX IF NOT EXISTS decisions_by_subject ON decisions (org, subject, number);";

/// Connections for reading decisions.
const DECISIONS_READERS: u32 = 2;

// https://www.sqlite.org/rescode.html
const SQLITE_PERM: u32 = 3;
const SQLITE_READONLY: u32 = 8;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_CANTOPEN: u32 = 14;
const SQLITE_NOTADB: u32 = 26;
