//! A guard that refuses in every other millisecond.

#![no_std]

extern crate alloc;

use alloc::borrow::ToOwned;
use alloc::vec;
use alloc::vec::Vec;

use postern_policy::{Guard, GuardVerdict, Input, Request, Scope};

struct DeniesEvenTimes;

impl Guard for DeniesEvenTimes {
    const NAME: &str = "denies-even-times";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn inputs() -> Vec<Input> {
        vec![Input::Time]
    }

    fn decide(request: &Request) -> GuardVerdict {
        match request.inputs.time_ms {
            Some(time) if time % 2 == 1 => GuardVerdict::Pass,
            _ => GuardVerdict::Deny("not\nnow".to_owned()),
        }
    }
}

postern_policy::guard!(DeniesEvenTimes);
