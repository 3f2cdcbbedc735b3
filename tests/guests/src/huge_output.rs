//! A guard that says more than anybody may.

#![no_std]

extern crate alloc;

use postern_policy::{Guard, GuardVerdict, Request, Scope};

struct HugeOutput;

impl Guard for HugeOutput {
    const NAME: &str = "hostile-guard";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(_: &Request) -> GuardVerdict {
        GuardVerdict::Deny("x".repeat(100 << 10))
    }
}

postern_policy::guard!(HugeOutput);
