//! Role `owner` on an app: a developer that also manages its members, webhooks and pipelines.

#![no_std]

use permissions::AppRole;
use postern_policy::{Request, Role, RoleVerdict, Scope};

struct Owner;

impl Role for Owner {
    const NAME: &str = "owner";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::App];

    fn decide(request: &Request) -> RoleVerdict {
        permissions::of_app_role(AppRole::Owner, request)
    }
}

postern_policy::role!(Owner);
