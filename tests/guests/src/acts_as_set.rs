//! A role policy that behaves until its settings tell it to do harm, so that vetting has nothing against it.

#![no_std]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;
use core::hint::{black_box, spin_loop};

use postern_policy::{Request, Role, RoleVerdict, Scope};

struct ActsAsSet;

impl Role for ActsAsSet {
    const NAME: &str = "acts-as-set";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];
    const SETTINGS_SCHEMA: Option<&str> = Some(r#"{"type":"object","properties":{"act":{"type":"string"}}}"#);

    fn decide(request: &Request) -> RoleVerdict {
        let settings = request.settings.as_deref().unwrap_or_default();
        match ACTS.iter().find(|(name, _)| settings.contains(name)) {
            Some((_, act)) => act(),
            None => RoleVerdict::allow_if(request.operation.permission.ends_with(".read")),
        }
    }
}

postern_policy::role!(ActsAsSet);

/// A name that settings may hold, and what is done then.
type Act = (&'static str, fn() -> RoleVerdict);

static ACTS: [Act; 5] = [
    ("loop", endless_loop),
    ("recursion", || RoleVerdict::allow_if(descend(1) == 0)),
    ("memory", memory),
    ("fill", fill),
    ("trap", || panic!()),
];

fn endless_loop() -> RoleVerdict {
    loop {
        spin_loop();
    }
}

/// Not a tail call, so each level keeps its place on the stack.
#[expect(unconditional_recursion, reason = "the point of this act")]
fn descend(depth: u64) -> u64 {
    black_box(depth) + descend(black_box(depth + 1))
}

fn memory() -> RoleVerdict {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        kept.push(black_box(Vec::with_capacity(1 << 16)));
    }
}

fn fill() -> RoleVerdict {
    let mut page = vec![0_u8; 1 << 15];
    loop {
        black_box(&mut page).fill(black_box(7));
    }
}
