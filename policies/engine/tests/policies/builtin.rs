//! The components in `policies/builtin` are what `policies/roles` is built to.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use engine::{Engine, Limits, Memory, PolicySet, builtin};

use crate::golden;
use crate::support::{guest_target, repository, run, scratch};

const ROLES: [&str; 9] = [
    "administrator",
    "artefactContributor",
    "deployer",
    "developer",
    "manager",
    "member",
    "orgViewer",
    "owner",
    "viewer",
];

#[test]
fn each_built_in_role_is_a_small_component_named_after_it() {
    let engine = Engine::new(&Limits::default()).unwrap();
    let set = PolicySet::builtin(&engine, Memory::Off).unwrap();
    let mut names: Vec<&str> = set.policies().map(|policy| policy.name()).collect();
    names.sort_unstable();
    assert_eq!(names, ROLES);
    for component in builtin::COMPONENTS {
        assert!(component.len() < 10_000, "{} bytes", component.len());
    }
}

#[test]
fn source_and_binary_of_the_built_in_roles_agree() {
    let rebuilt = scratch("rebuilt");
    let mut build = Command::new("bash");
    build.arg(repository().join("policies/roles/build.sh")).arg(&rebuilt);
    run(build.env("CARGO_TARGET_DIR", guest_target()));

    let committed = repository().join("policies/builtin");
    assert_eq!(
        names_in(&committed),
        names_in(&rebuilt),
        "files in policies/builtin; run policies/roles/build.sh"
    );
    if read(&committed, "RUSTC") == read(&rebuilt, "RUSTC") {
        for role in ROLES {
            let file = format!("{role}.wasm");
            let same = read(&committed, &file) == read(&rebuilt, &file);
            assert!(
                same,
                "policies/builtin/{file} is not what its source is built to; run policies/roles/build.sh"
            );
        }
    }

    // Another compiler makes other bytes of the same policy.
    let committed = set_of(&committed);
    let rebuilt = set_of(&rebuilt);
    assert_eq!(manifests(&committed), manifests(&rebuilt));
    assert_eq!(golden::table(&committed), golden::table(&rebuilt));
}

fn set_of(folder: &Path) -> PolicySet {
    let engine = Engine::new(&Limits::default()).unwrap();
    let load = |role| Arc::new(engine.load(&read(folder, &format!("{role}.wasm"))).unwrap());
    PolicySet::new(ROLES.map(load), Memory::Off)
}

fn manifests(set: &PolicySet) -> BTreeMap<String, engine::Manifest> {
    set.policies()
        .map(|policy| (policy.name().to_owned(), policy.manifest().clone()))
        .collect()
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

fn read(folder: &Path, file: &str) -> Vec<u8> {
    let file = folder.join(file);
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
