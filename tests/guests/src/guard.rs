//! A guard policy, which is not a role policy.

#![no_std]

use postern_policy::{Guard, GuardVerdict, Request, Scope};

struct Passes;

impl Guard for Passes {
    const NAME: &str = "passes";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(_: &Request) -> GuardVerdict {
        GuardVerdict::Pass
    }
}

postern_policy::guard!(Passes);
