//! A policy that allows only what it is asked after the first time: never, if each instance is fresh.

#![no_std]

use core::sync::atomic::{AtomicU32, Ordering};

use postern_policy::{Request, Role, RoleVerdict, Scope};

struct KeepsState;

impl Role for KeepsState {
    const NAME: &str = "hostile";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(_: &Request) -> RoleVerdict {
        RoleVerdict::allow_if(ASKED.fetch_add(1, Ordering::Relaxed) > 0)
    }
}

postern_policy::role!(KeepsState);

static ASKED: AtomicU32 = AtomicU32::new(0);
