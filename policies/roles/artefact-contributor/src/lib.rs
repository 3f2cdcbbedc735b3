//! Role `artefactContributor` on an organisation: a member that also adds artefact versions. Only for service users.

#![no_std]

use permissions::OrgRole;
use postern_policy::{Request, Role, RoleVerdict, Scope, SubjectKind};

struct ArtefactContributor;

impl Role for ArtefactContributor {
    const NAME: &str = "artefactContributor";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];
    const SUBJECT_KINDS: &[SubjectKind] = &[SubjectKind::ServiceUser];

    fn decide(request: &Request) -> RoleVerdict {
        permissions::of_org_role(OrgRole::ArtefactContributor, request)
    }
}

postern_policy::role!(ArtefactContributor);
