//! What publication asks of a component, and of settings.

use engine::{Class, LoadError, ManifestProblem, Problem, Said, builtin, check_settings, vet};
use feed::PolicyKind;

use crate::support::{catalogue, compiler, guest};

fn problems_of(name: &str) -> Vec<Problem> {
    vet(&compiler(), &guest(name), &catalogue()).unwrap_err()
}

#[test]
fn a_component_that_may_be_published_is_described() {
    let catalogue = catalogue();
    let vetted = vet(&compiler(), &guest("allows_all"), &catalogue).unwrap();
    assert_eq!(vetted.class, Class::Small);
    assert_eq!(vetted.manifest.name, "allows-all");
    assert_eq!(vetted.manifest.kind, PolicyKind::Role);
    assert_eq!(vetted.samples.len(), catalogue.operations().len());
    assert!(vetted.samples.iter().all(|(_, said)| *said == Said::Allow));
    assert!(vetted.functions > 0 && vetted.memory_bytes > 0 && vetted.compiled_bytes > vetted.size_bytes);
    assert!(!vetted.decide_time.is_zero());

    let vetted = vet(&compiler(), &guest("denies_with_inputs"), &catalogue).unwrap();
    assert_eq!(vetted.manifest.kind, PolicyKind::Guard);
    assert!(vetted.samples.iter().all(|(_, said)| *said == Said::Deny));
}

#[test]
fn a_component_with_the_name_of_a_built_in_role_is_not_published() {
    let problems = vet(&compiler(), builtin::COMPONENTS[3], &catalogue()).unwrap_err();
    assert!(
        matches!(&problems[..], [Problem::BuiltInName(name)] if name == "member"),
        "{problems:?}"
    );
}

#[test]
fn a_component_that_answers_nothing_is_not_published() {
    for name in ["panic_in_decide", "endless_loop", "garbage_verdict"] {
        let problems = problems_of(name);
        assert!(
            matches!(problems[..], [Problem::AlwaysFaults(_)]),
            "{name}: {problems:?}"
        );
    }
}

#[test]
fn a_component_that_asks_for_a_secret_is_not_published() {
    let problems = problems_of("asks_for_secret");
    assert!(
        matches!(
            &problems[..],
            [Problem::NotLoaded(LoadError::Manifest(ManifestProblem::HeaderSecret(
                _
            )))]
        ),
        "{problems:?}"
    );
}

#[test]
fn settings_are_held_against_their_schema() {
    let schema =
        Some(r#"{"type":"object","properties":{"hours":{"type":"integer","minimum":1}},"required":["hours"]}"#);
    assert_eq!(check_settings(None, None), Ok(()));
    assert!(check_settings(None, Some("{}")).is_err());
    assert_eq!(check_settings(schema, Some(r#"{"hours":5}"#)), Ok(()));
    let refused = check_settings(schema, Some(r#"{"hours":0}"#)).unwrap_err();
    assert!(refused.starts_with("/hours: "), "{refused}");
    for settings in [None, Some("{}"), Some("[]"), Some("no JSON")] {
        assert!(check_settings(schema, settings).is_err(), "{settings:?}");
    }
    assert_eq!(check_settings(Some(r#"{"type":"object"}"#), None), Ok(()));
}

#[test]
fn settings_are_refused_one_byte_past_their_bound() {
    let of_length = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
    let schema = Some("{}");
    assert_eq!(
        check_settings(schema, Some(&of_length(engine::SETTINGS_BYTES_MAX))),
        Ok(())
    );
    assert!(check_settings(schema, Some(&of_length(engine::SETTINGS_BYTES_MAX + 1))).is_err());
}

#[test]
fn a_schema_can_refer_to_nothing_outside_itself_and_takes_no_time_beyond_its_text() {
    assert!(check_settings(Some(r#"{"$ref":"http://127.0.0.1:1/schema"}"#), Some("{}")).is_err());
    assert!(check_settings(Some(r#"{"$ref":"file:///etc/passwd"}"#), Some("{}")).is_err());
    assert!(check_settings(Some(r#"{"type":"nothing"}"#), Some("{}")).is_err());
    let catastrophic = Some(r#"{"type":"string","pattern":"^(a+)+$"}"#);
    let text = format!("\"{}b\"", "a".repeat(10_000));
    assert!(check_settings(catastrophic, Some(&text)).is_err());
}
