//! From nothing to a component, in every language: `new`, `build`, `test`, `check`.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::workshop::Workshop;
use crate::harness::process::postern;

/// Makes both kinds of policy of a language, and does with them what its README says.
pub(super) fn both_kinds_work(lang: &str) {
    let workshop = Workshop::new();
    for kind in ["role", "guard"] {
        let name = format!("my-{kind}");
        workshop.make(lang, kind, &name);
        workshop.build(&name);
        let tested = workshop.done(&["test", &name]);
        assert!(tested.contains("cases pass"), "{tested}");
        let checked = workshop.done(&["check", &name]);
        assert!(checked.contains(&format!("{kind} {name} 0.1.0")), "{checked}");
        assert!(checked.contains("it can be published"), "{checked}");
    }
}

#[test]
fn a_policy_in_rust_is_made_built_tested_and_checked() {
    both_kinds_work("rust");
}

#[test]
fn a_policy_in_c_is_made_built_tested_and_checked() {
    both_kinds_work("c");
}

#[test]
fn a_policy_in_assemblyscript_is_made_built_tested_and_checked() {
    both_kinds_work("assemblyscript");
}

#[test]
fn the_five_minutes_of_the_readme_are_these_commands() {
    let workshop = Workshop::new();
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/README.md");
    let readme = fs::read_to_string(readme).expect("it is there");
    let (_, rest) = readme
        .split_once("<!-- five minutes -->\n```sh\n")
        .expect("the commands");
    let (commands, _) = rest.split_once("```").expect("their end");
    assert_eq!(commands.lines().count(), 4, "{commands}");
    let binary = Path::new(env!("CARGO_BIN_EXE_postern")).parent().expect("a folder");
    let path = std::env::var("PATH").expect("there is one");
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", commands]);
    shell.env("PATH", format!("{}:{path}", binary.display()));
    let ended = workshop.end(shell);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("it can be published"), "{}", ended.stdout);
}

#[test]
fn a_new_policy_overwrites_nothing() {
    let workshop = Workshop::new();
    workshop.done(&["new", "--lang", "c", "freeze"]);
    workshop.write("freeze/policy.c", "mine");
    let ended = workshop.run(&["new", "--lang", "rust", "freeze"]);
    assert_eq!(ended.code, Some(73), "{}", ended.stderr);
    assert!(ended.stderr.contains("nothing is overwritten"), "{}", ended.stderr);
    let kept = fs::read_to_string(workshop.path("freeze/policy.c")).expect("it is there");
    assert_eq!(kept, "mine");
    workshop.done(&["new", "--lang", "rust", "freeze", "--dir", "elsewhere"]);
    assert!(workshop.path("elsewhere/src/lib.rs").is_file());
}

#[test]
fn a_name_that_no_policy_can_have_is_refused() {
    let workshop = Workshop::new();
    for name in ["", "1a", "a b", "../a", "a_b"] {
        let ended = workshop.run(&["new", "--lang", "c", "--", name]);
        assert_eq!(ended.code, Some(64), "{name:?}: {}", ended.stderr);
    }
}

#[test]
fn a_missing_toolchain_is_told_with_the_command_that_installs_it() {
    let workshop = Workshop::new();
    workshop.done(&["new", "--lang", "c", "freeze"]);
    let mut build = postern(["policy", "build", "freeze"]);
    build.env("PATH", workshop.path("freeze"));
    let ended = workshop.end(build);
    assert_eq!(ended.code, Some(69), "{}", ended.stderr);
    for said in ["`clang` is not installed", "apt-get install clang lld"] {
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
}

#[test]
fn a_source_that_does_not_compile_ends_the_build_and_leaves_no_component() {
    let workshop = Workshop::new();
    workshop.done(&["new", "--lang", "c", "freeze"]);
    workshop.write("freeze/policy.c", "no C");
    let ended = workshop.run(&["build", "freeze"]);
    assert_eq!(ended.code, Some(65), "{}", ended.stderr);
    assert!(!workshop.path("freeze/freeze.wasm").exists());
    let ended = workshop.run(&["test", "freeze"]);
    assert_eq!(ended.code, Some(74), "{}", ended.stderr);
    assert!(ended.stderr.contains("postern policy build"), "{}", ended.stderr);
}

#[test]
fn a_module_without_the_exports_of_its_world_is_refused_with_what_it_lacks() {
    let workshop = Workshop::new();
    workshop.done(&["new", "--lang", "c", "freeze"]);
    workshop.write(
        "freeze/policy.c",
        "__attribute__((export_name(\"decide\"))) int decide(int r) { return r; }",
    );
    let ended = workshop.run(&["build", "freeze"]);
    assert_eq!(ended.code, Some(65), "{}", ended.stderr);
    assert!(ended.stderr.contains("describe"), "{}", ended.stderr);
}
