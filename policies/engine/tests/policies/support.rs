//! What the tests share: questions, and components built from source.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use catalogue::{Catalogue, Matched, OPERATIONS};
use engine::{
    Compiler, Engine, EnvTypeRole, GuardEntry, Inputs, Layout, Limits, Memory, Outcome, Policy, PolicySet, Question,
    RoleEntry, SubjectView,
};
use feed::{GuardScope, SubjectKind};

/// The catalogue that ships.
pub(crate) fn catalogue() -> Catalogue {
    Catalogue::parse(OPERATIONS).expect("the shipped table is valid")
}

/// A service user that holds nothing.
pub(crate) fn nobody() -> SubjectView<'static> {
    SubjectView {
        id: "s-somebody",
        kind: SubjectKind::ServiceUser,
        org: "my-org",
        org_role: None,
        app_role: None,
        env_types: &[],
    }
}

/// A service user with one role on its organisation.
pub(crate) fn on_org(role: &'static str) -> SubjectView<'static> {
    SubjectView {
        org_role: Some(role),
        ..nobody()
    }
}

/// `deployer` on the one env type that an operation concerns.
pub(crate) const DEPLOYER: &[EnvTypeRole<'static>] = &[("development", Some("deployer"))];

/// Decides on an operation of the catalogue, given as method and path.
pub(crate) fn decide<'a>(
    set: &'a engine::PolicySet,
    subject: SubjectView<'a>,
    operation: &'a Matched<'a>,
) -> Outcome<'a> {
    let inputs = Inputs::default();
    let question = Question {
        subject,
        operation,
        inputs,
    };
    set.decide(&question).outcome
}

/// Returns a set with one policy, a role of every organisation.
pub(crate) fn set_of(policy: Policy, memory: Memory) -> PolicySet {
    PolicySet::new([Arc::new(policy)], memory)
}

/// Returns the role `hostile` of `my-org`, with a policy.
pub(crate) fn hostile(policy: Policy) -> RoleEntry {
    RoleEntry {
        org: "my-org".to_owned(),
        role: "hostile".to_owned(),
        policy: Some(Arc::new(policy)),
        fallback: None,
        settings: None,
    }
}

/// Returns a guard of `my-org`.
pub(crate) fn guard(id: &str, policy: Policy) -> GuardEntry {
    GuardEntry {
        id: id.to_owned(),
        scope: GuardScope::Org {
            org: "my-org".to_owned(),
        },
        policy: Some(Arc::new(policy)),
        fallback: None,
        settings: None,
    }
}

/// Returns a set with the role `hostile`, with a policy of `tests/guests`.
pub(crate) fn with_hostile(set: &PolicySet, guest_name: &str) -> PolicySet {
    set.arranged(&Layout {
        roles: vec![hostile(load(guest_name))],
        guards: Vec::new(),
    })
}

/// Returns a policy of `tests/guests`, in an engine of its own.
pub(crate) fn load(guest_name: &str) -> Policy {
    Engine::new(&Limits::small()).unwrap().load(&guest(guest_name)).unwrap()
}

/// Returns a compiler whose child is this crate's own.
pub(crate) fn compiler() -> Compiler {
    Compiler::new(PathBuf::from(env!("CARGO_BIN_EXE_policy-compiler")))
}

/// Returns the folder of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns a folder of that name inside cargo's target folder.
pub(crate) fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Returns a component of `tests/guests`, built once for all tests.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(build_guests);
    let file = folder.join(name).with_extension("wasm");
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Runs a command to its end; its output is in the panic if it fails.
///
/// Cargo's settings of this run are kept from it: flags such as a coverage run's would change what guests are built to.
pub(crate) fn run(command: &mut Command) {
    for name in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "RUSTC_WRAPPER",
        "CARGO_TARGET_DIR",
    ] {
        if !command.get_envs().any(|(own, _)| own == name) {
            command.env_remove(name);
        }
    }
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed.\nIf the target wasm32-unknown-unknown is missing: rustup target add wasm32-unknown-unknown\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Returns the target folder of all guests: one, so that what they have in common is built once.
pub(crate) fn guest_target() -> PathBuf {
    scratch("guests")
}

fn build_guests() -> PathBuf {
    let target = guest_target();
    let mut cargo = Command::new(env!("CARGO"));
    // Cargo finds the target and the linker in the folder's `.cargo/config.toml`.
    cargo.current_dir(repository().join("tests/guests"));
    cargo.args(["build", "--release", "--examples", "--locked", "--quiet"]);
    cargo.env("CARGO_TARGET_DIR", &target);
    run(&mut cargo);
    target.join("wasm32-unknown-unknown/release/examples")
}
