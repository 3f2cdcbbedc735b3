//! `/orgs/{org}/gateways`: the gateways, as they last reported. They serve every organisation, so they are for those who
//! administer the installation: administrators of its first organisation.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;

use super::fields::timestamp;
use super::{Api, rules};
use crate::body::PathParameters;
use crate::error::ApiError;
use crate::gateways::GatewayStatus;
use crate::identity::Caller;
use crate::store::View;

/// A gateway: what is known of it, and what it last reported.
#[derive(Debug, Serialize)]
pub(super) struct GatewayView {
    name: String,
    /// `live`, `lagging` or `silent`; `awaited` before it has enrolled.
    state: &'static str,
    /// Whether it has a credential of its own.
    enrolled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    enrolment_ends_at: Option<String>,
    #[serde(flatten)]
    report: Option<Report>,
}

#[derive(Debug, Serialize)]
struct Report {
    version: String,
    /// The revision that it has applied, of this store; 0: none.
    revision: u64,
    /// How many newer ones there are.
    lag_revisions: u64,
    /// How long ago the first of them was made.
    lag_ms: i64,
    /// How many policies it has loaded.
    policies: u64,
    address: String,
    last_contact: String,
    /// The age of its data from which on it refuses everything.
    refuses_after_ms: u64,
}

/// `GET /orgs/{org}/gateways`
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(org): PathParameters<String>,
) -> Result<Json<Vec<GatewayView>>, ApiError> {
    api.views(&caller, &org).await.map(Json)
}

/// `GET /orgs/{org}/gateways/{gateway}`
pub(super) async fn read(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, name)): PathParameters<(String, String)>,
) -> Result<Json<GatewayView>, ApiError> {
    let mut views = api.views(&caller, &org).await?.into_iter();
    views.find(|view| view.name == name).map(Json).ok_or(ApiError::NotFound)
}

impl Api {
    /// Returns all gateways, ordered by name.
    async fn views(&self, caller: &Caller, org: &str) -> Result<Vec<GatewayView>, ApiError> {
        let mut reading = self.read(caller, org).await?;
        rules::check_administers_installation(&mut reading.view, &reading.caller).await?;
        let mut views = BTreeMap::new();
        for known in reading.view.gateways().await? {
            let enrolled = known.enrolled_ms.is_some();
            let view = GatewayView {
                name: known.name.clone(),
                state: if enrolled { "silent" } else { "awaited" },
                enrolled,
                enrolment_ends_at: (!enrolled).then(|| timestamp(known.enrolment_ends_ms)),
                report: None,
            };
            views.insert(known.name, view);
        }
        for gateway in self.gateways.statuses() {
            let view = views.entry(gateway.gateway.clone()).or_insert_with(|| GatewayView {
                name: gateway.gateway.clone(),
                state: "silent",
                enrolled: false,
                enrolment_ends_at: None,
                report: None,
            });
            let now_ms = self.clock.unix_ms();
            let report = self.report(&mut reading.view, &gateway, now_ms).await?;
            view.state = match gateway.is_live(now_ms) {
                false => "silent",
                true if report.lag_ms > LAGGING_AFTER_MS => "lagging",
                true => "live",
            };
            view.report = Some(report);
        }
        Ok(views.into_values().collect())
    }

    async fn report(&self, view: &mut View, gateway: &GatewayStatus, now_ms: i64) -> Result<Report, ApiError> {
        let newest = view.revision().await?;
        let revision = gateway.revision_of(self.store.name());
        let lag_revisions = newest.saturating_sub(revision);
        let lag_ms = match lag_revisions {
            0 => 0,
            _ => view
                .made_ms(revision + 1)
                .await?
                .map_or(0, |made_ms| (now_ms - made_ms).max(0)),
        };
        Ok(Report {
            version: gateway.info.version.clone(),
            revision,
            lag_revisions,
            lag_ms,
            policies: gateway.info.policies,
            address: gateway.info.address.clone(),
            last_contact: timestamp(gateway.last_contact_ms),
            refuses_after_ms: gateway.info.refuses_after_ms,
        })
    }
}

/// A gateway that lacks a change for longer than this is said to lag: the usual time is some milliseconds.
const LAGGING_AFTER_MS: i64 = 10_000;
