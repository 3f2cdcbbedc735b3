//! A role policy whose name, version and rule are octets that a test replaces: each replacement is a version of its own.
//!
//! The rule is a mask: bit N allows the Nth of [`PERMISSIONS`].

#![no_std]

extern crate alloc;

use alloc::borrow::ToOwned;
use alloc::vec;
use core::hint::black_box;

use postern_policy::bindings::role;
use postern_policy::{Manifest, PolicyKind, Request, RoleVerdict, Scope, SubjectKind};

struct MaskRole;

impl role::Guest for MaskRole {
    fn describe() -> Manifest {
        Manifest {
            name: black_box(NAME).to_owned(),
            version: black_box(VERSION).to_owned(),
            kind: PolicyKind::Role,
            scopes: vec![Scope::Org],
            subject_kinds: vec![SubjectKind::ServiceUser],
            inputs: vec![],
            settings_schema: None,
        }
    }

    fn decide(request: Request) -> RoleVerdict {
        let at = PERMISSIONS.iter().position(|own| *own == request.operation.permission);
        let mask = black_box(MASK).as_bytes().last().copied().unwrap_or_default() - b'a';
        RoleVerdict::allow_if(at.is_some_and(|at| mask & (1 << at) != 0))
    }
}

postern_policy::role!(MaskRole);

/// Replaced digits and all.
static NAME: &str = "mask-role-00";
static VERSION: &str = "1.0.10000";

/// The last letter counts: `a` for no bit, `p` for four.
static MASK: &str = "mask-of-the-role=a";

static PERMISSIONS: [&str; 4] = ["envtype.read", "app.read", "env.read", "agent.read"];
