//! A policy that says more of itself than anybody may.

#![no_std]

use postern_policy::{Request, Role, RoleVerdict, Scope};

struct LongManifest;

impl Role for LongManifest {
    const NAME: &str = "hostile";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];
    const SETTINGS_SCHEMA: Option<&str> = Some(LONG);

    fn decide(_: &Request) -> RoleVerdict {
        RoleVerdict::Allow
    }
}

postern_policy::role!(LongManifest);

/// 100 KiB of blanks.
const LONG: &str = match core::str::from_utf8(&[b' '; 100 << 10]) {
    Ok(text) => text,
    Err(_) => "",
};
