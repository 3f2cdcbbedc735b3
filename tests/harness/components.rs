//! Policies to publish, built once from `tests/guests`, and what is done with them through the API.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::postern::ORG;

/// Returns a guest of `tests/guests`.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    static BUILT: Once = Once::new();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    BUILT.call_once(|| build(&target));
    let component = target.join(format!("wasm32-unknown-unknown/release/examples/{name}.wasm"));
    std::fs::read(component).expect("it was built")
}

/// Returns the component of role `viewer` as that of a role `tester`.
pub(crate) fn tester(version: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/builtin/viewer.wasm");
    let mut component = std::fs::read(file).expect("it ships");
    let (said, other) = (b"viewer1.1.0", format!("tester{version}"));
    assert_eq!(said.len(), other.len());
    let at = component.windows(said.len()).position(|window| window == said);
    let at = at.expect("it says its name and version");
    component[at..at + said.len()].copy_from_slice(other.as_bytes());
    component
}

impl Client {
    /// Publishes a component; returns the answer.
    pub(crate) fn publish(&self, component: &[u8]) -> Answer {
        let body = json!({"component": STANDARD.encode(component)});
        self.post(&format!("/orgs/{ORG}/policies"), body)
    }

    /// Publishes guests, the first of which is in force then.
    pub(crate) fn publish_guests(&self, names: &[&str]) {
        for name in names {
            self.publish(&guest(name)).ok(201);
        }
    }

    /// Changes a policy.
    pub(crate) fn change_policy(&self, name: &str, change: Value) -> Value {
        self.patch(&format!("/orgs/{ORG}/policies/{name}"), change).ok(200)
    }

    /// Attaches a guard policy to a scope; returns the guard's id.
    pub(crate) fn attach(&self, policy: &str, scope: &str, settings: &Value) -> String {
        let mut body = json!({"policy": policy, "scope": scope});
        if !settings.is_null() {
            body["settings"] = settings.clone();
        }
        let guard = self.post(&format!("/orgs/{ORG}/guards"), body).ok(201);
        guard["id"].as_str().expect("it has an id").to_owned()
    }

    /// Detaches a guard.
    pub(crate) fn detach(&self, id: &str) {
        let answer = self.delete(&format!("/orgs/{ORG}/guards/{id}"));
        assert_eq!(answer.status, 204, "{}", answer.shown());
    }
}

fn build(target: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    // Cargo finds the target and the linker in the folder's `.cargo/config.toml`.
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
    cargo
        .current_dir(folder)
        .args(["build", "--release", "--examples", "--locked", "--quiet"]);
    for name in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "RUSTC_WRAPPER",
    ] {
        cargo.env_remove(name);
    }
    cargo.env("CARGO_TARGET_DIR", target);
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
