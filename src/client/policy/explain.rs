//! `postern policy explain`: one decision, step by step, in the order in which it was made.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use feed::SubjectKind;
use feed::decision::{RecordedAnswer, RecordedAsked, RecordedOutcome, RecordedQuestion, RecordedSubject};
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::decisions::{decision, time};
use super::paths::below_org;
use crate::client::connection::{Session, read};
use crate::client::error::Error;
use crate::client::output::{Output, printable};

/// Options of `postern policy explain`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["decision_id", "subject", "case"])))]
pub(crate) struct Explain {
    /// Id of a decision that was made, as the refusal and the access log tell it
    decision_id: Option<String>,
    /// Whether this subject may: id, or a name that one user only has
    #[arg(long, value_name = "SUBJECT", requires = "operation")]
    subject: Option<String>,
    /// Do this operation, as the catalogue names it
    #[arg(long, value_name = "OPERATION", requires = "subject")]
    operation: Option<String>,
    /// With this parameter of its path; the organisation need not be given
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, requires = "subject")]
    parameter: Vec<(String, String)>,
    /// Concerning this env type
    #[arg(long, value_name = "ENV_TYPE", requires = "subject")]
    env_type: Vec<String>,
    /// With what policies may ask for besides: a file (JSON) with `time_ms`, `source_address`, `headers`, `query`, `json_body`
    #[arg(long, value_name = "FILE", requires = "subject")]
    inputs: Option<PathBuf>,
    /// The decisions in this file, as `record` prints them: they are made again here, and nothing running is asked
    #[arg(long, value_name = "FILE")]
    case: Option<PathBuf>,
    /// Folder with the components that were asked, as `components` downloads them  [default: .]
    #[arg(long, value_name = "DIR", requires = "case")]
    components: Vec<PathBuf>,
}

impl Explain {
    /// Returns the file whose decisions are to be explained, and the folders with components, when no Postern is to be
    /// asked.
    pub(super) fn on_file(&self) -> Option<(&Path, &[PathBuf])> {
        Some((self.case.as_deref()?, &self.components))
    }
}

/// Explains a decision.
///
/// # Errors
/// [`Error::File`], [`Error::Content`], and what asking fails with.
pub(super) async fn explain(about: Explain, session: &Session) -> Result<Output, Error> {
    let explained = match &about.decision_id {
        Some(id) => decision(session, id).await?,
        None => asked(&about, session).await?,
    };
    if session.json {
        return Ok(Output::json(&explained));
    }
    let steps = steps(&explained).ok_or_else(|| session.api.incomplete("its answer is no decision"))?;
    Ok(Output::text(steps))
}

async fn asked(about: &Explain, session: &Session) -> Result<Value, Error> {
    let mut parameters = json!({"orgId": session.org().await?});
    for (name, value) in &about.parameter {
        parameters[name] = Value::from(value.as_str());
    }
    let mut body = json!({
        "subject": session.subject(about.subject.as_deref().unwrap_or_default()).await?,
        "operation": about.operation,
        "parameters": parameters,
    });
    if !about.env_type.is_empty() {
        body["env_types"] = json!(about.env_type);
    }
    if let Some(path) = &about.inputs {
        body["inputs"] = serde_json::from_str(&read(path)?).map_err(|error| Error::Content {
            path: path.clone(),
            problem: format!("not JSON: {error}"),
        })?;
    }
    let path = below_org(session, "explanations").await?;
    session.api.ask(Method::POST, &path, Some(&body)).await
}

/// Writes the steps of a decision. `None` when it is none.
fn steps(decision: &Value) -> Option<String> {
    let question: RecordedQuestion = part(decision, "question")?;
    let outcome: RecordedOutcome = part(decision, "outcome")?;
    let answers: Vec<RecordedAnswer> = part(decision, "answers")?;
    let mut text = head(decision);
    let mut step = |title: &str, lines: &[String]| {
        for (index, line) in lines.iter().enumerate() {
            let title = if index == 0 { title } else { "" };
            text.push_str(&format!("{title:<11}{}\n", printable(line)));
        }
    };
    if let Some(token) = decision["token"].as_str().filter(|token| !token.is_empty()) {
        step("token", &[token.to_owned()]);
    }
    let subject = &question.subject;
    step(
        "subject",
        &[format!("{}, a {} of {}", subject.id, kind(subject.kind), subject.org)],
    );
    step("operation", &[operation(&question)]);
    step("roles", &roles(subject));
    step("told", &told(&question));
    step("asked", &asked_in_order(&answers));
    step("outcome", &ended(&outcome));
    Some(text)
}

fn part<T: DeserializeOwned>(decision: &Value, name: &str) -> Option<T> {
    T::deserialize(&decision[name]).ok()
}

/// Says which decision it is. One that nobody made has an id of noughts.
fn head(decision: &Value) -> String {
    let text = |name: &str| decision[name].as_str().filter(|text| !text.is_empty()).map(printable);
    let id = text("id").filter(|id| id.contains(|digit| digit != '0'));
    let made = id.is_some();
    let parts = [
        Some(id.map_or_else(|| "what would be decided".to_owned(), |id| format!("decision {id}"))),
        time(&decision["at_ms"]),
        text("gateway")
            .filter(|_| made)
            .map(|gateway| format!("at gateway {gateway}")),
        decision["revision"]
            .as_u64()
            .map(|revision| format!("revision {revision}")),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    format!("{}\n", parts.join(", "))
}

fn kind(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::ServiceUser => "service user",
        SubjectKind::Member => "member",
        SubjectKind::Group => "group",
    }
}

fn operation(question: &RecordedQuestion) -> String {
    let parameters = question.parameters.iter();
    let parameters: Vec<_> = parameters.map(|(name, value)| format!("{name}={value}")).collect();
    if parameters.is_empty() {
        question.operation.clone()
    } else {
        format!("{} ({})", question.operation, parameters.join(", "))
    }
}

fn roles(subject: &RecordedSubject) -> Vec<String> {
    let held = |on: &str, role: &Option<String>| match role {
        Some(role) => format!("{role} on {on}"),
        None => format!("none on {on}"),
    };
    let mut roles = vec![held("the organisation", &subject.org_role)];
    if let Some(role) = &subject.app_role {
        roles.push(format!("{role} on the app"));
    }
    for env_type in &subject.env_types {
        roles.push(held(&format!("env type {}", env_type.id), &env_type.role));
    }
    roles
}

fn told(question: &RecordedQuestion) -> Vec<String> {
    let inputs = &question.inputs;
    let clock = inputs.time_ms.and_then(|ms| time(&Value::from(ms)));
    let mut told: Vec<_> = clock.map(|time| format!("time {time}")).into_iter().collect();
    told.extend(
        inputs
            .source_address
            .as_ref()
            .map(|address| format!("source address {address}")),
    );
    told.extend(inputs.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    told.extend(inputs.query.as_ref().map(|query| format!("query {query}")));
    told.extend(
        inputs
            .json_body
            .as_ref()
            .map(|body| format!("JSON body of {} octets", body.len())),
    );
    told
}

fn asked_in_order(answers: &[RecordedAnswer]) -> Vec<String> {
    if answers.is_empty() {
        return vec!["nobody: no role of the subject bears on it".to_owned()];
    }
    let line = |answer: &RecordedAnswer| {
        let who = match &answer.asked {
            RecordedAsked::Role { role, held_on } => format!("role {role}, held on the {}", held_on.replace('-', " ")),
            RecordedAsked::Guard { guard, scope } => format!("guard {guard}, attached to {scope}"),
        };
        let component = answer
            .policy
            .map(|digest| format!(" (component {:.12})", digest.to_string()));
        let settings = answer
            .settings
            .as_ref()
            .map(|settings| format!(", settings {settings}"));
        format!(
            "{who}{}: {}{}",
            component.unwrap_or_default(),
            answer.verdict,
            settings.unwrap_or_default()
        )
    };
    answers.iter().map(line).collect()
}

fn ended(outcome: &RecordedOutcome) -> Vec<String> {
    match outcome {
        RecordedOutcome::Allowed { role } => vec![format!("allowed, by role {role}")],
        RecordedOutcome::NotAllowed => vec!["not allowed: no role allows it".to_owned()],
        RecordedOutcome::Denied { guard, reason } => vec![format!("denied by guard {guard}: {reason}")],
        RecordedOutcome::Undecided { by, fault } => vec![
            format!("undecided: the policy of {by} gave no verdict ({fault})"),
            "the request was refused, as with every doubt".to_owned(),
        ],
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it is not NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
