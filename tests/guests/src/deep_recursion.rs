//! A policy that calls itself without end.

#![no_std]

use core::hint::black_box;

use postern_policy::{Request, Role, RoleVerdict, Scope};

struct DeepRecursion;

impl Role for DeepRecursion {
    const NAME: &str = "hostile";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(_: &Request) -> RoleVerdict {
        RoleVerdict::allow_if(descend(1) == 0)
    }
}

postern_policy::role!(DeepRecursion);

/// Not a tail call, so each level keeps its place on the stack.
#[expect(unconditional_recursion, reason = "the point of this guest")]
fn descend(depth: u64) -> u64 {
    black_box(depth) + descend(black_box(depth + 1))
}
