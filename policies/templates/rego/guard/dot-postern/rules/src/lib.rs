//! A guard policy that refuses where the rule `deny` of `policy.rego` holds reasons to.

mod manifest;
mod rules;

use postern_policy::bindings::guard::Guest;
use postern_policy::{GuardVerdict, Manifest, PolicyKind, Request};
use regorus::Value;

struct Rules;

impl Guest for Rules {
    fn describe() -> Manifest {
        rules::manifest(PolicyKind::Guard)
    }

    fn decide(request: Request) -> GuardVerdict {
        let Value::Set(reasons) = rules::value("deny", &request) else {
            rules::trap()
        };
        let reasons: Vec<_> = reasons
            .iter()
            .map(|reason| match reason.as_string() {
                Ok(reason) => reason.to_string(),
                Err(_) => rules::trap(),
            })
            .collect();
        if reasons.is_empty() {
            GuardVerdict::Pass
        } else {
            GuardVerdict::Deny(reasons.join("; "))
        }
    }
}

postern_policy::guard!(Rules);
