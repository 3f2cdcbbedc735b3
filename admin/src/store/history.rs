//! History: what a subject and the policies were at an older revision, as far as the change log tells.
//!
//! The log holds the records of the newest changes. What did not change since the revision is as it is now; what did is
//! in the last record before it, and when that is no longer in the log, nobody knows.

use std::collections::{BTreeMap, BTreeSet};

use feed::{Guard, Policy, PolicyDigest, Record, Subject};

use super::sql::sql;
use super::{StoreError, View, signed, unsigned};

/// The policies and guards of an organisation at one revision, and what of them judges there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PoliciesThen {
    /// By organisation and name.
    pub policies: BTreeMap<(String, String), Policy>,
    /// By organisation and id.
    pub guards: BTreeMap<(String, String), Guard>,
}

/// What was asked for is no longer known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooOld;

impl View {
    /// Returns the policies and guards of an organisation, and those of others that judge there, as they are now.
    pub(crate) async fn policies_now(&mut self, org: &str) -> Result<PoliciesThen, StoreError> {
        let mut now = PoliciesThen::default();
        for guard in self.guards_over(org).await? {
            if guard.org != org
                && let Some(policy) = self.policy(&guard.org, &guard.policy).await?
            {
                let key = (policy.org.clone(), policy.name.clone());
                now.policies.insert(key, policy.record()?);
            }
            now.guards.insert((guard.org.clone(), guard.id.clone()), guard);
        }
        for policy in self.policies(org).await? {
            let key = (policy.org.clone(), policy.name.clone());
            now.policies.insert(key, policy.record()?);
        }
        Ok(now)
    }

    /// Returns the same as it was at a revision.
    pub(crate) async fn policies_at(
        &mut self,
        org: &str,
        revision: u64,
    ) -> Result<Result<PoliciesThen, TooOld>, StoreError> {
        if !self.can_resume_after(revision).await? {
            return Ok(Err(TooOld));
        }
        let mut now = self.policies_now(org).await?;
        let log = self.logged("\"kind\":\"policy").await?;
        let guards = self.logged("\"kind\":\"guard").await?;
        let Some(changed) = Told::of(log.into_iter().chain(guards), revision) else {
            return Ok(Err(TooOld));
        };
        let complete = self.log_is_complete().await?;
        for (thing, then) in changed.0 {
            let then = match then {
                Then::Was(record) => Some(record),
                Then::NotTold if complete => None,
                Then::NotTold => return Ok(Err(TooOld)),
            };
            now.put(thing, then);
        }
        now.keep_those_over(org);
        Ok(Ok(now))
    }

    /// Returns a subject as it was at a revision; `None` when there was no such subject.
    pub(crate) async fn subject_at(
        &mut self,
        id: &str,
        revision: u64,
    ) -> Result<Result<Option<Subject>, TooOld>, StoreError> {
        if !self.can_resume_after(revision).await? {
            return Ok(Err(TooOld));
        }
        // Ids of subjects hold nothing that is special in a pattern.
        let log = self.logged(&format!("\"id\":\"{id}\"")).await?;
        let Some(mut changed) = Told::of(log.into_iter(), revision) else {
            return Ok(Err(TooOld));
        };
        let complete = self.log_is_complete().await?;
        match changed.0.remove(&Thing::Subject(id.to_owned())) {
            Some(Then::Was(Record::Subject(subject))) => Ok(Ok(Some(subject))),
            Some(Then::Was(_)) => Ok(Ok(None)),
            Some(Then::NotTold) if complete => Ok(Ok(None)),
            Some(Then::NotTold) => Ok(Err(TooOld)),
            None => {
                let exists: (bool,) = sql("SELECT EXISTS (SELECT 1 FROM subjects WHERE id = $1)")
                    .bind(id)
                    .fetch_one(self.connection())
                    .await?;
                if !exists.0 {
                    return Ok(Ok(None));
                }
                self.subject_record(id).await.map(|subject| Ok(Some(subject)))
            }
        }
    }

    /// Returns the changes whose records hold a text, the oldest first.
    async fn logged(&mut self, text: &str) -> Result<Vec<(u64, Vec<Record>)>, StoreError> {
        let rows: Vec<(i64, String)> =
            sql("SELECT revision, records FROM changes WHERE records LIKE $1 ORDER BY revision LIMIT $2")
                .bind(format!("%{text}%"))
                .bind(signed(CHANGES_READ_MAX)? + 1)
                .fetch_all(self.connection())
                .await?;
        let read = |(revision, records): (i64, String)| {
            let records = serde_json::from_str(&records).map_err(|error| StoreError::Damaged(error.to_string()))?;
            Ok((unsigned(revision)?, records))
        };
        rows.into_iter().map(read).collect()
    }

    /// Returns whether the log holds every change that there ever was.
    async fn log_is_complete(&mut self) -> Result<bool, StoreError> {
        let (complete,): (bool,) = sql("SELECT EXISTS (SELECT 1 FROM changes WHERE revision = 1)")
            .fetch_one(self.connection())
            .await?;
        Ok(complete)
    }
}

impl PoliciesThen {
    /// Returns the components that decide, each once.
    pub(crate) fn digests(&self) -> BTreeSet<PolicyDigest> {
        let versions = |policy: &Policy| {
            [
                Some(policy.active.digest),
                policy.fallback.as_ref().map(|old| old.digest),
            ]
        };
        self.policies.values().flat_map(versions).flatten().collect()
    }

    fn put(&mut self, thing: Thing, record: Option<Record>) {
        match (thing, record) {
            (Thing::Policy(key), Some(Record::Policy(policy))) => drop(self.policies.insert(key, *policy)),
            (Thing::Policy(key), _) => drop(self.policies.remove(&key)),
            (Thing::Guard(key), Some(Record::Guard(guard))) => drop(self.guards.insert(key, guard)),
            (Thing::Guard(key), _) => drop(self.guards.remove(&key)),
            (Thing::Subject(_), _) => {}
        }
    }

    /// Forgets what judges only elsewhere.
    fn keep_those_over(&mut self, org: &str) {
        self.guards
            .retain(|_, guard| guard.org == org || guard.scope == feed::GuardScope::Installation);
        let guards = &self.guards;
        self.policies.retain(|(own, name), _| {
            own == org || guards.values().any(|guard| guard.org == *own && guard.policy == *name)
        });
    }
}

/// Something that records tell of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Subject(String),
    Policy((String, String)),
    Guard((String, String)),
}

/// What a thing that is in the log was at a revision.
enum Then {
    /// What the last record up to then says.
    Was(Record),
    /// The log tells only of later changes.
    NotTold,
}

struct Told(BTreeMap<Thing, Then>);

impl Told {
    /// Returns what the log tells of its things at a revision; `None` when it is too long to be read.
    fn of(log: impl Iterator<Item = (u64, Vec<Record>)>, revision: u64) -> Option<Self> {
        let mut things = BTreeMap::new();
        for (number, (made, records)) in log.enumerate() {
            if number as u64 >= CHANGES_READ_MAX {
                return None;
            }
            for record in records {
                let Some(thing) = Thing::of(&record) else { continue };
                if made <= revision {
                    things.insert(thing, Then::Was(record));
                } else {
                    things.entry(thing).or_insert(Then::NotTold);
                }
            }
        }
        Some(Self(things))
    }
}

impl Thing {
    fn of(record: &Record) -> Option<Self> {
        match record {
            Record::Subject(subject) => Some(Self::Subject(subject.id.clone())),
            Record::SubjectRemoved { id } => Some(Self::Subject(id.clone())),
            Record::Token(_) | Record::TokenRemoved { .. } => None,
            Record::Policy(policy) => Some(Self::Policy((policy.org.clone(), policy.name.clone()))),
            Record::PolicyRemoved { org, name } => Some(Self::Policy((org.clone(), name.clone()))),
            Record::Guard(guard) => Some(Self::Guard((guard.org.clone(), guard.id.clone()))),
            Record::GuardRemoved { org, id } => Some(Self::Guard((org.clone(), id.clone()))),
        }
    }
}

/// Most changes of one kind of thing that are read to tell the past: some tens of megabytes.
const CHANGES_READ_MAX: u64 = 20_000;
