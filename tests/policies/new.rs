//! From nothing to a component in every language, and to a rule in force: `new`, `build`, `test`, `check`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::workshop::Workshop;
use crate::harness::client::Request;
use crate::harness::postern::Postern;
use crate::harness::process::postern;
use crate::harness::terminal::Terminal;
use crate::harness::upstream::Upstream;

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
fn the_commands_of_the_readme_lead_from_nothing_to_a_rule_in_force() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let workshop = Workshop::new();
    let commands = commands_of_the_readme("five minutes");
    assert_eq!(commands.lines().count(), 4, "{commands}");
    run_literally(&workshop, &commands, &Terminal::of_administrator(&postern));
    let refused = administrator.delete("/orgs/acme/apps/shop");
    postern.assert_refused(&refused, "guard-denied");
    assert!(
        refused.ok(403)["message"]
            .as_str()
            .is_some_and(|reason| reason.contains("ticket"))
    );
    let with_ticket = Request::new("DELETE", "/orgs/acme/apps/shop").field("X-Change-Ticket", "CHG-1");
    administrator.send(with_ticket).ok(200);
    let said = run_literally(
        &workshop,
        &commands_of_the_readme("before it is published"),
        &Terminal::of_administrator(&postern),
    );
    assert!(said.contains("it can be published"), "{said}");
    let terminal = Terminal::of_administrator(&postern);
    let refused = terminal.run(&["policy", "detach", "change-ticket"]);
    assert!(refused.stderr.contains("guard-denied"), "{}", refused.stderr);
    run_literally(&workshop, &commands_of_the_readme("taken out again"), &terminal);
    administrator.delete("/orgs/acme/apps/shop").ok(200);
}

/// Returns the lines that stand in `policies/README.md` below a mark.
fn commands_of_the_readme(mark: &str) -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/README.md");
    let readme = fs::read_to_string(readme).expect("it is there");
    let (_, rest) = readme
        .split_once(&format!("<!-- {mark} -->\n```sh\n"))
        .expect("the commands");
    rest.split_once("```").expect("their end").0.to_owned()
}

/// Runs lines in a shell that finds the binary and the administrator's token; returns what they print.
fn run_literally(workshop: &Workshop, commands: &str, administrator: &Terminal) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_postern")).parent().expect("a folder");
    let path = std::env::var("PATH").expect("there is one");
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", commands]);
    shell.env("PATH", format!("{}:{path}", binary.display()));
    shell.env("POSTERN_URL", &administrator.url);
    shell.env("POSTERN_TOKEN", &administrator.token);
    let ended = workshop.end(shell);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    ended.stdout
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
