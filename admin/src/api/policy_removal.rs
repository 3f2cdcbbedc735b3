//! `DELETE /orgs/{org}/policies/{policy}`: a policy goes, and what hangs on it goes or changes with it.

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use feed::{PolicyKind, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::removed;
use super::promote::binding;
use super::{Api, Writing, rules};
use crate::body::PathParameters;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::store::{AuditEntry, StoredPolicy};

#[derive(Deserialize)]
pub(super) struct RemovalQuery {
    /// `remove`, or the role that takes the place of the one that goes.
    bindings: Option<String>,
}

/// `DELETE /orgs/{org}/policies/{policy}`
pub(super) async fn delete(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, name)): PathParameters<(String, String)>,
    query: Result<Query<RemovalQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|_malformed| ApiError::Field {
        name: "bindings",
        rule: "remove, or a role",
    })?;
    let mut writing = api.write(&caller, &org).await?;
    if api.evaluator.built_in_role(&name).is_some() {
        return Err(ApiError::PolicyBuiltIn);
    }
    let policy = writing.change.view.policy(&org, &name).await?;
    let policy = policy.ok_or(ApiError::NotFound)?;
    let bindings = match policy.kind {
        PolicyKind::Guard => writing.check_detached(&policy).await.map(|()| Value::Null)?,
        PolicyKind::Role => writing.release(&api, &policy, query.bindings).await?,
    };
    writing.change.delete_policy(&policy).await?;
    let entry = AuditEntry {
        operation: "deletePolicy",
        target: format!("/orgs/{org}/policies/{name}"),
        org,
        before: Some(json!({
            "active": policy.active,
            "digest": policy.active()?.digest,
            "bindings": bindings,
        })),
        after: None,
    };
    let revision = writing.change.commit(entry).await?;
    Ok(removed(revision))
}

impl Writing {
    async fn check_detached(&mut self, policy: &StoredPolicy) -> Result<(), ApiError> {
        let guards = self.change.view.guards_of(&policy.org, &policy.name).await?;
        if guards.is_empty() {
            return Ok(());
        }
        let guards = guards.into_iter().map(|guard| guard.id).collect();
        Err(ApiError::PolicyAttached { guards })
    }

    /// Takes the role from all who hold it, or gives them another; returns what became of the bindings.
    async fn release(&mut self, api: &Api, policy: &StoredPolicy, bindings: Option<String>) -> Result<Value, ApiError> {
        let holders = self.change.view.role_holders(&policy.org, &policy.name).await?;
        let Some(bindings) = bindings else {
            if holders.is_empty() {
                return Ok(Value::Null);
            }
            return Err(ApiError::RoleInUse {
                holders: holders.len() as u64,
            });
        };
        if bindings == REMOVE {
            for holder in &holders {
                self.change.unbind(&holder.subject, &holder.scope).await?;
            }
            return Ok(json!({"removed": holders.len()}));
        }
        if bindings == policy.name {
            return Err(ApiError::UnknownRole);
        }
        if holders.iter().any(|holder| matches!(holder.scope, Scope::Org { .. })) {
            rules::check_may_give(&self.caller, &bindings)?;
        }
        let mut void = Vec::new();
        for holder in &holders {
            let view = &mut self.change.view;
            match rules::check_bindable(view, &api.roles, &bindings, &holder.scope, holder.kind).await {
                Ok(()) => {
                    let (subject, kind) = (&holder.subject, holder.kind);
                    self.change.bind(subject, kind, &holder.scope, &bindings).await?;
                }
                Err(ApiError::UnknownRole) => void.push(binding(&holder.subject, &holder.scope)),
                Err(error) => return Err(error),
            }
        }
        if void.is_empty() {
            Ok(json!({"role": bindings, "changed": holders.len()}))
        } else {
            Err(ApiError::bindings_not_admitted(void))
        }
    }
}

/// Stands for the removal of role bindings. A role of this name cannot take another's place.
const REMOVE: &str = "remove";
