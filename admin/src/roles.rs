//! Roles: which names can be bound where and to whom, and which roles may deal with which.
//!
//! What a role allows is decided by its policy at the gateway and is not known here.

use feed::{Scope, SubjectKind};

/// The roles that can be bound.
#[derive(Debug, Clone)]
pub struct RoleCatalogue(Vec<RoleDescription>);

/// What a role policy says of itself, as far as binding the role goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleDescription {
    /// Name of the role.
    pub name: String,
    /// Kinds of object on which it can be held.
    pub scopes: Vec<ScopeKind>,
    /// Kinds of subject that can hold it.
    pub subject_kinds: Vec<SubjectKind>,
}

/// A kind of object on which roles can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScopeKind {
    /// An organisation.
    Org,
    /// An app.
    App,
    /// An env type.
    EnvType,
}

impl RoleCatalogue {
    /// Returns the catalogue of these roles.
    pub fn new(roles: Vec<RoleDescription>) -> Self {
        Self(roles)
    }

    /// Returns whether a role of this name can be bound to such a subject on this scope.
    pub fn admits(&self, role: &str, scope: &Scope, subject: SubjectKind) -> bool {
        // The store refuses the same, whatever a manifest says.
        if role == ARTEFACT_CONTRIBUTOR && subject != SubjectKind::ServiceUser {
            return false;
        }
        let scope = ScopeKind::of(scope);
        self.0
            .iter()
            .any(|own| own.name == role && own.scopes.contains(&scope) && own.subject_kinds.contains(&subject))
    }
}

impl ScopeKind {
    /// Returns the kind of a scope.
    pub fn of(scope: &Scope) -> Self {
        match scope {
            Scope::Org { .. } => Self::Org,
            Scope::App { .. } => Self::App,
            Scope::EnvType { .. } => Self::EnvType,
        }
    }
}

/// Returns whether a holder of the first org role has every right that the second one gives.
///
/// Roles that are not built in are above everybody but administrators and their own holders.
pub(crate) fn dominates(holder: Option<&str>, role: Option<&str>) -> bool {
    let Some(role) = role else { return true };
    match holder {
        Some(ADMINISTRATOR) => true,
        Some(MANAGER) => matches!(role, MANAGER | ARTEFACT_CONTRIBUTOR | MEMBER),
        other => other == Some(role),
    }
}

/// The org role that allows everything.
pub(crate) const ADMINISTRATOR: &str = "administrator";
const MANAGER: &str = "manager";
const MEMBER: &str = "member";
const ARTEFACT_CONTRIBUTOR: &str = "artefactContributor";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_dominates_those_whose_rights_it_has() {
        let roles = [
            "administrator",
            "manager",
            "member",
            "artefactContributor",
            "orgViewer",
            "custom",
        ];
        let table = [
            ("administrator", [true, true, true, true, true, true]),
            ("manager", [false, true, true, true, false, false]),
            ("member", [false, false, true, false, false, false]),
            ("artefactContributor", [false, false, false, true, false, false]),
            ("orgViewer", [false, false, false, false, true, false]),
            ("custom", [false, false, false, false, false, true]),
        ];
        for (holder, row) in table {
            for (role, expected) in roles.into_iter().zip(row) {
                assert_eq!(dominates(Some(holder), Some(role)), expected, "{holder} over {role}");
            }
        }
        assert!(!dominates(None, Some("member")));
        assert!(dominates(None, None));
    }

    #[test]
    fn a_manifest_cannot_open_artefact_contributor_to_people() {
        let roles = RoleCatalogue::new(vec![RoleDescription {
            name: "artefactContributor".to_owned(),
            scopes: vec![ScopeKind::Org],
            subject_kinds: vec![SubjectKind::ServiceUser, SubjectKind::Member, SubjectKind::Group],
        }]);
        let org = Scope::org("my-org");
        assert!(roles.admits("artefactContributor", &org, SubjectKind::ServiceUser));
        assert!(!roles.admits("artefactContributor", &org, SubjectKind::Member));
        assert!(!roles.admits("artefactContributor", &org, SubjectKind::Group));
    }
}
