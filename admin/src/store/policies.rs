//! Policies: what is published, which version is in force, and the components.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use feed::policy::PolicySignature;
use feed::{Policy, PolicyDigest, PolicyKind, PolicyVersion, Record, Scope, SubjectKind, policy};

use super::sql::{Row, sql};
use super::subjects::parse_kind;
use super::{Change, StoreError, View, signed, unsigned};

/// A policy with all its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredPolicy {
    pub org: String,
    pub name: String,
    pub kind: PolicyKind,
    /// The version in force, one of `versions`.
    pub active: String,
    /// The version that was in force before.
    pub previous: Option<String>,
    pub shadow: Option<StoredShadow>,
    /// Whether the version before is asked when the one in force keeps failing.
    pub fallback: bool,
    /// JSON; of a role policy only.
    pub settings: Option<String>,
    /// The newest first.
    pub versions: Vec<StoredVersion>,
}

/// The version that is watched beside the one in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredShadow {
    pub version: String,
    /// 1 to 100.
    pub percent: u8,
    pub since_ms: i64,
}

/// One published version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredVersion {
    pub version: semver::Version,
    pub digest: PolicyDigest,
    /// The engine's class of the component.
    pub class: String,
    pub size_bytes: u64,
    /// What the policy says of itself: JSON, written and read by `manifest`.
    pub manifest: String,
    pub signature: Option<PolicySignature>,
    pub published_ms: i64,
    pub published_by: String,
}

/// Somebody who holds a role, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub subject: String,
    pub kind: SubjectKind,
    pub scope: Scope,
}

impl View {
    /// Returns a policy of an organisation.
    pub(crate) async fn policy(&mut self, org: &str, name: &str) -> Result<Option<StoredPolicy>, StoreError> {
        let row = sql("SELECT * FROM policies WHERE org = $1 AND name = $2")
            .bind(org)
            .bind(name)
            .row(self.connection())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let versions = sql("SELECT * FROM policy_versions WHERE org = $1 AND policy = $2")
            .bind(org)
            .bind(name)
            .rows(self.connection())
            .await?;
        let versions = versions.iter().map(StoredVersion::read).collect::<Result<_, _>>()?;
        StoredPolicy::read(&row, versions).map(Some)
    }

    /// Returns all policies of an organisation, by name.
    pub(crate) async fn policies(&mut self, org: &str) -> Result<Vec<StoredPolicy>, StoreError> {
        let mut versions: BTreeMap<String, Vec<StoredVersion>> = BTreeMap::new();
        let rows = sql("SELECT * FROM policy_versions WHERE org = $1")
            .bind(org)
            .rows(self.connection())
            .await?;
        for row in &rows {
            let policy: String = row.get("policy")?;
            versions.entry(policy).or_default().push(StoredVersion::read(row)?);
        }
        let rows = sql("SELECT * FROM policies WHERE org = $1 ORDER BY name")
            .bind(org)
            .rows(self.connection())
            .await?;
        let read = |row: &Row| {
            let name: String = row.get("name")?;
            StoredPolicy::read(row, versions.remove(&name).unwrap_or_default())
        };
        rows.iter().map(read).collect()
    }

    /// Returns the first organisation behind one that has policies.
    pub(super) async fn org_with_policies(&mut self, after: &str) -> Result<Option<String>, StoreError> {
        let (org,): (Option<String>,) = sql("SELECT min(org) FROM policies WHERE org > $1")
            .bind(after)
            .fetch_one(self.connection())
            .await?;
        Ok(org)
    }

    /// Returns a component by its digest.
    pub(crate) async fn component(&mut self, digest: PolicyDigest) -> Result<Option<Vec<u8>>, StoreError> {
        let row: Option<(Vec<u8>,)> = sql("SELECT component FROM components WHERE digest = $1")
            .bind(digest.as_bytes().as_slice())
            .fetch_optional(self.connection())
            .await?;
        Ok(row.map(|(component,)| component))
    }

    /// Returns who holds a role of an organisation, and where.
    pub(crate) async fn role_holders(&mut self, org: &str, role: &str) -> Result<Vec<Holder>, StoreError> {
        let rows: Vec<(String, String, String)> = sql(
            "SELECT subject, subject_kind, scope FROM role_bindings WHERE org = $1 AND role = $2 ORDER BY subject, scope",
        )
        .bind(org)
        .bind(role)
        .fetch_all(self.connection())
        .await?;
        let read = |(subject, kind, scope): (String, String, String)| {
            Ok(Holder {
                subject,
                kind: parse_kind(&kind)?,
                scope: scope.parse().map_err(|error| StoreError::Damaged(format!("{error}")))?,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Counts the role bindings of an organisation, by role.
    pub(crate) async fn role_holders_count(&mut self, org: &str) -> Result<BTreeMap<String, u64>, StoreError> {
        let rows: Vec<(String, i64)> = sql("SELECT role, count(*) FROM role_bindings WHERE org = $1 GROUP BY role")
            .bind(org)
            .fetch_all(self.connection())
            .await?;
        rows.into_iter()
            .map(|(role, count)| Ok((role, unsigned(count)?)))
            .collect()
    }

    /// Returns the organisation that the first start made.
    pub(crate) async fn first_org(&mut self) -> Result<Option<String>, StoreError> {
        let row: Option<(String,)> = sql("SELECT org FROM audit_entries WHERE revision = 1")
            .fetch_optional(self.connection())
            .await?;
        Ok(row.map(|(org,)| org))
    }
}

impl Change {
    /// Writes a policy as it is in this value, but for its versions, and tells gateways of it.
    pub(crate) async fn write_policy(&mut self, policy: &StoredPolicy) -> Result<(), StoreError> {
        let shadow = policy.shadow.as_ref();
        sql("INSERT INTO policies
                 (org, name, kind, active, previous, shadow, shadow_percent, shadow_since_ms, fallback, settings)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (org, name) DO UPDATE
             SET active = excluded.active, previous = excluded.previous, shadow = excluded.shadow,
                 shadow_percent = excluded.shadow_percent, shadow_since_ms = excluded.shadow_since_ms,
                 fallback = excluded.fallback, settings = excluded.settings")
        .bind(&policy.org)
        .bind(&policy.name)
        .bind(kind_name(policy.kind))
        .bind(&policy.active)
        .bind(&policy.previous)
        .bind(shadow.map(|shadow| &shadow.version))
        .bind(shadow.map(|shadow| i64::from(shadow.percent)))
        .bind(shadow.map(|shadow| shadow.since_ms))
        .bind(policy.fallback)
        .bind(&policy.settings)
        .execute(self.view.connection())
        .await?;
        self.records.push(Record::Policy(Box::new(policy.record()?)));
        Ok(())
    }

    /// Tells gateways of a version that is to be put in force, so that they have it by then.
    pub(crate) fn announce(&mut self, policy: &StoredPolicy, coming: &StoredVersion) -> Result<(), StoreError> {
        let mut record = policy.record()?;
        record.ready.push(coming.record());
        self.records.push(Record::Policy(Box::new(record)));
        Ok(())
    }

    /// Adds a version to a policy, and its component unless it is there.
    pub(crate) async fn insert_version(
        &mut self,
        policy: &StoredPolicy,
        new: &StoredVersion,
        component: &[u8],
    ) -> Result<(), StoreError> {
        sql("INSERT INTO components (digest, component) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING")
            .bind(new.digest.as_bytes().as_slice())
            .bind(component)
            .execute(self.view.connection())
            .await?;
        sql("INSERT INTO policy_versions
                 (org, policy, version, digest, class, size_bytes, manifest, signature_key, signature,
                  published_ms, published_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
        .bind(&policy.org)
        .bind(&policy.name)
        .bind(new.version.to_string())
        .bind(new.digest.as_bytes().as_slice())
        .bind(&new.class)
        .bind(signed(new.size_bytes)?)
        .bind(&new.manifest)
        .bind(new.signature.as_ref().map(|signature| &signature.key))
        .bind(new.signature.as_ref().map(|signature| &signature.signature))
        .bind(new.published_ms)
        .bind(&new.published_by)
        .execute(self.view.connection())
        .await?;
        Ok(())
    }

    /// Removes a version that nothing refers to.
    pub(crate) async fn delete_version(&mut self, policy: &StoredPolicy, version: &str) -> Result<(), StoreError> {
        sql("DELETE FROM policy_versions WHERE org = $1 AND policy = $2 AND version = $3")
            .bind(&policy.org)
            .bind(&policy.name)
            .bind(version)
            .execute(self.view.connection())
            .await?;
        self.delete_unused_components().await
    }

    /// Removes a policy with its versions, and tells gateways of its end.
    pub(crate) async fn delete_policy(&mut self, policy: &StoredPolicy) -> Result<(), StoreError> {
        for text in [
            "DELETE FROM policy_versions WHERE org = $1 AND policy = $2",
            "DELETE FROM policies WHERE org = $1 AND name = $2",
        ] {
            sql(text)
                .bind(&policy.org)
                .bind(&policy.name)
                .execute(self.view.connection())
                .await?;
        }
        self.forget_shadow(policy).await?;
        self.delete_unused_components().await?;
        self.records.push(Record::PolicyRemoved {
            org: policy.org.clone(),
            name: policy.name.clone(),
        });
        Ok(())
    }

    async fn delete_unused_components(&mut self) -> Result<(), StoreError> {
        sql("DELETE FROM components WHERE digest NOT IN (SELECT digest FROM policy_versions)")
            .execute(self.view.connection())
            .await?;
        Ok(())
    }
}

impl StoredPolicy {
    /// Returns a version of it.
    pub(crate) fn version(&self, version: &str) -> Option<&StoredVersion> {
        self.versions.iter().find(|own| own.version.to_string() == version)
    }

    /// Returns the version in force.
    pub(crate) fn active(&self) -> Result<&StoredVersion, StoreError> {
        let lost = || StoreError::Damaged(format!("policy {} without its active version", self.name));
        self.version(&self.active).ok_or_else(lost)
    }

    /// Returns it in the form that gateways are told.
    pub(crate) fn record(&self) -> Result<Policy, StoreError> {
        let told = |version: &String| self.version(version).map(StoredVersion::record);
        let previous = self.previous.as_ref();
        let shadow = self.shadow.as_ref().and_then(|shadow| {
            Some(policy::Shadow {
                version: told(&shadow.version)?,
                percent: shadow.percent,
            })
        });
        // Where a promotion or a rollback goes, most likely.
        let newest = self.versions.first().map(|newest| newest.version.to_string());
        let mut ready: Vec<&String> = previous.into_iter().filter(|_| !self.fallback).collect();
        let shadowed = self.shadow.as_ref().map(|shadow| &shadow.version);
        let fresh =
            |version: &&String| **version != self.active && Some(*version) != previous && Some(*version) != shadowed;
        ready.extend(newest.as_ref().filter(fresh));
        Ok(Policy {
            org: self.org.clone(),
            name: self.name.clone(),
            kind: self.kind,
            active: self.active()?.record(),
            fallback: previous.filter(|_| self.fallback).and_then(told),
            shadow,
            ready: ready.into_iter().filter_map(told).collect(),
            settings: self.settings.clone(),
        })
    }

    fn read(row: &Row, mut versions: Vec<StoredVersion>) -> Result<Self, StoreError> {
        versions.sort_by_key(|version| Reverse(version.version.clone()));
        let shadow: Option<String> = row.get("shadow")?;
        let shadow = match shadow {
            Some(version) => Some(StoredShadow {
                version,
                percent: percent(row.get("shadow_percent")?)?,
                since_ms: row.get("shadow_since_ms")?,
            }),
            None => None,
        };
        Ok(Self {
            org: row.get("org")?,
            name: row.get("name")?,
            kind: match row.get::<String>("kind")?.as_str() {
                "role" => PolicyKind::Role,
                "guard" => PolicyKind::Guard,
                other => return Err(StoreError::Damaged(format!("the kind of policy {other:?}"))),
            },
            active: row.get("active")?,
            previous: row.get("previous")?,
            shadow,
            fallback: row.get("fallback")?,
            settings: row.get("settings")?,
            versions,
        })
    }
}

impl StoredVersion {
    /// Returns it in the form that gateways are told.
    pub(crate) fn record(&self) -> PolicyVersion {
        PolicyVersion {
            version: self.version.to_string(),
            digest: self.digest,
            signature: self.signature.clone(),
        }
    }

    fn read(row: &Row) -> Result<Self, StoreError> {
        let version: String = row.get("version")?;
        let digest: Vec<u8> = row.get("digest")?;
        let damaged = |what: &str| StoreError::Damaged(format!("the {what} of policy version {version}"));
        let key: Option<String> = row.get("signature_key")?;
        let signature: Option<String> = row.get("signature")?;
        Ok(Self {
            version: version.parse().map_err(|_malformed| damaged("number"))?,
            digest: PolicyDigest::from_bytes(digest.try_into().map_err(|_length| damaged("digest"))?),
            class: row.get("class")?,
            size_bytes: unsigned(row.get("size_bytes")?)?,
            manifest: row.get("manifest")?,
            signature: key
                .zip(signature)
                .map(|(key, signature)| PolicySignature { key, signature }),
            published_ms: row.get("published_ms")?,
            published_by: row.get("published_by")?,
        })
    }
}

fn percent(number: i64) -> Result<u8, StoreError> {
    u8::try_from(number).map_err(|_large| StoreError::Damaged(format!("the share {number}")))
}

/// Returns the word that the store and the API use for a kind of policy.
pub(crate) fn kind_name(kind: PolicyKind) -> &'static str {
    match kind {
        PolicyKind::Role => "role",
        PolicyKind::Guard => "guard",
    }
}
