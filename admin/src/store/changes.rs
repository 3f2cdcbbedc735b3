//! Changes: one transaction each, one revision each, and the log of the newest of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use feed::Record;
use tokio::sync::watch;

use super::{Actor, AuditEntry, Store, StoreError, View, signed, unsigned};

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
    newest: Arc<watch::Sender<u64>>,
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
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut view = View { transaction };
        let (revision,): (i64,) = sqlx::query_as("UPDATE store SET revision = revision + 1 RETURNING revision")
            .fetch_one(view.connection())
            .await?;
        Ok(Change {
            view,
            revision: unsigned(revision)?,
            now_ms: self.clock.unix_ms(),
            actor,
            touched: BTreeSet::new(),
            records: Vec::new(),
            newest: Arc::clone(&self.newest),
        })
    }

    /// Returns the changes after a revision, a bounded number of them; `None` when there are none.
    ///
    /// `Err(Damaged)` when the log does not reach back to that revision.
    pub(crate) async fn changes_after(&self, revision: u64) -> Result<Option<ChangeLines>, StoreError> {
        let mut view = self.view().await?;
        let (lines, first, last): (Option<String>, Option<i64>, Option<i64>) = sqlx::query_as(
            r#"SELECT group_concat(line, char(10)), min(revision), max(revision) FROM (
                   SELECT revision, '{"frame":"change","revision":' || revision || ',"records":' || records || '}' AS line
                   FROM changes WHERE revision > ? ORDER BY revision LIMIT ?)"#,
        )
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
        let (revision,): (i64,) = sqlx::query_as("SELECT revision FROM store")
            .fetch_one(self.connection())
            .await?;
        unsigned(revision)
    }

    /// Returns whether the change log holds every change after a revision.
    pub(crate) async fn can_resume_after(&mut self, revision: u64) -> Result<bool, StoreError> {
        let newest = self.revision().await?;
        if revision >= newest {
            return Ok(revision == newest);
        }
        let (found,): (bool,) = sqlx::query_as("SELECT EXISTS (SELECT 1 FROM changes WHERE revision = ?)")
            .bind(signed(revision + 1)?)
            .fetch_one(self.connection())
            .await?;
        Ok(found)
    }
}

impl Change {
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
        self.view.transaction.commit().await?;
        // Two commits may be told in the wrong order: the newest stays.
        self.newest.send_if_modified(|newest| {
            let newer = self.revision > *newest;
            *newest = self.revision.max(*newest);
            newer
        });
        Ok(self.revision)
    }

    async fn insert_change(&mut self) -> Result<(), StoreError> {
        let mut records = Vec::with_capacity(self.touched.len() + self.records.len());
        for id in std::mem::take(&mut self.touched) {
            records.push(Record::Subject(self.view.subject_record(&id).await?));
        }
        records.append(&mut self.records);
        let records = serde_json::to_string(&records).map_err(|error| StoreError::Damaged(error.to_string()))?;
        sqlx::query("INSERT INTO changes (revision, records) VALUES (?, ?)")
            .bind(signed(self.revision)?)
            .bind(records)
            .execute(self.view.connection())
            .await?;
        Ok(())
    }

    async fn prune(&mut self) -> Result<(), StoreError> {
        let revision = signed(self.revision)?;
        for (sql, kept) in [
            ("DELETE FROM changes WHERE revision <= ?", CHANGES_KEPT),
            ("DELETE FROM effects WHERE revision <= ?", EFFECTS_KEPT),
        ] {
            sqlx::query(sql)
                .bind(revision - kept)
                .execute(self.view.connection())
                .await?;
        }
        Ok(())
    }
}

/// How many changes the log holds. A gateway that has missed more gets a snapshot.
const CHANGES_KEPT: i64 = 100_000;

/// For how many revisions a report of a gateway is remembered. One that arrives again after so many is applied again;
/// gateways give up long before.
const EFFECTS_KEPT: i64 = 1_000_000;

/// How many changes are read at once, which bounds what a feed holds in memory.
const CHANGES_AT_ONCE: i64 = 64;
