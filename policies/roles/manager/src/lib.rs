//! Role `manager` on an organisation: users, roles on env types, tokens and new apps, but no app by itself.

#![no_std]

use permissions::OrgRole;
use postern_policy::{Request, Role, RoleVerdict, Scope};

struct Manager;

impl Role for Manager {
    const NAME: &str = "manager";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(request: &Request) -> RoleVerdict {
        permissions::of_org_role(OrgRole::Manager, request)
    }
}

postern_policy::role!(Manager);
