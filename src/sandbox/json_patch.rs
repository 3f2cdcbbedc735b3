//! The three actions of JSON Patch that deployment deltas are written with.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// One change to a JSON document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Action {
    /// `add`, `replace` or `remove`; the sandbox has no other.
    op: String,
    /// RFC 6901 pointer.
    path: String,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

/// Applies the actions in order. `None` when one does not fit; then the document is half changed and must be dropped.
///
/// # Source
/// RFC 6902 §4.1 to §4.3.
pub(super) fn apply(document: &mut Value, actions: &[Action]) -> Option<()> {
    actions.iter().try_for_each(|action| apply_one(document, action))
}

fn apply_one(document: &mut Value, action: &Action) -> Option<()> {
    let (parent, last) = action.path.rsplit_once('/')?;
    let last = last.replace("~1", "/").replace("~0", "~");
    let value = action.value.clone();
    match document.pointer_mut(parent)? {
        Value::Object(fields) => match action.op.as_str() {
            "add" => drop(fields.insert(last, value?)),
            "replace" => *fields.get_mut(&last)? = value?,
            "remove" => drop(fields.remove(&last)?),
            _ => return None,
        },
        Value::Array(items) => match (action.op.as_str(), last.as_str()) {
            ("add", "-") => items.push(value?),
            ("add", index) => {
                let index = index.parse().ok().filter(|index| *index <= items.len())?;
                items.insert(index, value?);
            }
            ("replace", index) => *items.get_mut(index.parse::<usize>().ok()?)? = value?,
            ("remove", index) => {
                let index = index.parse().ok().filter(|index| *index < items.len())?;
                items.remove(index);
            }
            _ => return None,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    }
    Some(())
}

/// Reads a value that is there, so that null is told from a value that is left out.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied(document: &Value, actions: Value) -> Option<Value> {
        let mut document = document.clone();
        let actions: Vec<Action> = serde_json::from_value(actions).expect("actions");
        apply(&mut document, &actions).map(|()| document)
    }

    #[test]
    fn actions_change_objects_and_arrays_at_the_pointer() {
        let document = json!({"a": {"b/c": 1}, "list": [1, 3]});
        let actions = json!([
            {"op": "replace", "path": "/a/b~1c", "value": 2},
            {"op": "add", "path": "/a/d", "value": null},
            {"op": "add", "path": "/list/1", "value": 2},
            {"op": "add", "path": "/list/-", "value": 4},
            {"op": "remove", "path": "/list/0"},
        ]);
        assert_eq!(
            applied(&document, actions),
            Some(json!({"a": {"b/c": 2, "d": null}, "list": [2, 3, 4]}))
        );
    }

    #[test]
    fn an_action_that_does_not_fit_is_refused() {
        let document = json!({"a": {}, "list": [1], "text": "t"});
        for action in [
            json!({"op": "replace", "path": "/a/missing", "value": 1}),
            json!({"op": "remove", "path": "/a/missing"}),
            json!({"op": "add", "path": "/missing/b", "value": 1}),
            json!({"op": "add", "path": "/a/b"}),
            json!({"op": "add", "path": "/list/2", "value": 1}),
            json!({"op": "remove", "path": "/list/1"}),
            json!({"op": "add", "path": "/text/0", "value": 1}),
            json!({"op": "move", "path": "/a/b"}),
            json!({"op": "remove", "path": ""}),
        ] {
            assert_eq!(applied(&document, json!([action])), None, "{action}");
        }
    }
}
