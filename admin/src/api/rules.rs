//! Rules: who may change whom. They look at the store's own rows, inside the transaction that they guard.

use feed::{Scope, SubjectKind};

use super::Writing;
use crate::error::ApiError;
use crate::roles::{ADMINISTRATOR, RoleCatalogue, dominates};
use crate::store::Subject;

/// Nobody changes, removes or speaks for a subject whose org role gives more than their own.
pub(super) fn check_not_above(caller: &Subject, subject: &Subject) -> Result<(), ApiError> {
    check_dominated(caller, subject.role.as_deref())
}

/// Nobody gives an org role that gives more than their own.
pub(super) fn check_may_give(caller: &Subject, role: &str) -> Result<(), ApiError> {
    check_dominated(caller, Some(role))
}

/// A role must exist, and fit the scope and the subject.
pub(super) fn check_bindable(
    roles: &RoleCatalogue,
    role: &str,
    scope: &Scope,
    kind: SubjectKind,
) -> Result<(), ApiError> {
    if roles.admits(role, scope, kind) {
        Ok(())
    } else {
        Err(ApiError::UnknownRole)
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
