//! Receipts: which gateways refuse what a change has revoked, and until when the others may not.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::Api;
use super::answers::{removed, with_revision};
use super::fields::timestamp;
use crate::error::ApiError;
use crate::gateways::GatewayStatus;

/// How long a caller waits for the gateways.
#[derive(Debug, Default, Deserialize)]
pub(super) struct WaitQuery {
    wait: Option<String>,
}

/// What the gateways have said by the end of the wait.
#[derive(Debug, Serialize)]
struct Receipt {
    /// The revision that revokes.
    revision: u64,
    committed_at: String,
    /// Gateways that have applied it: nothing that it revokes passes there.
    refused_by: Vec<RefusedBy>,
    /// Gateways that have not said so.
    not_heard_from: Vec<NotHeardFrom>,
    /// When even those will have stopped, as their data will be too old for anything; none when one of them has never
    /// told what too old is.
    all_refuse_by: Option<String>,
}

#[derive(Debug, Serialize)]
struct RefusedBy {
    gateway: String,
    /// From the commit to the report.
    after_ms: u64,
}

#[derive(Debug, Serialize)]
struct NotHeardFrom {
    gateway: String,
    /// None: not since this admin service began.
    last_contact: Option<String>,
    refuses_by: Option<String>,
}

/// Reads how long to wait; `None`: not at all.
///
/// # Errors
/// [`ApiError::Field`].
pub(super) fn wait_of(query: Result<Query<WaitQuery>, QueryRejection>) -> Result<Option<Duration>, ApiError> {
    let invalid = || ApiError::Field {
        name: "wait",
        rule: "a time such as 500ms or 2s, 20s at most",
    };
    let Query(WaitQuery { wait }) = query.map_err(|_malformed| invalid())?;
    let Some(text) = wait else { return Ok(None) };
    let (digits, unit_ms) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (text.strip_suffix('s').ok_or_else(invalid)?, 1000),
    };
    let digits_only = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
    let number: Option<u64> = digits_only.then(|| digits.parse().ok()).flatten();
    let wait = number
        .and_then(|number| number.checked_mul(unit_ms))
        .map(Duration::from_millis);
    wait.filter(|wait| *wait <= WAIT_MAX).map(Some).ok_or_else(invalid)
}

impl Api {
    /// Answers a change that revokes something: at once, or with a receipt when all live gateways have applied it or the
    /// time is up.
    pub(super) async fn revoked(&self, revision: u64, wait: Option<Duration>) -> Result<Response, ApiError> {
        let Some(wait) = wait else {
            return Ok(removed(revision));
        };
        let committed = Instant::now();
        let made_ms = self.store.view().await?.made_ms(revision).await?;
        let committed_ms = made_ms.unwrap_or_else(|| self.clock.unix_ms());
        let mut reported = self.gateways.reported();
        let mut refused_by = BTreeMap::new();
        let waiting = loop {
            reported.borrow_and_update();
            let (applied, waiting) = self.applied(revision);
            for gateway in applied {
                refused_by.entry(gateway).or_insert_with(|| committed.elapsed());
            }
            let awaited = waiting.iter().any(|gateway| gateway.is_live(self.clock.unix_ms()));
            // One that has not reported since this process began may be long gone.
            if !awaited || !matches!(timeout_at(committed + wait, reported.changed()).await, Ok(Ok(()))) {
                break waiting;
            }
        };
        let not_heard_from = self.not_heard_from(&waiting, &refused_by, committed_ms);
        let all_tell = not_heard_from.iter().all(|gateway| gateway.refuses_by.is_some());
        let last = not_heard_from
            .iter()
            .filter_map(|gateway| gateway.refuses_by.as_ref())
            .max();
        let receipt = Receipt {
            revision,
            committed_at: timestamp(committed_ms),
            // Times of one form are ordered as their texts are.
            all_refuse_by: all_tell.then(|| last.cloned().unwrap_or_else(|| timestamp(committed_ms))),
            refused_by: refused_by
                .into_iter()
                .map(|(gateway, after)| RefusedBy {
                    gateway,
                    after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
                })
                .collect(),
            not_heard_from,
        };
        Ok(with_revision(revision, Json(receipt).into_response()))
    }

    fn not_heard_from(
        &self,
        waiting: &[GatewayStatus],
        refused_by: &BTreeMap<String, Duration>,
        committed_ms: i64,
    ) -> Vec<NotHeardFrom> {
        let reported = waiting.iter().map(|gateway| {
            // It cannot have heard since the commit that its data is the newest: that would have told it of the change.
            let after_ms = i64::try_from(gateway.info.refuses_after_ms).unwrap_or(i64::MAX);
            NotHeardFrom {
                gateway: gateway.gateway.clone(),
                last_contact: Some(timestamp(gateway.last_contact_ms)),
                refuses_by: Some(timestamp(committed_ms.saturating_add(after_ms).min(TIME_MS_MAX))),
            }
        });
        let mut all: Vec<NotHeardFrom> = reported.collect();
        for gateway in self.fleet.names() {
            let known = refused_by.contains_key(&gateway) || all.iter().any(|one| one.gateway == gateway);
            if !known {
                all.push(NotHeardFrom {
                    gateway,
                    last_contact: None,
                    refuses_by: None,
                });
            }
        }
        all.sort_by(|one, other| one.gateway.cmp(&other.gateway));
        all
    }

    /// Returns the names of the gateways that have applied a revision, and the others.
    fn applied(&self, revision: u64) -> (Vec<String>, Vec<GatewayStatus>) {
        let (mut applied, mut waiting) = (Vec::new(), Vec::new());
        for gateway in self.gateways.statuses() {
            if gateway.revision_of(self.store.name()) >= revision {
                applied.push(gateway.gateway);
            } else {
                waiting.push(gateway);
            }
        }
        (applied, waiting)
    }
}

/// Longest wait: a caller waits 30 s for the whole answer, as `postern` itself does.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// The end of the year 9999, behind which no time can be written.
const TIME_MS_MAX: i64 = 253_402_300_799_999;
