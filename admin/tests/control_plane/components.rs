//! Components to publish: the built-in ones under other names, and a guard that is built once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns a built-in role's component under another name of the same length, with a version of the same length.
pub(crate) fn role(built_in: &str, name: &str, version: &str) -> Vec<u8> {
    let component = engine::builtin::COMPONENTS.iter().find_map(|component| {
        let said = format!("{built_in}{BUILT_IN_VERSION}");
        replaced(component, &said, &format!("{name}{version}"))
    });
    component.expect("such a role is built in")
}

/// Returns a guard that refuses the permission which its settings name.
pub(crate) fn freeze(version: &str) -> Vec<u8> {
    static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
    let component = BUILT.get_or_init(build_freeze);
    replaced(component, "freeze1.0.0", &format!("freeze{version}")).expect("it says what it is")
}

/// Returns a component with another text of the same length in the place of one.
pub(crate) fn replaced(component: &[u8], text: &str, other: &str) -> Option<Vec<u8>> {
    assert_eq!(text.len(), other.len(), "{text} and {other}");
    let at = component
        .windows(text.len())
        .position(|window| window == text.as_bytes())?;
    let mut component = component.to_vec();
    component[at..at + text.len()].copy_from_slice(other.as_bytes());
    Some(component)
}

/// Returns the program that compiles policies, which cargo builds with the tests.
pub(crate) fn compiler() -> engine::Compiler {
    let own = std::env::current_exe().expect("this test has a path");
    let folder = own
        .parent()
        .and_then(Path::parent)
        .expect("it is in target/PROFILE/deps");
    let program = folder.join("examples/policy-compiler");
    assert!(
        program.exists(),
        "{} is missing: cargo build -p admin --examples",
        program.display()
    );
    engine::Compiler::new(program)
}

/// Version of the built-in roles.
const BUILT_IN_VERSION: &str = "1.1.0";

fn build_freeze() -> Vec<u8> {
    let target: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let mut cargo = Command::new(env!("CARGO"));
    // Cargo finds the target and the linker in the folder's `.cargo/config.toml`.
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests"));
    cargo.args([
        "build",
        "--release",
        "--example",
        "obeys_settings",
        "--locked",
        "--quiet",
    ]);
    for name in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "RUSTC_WRAPPER",
    ] {
        cargo.env_remove(name);
    }
    cargo.env("CARGO_TARGET_DIR", &target);
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(target.join("wasm32-unknown-unknown/release/examples/obeys_settings.wasm")).expect("it was built")
}
