//! Rules: who may change whom. They look at the store's own rows, inside the transaction that they guard.

use feed::{PolicyKind, Scope, SubjectKind};

use super::Writing;
use crate::error::ApiError;
use crate::manifest::Manifest;
use crate::roles::{ADMINISTRATOR, RoleCatalogue, dominates};
use crate::store::{Subject, View};

/// Nobody changes, removes or speaks for a subject whose org role gives more than their own.
pub(super) fn check_not_above(caller: &Subject, subject: &Subject) -> Result<(), ApiError> {
    check_dominated(caller, subject.role.as_deref())
}

/// Nobody gives an org role that gives more than their own.
pub(super) fn check_may_give(caller: &Subject, role: &str) -> Result<(), ApiError> {
    check_dominated(caller, Some(role))
}

/// A role must exist, and fit the scope and the subject: a built-in one, or one that the organisation has published.
pub(super) async fn check_bindable(
    view: &mut View,
    roles: &RoleCatalogue,
    role: &str,
    scope: &Scope,
    kind: SubjectKind,
) -> Result<(), ApiError> {
    if roles.contains(role) {
        let admitted = roles.admits(role, scope, kind);
        return admitted.then_some(()).ok_or(ApiError::UnknownRole);
    }
    let policy = view.policy(scope.organisation(), role).await?;
    let policy = policy.filter(|policy| policy.kind == PolicyKind::Role);
    let manifest = Manifest::read(policy.ok_or(ApiError::UnknownRole)?.active()?)?;
    let admitted = manifest.admits(scope, kind);
    admitted.then_some(()).ok_or(ApiError::UnknownRole)
}

/// What concerns every organisation is for administrators of the first one.
pub(super) async fn check_administers_installation(view: &mut View, caller: &Subject) -> Result<(), ApiError> {
    let first = view.first_org().await?;
    if caller.role.as_deref() == Some(ADMINISTRATOR) && first.as_ref() == Some(&caller.org) {
        Ok(())
    } else {
        Err(ApiError::AboveYourRole)
    }
}

impl Writing {
    /// The last administrator of an organisation stays one.
    pub(super) async fn check_administrator_stays(&mut self, subject: &Subject) -> Result<(), ApiError> {
        let administers = subject.role.as_deref() == Some(ADMINISTRATOR) && subject.kind != SubjectKind::Group;
        if administers && self.change.view.administrators_besides(subject).await? == 0 {
            return Err(ApiError::LastAdministrator);
        }
        Ok(())
    }
}

fn check_dominated(caller: &Subject, role: Option<&str>) -> Result<(), ApiError> {
    if dominates(caller.role.as_deref(), role) {
        Ok(())
    } else {
        Err(ApiError::AboveYourRole)
    }
}
