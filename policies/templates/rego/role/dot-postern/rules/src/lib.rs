//! A role policy that answers as the rule `allow` of `policy.rego` does.

mod manifest;
mod rules;

use postern_policy::bindings::role::Guest;
use postern_policy::{Manifest, PolicyKind, Request, RoleVerdict};
use regorus::Value;

struct Rules;

impl Guest for Rules {
    fn describe() -> Manifest {
        rules::manifest(PolicyKind::Role)
    }

    fn decide(request: Request) -> RoleVerdict {
        match rules::value("allow", &request) {
            Value::Bool(allowed) => RoleVerdict::allow_if(allowed),
            Value::Undefined => RoleVerdict::Abstain,
            _ => rules::trap(),
        }
    }
}

postern_policy::role!(Rules);
