//! A version is compiled by the gateways before it is in force: they are told of it, and say when they can decide with it.
//!
//! Without that, whoever holds the role, or is judged by the guard, would be answered 503 for as long as compiling takes.

use std::time::Duration;

use axum::response::Response;
use feed::PolicyDigest;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::answers::changed;
use super::policy_answers::PolicyView;
use super::{Api, Writing};
use crate::error::ApiError;
use crate::identity::Caller;
use crate::store::AuditEntry;

/// What was waited for before a version was put in force.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    waited_ms: u64,
    /// Gateways that can decide with the version.
    ready: usize,
    /// Names of those that were heard from lately and could not yet: what hangs on the version is refused there until they can.
    late: Vec<String>,
}

/// A version that gateways were told of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub(super) digest: PolicyDigest,
    /// The revision at which they were, at the latest.
    pub(super) revision: u64,
}

/// A policy, and what its change waited for.
#[derive(Debug, Serialize)]
struct PolicyChanged {
    #[serde(flatten)]
    policy: PolicyView,
    /// Of a change that puts a version in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    readiness: Option<Readiness>,
}

/// Answers a change of a policy.
pub(super) fn policy_changed(revision: u64, policy: PolicyView, readiness: Option<Readiness>) -> Response {
    changed(revision, &PolicyChanged { policy, readiness })
}

impl Api {
    /// Has the gateways compile a version of a policy that somebody is about to put in force, and waits until all that live
    /// have it, or for so long. `None`: a version that is in force, or that there is not, is not waited for.
    pub(super) async fn prepare(
        &self,
        caller: &Caller,
        (org, name): (&str, &str),
        version: Option<&str>,
        wait_ms: Option<u64>,
    ) -> Result<Option<Readiness>, ApiError> {
        let Some(version) = version else {
            return Ok(None);
        };
        let is_previous = version == super::promote::PREVIOUS;
        let most = match wait_ms {
            None if is_previous => WAIT_BACK,
            wait_ms => wait(wait_ms),
        };
        if most.is_zero() {
            return Ok(None);
        }
        let mut reading = self.read(caller, org).await?;
        let Some(policy) = reading.view.policy(org, name).await? else {
            return Ok(None);
        };
        let meant = if is_previous {
            policy.previous.as_deref()
        } else {
            Some(version)
        };
        let meant = meant.filter(|version| *version != policy.active);
        let Some(stored) = meant.and_then(|version| policy.version(version)) else {
            return Ok(None);
        };
        let (digest, known) = (stored.digest, policy.record()?.names(stored.digest));
        let mut revision = reading.view.revision().await?;
        let version = stored.version.to_string();
        drop(reading);
        if !known {
            revision = self.write(caller, org).await?.announce(name, &version).await?;
        }
        Ok(Some(self.until_ready(Told { digest, revision }, most).await))
    }

    /// Waits until all gateways that live have the version of a policy that is in force, or for so long, before something
    /// hangs on it that did not. `None` when there is no such policy.
    pub(super) async fn wait_for_active(
        &self,
        caller: &Caller,
        (org, name): (&str, &str),
        wait_ms: Option<u64>,
    ) -> Result<Option<Readiness>, ApiError> {
        let mut reading = self.read(caller, org).await?;
        let Some(policy) = reading.view.policy(org, name).await? else {
            return Ok(None);
        };
        let told = Told {
            digest: policy.active()?.digest,
            revision: reading.view.revision().await?,
        };
        drop(reading);
        Ok(Some(self.until_ready(told, wait(wait_ms)).await))
    }

    /// Waits until all gateways that live can decide with a version, or for so long.
    pub(super) async fn until_ready(&self, told: Told, most: Duration) -> Readiness {
        let began = Instant::now();
        let (ready, late) = self
            .gateways
            .ready((told.digest, told.revision), &self.clock, began + most)
            .await;
        let waited_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if !late.is_empty() {
            tracing::warn!(digest = %told.digest, ?late, waited_ms, "a version is put in force before every gateway has it");
        }
        Readiness { waited_ms, ready, late }
    }
}

/// Returns how long gateways are waited for, of what was asked.
pub(super) fn wait(wait_ms: Option<u64>) -> Duration {
    wait_ms.map_or(WAIT, |ms| Duration::from_millis(ms).min(WAIT_MAX))
}

impl Writing {
    /// Tells gateways of a version that is to be put in force, and returns the revision at which they are told.
    async fn announce(mut self, name: &str, version: &str) -> Result<u64, ApiError> {
        let org = self.caller.org.clone();
        let policy = self.change.view.policy(&org, name).await?.ok_or(ApiError::NotFound)?;
        let coming = policy.version(version).ok_or(ApiError::NotFound)?;
        self.change.announce(&policy, coming)?;
        let entry = AuditEntry {
            operation: "updatePolicy",
            target: format!("/orgs/{org}/policies/{name}"),
            org,
            before: None,
            after: Some(json!({ "coming": version })),
        };
        Ok(self.change.commit(entry).await?)
    }
}

/// How long a version is waited for that gateways may have to compile: several seconds for a component of Python, and some
/// for those of others before it.
const WAIT: Duration = Duration::from_secs(30);

/// How long the version before is waited for. Gateways keep it compiled; one that has gone must not hold up a way back.
const WAIT_BACK: Duration = Duration::from_secs(1);

/// Longest wait that can be asked for: gateways wait 150 s for an answer to a change.
const WAIT_MAX: Duration = Duration::from_secs(120);
