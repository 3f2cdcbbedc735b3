//! A guard with settings: it refuses the permission that they name.

#![no_std]

extern crate alloc;

use alloc::borrow::ToOwned;
use alloc::format;

use postern_policy::{Guard, GuardVerdict, Request, Scope};

struct Freeze;

impl Guard for Freeze {
    const NAME: &str = "freeze";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org, Scope::App];
    const SETTINGS_SCHEMA: Option<&str> =
        Some(r#"{"type":"object","required":["permission"],"properties":{"permission":{"type":"string"}}}"#);

    fn decide(request: &Request) -> GuardVerdict {
        let named = format!("\"{}\"", request.operation.permission);
        match &request.settings {
            Some(settings) if settings.contains(&named) => GuardVerdict::Deny("frozen".to_owned()),
            _ => GuardVerdict::Pass,
        }
    }
}

postern_policy::guard!(Freeze);
