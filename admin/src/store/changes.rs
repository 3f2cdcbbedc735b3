//! Changes: one transaction each, one revision each, and the log of the newest of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use feed::Record;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::connections::Pool;
use super::dialect::Begin;
use super::following::Teller;
use super::health::Health;
use super::postgres;
use super::sql::sql;
use super::{Actor, AuditEntry, Pools, Store, StoreError, View, signed, unsigned};

/// A change in the making: nothing of it exists until [`Change::commit`] returns; dropped, it never was.
#[derive(Debug)]
pub(crate) struct Change {
    /// The state as this change has made it so far.
    pub(crate) view: View,
    pub(super) revision: u64,
    pub(super) now_ms: i64,
    pub(super) actor: Actor,
    /// Subjects whose record must be told anew.
    pub(super) touched: BTreeSet<String>,
    /// Other records of this change.
    pub(super) records: Vec<Record>,
    /// What tells this attempt to make the revision from others.
    attempt: String,
    home: Home,
}

/// Where a change is committed, and who is told of it.
#[derive(Debug)]
struct Home {
    writer: Pool,
    newest: Arc<watch::Sender<u64>>,
    others: Option<Teller>,
    health: Health,
}

/// What the first change of another life of a store is made of.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) revision: u64,
    pub(super) now_ms: i64,
    pub(super) actor: Actor,
    pub(super) attempt: String,
}

/// Some entries of the change log, as lines of the feed.
#[derive(Debug)]
pub(crate) struct ChangeLines {
    /// `change` frames, one a line.
    pub lines: String,
    /// Revision of the last one.
    pub last: u64,
}

impl Store {
    /// Begins a change, when no other is in the making.
    pub(crate) async fn change(&self, actor: Actor) -> Result<Change, StoreError> {
        let began = Instant::now();
        let attempt = self.random.uuid().map_err(StoreError::Random)?;
        let mut view = self.begin(&self.pools.writer, Begin::Write).await?;
        // The row is locked from here to the end of the transaction: what is committed later has the greater revision, and
        // whoever sees a revision sees all before it.
        let (revision, incarnation): (i64, i64) =
            sql("UPDATE store SET revision = revision + 1 RETURNING revision, incarnation")
                .fetch_one(view.connection())
                .await?;
        if unsigned(incarnation)? != self.incarnation {
            return Err(StoreError::Replaced);
        }
        self.health.waited(began.elapsed());
        Ok(Change {
            view,
            revision: unsigned(revision)?,
            now_ms: self.clock.unix_ms(),
            actor,
            touched: BTreeSet::new(),
            records: Vec::new(),
            attempt: attempt.to_string(),
            home: Home {
                writer: self.pools.writer.clone(),
                newest: Arc::clone(&self.newest),
                others: self.following.as_ref().map(super::Following::teller),
                health: self.health.clone(),
            },
        })
    }

    /// Returns the changes after a revision, a bounded number of them; `None` when there are none.
    ///
    /// `Err(Damaged)` when the log does not reach back to that revision.
    pub(crate) async fn changes_after(&self, revision: u64) -> Result<Option<ChangeLines>, StoreError> {
        let mut view = self.view().await?;
        let (lines, first, last): (Option<String>, Option<i64>, Option<i64>) = sql(view.dialect().change_lines())
            .bind(signed(revision)?)
            .bind(CHANGES_AT_ONCE)
            .fetch_one(view.connection())
            .await?;
        let (Some(mut lines), Some(first), Some(last)) = (lines, first, last) else {
            return Ok(None);
        };
        if unsigned(first)? != revision + 1 {
            return Err(StoreError::Damaged(format!("no change after revision {revision}")));
        }
        lines.push('\n');
        let last = unsigned(last)?;
        Ok(Some(ChangeLines { lines, last }))
    }
}

impl View {
    /// Returns the revision of this state.
    pub(crate) async fn revision(&mut self) -> Result<u64, StoreError> {
        let (revision,): (i64,) = sql("SELECT revision FROM store").fetch_one(self.connection()).await?;
        unsigned(revision)
    }

    /// Returns when a revision was made, in milliseconds since the Unix epoch.
    pub(crate) async fn made_ms(&mut self, revision: u64) -> Result<Option<i64>, StoreError> {
        let row: Option<(i64,)> = sql("SELECT at_ms FROM audit_entries WHERE revision = $1")
            .bind(signed(revision)?)
            .fetch_optional(self.connection())
            .await?;
        Ok(row.map(|(at_ms,)| at_ms))
    }

    /// Returns whether the change log holds every change after a revision.
    pub(crate) async fn can_resume_after(&mut self, revision: u64) -> Result<bool, StoreError> {
        let newest = self.revision().await?;
        if revision >= newest {
            return Ok(revision == newest);
        }
        let (found,): (bool,) = sql("SELECT EXISTS (SELECT 1 FROM changes WHERE revision = $1)")
            .bind(signed(revision + 1)?)
            .fetch_one(self.connection())
            .await?;
        Ok(found)
    }
}

impl Change {
    /// Returns whether nothing was ever changed before.
    pub(crate) fn is_first(&self) -> bool {
        self.revision == 1
    }

    /// Returns the first change of another life of a store, in a transaction that holds the rest of it.
    pub(super) fn restoring(view: View, pools: &Pools, life: Life) -> Self {
        Self {
            view,
            revision: life.revision,
            now_ms: life.now_ms,
            actor: life.actor,
            touched: BTreeSet::new(),
            records: Vec::new(),
            attempt: life.attempt,
            home: Home {
                writer: pools.writer.clone(),
                newest: Arc::new(watch::Sender::new(0)),
                others: None,
                health: Health::default(),
            },
        }
    }

    /// Returns the time of this change.
    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Makes it so, and returns the new revision. What it returned for is on the disk.
    ///
    /// # Cancel safety
    /// A caller that goes away does not stop it: a task of its own commits and then tells the feed, so that no committed
    /// revision stays untold.
    pub(crate) async fn commit(self, entry: AuditEntry) -> Result<u64, StoreError> {
        let task = tokio::spawn(self.write(entry));
        task.await.map_err(|_stopped| StoreError::Interrupted)?
    }

    async fn write(mut self, entry: AuditEntry) -> Result<u64, StoreError> {
        self.insert_audit_entry(&entry).await?;
        self.insert_change().await?;
        self.prune().await?;
        let Self {
            view,
            revision,
            attempt,
            home,
            ..
        } = self;
        if let Err(error) = view.transaction.commit().await {
            home.health.failed();
            home.find_out(error, revision, &attempt).await?;
        }
        home.tell(revision);
        Ok(revision)
    }

    async fn insert_change(&mut self) -> Result<(), StoreError> {
        let mut records = Vec::with_capacity(self.touched.len() + self.records.len());
        for id in std::mem::take(&mut self.touched) {
            records.push(Record::Subject(self.view.subject_record(&id).await?));
        }
        records.append(&mut self.records);
        let records = serde_json::to_string(&records).map_err(|error| StoreError::Damaged(error.to_string()))?;
        sql("INSERT INTO changes (revision, records, attempt) VALUES ($1, $2, $3)")
            .bind(signed(self.revision)?)
            .bind(records)
            .bind(&self.attempt)
            .execute(self.view.connection())
            .await?;
        Ok(())
    }

    async fn prune(&mut self) -> Result<(), StoreError> {
        let revision = signed(self.revision)?;
        for (text, kept) in [
            ("DELETE FROM changes WHERE revision <= $1", CHANGES_KEPT),
            ("DELETE FROM effects WHERE revision <= $1", EFFECTS_KEPT),
        ] {
            sql(text).bind(revision - kept).execute(self.view.connection()).await?;
        }
        Ok(())
    }
}

impl Home {
    /// Tells the feed, and other processes, of a revision.
    fn tell(&self, revision: u64) {
        // Two commits may be told in the wrong order: the newest stays.
        self.newest.send_if_modified(|newest| {
            let newer = revision > *newest;
            *newest = revision.max(*newest);
            newer
        });
        if let Some(others) = &self.others {
            others.tell();
        }
    }

    /// Finds out whether a commit that failed was made all the same; an error means that it was not, or that nobody can
    /// tell.
    async fn find_out(&self, error: sqlx::Error, revision: u64, attempt: &str) -> Result<(), StoreError> {
        if postgres::is_refusal(&error) {
            return Err(error.into());
        }
        tracing::warn!(%error, revision, "a commit failed: looking up whether it was made");
        let deadline = Instant::now() + OUTCOME_WAIT_MAX;
        while Instant::now() < deadline {
            match timeout(OUTCOME_WAIT_MAX, self.was_made(revision, attempt)).await {
                Ok(Ok(true)) => return Ok(()),
                Ok(Ok(false)) => return Err(error.into()),
                Ok(Err(error)) => tracing::debug!(%error, "the outcome cannot be looked up yet"),
                Err(_elapsed) => break,
            }
            sleep(OUTCOME_PAUSE).await;
        }
        tracing::error!(revision, "nobody can tell whether a change was made");
        Err(StoreError::OutcomeUnknown)
    }

    async fn was_made(&self, revision: u64, attempt: &str) -> Result<bool, StoreError> {
        let mut view = View::new(self.writer.begin(Begin::Write).await?);
        // The transaction whose commit was cut off may still be running. It holds this row for as long as it does.
        sql("UPDATE store SET revision = revision")
            .execute(view.connection())
            .await?;
        let (made,): (bool,) = sql("SELECT EXISTS (SELECT 1 FROM changes WHERE revision = $1 AND attempt = $2)")
            .bind(signed(revision)?)
            .bind(attempt)
            .fetch_one(view.connection())
            .await?;
        Ok(made)
    }
}

/// Longest time to find out what came of a change. Its caller waits for it.
const OUTCOME_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long after a look-up that failed the next is made.
const OUTCOME_PAUSE: Duration = Duration::from_millis(200);

/// How many changes the log holds. A gateway that has missed more gets a snapshot.
const CHANGES_KEPT: i64 = 100_000;

/// For how many revisions a report of a gateway is remembered. One that arrives again after so many is applied again;
/// gateways give up long before.
const EFFECTS_KEPT: i64 = 1_000_000;

/// How many changes are read at once, which bounds what a feed holds in memory.
const CHANGES_AT_ONCE: i64 = 64;
