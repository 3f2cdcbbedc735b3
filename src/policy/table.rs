//! `tests.toml`: subjects by operations, and the verdict that each is to get.
//!
//! Written for people: a block of text with a column for each subject and a row for each operation, or for each group of
//! operations. Every cell becomes cases, which are questions as a decision log has them.

use std::collections::BTreeMap;

use catalogue::{Catalogue, EnvTypes, Operation};
use chrono::DateTime;
use feed::SubjectKind;
use feed::decision::{RecordedEnvType, RecordedInputs, RecordedQuestion, RecordedSubject};
use serde::Deserialize;

use super::case::{Case, Expected};
use super::selector::Selector;

/// Reads a table, and returns the cases that it is made of.
///
/// # Errors
/// What is wrong, and in which table and row.
pub(super) fn cases(text: &str, catalogue: &Catalogue) -> Result<Vec<Case>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut cases = Vec::new();
    for (index, table) in file.table.iter().enumerate() {
        let name = table.name.clone().unwrap_or_else(|| format!("table {}", index + 1));
        let made = table.cases(&name, &file, catalogue);
        cases.extend(made.map_err(|problem| format!("{name}: {problem}"))?);
    }
    Ok(cases)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The organisation of the requests, and of subjects that name none.
    #[serde(default = "default_org")]
    org: String,
    subjects: BTreeMap<String, Subject>,
    /// Values of path parameters, by name.
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    /// Settings, for tables that have none of their own.
    settings: Option<serde_json::Value>,
    #[serde(default)]
    table: Vec<Table>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    #[serde(default = "service_user")]
    kind: SubjectKind,
    id: Option<String>,
    org: Option<String>,
    org_role: Option<String>,
    /// Told for operations on an app only, as a gateway does.
    app_role: Option<String>,
    /// Role by env type. Told for operations that concern env types only.
    #[serde(default)]
    env_types: BTreeMap<String, String>,
}

/// Questions of one kind: the same inputs and settings for every cell.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: Option<String>,
    settings: Option<serde_json::Value>,
    /// RFC 3339.
    time: Option<String>,
    source: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, OneOrMore>,
    query: Option<String>,
    body: Option<serde_json::Value>,
    /// The env types that operations concern, where they concern any; those on which the subject holds a role if absent.
    env_types: Option<Vec<String>>,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    /// The reason that every `deny` of this table comes with.
    reason: Option<String>,
    cases: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Table {
    fn cases(&self, name: &str, file: &File, catalogue: &Catalogue) -> Result<Vec<Case>, String> {
        let inputs = self.inputs()?;
        let settings = self.settings.as_ref().or(file.settings.as_ref());
        let settings = settings.map(ToString::to_string);
        let mut lines = self.cases.lines().map(uncommented).filter(|line| !line.is_empty());
        let header = lines.next().ok_or("`cases` is empty")?;
        let columns = header.split_whitespace().map(|subject| {
            let known = file.subjects.get_key_value(subject);
            known.ok_or_else(|| format!("{subject:?} is not one of [subjects]"))
        });
        let columns: Vec<(&String, &Subject)> = columns.collect::<Result<_, _>>()?;
        // A later row is about fewer operations than an earlier one, as a rule: it takes the place of what that said.
        let mut cells: BTreeMap<(usize, String, &str), Case> = BTreeMap::new();
        for line in lines {
            let (selector, verdicts) = row(line, columns.len())?;
            for operation in selector.operations(catalogue)? {
                for ((id, subject), verdict) in columns.iter().zip(&verdicts) {
                    let question = self.question(file, (id, subject), (operation, &selector), &inputs);
                    let key = (operation.index, format!("{:?}", question.parameters), id.as_str());
                    match Expected::parse(verdict, self.reason.as_deref())? {
                        Some(expected) => {
                            let settings = settings.clone();
                            let name = format!("{name}, {id}");
                            cells.insert(
                                key,
                                Case {
                                    name,
                                    question,
                                    settings,
                                    expected,
                                },
                            );
                        }
                        None => drop(cells.remove(&key)),
                    }
                }
            }
        }
        Ok(cells.into_values().collect())
    }

    fn question(
        &self,
        file: &File,
        (id, subject): (&str, &Subject),
        (operation, selector): (&Operation, &Selector),
        inputs: &RecordedInputs,
    ) -> RecordedQuestion {
        let value = |name: &str| {
            let given = [&selector.parameters, &self.parameters, &file.parameters];
            let given = given.iter().find_map(|values| values.get(name));
            given.cloned().unwrap_or_else(|| sample(name, &file.org).to_owned())
        };
        let parameters: BTreeMap<String, String> = operation
            .parameter_names()
            .map(|name| (name.to_owned(), value(name)))
            .collect();
        RecordedQuestion {
            subject: RecordedSubject {
                id: subject.id.clone().unwrap_or_else(|| id.to_owned()),
                kind: subject.kind,
                org: subject.org.clone().unwrap_or_else(|| file.org.clone()),
                org_role: subject.org_role.clone(),
                app_role: subject.app_role.clone().filter(|_| parameters.contains_key("appId")),
                env_types: self.env_types(subject, operation),
            },
            operation: operation.id.clone(),
            parameters,
            inputs: inputs.clone(),
        }
    }

    fn env_types(&self, subject: &Subject, operation: &Operation) -> Vec<RecordedEnvType> {
        if operation.env_types == EnvTypes::None {
            return Vec::new();
        }
        let own = || subject.env_types.keys().cloned().collect();
        let concerned: Vec<String> = self.env_types.clone().unwrap_or_else(own);
        let with_role = |id: String| RecordedEnvType {
            role: subject.env_types.get(&id).cloned(),
            id,
        };
        concerned.into_iter().map(with_role).collect()
    }

    fn inputs(&self) -> Result<RecordedInputs, String> {
        let time = self.time.as_deref().map(|time| {
            let read = DateTime::parse_from_rfc3339(time).ok();
            let ms = read.and_then(|time| u64::try_from(time.timestamp_millis()).ok());
            ms.ok_or_else(|| format!("time = {time:?} is no time such as 2026-12-24T18:00:00Z"))
        });
        let mut headers = Vec::new();
        for (name, values) in &self.headers {
            let values = match values {
                OneOrMore::One(value) => std::slice::from_ref(value),
                OneOrMore::More(values) => values,
            };
            headers.extend(values.iter().map(|value| (name.to_lowercase(), value.clone())));
        }
        Ok(RecordedInputs {
            time_ms: time.transpose()?,
            source_address: self.source.clone(),
            headers,
            query: self.query.clone(),
            // Text stands for itself, so that bodies can be tried that TOML cannot write.
            json_body: (self.body.as_ref()).map(|body| body.as_str().map_or_else(|| body.to_string(), str::to_owned)),
        })
    }
}

fn uncommented(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

fn row(line: &str, columns: usize) -> Result<(Selector, Vec<&str>), String> {
    let mut words = line.split_whitespace();
    let selector = Selector::parse(words.next().unwrap_or_default())?;
    let verdicts: Vec<&str> = words.collect();
    if verdicts.len() != columns {
        let found = verdicts.len();
        return Err(format!(
            "{line:?} has {found} verdicts for {columns} subjects; `-` leaves one out"
        ));
    }
    Ok((selector, verdicts))
}

/// Returns a value for a parameter of a path that nobody gave.
fn sample<'a>(name: &str, org: &'a str) -> &'a str {
    match name {
        "orgId" => org,
        "appId" => "shop",
        "envId" | "envType" | "envTypeId" => "development",
        "userId" => "ann",
        _ => "sample",
    }
}

fn default_org() -> String {
    "acme".to_owned()
}

fn service_user() -> SubjectKind {
    SubjectKind::ServiceUser
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Case>, String> {
        let catalogue = Catalogue::parse(catalogue::OPERATIONS).expect("a catalogue");
        cases(text, &catalogue)
    }

    const SUBJECTS: &str = r#"
        [subjects]
        ci = { app_role = "reader", env_types = { production = "deployer" } }
        ann = { kind = "member", org_role = "admin" }
    "#;

    #[test]
    fn a_cell_is_a_question_with_the_inputs_of_its_table() {
        let table = r#"
            [[table]]
            settings = { from = 9 }
            time = "1970-01-01T00:00:01Z"
            source = "10.0.0.1"
            headers = { X-Ticket = "OPS-1" }
            query = "a=b"
            body = { type = "development" }
            reason = "frozen"
            cases = """
                                          ci     ann   # a comment
            createDeployment(appId=web)   deny   -
            """
        "#;
        let cases = read(&format!("{SUBJECTS}{table}")).expect("a table");
        let [case] = &cases[..] else {
            panic!("{} cases", cases.len());
        };
        let question = &case.question;
        assert_eq!(question.subject.app_role.as_deref(), Some("reader"));
        assert_eq!(question.parameters["appId"], "web");
        assert_eq!(question.parameters["orgId"], "acme");
        assert_eq!(question.subject.env_types[0].role.as_deref(), Some("deployer"));
        assert_eq!(question.inputs.time_ms, Some(1_000));
        assert_eq!(question.inputs.headers, [("x-ticket".to_owned(), "OPS-1".to_owned())]);
        assert_eq!(question.inputs.json_body.as_deref(), Some(r#"{"type":"development"}"#));
        assert_eq!(case.settings.as_deref(), Some(r#"{"from":9}"#));
        let reason = Some("frozen".to_owned());
        assert_eq!(case.expected, Expected::Deny { reason });
    }

    #[test]
    fn a_later_row_takes_the_place_of_an_earlier_one() {
        let table = "[[table]]\ncases = '''\n ci\n app.* abstain\n getApplication allow\n deleteApplication - \n'''";
        let cases = read(&format!("{SUBJECTS}{table}")).expect("a table");
        let of = |id: &str| cases.iter().find(|case| case.question.operation == id);
        assert_eq!(of("getApplication").map(|case| &case.expected), Some(&Expected::Allow));
        assert_eq!(
            of("patchApplication").map(|case| &case.expected),
            Some(&Expected::Abstain)
        );
        assert!(of("deleteApplication").is_none());
    }

    #[test]
    fn a_subject_holds_its_role_on_an_app_only_where_an_app_is_concerned() {
        let table = "[[table]]\ncases = '''\n ci ann\n listAgents abstain abstain\n'''";
        let cases = read(&format!("{SUBJECTS}{table}")).expect("a table");
        assert!(cases.iter().all(|case| case.question.subject.app_role.is_none()));
        assert!(cases.iter().any(|case| case.question.subject.org_role.is_some()));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (cases, word) in [
            ("bob\n* allow", "bob"),
            ("ci\n* allow allow", "2 verdicts"),
            ("ci\n* maybe", "maybe"),
            ("ci\nnothing.here allow", "nothing.here"),
            ("", "empty"),
        ] {
            let said = read(&format!("{SUBJECTS}[[table]]\ncases = '''\n{cases}\n'''")).expect_err("refused");
            assert!(said.contains(word) && said.contains("table 1"), "{said}");
        }
        assert!(read(&format!("{SUBJECTS}[[table]]\ntime = 'noon'\ncases = ''")).is_err());
        assert!(read(&format!("{SUBJECTS}[[tables]]\ncases = ''")).is_err());
    }
}
