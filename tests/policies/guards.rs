//! The guards that Postern ships: what they decide, and that their components are what their source is built to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::workshop::Workshop;

const GUARDS: [&str; 3] = ["artefact-images", "deployment-freeze", "source-network"];

#[test]
fn each_shipped_guard_decides_as_its_table_says_and_can_be_published() {
    let workshop = Workshop::new();
    for guard in GUARDS {
        let component = builtin().join(guard).with_extension("wasm");
        decides_as_its_table_says(&workshop, guard, &component);
        let checked = workshop.done(&["check", text(&component)]);
        assert!(checked.contains("it can be published"), "{checked}");
    }
}

#[test]
fn source_and_binary_of_the_shipped_guards_agree() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let rebuilt = target.join("guards-rebuilt");
    let mut build = Command::new("bash");
    build.arg(guards().join("build.sh")).arg(&rebuilt);
    build.env("CARGO_TARGET_DIR", target.join("guards"));
    let built = build.output().expect("bash is there");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));

    let workshop = Workshop::new();
    let told = |name: &str| [builtin().join(name), rebuilt.join(name)].map(|file| read(&file));
    let [shipped, now] = told("SOURCES");
    assert!(
        shipped == now,
        "the sources have changed since the guards were built; run policies/guards/build.sh"
    );
    let [shipped, now] = told("RUSTC");
    let same_compiler = shipped == now;
    for guard in GUARDS {
        let file = Path::new(guard).with_extension("wasm");
        let component = rebuilt.join(&file);
        let (shipped, made) = (read(&builtin().join(&file)), read(&component));
        // Where the repository is changes the order of some functions, and with it no more than that.
        assert!(
            shipped.len() == made.len() || !same_compiler,
            "{guard} is not what its source is built to; run policies/guards/build.sh"
        );
        // Other bytes must be those of the same guard.
        if shipped != made {
            decides_as_its_table_says(&workshop, guard, &component);
        }
    }
}

#[track_caller]
fn decides_as_its_table_says(workshop: &Workshop, guard: &str, component: &Path) {
    let tests = guards().join(guard);
    let tested = workshop.done(&["test", text(&tests), "--component", text(component)]);
    assert!(tested.contains("cases pass"), "{tested}");
    assert!(!tested.contains("never tested"), "{tested}");
}

fn guards() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/guards")
}

fn builtin() -> PathBuf {
    guards().join("builtin")
}

fn read(file: &Path) -> Vec<u8> {
    fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the repository's path is UTF-8")
}
