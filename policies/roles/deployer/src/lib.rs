//! Role `deployer` on an env type: with `developer` or `owner` on the app, its environments of that type.

#![no_std]

use postern_policy::{Request, Role, RoleVerdict, Scope};

struct Deployer;

impl Role for Deployer {
    const NAME: &str = "deployer";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::EnvType];

    fn decide(request: &Request) -> RoleVerdict {
        permissions::of_deployer(request)
    }
}

postern_policy::role!(Deployer);
