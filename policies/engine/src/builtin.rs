//! The built-in role policies, compiled from `policies/roles` by its `build.sh`.

/// The components of the built-in roles, on organisations, apps and env types.
pub const COMPONENTS: [&[u8]; 9] = [
    include_bytes!("../../builtin/administrator.wasm"),
    include_bytes!("../../builtin/manager.wasm"),
    include_bytes!("../../builtin/artefactContributor.wasm"),
    include_bytes!("../../builtin/member.wasm"),
    include_bytes!("../../builtin/orgViewer.wasm"),
    include_bytes!("../../builtin/viewer.wasm"),
    include_bytes!("../../builtin/developer.wasm"),
    include_bytes!("../../builtin/owner.wasm"),
    include_bytes!("../../builtin/deployer.wasm"),
];

/// Names of these roles, in that order. No other policy may have one of them.
pub const NAMES: [&str; 9] = [
    "administrator",
    "manager",
    "artefactContributor",
    "member",
    "orgViewer",
    "viewer",
    "developer",
    "owner",
    "deployer",
];
