//! `postern policy check`: what publishing would refuse.

use super::workshop::Workshop;

#[test]
fn bytes_that_are_no_component_are_refused() {
    let workshop = Workshop::new();
    workshop.write("text.wasm", "not WebAssembly");
    assert!(workshop.refused(&["check", "text.wasm"]).contains("[not-a-component]"));
    workshop.write("core.wasm", b"\0asm\x01\0\0\0");
    assert!(workshop.refused(&["check", "core.wasm"]).contains("[not-a-component]"));
}

#[test]
fn a_policy_with_the_name_of_a_built_in_role_is_refused() {
    let workshop = Workshop::new();
    workshop.made_of_c("role", "viewer", &[]);
    let said = workshop.refused(&["check", "viewer"]);
    assert!(said.contains("[built-in-name]"), "{said}");
    assert!(said.contains("would be refused: built-in-name"), "{said}");
}

#[test]
fn a_manifest_that_breaks_the_contract_is_refused() {
    let workshop = Workshop::new();
    workshop.made_of_c("role", "reader", &[("\"0.1.0\"", "\"one\"")]);
    let said = workshop.refused(&["check", "reader"]);
    assert!(said.contains("[manifest]") && said.contains("version"), "{said}");
}

#[test]
fn settings_whose_schema_is_none_are_refused() {
    let schema = r#".settings_schema = {true, POSTERN_TEXT("{\"type\": 7}")}, POSTERN_ALL_SUBJECT_KINDS,"#;
    let workshop = Workshop::new();
    workshop.made_of_c("guard", "freeze", &[("POSTERN_ALL_SUBJECT_KINDS,", schema)]);
    let said = workshop.refused(&["check", "freeze"]);
    assert!(said.contains("[settings-schema]"), "{said}");
}

#[test]
fn a_policy_that_never_ends_is_refused() {
    let workshop = Workshop::new();
    let endless = (
        "static bool allows(const postern_request *request) {",
        "volatile int on = 1;\nstatic bool allows(const postern_request *request) {\n while (on) {}",
    );
    workshop.made_of_c("role", "endless", &[endless]);
    let said = workshop.refused(&["check", "endless"]);
    assert!(said.contains("refused ["), "{said}");
}

#[test]
fn a_component_that_is_not_what_its_folder_says_is_refused() {
    let workshop = Workshop::new();
    workshop.made_of_c(
        "role",
        "reader",
        &[("POSTERN_TEXT(\"reader\")", "POSTERN_TEXT(\"writer\")")],
    );
    let said = workshop.refused(&["check", "reader"]);
    assert!(
        said.contains("[policy-toml-differs]") && said.contains("writer"),
        "{said}"
    );
}

#[test]
fn a_permission_that_no_operation_needs_is_a_warning() {
    let workshop = Workshop::new();
    workshop.made_of_c("role", "reader", &[("\".read\"", "\"app.reed\"")]);
    let said = workshop.done(&["check", "reader"]);
    assert!(
        said.contains("[unknown-permission]") && said.contains("did you mean app.read?"),
        "{said}"
    );
}

#[test]
fn the_report_says_what_a_policy_is_and_what_it_never_sees() {
    let workshop = Workshop::new();
    workshop.made_of_c("role", "reader", &[("POSTERN_ORG, ", "")]);
    let said = workshop.done(&["check", "reader"]);
    for part in [
        "role reader 0.1.0",
        "class small",
        "can be bound to: app;",
        "its verdicts are remembered",
        "never asked",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains(&workshop.digest("reader/reader.wasm")), "{said}");
}
