//! What to do about what the API refuses, by the id of the reason.

use serde_json::{Value, json};

use super::shadow::flips_table;
use crate::client::output::printable;

/// Returns what a refusal tells in its details and what may be done next. `None` when its message is all.
pub(super) fn advice(reason: &str, details: &Value) -> Option<String> {
    Some(match reason {
        "unexpected-flips" => format!(
            "{}Look at one with  postern policy explain DECISION ; accept them by listing them in the file of --only-flips",
            flips_table(&details["flips"])
        ),
        "too-few-evaluations" => format!(
            "Watched on {} decisions of {}:  postern policy shadow NAME VERSION",
            details["evaluations"], details["evaluations_min"]
        ),
        "role-in-use" => format!(
            "{} hold it. Take it from them with --bindings remove, or give them another role with --bindings ROLE",
            details["holders"]
        ),
        "bindings-not-admitted" => format!(
            "{}Change these roles first with  postern role , or publish a version whose manifest admits them",
            lines(&details["bindings"])
        ),
        "guards-not-admitted" => format!(
            "{}Detach these guards first, or change their settings:  postern policy settings --guard ID FILE",
            lines(&details["guards"])
        ),
        "policy-attached" => format!(
            "{}Detach these guards first:  postern policy detach ID",
            lines(&details["guards"])
        ),
        "component-refused" => format!("{}See all of it offline:  postern policy check FILE", lines(&details["problems"])),
        "settings-invalid" => lines(&json!([details["problem"]])),
        "version-not-newer" => format!("The newest is {}: give the component a greater one", word(&details["newest"])),
        "version-taken" => "Give the component a greater version: what is published stays what it is".to_owned(),
        "invalid-field" => format!("{}: {}", word(&details["field"]), word(&details["rule"])),
        "policy-unsigned" => {
            "Sign it with --sign-key FILE --key-name NAME, with a key of policy_trusted_keys".to_owned()
        }
        "policy-signature-invalid" => {
            "The signature covers organisation, name, version and digest: check --org, and that --key-name names the public \
             half of --sign-key in policy_trusted_keys"
                .to_owned()
        }
        _ => return None,
    })
}

/// Writes a list, an item a line. Items may be texts or objects of texts.
fn lines(items: &Value) -> String {
    let items = items.as_array().into_iter().flatten();
    items.map(|item| format!("  {}\n", word(item))).collect()
}

fn word(item: &Value) -> String {
    match item {
        Value::String(text) => printable(text),
        Value::Object(fields) => fields.values().map(word).collect::<Vec<_>>().join(", "),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => item.to_string(),
    }
}
