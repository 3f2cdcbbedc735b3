//! A policy that never answers.

#![no_std]

use postern_policy::{Request, Role, RoleVerdict, Scope};

struct EndlessLoop;

impl Role for EndlessLoop {
    const NAME: &str = "hostile";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(_: &Request) -> RoleVerdict {
        loop {
            core::hint::spin_loop();
        }
    }
}

postern_policy::role!(EndlessLoop);
