//! A guard whose reason is no text.

#![no_std]

extern crate alloc;

use alloc::string::String;
use alloc::vec;

use postern_policy::{Guard, GuardVerdict, Request, Scope};

struct BadUtf8;

impl Guard for BadUtf8 {
    const NAME: &str = "hostile-guard";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];

    fn decide(_: &Request) -> GuardVerdict {
        // SAFETY: the octets are not UTF-8, which is the point; nothing in here looks at them.
        GuardVerdict::Deny(unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe, 0x80]) })
    }
}

postern_policy::guard!(BadUtf8);
