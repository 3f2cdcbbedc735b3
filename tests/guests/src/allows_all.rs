//! A role that allows everything.

#![no_std]

use postern_policy::{Request, Role, RoleVerdict, Scope};

struct AllowsAll;

impl Role for AllowsAll {
    const NAME: &str = "allows-all";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(_: &Request) -> RoleVerdict {
        RoleVerdict::Allow
    }
}

postern_policy::role!(AllowsAll);
