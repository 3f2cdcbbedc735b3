//! Settings of policies, and the JSON Schemas that they must keep to.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// Largest settings, in bytes: a small policy has one page of memory for all that it is told.
pub const SETTINGS_BYTES_MAX: usize = 16 << 10;

/// Checks settings against a policy's schema, both JSON. A policy without schema takes no settings; one whose schema says
/// nothing against an empty object can go without.
///
/// # Errors
/// What is wrong, in words: each value that breaks the schema, by its place.
pub fn check_settings(schema: Option<&str>, settings: Option<&str>) -> Result<(), String> {
    let Some(schema) = schema else {
        return match settings {
            None => Ok(()),
            Some(_) => Err("the policy takes no settings".to_owned()),
        };
    };
    let settings = settings.unwrap_or("{}");
    if settings.len() > SETTINGS_BYTES_MAX {
        return Err(format!("they have more than {SETTINGS_BYTES_MAX} bytes"));
    }
    let settings: Value = serde_json::from_str(settings).map_err(|error| format!("they are not JSON: {error}"))?;
    let validator = validator(schema)?;
    let problems: Vec<String> = validator
        .iter_errors(&settings)
        .take(PROBLEMS_MAX)
        .map(|problem| match problem.instance_path().as_str() {
            "" => problem.to_string(),
            place => format!("{place}: {problem}"),
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("; "))
    }
}

/// Reads a schema. References lead to places within it only: nothing is fetched.
pub(crate) fn validator(schema: &str) -> Result<Validator, String> {
    let schema: Value = serde_json::from_str(schema).map_err(|error| format!("it is not JSON: {error}"))?;
    jsonschema::meta::validate(&schema).map_err(|problem| problem.to_string())?;
    jsonschema::options()
        // Takes time linear in the text, whatever the pattern.
        .with_pattern_options(PatternOptions::regex())
        .build(&schema)
        .map_err(|problem| problem.to_string())
}

/// Problems that are told at once.
const PROBLEMS_MAX: usize = 5;
