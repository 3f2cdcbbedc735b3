//! A policy that spends its time in long single instructions.

#![no_std]

extern crate alloc;

use alloc::vec;
use core::hint::black_box;

use postern_policy::{Request, Role, RoleVerdict, Scope};

struct MemoryFill;

impl Role for MemoryFill {
    const NAME: &str = "hostile";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(_: &Request) -> RoleVerdict {
        let mut block = vec![0_u8; 512 << 10];
        let mut byte = 0_u8;
        loop {
            byte = byte.wrapping_add(1);
            black_box(&mut block).fill(byte);
        }
    }
}

postern_policy::role!(MemoryFill);
