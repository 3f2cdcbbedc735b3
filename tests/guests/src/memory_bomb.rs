//! A policy that takes all the memory it can get.

#![no_std]

extern crate alloc;

use alloc::vec::Vec;
use core::hint::black_box;

use postern_policy::{Request, Role, RoleVerdict, Scope};

struct MemoryBomb;

impl Role for MemoryBomb {
    const NAME: &str = "hostile";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(_: &Request) -> RoleVerdict {
        loop {
            core::mem::forget(black_box(Vec::<u8>::with_capacity(32 << 10)));
        }
    }
}

postern_policy::role!(MemoryBomb);
