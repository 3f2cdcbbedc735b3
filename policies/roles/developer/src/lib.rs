//! Role `developer` on an app: its configuration and values; with `deployer` on an env type also that type's environments.

#![no_std]

use permissions::AppRole;
use postern_policy::{Request, Role, RoleVerdict, Scope};

struct Developer;

impl Role for Developer {
    const NAME: &str = "developer";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::App];

    fn decide(request: &Request) -> RoleVerdict {
        permissions::of_app_role(AppRole::Developer, request)
    }
}

postern_policy::role!(Developer);
