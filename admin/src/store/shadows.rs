//! Shadows: what gateways report of versions that run beside the active ones. Counts of a policy begin anew with each
//! version that is watched.

use feed::{ShadowFlip, ShadowReport};

use super::sql::{Row, sql};
use super::{Change, Store, StoreError, StoredPolicy, View, signed, unsigned};

/// What is known of a version that is watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ShadowCounts {
    /// Decisions that it was asked about.
    pub evaluations: u64,
    /// Decisions that it should have been asked about, for which there was no time.
    pub dropped: u64,
    /// The most frequent first.
    pub flips: Vec<StoredFlip>,
}

/// Decisions on one operation and subject that it would have made otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredFlip {
    pub operation: String,
    pub subject: String,
    /// Word of the outcome.
    pub was: String,
    /// Word of the outcome that it would have been.
    pub would_be: String,
    pub count: u64,
    pub first_ms: i64,
    pub last_ms: i64,
    /// Id of the newest of them.
    pub decision: String,
}

impl View {
    /// Returns what is known of the version of a policy that is watched.
    pub(crate) async fn shadow_counts(&mut self, policy: &StoredPolicy) -> Result<ShadowCounts, StoreError> {
        let totals: Option<(i64, i64)> =
            sql("SELECT evaluations, dropped FROM shadow_totals WHERE org = $1 AND policy = $2")
                .bind(&policy.org)
                .bind(&policy.name)
                .fetch_optional(self.connection())
                .await?;
        let (evaluations, dropped) = totals.unwrap_or_default();
        let rows = sql("SELECT * FROM shadow_flips WHERE org = $1 AND policy = $2
             ORDER BY flips DESC, operation, subject, was, would_be")
        .bind(&policy.org)
        .bind(&policy.name)
        .rows(self.connection())
        .await?;
        Ok(ShadowCounts {
            evaluations: unsigned(evaluations)?,
            dropped: unsigned(dropped)?,
            flips: rows.iter().map(StoredFlip::read).collect::<Result<_, _>>()?,
        })
    }
}

impl Store {
    /// Adds a gateway's counts, unless they are of a version that is watched no more.
    pub(crate) async fn add_shadow_counts(&self, report: &ShadowReport) -> Result<(), StoreError> {
        let mut view = self.locked().await?;
        let (watched,): (bool,) =
            sql("SELECT EXISTS (SELECT 1 FROM policies WHERE org = $1 AND name = $2 AND shadow = $3)")
                .bind(&report.org)
                .bind(&report.policy)
                .bind(&report.version)
                .fetch_one(view.connection())
                .await?;
        if !watched {
            return Ok(());
        }
        view.add_totals(report).await?;
        let (mut rows,): (i64,) = sql("SELECT count(*) FROM shadow_flips WHERE org = $1 AND policy = $2")
            .bind(&report.org)
            .bind(&report.policy)
            .fetch_one(view.connection())
            .await?;
        for flip in &report.flips {
            // Beyond the bound, subjects are counted together: a flip is never lost.
            let subject = if rows < FLIPS_MAX { &flip.subject } else { EVERY_OTHER };
            view.add_flip(report, flip, subject).await?;
            rows += 1;
        }
        view.transaction.commit().await?;
        Ok(())
    }
}

impl View {
    async fn add_totals(&mut self, report: &ShadowReport) -> Result<(), StoreError> {
        sql(
            "INSERT INTO shadow_totals (org, policy, version, evaluations, dropped) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (org, policy) DO UPDATE
             SET evaluations = shadow_totals.evaluations + excluded.evaluations,
                 dropped = shadow_totals.dropped + excluded.dropped",
        )
        .bind(&report.org)
        .bind(&report.policy)
        .bind(&report.version)
        .bind(signed(report.evaluations)?)
        .bind(signed(report.dropped)?)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn add_flip(&mut self, report: &ShadowReport, flip: &ShadowFlip, subject: &str) -> Result<(), StoreError> {
        sql("INSERT INTO shadow_flips
                 (org, policy, operation, subject, was, would_be, flips, first_ms, last_ms, decision)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (org, policy, operation, subject, was, would_be) DO UPDATE
             SET flips = shadow_flips.flips + excluded.flips,
                 decision = CASE WHEN excluded.last_ms >= shadow_flips.last_ms
                                 THEN excluded.decision ELSE shadow_flips.decision END,
                 first_ms = CASE WHEN excluded.first_ms < shadow_flips.first_ms
                                 THEN excluded.first_ms ELSE shadow_flips.first_ms END,
                 last_ms = CASE WHEN excluded.last_ms > shadow_flips.last_ms
                                THEN excluded.last_ms ELSE shadow_flips.last_ms END")
        .bind(&report.org)
        .bind(&report.policy)
        .bind(&flip.operation)
        .bind(subject)
        .bind(&flip.from)
        .bind(&flip.to)
        .bind(signed(flip.count)?)
        .bind(flip.first_ms)
        .bind(flip.last_ms)
        .bind(&flip.decision_id)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

impl Change {
    /// Forgets what was counted for the version of a policy that is watched no more.
    pub(crate) async fn forget_shadow(&mut self, policy: &StoredPolicy) -> Result<(), StoreError> {
        for text in [
            "DELETE FROM shadow_totals WHERE org = $1 AND policy = $2",
            "DELETE FROM shadow_flips WHERE org = $1 AND policy = $2",
        ] {
            sql(text)
                .bind(&policy.org)
                .bind(&policy.name)
                .execute(self.view.connection())
                .await?;
        }
        Ok(())
    }
}

impl StoredFlip {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            operation: row.get("operation")?,
            subject: row.get("subject")?,
            was: row.get("was")?,
            would_be: row.get("would_be")?,
            count: unsigned(row.get("flips")?)?,
            first_ms: row.get("first_ms")?,
            last_ms: row.get("last_ms")?,
            decision: row.get("decision")?,
        })
    }
}

/// Stands for all subjects beyond [`FLIPS_MAX`]; no subject has this id.
const EVERY_OTHER: &str = "*";

/// Most rows of one policy that name a subject, which bounds a report to about 2 MiB.
const FLIPS_MAX: i64 = 10_000;
