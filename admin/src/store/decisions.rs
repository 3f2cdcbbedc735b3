//! Decisions that gateways have reported: a database of its own, so that what is written there all the time never waits
//! for a change, nor a change for it. It holds the newest ones only, and no revision tells of it.

use std::path::Path;
use std::time::Duration;

use feed::RecordedDecision;
use feed::decision::RecordedOutcome;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, QueryBuilder, Sqlite};

use super::StoreError;

/// The newest decisions.
#[derive(Debug)]
pub(crate) struct Decisions {
    writer: SqlitePool,
    readers: SqlitePool,
}

/// Which decisions are asked for; `None`: any.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub subject: Option<String>,
    pub operation: Option<String>,
    pub outcome: Option<String>,
}

impl Decisions {
    /// Opens the database of a file that exists; an empty one is new.
    pub(crate) async fn open(path: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(WAIT_MAX)
            .disable_statement_logging();
        let writable = options
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            // What the last second before a crash of the machine decided may be lost here; it is in the gateway's log.
            .synchronous(SqliteSynchronous::Normal);
        let writer = pool(1).connect_with(writable).await?;
        sqlx::raw_sql(SCHEMA).execute(&writer).await?;
        let readers = pool(READERS).connect_lazy_with(options.read_only(true));
        Ok(Self { writer, readers })
    }

    /// Takes down decisions, each once, and forgets the oldest beyond [`DECISIONS_KEPT`].
    pub(crate) async fn insert(&self, decisions: &[RecordedDecision]) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        for decision in decisions {
            let record = serde_json::to_string(decision).map_err(|error| StoreError::Damaged(error.to_string()))?;
            sqlx::query(
                "INSERT INTO decisions (id, org, subject, operation, outcome, record) VALUES (?, ?, ?, ?, ?, ?)
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(&decision.id)
            .bind(&decision.question.subject.org)
            .bind(&decision.question.subject.id)
            .bind(&decision.question.operation)
            .bind(outcome_word(&decision.outcome))
            .bind(record)
            .execute(&mut *transaction)
            .await?;
        }
        sqlx::query("DELETE FROM decisions WHERE number <= (SELECT coalesce(max(number), 0) FROM decisions) - ?")
            .bind(DECISIONS_KEPT)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Returns a decision on a request of a subject of an organisation.
    pub(crate) async fn decision(&self, org: &str, id: &str) -> Result<Option<RecordedDecision>, StoreError> {
        let row: Option<(String,)> = sqlx::query_as("SELECT record FROM decisions WHERE org = ? AND id = ?")
            .bind(org)
            .bind(id)
            .fetch_optional(&self.readers)
            .await?;
        row.map(|(record,)| read(&record)).transpose()
    }

    /// Returns decisions on requests of subjects of an organisation, the newest first.
    pub(crate) async fn decisions(
        &self,
        org: &str,
        wanted: &Wanted,
        limit: u32,
    ) -> Result<Vec<RecordedDecision>, StoreError> {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new("SELECT record FROM decisions WHERE org = ");
        query.push_bind(org.to_owned());
        for (column, value) in [
            (" AND subject = ", &wanted.subject),
            (" AND operation = ", &wanted.operation),
            (" AND outcome = ", &wanted.outcome),
        ] {
            if let Some(value) = value {
                query.push(column).push_bind(value.clone());
            }
        }
        query.push(" ORDER BY number DESC LIMIT ").push_bind(i64::from(limit));
        let rows: Vec<(String,)> = query.build_query_as().fetch_all(&self.readers).await?;
        rows.iter().map(|(record,)| read(record)).collect()
    }

    /// Closes the database.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Returns the word of an outcome, as records have it.
pub(crate) fn outcome_word(outcome: &RecordedOutcome) -> &'static str {
    match outcome {
        RecordedOutcome::Allowed { .. } => "allowed",
        RecordedOutcome::NotAllowed => "not-allowed",
        RecordedOutcome::Denied { .. } => "denied",
        RecordedOutcome::Undecided { .. } => "undecided",
    }
}

fn read(record: &str) -> Result<RecordedDecision, StoreError> {
    serde_json::from_str(record).map_err(|error| StoreError::Damaged(error.to_string()))
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(WAIT_MAX)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

const SCHEMA: &str = "
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

/// How many decisions are kept: some 100 MiB where they hold no bodies.
const DECISIONS_KEPT: i64 = 100_000;

/// Connections for reading by the API.
const READERS: u32 = 2;

/// Longest wait for a connection or for the database's own lock.
const WAIT_MAX: Duration = Duration::from_secs(5);
