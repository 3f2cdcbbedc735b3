//! Role `viewer` on an app: reads it, webhooks left out.

#![no_std]

use permissions::AppRole;
use postern_policy::{Request, Role, RoleVerdict, Scope};

struct Viewer;

impl Role for Viewer {
    const NAME: &str = "viewer";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::App];

    fn decide(request: &Request) -> RoleVerdict {
        permissions::of_app_role(AppRole::Viewer, request)
    }
}

postern_policy::role!(Viewer);
