//! What a row of a test table is about: operations, by id, permission or method.

use std::collections::BTreeMap;
use std::sync::Arc;

use catalogue::{Catalogue, Operation};

/// The first word of a row: `getApplication`, `get*`, `app.read`, `*.read`, `DELETE`, `*`, each perhaps with parameters
/// behind it: `getApplication(appId=web)`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selector {
    pattern: String,
    /// Values of the path's parameters, by name.
    pub(super) parameters: BTreeMap<String, String>,
}

impl Selector {
    /// Reads a row's first word.
    ///
    /// # Errors
    /// When its parentheses hold anything but `name=value`, separated by commas.
    pub(super) fn parse(word: &str) -> Result<Self, String> {
        let Some((pattern, rest)) = word.split_once('(') else {
            return Ok(Self {
                pattern: word.to_owned(),
                parameters: BTreeMap::new(),
            });
        };
        let problem = || format!("{word:?}: parameters look like getApplication(appId=web,orgId=acme), without blanks");
        let inner = rest.strip_suffix(')').ok_or_else(problem)?;
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').ok_or_else(problem)?;
            Ok((name.to_owned(), value.to_owned()))
        };
        Ok(Self {
            pattern: pattern.to_owned(),
            parameters: inner.split(',').map(pair).collect::<Result<_, String>>()?,
        })
    }

    /// Returns the operations that it means.
    ///
    /// # Errors
    /// When it means none; the message names what is spelt like it.
    pub(super) fn operations<'a>(&self, catalogue: &'a Catalogue) -> Result<Vec<&'a Arc<Operation>>, String> {
        let matching = |operation: &&Arc<Operation>| {
            self.names().is_some_and(|name| matches(&self.pattern, name(operation)))
                && (self.parameters.keys()).all(|own| operation.parameter_names().any(|name| name == own))
        };
        let found: Vec<_> = catalogue.operations().iter().filter(matching).collect();
        if found.is_empty() {
            return Err(self.unknown(catalogue));
        }
        Ok(found)
    }

    /// Returns how an operation's name of the kind that the pattern is about is found.
    fn names(&self) -> Option<fn(&Operation) -> &str> {
        if self.pattern.is_empty() {
            return None;
        }
        Some(if self.pattern.contains('.') {
            |operation| &operation.permission
        } else if self.pattern.bytes().all(|byte| byte.is_ascii_uppercase()) {
            |operation| &operation.method
        } else {
            |operation| &operation.id
        })
    }

    fn unknown(&self, catalogue: &Catalogue) -> String {
        let Some(name) = self.names() else {
            return "a row has no operation".to_owned();
        };
        if !self.parameters.is_empty() {
            let names: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
            return format!(
                "no operation {:?} has the parameters {}",
                self.pattern,
                names.join(", ")
            );
        }
        let what = if self.pattern.contains('.') {
            "permission"
        } else {
            "operation"
        };
        let names = catalogue.operations().iter().map(|operation| name(operation));
        let near = nearest(&self.pattern, names);
        let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        format!("the catalogue has no {what} {:?}{near}", self.pattern)
    }
}

/// Returns what is spelt most like a word, when anything is.
pub(super) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distances = names.map(|name| (distance(word, name), name));
    let (distance, name) = distances.min()?;
    (distance <= NEAR).then_some(name)
}

/// Returns whether a text fits a pattern, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    let mut rest = rest;
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Returns how many letters must be put in, taken out or replaced to make one word of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, a) in one.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = at + 1;
        for (to, b) in other.bytes().enumerate() {
            let replaced = corner + usize::from(a != b);
            corner = row[to + 1];
            row[to + 1] = replaced.min(corner + 1).min(row[to] + 1);
        }
    }
    row[other.len()]
}

/// Most letters between a word and what was probably meant.
const NEAR: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(word: &str) -> Result<Vec<String>, String> {
        let catalogue = Catalogue::parse(catalogue::OPERATIONS).expect("a catalogue");
        let selector = Selector::parse(word)?;
        let found = selector.operations(&catalogue)?;
        Ok(found.iter().map(|operation| operation.id.clone()).collect())
    }

    #[test]
    fn a_row_means_operations_by_id_by_permission_or_by_method() {
        assert_eq!(ids("getApplication"), Ok(vec!["getApplication".to_owned()]));
        assert_eq!(ids("app.delete"), Ok(vec!["deleteApplication".to_owned()]));
        assert!(ids("*").expect("all").len() > ids("DELETE").expect("some").len());
        assert!(ids("*.read").expect("some").contains(&"listAgents".to_owned()));
        assert!(!ids("get*").expect("some").contains(&"listAgents".to_owned()));
        assert_eq!(ids("getApplication(appId=web)").map(|found| found.len()), Ok(1));
    }

    #[test]
    fn a_row_that_means_nothing_is_an_error_that_says_what_was_meant() {
        let said = ids("app.reed").expect_err("no such permission");
        assert!(
            said.contains("permission") && said.contains("did you mean app.read?"),
            "{said}"
        );
        let said = ids("getAplication").expect_err("no such operation");
        assert!(said.contains("did you mean getApplication?"), "{said}");
        let said = ids("getApplication(envId=dev)").expect_err("no such parameter");
        assert!(said.contains("envId"), "{said}");
        assert!(ids("getApplication(appId)").is_err());
        assert!(ids("FETCH").is_err());
    }
}
