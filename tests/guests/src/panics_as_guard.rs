//! A guard that panics when it is asked.

#![no_std]

use postern_policy::{Guard, GuardVerdict, Request, Scope};

struct PanicsAsGuard;

impl Guard for PanicsAsGuard {
    const NAME: &str = "hostile-guard";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(_: &Request) -> GuardVerdict {
        panic!("as a bug would")
    }
}

postern_policy::guard!(PanicsAsGuard);
