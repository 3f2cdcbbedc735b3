//! A policy whose name no role can have.

#![no_std]

use postern_policy::{Request, Role, RoleVerdict, Scope};

struct BreaksName;

impl Role for BreaksName {
    const NAME: &str = "not a name";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(_: &Request) -> RoleVerdict {
        RoleVerdict::Allow
    }
}

postern_policy::role!(BreaksName);
