//! Languages whose policies carry an interpreter: each template is made, built, tested and checked with the engine.
//!
//! Their toolchains come from npm and PyPI, pinned in the templates, and are kept where all tests share them.

use super::new::both_kinds_work;

#[test]
fn a_policy_in_javascript_is_made_built_tested_and_checked() {
    both_kinds_work("javascript");
}

#[test]
fn a_policy_in_typescript_is_made_built_tested_and_checked() {
    both_kinds_work("typescript");
}

#[test]
fn a_policy_in_python_is_made_built_tested_and_checked() {
    both_kinds_work("python");
}

#[test]
fn a_policy_in_go_is_made_built_tested_and_checked() {
    both_kinds_work("go");
}

#[test]
fn rules_in_rego_are_made_built_tested_and_checked() {
    both_kinds_work("rego");
}
