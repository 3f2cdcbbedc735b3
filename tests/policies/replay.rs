//! `postern policy replay` and `explain --case`: decisions on record, made again elsewhere.

use super::table::decision;
use super::workshop::Workshop;

fn of_reader(workshop: &Workshop, verdict: &str, outcome: &str) -> String {
    let digest = workshop.digest("reader/reader.wasm");
    let asked =
        format!(r#"{{"asked":"role","role":"reader","held_on":"org","policy":"{digest}","verdict":"{verdict}"}}"#);
    decision(&asked, outcome)
}

const ALLOWED: &str = r#"{"outcome":"allowed","role":"reader"}"#;

#[test]
fn a_decision_log_is_replayed_and_a_decision_that_comes_out_otherwise_is_told() {
    let workshop = Workshop::new();
    workshop.made_of_c("role", "reader", &[]);
    let line = of_reader(&workshop, "allow", ALLOWED) + "\n";
    workshop.write("decisions.log", line.repeat(1_000));
    let said = workshop.done(&["replay", "decisions.log", "--components", "."]);
    assert!(said.contains("1000 decisions: 1000 equal, 0 different"), "{said}");
    let other = of_reader(&workshop, "abstain", r#"{"outcome":"not-allowed"}"#);
    workshop.write("decisions.log", line.repeat(1_000) + &other);
    let said = workshop.refused(&["replay", "decisions.log", "--components", "."]);
    assert!(said.contains("1001 decisions: 1000 equal, 1 different"), "{said}");
    assert!(said.contains("0123456789abcdef0123456789abcdef"), "{said}");
}

#[test]
fn a_decision_whose_component_is_missing_counts_as_not_made_again() {
    let workshop = Workshop::new();
    workshop.made_of_c("role", "reader", &[]);
    workshop.write("decisions.log", of_reader(&workshop, "allow", ALLOWED));
    std::fs::create_dir(workshop.path("empty")).expect("a directory");
    let said = workshop.refused(&["replay", "decisions.log", "--components", "empty"]);
    assert!(said.contains(&workshop.digest("reader/reader.wasm")), "{said}");
    assert!(said.contains("1 could not be made again"), "{said}");
}

#[test]
fn a_log_that_is_none_is_refused_with_its_place() {
    let workshop = Workshop::new();
    workshop.write("decisions.log", "{\"id\": 7}\n");
    let ended = workshop.run(&["replay", "decisions.log"]);
    assert_eq!(ended.code, Some(65), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("ends at byte 10 is no decision"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_decision_is_explained_step_by_step() {
    let workshop = Workshop::new();
    workshop.made_of_c("role", "reader", &[]);
    workshop.write("case.json", of_reader(&workshop, "allow", ALLOWED));
    let said = workshop.done(&["explain", "--case", "case.json"]);
    for part in [
        "service s-ci of organisation acme, with token ci",
        "reader on the organisation",
        "getApplication (GET /orgs/acme/apps/shop), which needs app.read",
        "step 1    role reader, held on org: allow (policy reader 0.1.0; asked again it says allow)",
        "outcome   allowed by role reader",
        "here      the same",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
