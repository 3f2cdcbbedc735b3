//! `postern policy test` and `bench`: tables, decisions on record, and what the reports say.

use super::workshop::Workshop;

/// Returns a decision on record about the role or guard `name`.
pub(super) fn decision(asked: &str, outcome: &str) -> String {
    format!(
        r#"{{"id":"0123456789abcdef0123456789abcdef","at_ms":1700000000000,"gateway":"edge-1","revision":7,"token":"ci","question":{{"subject":{{"id":"s-ci","type":"service-user","org":"acme","org_role":"reader"}},"operation":"getApplication","parameters":{{"appId":"shop","orgId":"acme"}}}},"outcome":{outcome},"answers":[{asked}]}}"#
    )
}

#[test]
fn a_verdict_that_is_not_the_expected_one_is_shown_and_the_exit_code_is_1() {
    let workshop = Workshop::new();
    workshop.made_of_c("role", "reader", &[]);
    let table = "[subjects]\nci = { org_role = \"reader\" }\n[[table]]\nname = \"by hand\"\ncases = '''\n ci\n getApplication abstain\n deleteApplication abstain\n'''";
    workshop.write("reader/tests.toml", table);
    let said = workshop.refused(&["test", "reader"]);
    let row = said
        .lines()
        .find(|line| line.contains("by hand, ci"))
        .expect("the failure");
    let words: Vec<&str> = row.split_whitespace().rev().take(3).collect();
    assert_eq!(words, ["allow", "abstain", "getApplication"], "{said}");
    assert!(said.contains("1 of 2 cases of reader fail"), "{said}");
}

#[test]
fn operations_that_no_test_is_about_are_told_in_groups() {
    let workshop = Workshop::new();
    workshop.made_of_c("role", "reader", &[]);
    let table = "[subjects]\nci = { org_role = \"reader\" }\n[[table]]\ncases = '''\n ci\n * abstain\n *.read allow\n agent.write -\n'''";
    workshop.write("reader/tests.toml", table);
    let said = workshop.done(&["test", "reader"]);
    assert!(said.contains("operations are never tested:"), "{said}");
    let group = said
        .lines()
        .find(|line| line.trim_start().starts_with("agent "))
        .expect("the group");
    assert!(group.contains("createAgent, deleteAgent"), "{said}");
    assert!(!group.contains("listAgents"), "{said}");
}

#[test]
fn a_guard_is_told_headers_and_its_reasons_are_compared() {
    let workshop = Workshop::new();
    workshop.made_of_c("guard", "ticket", &[]);
    workshop.done(&["test", "ticket"]);
    let table = "[subjects]\nci = {}\n[[table]]\nreason = \"another\"\ncases = '''\n ci\n deleteApplication deny\n'''";
    workshop.write("ticket/tests.toml", table);
    let said = workshop.refused(&["test", "ticket"]);
    assert!(
        said.contains("deny: another") && said.contains("deny: deletions need a ticket"),
        "{said}"
    );
}

#[test]
fn a_decision_on_record_is_a_case() {
    let workshop = Workshop::new();
    workshop.made_of_c("role", "reader", &[]);
    let role = |verdict: &str| format!(r#"{{"asked":"role","role":"reader","held_on":"org","verdict":"{verdict}"}}"#);
    let allowed = r#"{"outcome":"allowed","role":"reader"}"#;
    workshop.write("reader/cases/one.json", decision(&role("allow"), allowed));
    workshop.done(&["test", "reader"]);
    workshop.write(
        "reader/cases/two.ndjson",
        decision(&role("abstain"), r#"{"outcome":"not-allowed"}"#),
    );
    let said = workshop.refused(&["test", "reader"]);
    assert!(said.contains("decision 0123456789abcdef"), "{said}");
    workshop.write("reader/cases/two.ndjson", decision("", allowed));
    let ended = workshop.run(&["test", "reader"]);
    assert_eq!(ended.code, Some(65), "{}", ended.stderr);
    assert!(ended.stderr.contains("was not asked"), "{}", ended.stderr);
}

#[test]
fn a_table_that_cannot_be_meant_is_refused_with_what_is_wrong() {
    let workshop = Workshop::new();
    workshop.made_of_c("role", "reader", &[]);
    for (table, said) in [
        ("ci\napp.reed allow", "did you mean app.read?"),
        ("ci\n* deny", "a role answers allow or abstain"),
        ("bob\n* allow", "\"bob\" is not one of [subjects]"),
    ] {
        workshop.write(
            "reader/tests.toml",
            format!("[subjects]\nci = {{}}\n[[table]]\ncases = '''\n{table}\n'''"),
        );
        let ended = workshop.run(&["test", "reader"]);
        assert_eq!(ended.code, Some(65), "{}", ended.stderr);
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    let table = "[subjects]\nci = {}\n[[table]]\nsettings = { a = 1 }\ncases = '''\nci\n* abstain\n'''";
    workshop.write("reader/tests.toml", table);
    let ended = workshop.run(&["test", "reader"]);
    assert_eq!(ended.code, Some(65), "{}", ended.stderr);
    assert!(ended.stderr.contains("settings"), "{}", ended.stderr);
}

#[test]
fn a_bench_tells_time_fuel_and_memory_of_a_decision() {
    let workshop = Workshop::new();
    workshop.made_of_c("role", "reader", &[]);
    let said = workshop.done(&["bench", "reader"]);
    for part in ["fresh instance", "remembered", "fuel", "memory", "budget"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
