//! Role `administrator` on an organisation: everything that any role may do.

#![no_std]

use permissions::OrgRole;
use postern_policy::{Request, Role, RoleVerdict, Scope};

struct Administrator;

impl Role for Administrator {
    const NAME: &str = "administrator";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(request: &Request) -> RoleVerdict {
        permissions::of_org_role(OrgRole::Administrator, request)
    }
}

postern_policy::role!(Administrator);
