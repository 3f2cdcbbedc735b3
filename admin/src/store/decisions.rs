//! Decisions that gateways have reported: a database of its own, so that what is written there all the time never waits
//! for a change, nor a change for it. It holds the newest ones only, and no revision tells of it.

use feed::RecordedDecision;
use feed::decision::RecordedOutcome;

use super::connections::Pool;
use super::dialect::Begin;
use super::sql::sql;
use super::{StoreError, View};

/// The newest decisions.
#[derive(Debug)]
pub(crate) struct Decisions {
    pub(super) writer: Pool,
    pub(super) readers: Pool,
}

/// Which decisions are asked for; `None`: any.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub subject: Option<String>,
    pub operation: Option<String>,
    pub outcome: Option<String>,
}

impl Decisions {
    /// Takes down decisions, each once, and forgets the oldest beyond [`DECISIONS_KEPT`].
    pub(crate) async fn insert(&self, decisions: &[RecordedDecision]) -> Result<(), StoreError> {
        let mut view = View::new(self.writer.begin(Begin::Write).await?);
        for decision in decisions {
            let record = serde_json::to_string(decision).map_err(|error| StoreError::Damaged(error.to_string()))?;
            sql(
                "INSERT INTO decisions (id, org, subject, operation, outcome, record) VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(&decision.id)
            .bind(&decision.question.subject.org)
            .bind(&decision.question.subject.id)
            .bind(&decision.question.operation)
            .bind(outcome_word(&decision.outcome))
            .bind(record)
            .execute(view.connection())
            .await?;
        }
        sql("DELETE FROM decisions WHERE number <= (SELECT coalesce(max(number), 0) FROM decisions) - $1")
            .bind(DECISIONS_KEPT)
            .execute(view.connection())
            .await?;
        view.transaction.commit().await?;
        Ok(())
    }

    /// Returns a decision on a request of a subject of an organisation.
    pub(crate) async fn decision(&self, org: &str, id: &str) -> Result<Option<RecordedDecision>, StoreError> {
        let mut view = self.view().await?;
        let row: Option<(String,)> = sql("SELECT record FROM decisions WHERE org = $1 AND id = $2")
            .bind(org)
            .bind(id)
            .fetch_optional(view.connection())
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
        let mut view = self.view().await?;
        // Two texts, so that each finds the index that was made for it.
        let text = match wanted.subject {
            Some(_) => {
                "SELECT record FROM decisions
                 WHERE org = $1 AND subject = $2 AND ($3 IS NULL OR operation = $3) AND ($4 IS NULL OR outcome = $4)
                 ORDER BY number DESC LIMIT $5"
            }
            None => {
                "SELECT record FROM decisions
                 WHERE org = $1 AND $2 IS NULL AND ($3 IS NULL OR operation = $3) AND ($4 IS NULL OR outcome = $4)
                 ORDER BY number DESC LIMIT $5"
            }
        };
        let rows: Vec<(String,)> = sql(text)
            .bind(org)
            .bind(&wanted.subject)
            .bind(&wanted.operation)
            .bind(&wanted.outcome)
            .bind(i64::from(limit))
            .fetch_all(view.connection())
            .await?;
        rows.iter().map(|(record,)| read(record)).collect()
    }

    async fn view(&self) -> Result<View, StoreError> {
        Ok(View::new(self.readers.begin(Begin::Read).await?))
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

/// How many decisions are kept: some 100 MiB where they hold no bodies.
const DECISIONS_KEPT: i64 = 100_000;
