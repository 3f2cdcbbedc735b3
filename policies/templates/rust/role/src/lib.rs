//! {{name}}: whoever holds this role may read everything, and change nothing.

use postern_policy::{Request, Role, RoleVerdict, Scope};

struct Policy;

impl Role for Policy {
    const NAME: &str = "{{name}}";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org, Scope::App];

    fn decide(request: &Request) -> RoleVerdict {
        RoleVerdict::allow_if(request.operation.permission.ends_with(".read"))
    }
}

postern_policy::role!(Policy);
