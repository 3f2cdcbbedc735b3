//! A policy that asks the host for the time behind the contract's back.

#![no_std]

use postern_policy::{Request, Role, RoleVerdict, Scope};

mod clock {
    wit_bindgen::generate!({
        inline: "package hostile:clock; world clock { import now: func() -> u64; }",
    });
}

struct ImportsFunction;

impl Role for ImportsFunction {
    const NAME: &str = "hostile";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(_: &Request) -> RoleVerdict {
        RoleVerdict::allow_if(clock::now() > 0)
    }
}

postern_policy::role!(ImportsFunction);
