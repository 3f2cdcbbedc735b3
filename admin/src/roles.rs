//! Roles: which names can be bound where and to whom, and which roles may deal with which.
//!
//! What a role allows is decided by its policy at the gateway and is not known here.

use std::collections::BTreeMap;

use engine::matrix::ANY;
use feed::{Scope, SubjectKind};
use serde::{Deserialize, Serialize};

use crate::manifest::Manifest;

/// The built-in roles, and what their policies say of themselves.
#[derive(Debug, Clone)]
pub(crate) struct RoleCatalogue(BTreeMap<String, Manifest>);

/// A kind of object on which roles can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ScopeKind {
    /// An organisation.
    Org,
    /// An app.
    App,
    /// An env type.
    EnvType,
}

impl RoleCatalogue {
    /// Returns the catalogue of these roles.
    pub(crate) fn new(roles: impl IntoIterator<Item = (String, Manifest)>) -> Self {
        Self(roles.into_iter().collect())
    }

    /// Returns whether a role of this name is built in.
    pub(crate) fn contains(&self, role: &str) -> bool {
        self.0.contains_key(role)
    }

    /// Returns whether a role of this name can be bound to such a subject on this scope.
    pub(crate) fn admits(&self, role: &str, scope: &Scope, subject: SubjectKind) -> bool {
        // The store refuses the same, whatever a manifest says.
        if role == ARTEFACT_CONTRIBUTOR && subject != SubjectKind::ServiceUser {
            return false;
        }
        self.0.get(role).is_some_and(|own| own.admits(scope, subject))
    }
}

impl ScopeKind {
    /// Returns a scope of this kind: the organisation, or an app or env type that stands for any.
    pub(crate) fn any(self, org: &str) -> Scope {
        match self {
            Self::Org => Scope::org(org),
            Self::App => Scope::app(org, ANY),
            Self::EnvType => Scope::env_type(org, ANY),
        }
    }

    /// Returns the kind of a scope.
    pub(crate) fn of(scope: &Scope) -> Self {
        match scope {
            Scope::Org { .. } => Self::Org,
            Scope::App { .. } => Self::App,
            Scope::EnvType { .. } => Self::EnvType,
        }
    }
}

impl From<engine::ScopeKind> for ScopeKind {
    fn from(scope: engine::ScopeKind) -> Self {
        match scope {
            engine::ScopeKind::Org => Self::Org,
            engine::ScopeKind::App => Self::App,
            engine::ScopeKind::EnvType => Self::EnvType,
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
        let manifest = Manifest {
            scopes: vec![ScopeKind::Org],
            subject_kinds: vec![SubjectKind::ServiceUser, SubjectKind::Member, SubjectKind::Group],
            inputs: Vec::new(),
            settings_schema: None,
        };
        let roles = RoleCatalogue::new([("artefactContributor".to_owned(), manifest)]);
        let org = Scope::org("my-org");
        assert!(roles.admits("artefactContributor", &org, SubjectKind::ServiceUser));
        assert!(!roles.admits("artefactContributor", &org, SubjectKind::Member));
        assert!(!roles.admits("artefactContributor", &org, SubjectKind::Group));
    }
}
