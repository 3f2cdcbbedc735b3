//! A policy that asks for the caller's token.

#![no_std]

extern crate alloc;

use alloc::borrow::ToOwned;
use alloc::vec;
use alloc::vec::Vec;

use postern_policy::{Input, Request, Role, RoleVerdict, Scope};

struct AsksForSecret;

impl Role for AsksForSecret {
    const NAME: &str = "hostile";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn inputs() -> Vec<Input> {
        vec![Input::Header("authorization".to_owned())]
    }

    fn decide(_: &Request) -> RoleVerdict {
        RoleVerdict::Allow
    }
}

postern_policy::role!(AsksForSecret);
