//! Snapshots: the whole state as lines of the feed, a thousand records at a time.
//!
//! The database itself writes the lines of subjects and tokens. Reading rows and writing JSON here would cost several times as much, and a
//! gateway's start waits for this.

use feed::{Frame, Record};

use super::sql::sql;
use super::{StoreError, View, unsigned};

/// Where a snapshot goes on.
#[derive(Debug)]
pub(crate) enum Cursor {
    /// Policies and guards of organisations behind this one.
    Policies { after: String },
    /// Subjects behind this id.
    Subjects { after: String },
    /// Tokens behind this number.
    Tokens { after: i64 },
}

/// Some records of a snapshot.
#[derive(Debug)]
pub(crate) struct RecordLines {
    /// `record` frames, one a line.
    pub lines: String,
    /// How many they are.
    pub records: u64,
}

impl Cursor {
    /// Returns the beginning: policies come first, since their components have to be fetched; a guard never comes before
    /// its policy, nor a token before its subject.
    pub(crate) fn start() -> Self {
        Self::Policies { after: String::new() }
    }
}

impl View {
    /// Returns the next records and moves the cursor behind them; `None` at the end.
    pub(crate) async fn snapshot_lines(&mut self, cursor: &mut Cursor) -> Result<Option<RecordLines>, StoreError> {
        if let Cursor::Policies { after } = cursor {
            if let Some(org) = self.org_with_policies(after).await? {
                let lines = self.policy_lines(&org).await?;
                *cursor = Cursor::Policies { after: org };
                return Ok(Some(lines));
            }
            *cursor = Cursor::Subjects { after: String::new() };
        }
        if let Cursor::Subjects { after } = cursor {
            if let Some((lines, last)) = self.subject_lines(after).await? {
                *cursor = Cursor::Subjects { after: last };
                return Ok(Some(lines));
            }
            *cursor = Cursor::Tokens { after: 0 };
        }
        let Cursor::Tokens { after } = cursor else {
            return Ok(None);
        };
        let Some((lines, last)) = self.token_lines(*after).await? else {
            return Ok(None);
        };
        *after = last;
        Ok(Some(lines))
    }

    /// Returns all policies of an organisation and then its guards: some hundreds of records at most.
    async fn policy_lines(&mut self, org: &str) -> Result<RecordLines, StoreError> {
        let policies = self.policies(org).await?;
        let guards = self.guards(org).await?;
        let policies = policies
            .iter()
            .map(|policy| Ok(Record::Policy(Box::new(policy.record()?))));
        let records: Vec<Record> = policies
            .chain(guards.into_iter().map(|guard| Ok(Record::Guard(guard))))
            .collect::<Result<_, StoreError>>()?;
        let count = records.len() as u64;
        let mut lines = String::new();
        for record in records {
            let line = serde_json::to_string(&Frame::Record { record });
            lines.push_str(&line.map_err(|error| StoreError::Damaged(error.to_string()))?);
            lines.push('\n');
        }
        Ok(RecordLines { lines, records: count })
    }

    async fn subject_lines(&mut self, after: &str) -> Result<Option<(RecordLines, String)>, StoreError> {
        let row: (Option<String>, i64, Option<String>) = sql(self.dialect().subject_lines())
            .bind(after)
            .bind(RECORDS_AT_ONCE)
            .fetch_one(self.connection())
            .await?;
        read_lines(row)
    }

    async fn token_lines(&mut self, after: i64) -> Result<Option<(RecordLines, i64)>, StoreError> {
        let row: (Option<String>, i64, Option<i64>) = sql(self.dialect().token_lines())
            .bind(after)
            .bind(RECORDS_AT_ONCE)
            .fetch_one(self.connection())
            .await?;
        read_lines(row)
    }
}

/// How many records are read at once: about 200 KiB, enough that the cost of a query does not count.
const RECORDS_AT_ONCE: i64 = 1000;

type LinesRow<L> = (Option<String>, i64, Option<L>);

fn read_lines<L>((lines, records, last): LinesRow<L>) -> Result<Option<(RecordLines, L)>, StoreError> {
    let (Some(mut lines), Some(last)) = (lines, last) else {
        return Ok(None);
    };
    lines.push('\n');
    let records = unsigned(records)?;
    Ok(Some((RecordLines { lines, records }, last)))
}
