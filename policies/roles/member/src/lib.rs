//! Role `member` on an organisation: what everybody in it may read; apps need a role of their own.

#![no_std]

use permissions::OrgRole;
use postern_policy::{Request, Role, RoleVerdict, Scope};

struct Member;

impl Role for Member {
    const NAME: &str = "member";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(request: &Request) -> RoleVerdict {
        permissions::of_org_role(OrgRole::Member, request)
    }
}

postern_policy::role!(Member);
