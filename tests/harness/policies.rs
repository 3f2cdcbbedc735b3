//! Policies that tests publish: components of `tests/guests`, built once, and versions made of one by replacing octets.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::postern::ORG;

/// A version of a policy whose rule is a mask over [`MASKED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Masked {
    /// Which policy, 0 to 9.
    pub(crate) policy: u8,
    /// Which version, from 0.
    pub(crate) version: u16,
    /// Bit N: the Nth operation of [`MASKED`] is allowed by the role, denied by the guard.
    pub(crate) mask: u8,
}

/// Operations that masks are about: id and target.
pub(crate) const MASKED: [(&str, &str); 4] = [
    ("listEnvironmentTypes", "/orgs/acme/env-types"),
    ("getApplication", "/orgs/acme/apps/shop"),
    ("getEnvironment", "/orgs/acme/apps/shop/envs/development"),
    ("listAgents", "/orgs/acme/agents"),
];

impl Masked {
    pub(crate) fn role(self) -> Vec<u8> {
        self.patch(guest("mask_role"), "role")
    }

    pub(crate) fn guard(self) -> Vec<u8> {
        self.patch(guest("mask_guard"), "guard")
    }

    pub(crate) fn role_name(policy: u8) -> String {
        format!("mask-role-0{policy}")
    }

    pub(crate) fn guard_name(policy: u8) -> String {
        format!("mask-guard-0{policy}")
    }

    /// Its version, as Semantic Versioning has it.
    pub(crate) fn semver(self) -> String {
        format!("1.0.{}", 10_000 + self.version)
    }

    fn patch(self, mut component: Vec<u8>, kind: &str) -> Vec<u8> {
        assert!(self.policy < 10 && self.mask < 16);
        let letter = char::from(b'a' + self.mask);
        let replacements = [
            (format!("mask-of-the-{kind}=a"), format!("mask-of-the-{kind}={letter}")),
            (format!("mask-{kind}-00"), format!("mask-{kind}-0{}", self.policy)),
            ("1.0.10000".to_owned(), self.semver()),
        ];
        for (old, new) in replacements {
            let at = component.windows(old.len()).position(|window| window == old.as_bytes());
            let at = at.unwrap_or_else(|| panic!("no {old} in the component"));
            component[at..at + new.len()].copy_from_slice(new.as_bytes());
        }
        component
    }
}

impl Client {
    /// Publishes a component; a version after the first is put in force when `activate` says so.
    pub(crate) fn publish(&self, component: &[u8], activate: bool) -> Answer {
        let component = BASE64_STANDARD.encode(component);
        self.post(
            &format!("/orgs/{ORG}/policies"),
            json!({"component": component, "activate": activate}),
        )
    }

    /// Changes a policy: what is in force, its shadow, its settings.
    pub(crate) fn update_policy(&self, name: &str, change: Value) -> Answer {
        self.patch(&format!("/orgs/{ORG}/policies/{name}"), change)
    }

    /// Attaches a guard to the organisation, with settings if any.
    pub(crate) fn attach_guard(&self, id: &str, policy: &str, settings: Option<Value>) -> Answer {
        let scope = format!("/orgs/{ORG}");
        let mut guard = json!({"id": id, "policy": policy, "scope": scope, "position": 10});
        if let Some(settings) = settings {
            guard["settings"] = settings;
        }
        self.post(&format!("/orgs/{ORG}/guards"), guard)
    }
}

/// Returns a component of `tests/guests`.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let file = BUILT.get_or_init(build_guests).join(name).with_extension("wasm");
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn build_guests() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let mut cargo = Command::new(env!("CARGO"));
    // Cargo finds the target and the linker in the folder's `.cargo/config.toml`.
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests"));
    cargo.args(["build", "--release", "--examples", "--locked", "--quiet"]);
    for name in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "RUSTC_WRAPPER",
    ] {
        cargo.env_remove(name);
    }
    cargo.env("CARGO_TARGET_DIR", &target);
    let output = cargo.output().expect("cargo can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the guests were not built. If the target is missing: rustup target add wasm32-unknown-unknown\n{said}"
    );
    target.join("wasm32-unknown-unknown/release/examples")
}
