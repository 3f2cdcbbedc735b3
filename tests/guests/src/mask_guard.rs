//! A guard policy whose name, version and rule are octets that a test replaces, as of `mask_role.rs`. Bit N denies.

#![no_std]

extern crate alloc;

use alloc::borrow::ToOwned;
use alloc::vec;
use core::hint::black_box;

use postern_policy::bindings::guard;
use postern_policy::{GuardVerdict, Manifest, PolicyKind, Request, Scope, SubjectKind};

struct MaskGuard;

impl guard::Guest for MaskGuard {
    fn describe() -> Manifest {
        Manifest {
            name: black_box(NAME).to_owned(),
            version: black_box(VERSION).to_owned(),
            kind: PolicyKind::Guard,
            scopes: vec![Scope::Org, Scope::App],
            subject_kinds: vec![SubjectKind::ServiceUser],
            inputs: vec![],
            settings_schema: None,
        }
    }

    fn decide(request: Request) -> GuardVerdict {
        let at = PERMISSIONS.iter().position(|own| *own == request.operation.permission);
        let mask = black_box(MASK).as_bytes().last().copied().unwrap_or_default() - b'a';
        if at.is_some_and(|at| mask & (1 << at) != 0) {
            GuardVerdict::Deny("the mask says so".to_owned())
        } else {
            GuardVerdict::Pass
        }
    }
}

postern_policy::guard!(MaskGuard);

/// Replaced digits and all.
static NAME: &str = "mask-guard-00";
static VERSION: &str = "1.0.10000";

/// The last letter counts: `a` for no bit, `p` for four.
static MASK: &str = "mask-of-the-guard=a";

static PERMISSIONS: [&str; 4] = ["envtype.read", "app.read", "env.read", "agent.read"];
