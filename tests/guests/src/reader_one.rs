//! A role that reads.

#![no_std]

use postern_policy::{Request, Role, RoleVerdict, Scope};

struct Reader;

impl Role for Reader {
    const NAME: &str = "reader";
    const VERSION: &str = "1.0.0";
    const SCOPES: &[Scope] = &[Scope::App];

    fn decide(request: &Request) -> RoleVerdict {
        let permission = request.operation.permission.as_str();
        RoleVerdict::allow_if(permission.ends_with(".read"))
    }
}

postern_policy::role!(Reader);
