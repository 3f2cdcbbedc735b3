//! A policy that panics when it is asked.

#![no_std]

use postern_policy::{Request, Role, RoleVerdict, Scope};

struct PanicInDecide;

impl Role for PanicInDecide {
    const NAME: &str = "hostile";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(_: &Request) -> RoleVerdict {
        panic!("as a bug would")
    }
}

postern_policy::role!(PanicInDecide);
