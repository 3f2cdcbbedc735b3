//! A guard that refuses everything and says what it was told. It asks for nothing.

#![no_std]

use postern_policy::{Guard, GuardVerdict, Request, Scope, SubjectKind};

struct DeniesAll;

impl Guard for DeniesAll {
    const NAME: &str = "denies-all";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org, Scope::App];
    const SUBJECT_KINDS: &[SubjectKind] = &[SubjectKind::ServiceUser];

    fn decide(request: &Request) -> GuardVerdict {
        GuardVerdict::Deny(guests::told(request))
    }
}

postern_policy::guard!(DeniesAll);
