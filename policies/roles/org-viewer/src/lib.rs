//! Role `orgViewer` on an organisation: reads all of it, apps too, but neither secrets nor the audit log.

#![no_std]

use permissions::OrgRole;
use postern_policy::{Request, Role, RoleVerdict, Scope};

struct OrgViewer;

impl Role for OrgViewer {
    const NAME: &str = "orgViewer";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(request: &Request) -> RoleVerdict {
        permissions::of_org_role(OrgRole::OrgViewer, request)
    }
}

postern_policy::role!(OrgViewer);
