//! A policy that asks for the time.

#![no_std]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;

use postern_policy::{Input, Request, Role, RoleVerdict, Scope};

struct AsksForTime;

impl Role for AsksForTime {
    const NAME: &str = "nightly";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn inputs() -> Vec<Input> {
        vec![Input::Time]
    }

    fn decide(_: &Request) -> RoleVerdict {
        RoleVerdict::Allow
    }
}

postern_policy::role!(AsksForTime);
