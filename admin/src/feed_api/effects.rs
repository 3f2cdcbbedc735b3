//! Effects: what happened at the orchestrator and bears on role bindings. Each report is applied once.

use catalogue::segment::is_identifier;
use feed::{Creator, EffectReport, ObjectEffect, Scope};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::roles::{RoleCatalogue, ScopeKind};
use crate::store::{Actor, AuditEntry, Change, Store};

/// Applies a report and returns the revision that it made, now or when it first came.
pub(super) async fn apply(store: &Store, roles: &RoleCatalogue, report: &EffectReport) -> Result<u64, ApiError> {
    let (operation, scope, creator) = match &report.effect {
        ObjectEffect::Created { scope, creator } => ("object-created", scope, creator.as_ref()),
        ObjectEffect::Deleted { scope } => ("object-deleted", scope, None),
    };
    check(&report.id, scope)?;
    let actor = Actor::Gateway {
        creator: creator.map(|creator| creator.subject.clone()),
    };
    let mut change = store.change(actor).await?;
    if let Some(revision) = change.effect_revision(&report.id).await? {
        return Ok(revision);
    }
    change.insert_effect(&report.id).await?;
    let before = change.unbind_all(scope).await?;
    let after = bind_creator(&mut change, roles, scope, creator).await?;
    let entry = AuditEntry {
        operation,
        org: scope.organisation().to_owned(),
        target: scope.to_string(),
        before: (!before.is_empty()).then(|| json!({ "holders": before })),
        after,
    };
    Ok(change.commit(entry).await?)
}

fn check(id: &str, scope: &Scope) -> Result<(), ApiError> {
    if !(1..=ID_BYTES_MAX).contains(&id.len()) {
        return Err(ApiError::Field {
            name: "id",
            rule: "1 to 200 octets",
        });
    }
    let object = match scope {
        Scope::Org { .. } => None,
        Scope::App { app, .. } => Some(app),
        Scope::EnvType { env_type, .. } => Some(env_type),
    };
    if !object.is_some_and(|id| is_identifier(id)) || !is_identifier(scope.organisation()) {
        return Err(ApiError::Field {
            name: "scope",
            rule: "the path of an app or an env type",
        });
    }
    Ok(())
}

/// Gives the creator their role, unless they are gone by now.
async fn bind_creator(
    change: &mut Change,
    roles: &RoleCatalogue,
    scope: &Scope,
    creator: Option<&Creator>,
) -> Result<Option<Value>, ApiError> {
    let Some(Creator { subject, role }) = creator else {
        return Ok(None);
    };
    let Some(found) = change.view.subject(subject, scope).await? else {
        return Ok(None);
    };
    if !roles.admits(role, scope, found.kind) {
        tracing::warn!(role, scope = ?ScopeKind::of(scope), "a gateway reported a creator's role that cannot be bound");
        return Ok(None);
    }
    change.bind(subject, found.kind, scope, role).await?;
    Ok(Some(json!({"subject": subject, "role": role})))
}

/// Longest id of a report.
const ID_BYTES_MAX: usize = 200;
