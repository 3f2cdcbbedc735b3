//! What to do about what the API refuses, by the id of the reason.

use serde_json::Value;

use super::shadow::flips_table;

/// Returns what a refusal tells in its details and what may be done next. `None` when its message is all.
pub(super) fn advice(reason: &str, details: &Value) -> Option<String> {
    Some(match reason {
        "unexpected-flips" => format!(
            "{}Look at one with  postern policy explain DECISION ; accept them by listing them in the file of --only-flips",
            flips_table(&details["flips"])
        ),
        "role-in-use" => format!(
            "{}Take the role from them with --bindings remove, or give them another with --bindings ROLE",
            lines(&details["holders"])
        ),
        "bindings-not-admitted" => format!(
            "{}Change these roles first with  postern role , or publish a version whose manifest admits them",
            lines(&details["holders"])
        ),
        "policy-attached" => {
            "See where with  postern policy guards , and detach it with  postern policy detach ID".to_owned()
        }
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

/// Writes a list, an item a line. Items may be texts or objects.
fn lines(items: &Value) -> String {
    let items = items.as_array().into_iter().flatten();
    let line = |item: &Value| match item {
        Value::String(text) => crate::client::output::printable(text),
        Value::Object(fields) => {
            let words = fields
                .values()
                .filter_map(Value::as_str)
                .map(crate::client::output::printable);
            words.collect::<Vec<_>>().join(", ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => item.to_string(),
    };
    items.map(|item| format!("  {}\n", line(item))).collect()
}
