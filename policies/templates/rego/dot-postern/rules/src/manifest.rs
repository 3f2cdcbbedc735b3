//! What the rule `manifest` says of the policy.

use regorus::{Engine, Value};

/// What the rule says, each word checked.
pub struct Said {
    pub name: String,
    pub version: String,
    pub scopes: Vec<String>,
    pub subject_kinds: Vec<String>,
    /// `time`, `source-address`, `query`, `json-body`, or `header:` and a name.
    pub inputs: Vec<String>,
    /// JSON.
    pub settings_schema: Option<String>,
}

/// Evaluates the rule.
///
/// # Errors
/// What is wrong with it.
pub fn read(engine: &mut Engine) -> Result<Said, String> {
    let manifest = engine.eval_rule("data.postern.manifest".to_owned()).map_err(|error| error.to_string())?;
    let fields = manifest.as_object().map_err(|_| "the rule `manifest` is no object".to_owned())?;
    for (field, _) in fields.iter() {
        if !field.as_string().is_ok_and(|field| FIELDS.contains(&&**field)) {
            return Err(format!("manifest: {field} is unknown; it has {}", FIELDS.join(", ")));
        }
    }
    let field = |name: &str| fields.get(&Value::from(name)).filter(|value| **value != Value::Undefined);
    let text = |name: &str| match field(name).map(|value| value.as_string()) {
        Some(Ok(text)) => Ok(text.to_string()),
        Some(Err(_)) | None => Err(format!("manifest: {name} has to be a text")),
    };
    let schema = field("settings_schema").map(|schema| schema.to_json_str().map_err(|error| error.to_string()));
    Ok(Said {
        name: text("name")?,
        version: text("version")?,
        scopes: words("scopes", field("scopes"), |word| SCOPES.contains(&word), &SCOPES)?,
        subject_kinds: words(
            "subject_kinds",
            field("subject_kinds"),
            |word| SUBJECT_KINDS.contains(&word),
            &SUBJECT_KINDS,
        )?,
        inputs: match field("inputs") {
            Some(inputs) => words("inputs", Some(inputs), is_input, &INPUTS)?,
            None => Vec::new(),
        },
        settings_schema: schema.transpose()?,
    })
}

/// Words that the contract has for scopes.
pub const SCOPES: [&str; 3] = ["org", "app", "env-type"];

/// Words that the contract has for kinds of subject.
pub const SUBJECT_KINDS: [&str; 3] = ["service-user", "member", "group"];

/// What stands before the name of a header field.
pub const HEADER: &str = "header:";

const INPUTS: [&str; 5] = ["time", "source-address", "query", "json-body", "header:NAME"];

const FIELDS: [&str; 6] = ["name", "version", "scopes", "subject_kinds", "inputs", "settings_schema"];

fn is_input(word: &str) -> bool {
    let header = word.strip_prefix(HEADER).is_some_and(|name| !name.is_empty());
    header || INPUTS[..4].contains(&word)
}

/// Returns the words of a list or a set.
fn words(
    name: &str,
    value: Option<&Value>,
    is_known: impl Fn(&str) -> bool,
    known: &[&str],
) -> Result<Vec<String>, String> {
    let values: Vec<&Value> = match value {
        Some(Value::Array(values)) => values.iter().collect(),
        Some(Value::Set(values)) => values.iter().collect(),
        _ => return Err(format!("manifest: {name} has to be a list")),
    };
    let word = |value: &Value| match value.as_string() {
        Ok(word) if is_known(word) => Ok(word.to_string()),
        _ => Err(format!("manifest: {name}: {value} is none of {}", known.join(", "))),
    };
    values.into_iter().map(word).collect()
}
