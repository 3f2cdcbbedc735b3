//! A policy that panics when it is asked what it is.

#![no_std]

extern crate alloc;

use alloc::vec::Vec;

use postern_policy::{Input, Request, Role, RoleVerdict, Scope};

struct PanicInDescribe;

impl Role for PanicInDescribe {
    const NAME: &str = "hostile";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn inputs() -> Vec<Input> {
        panic!("as a bug would")
    }

    fn decide(_: &Request) -> RoleVerdict {
        RoleVerdict::Allow
    }
}

postern_policy::role!(PanicInDescribe);
