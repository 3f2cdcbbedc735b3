//! `postern policy explain --case`: a decision on record, step by step, as it was and as it comes out here.

use std::path::{Path, PathBuf};

use catalogue::Catalogue;
use chrono::{DateTime, SecondsFormat};
use feed::decision::{RecordedAnswer, RecordedAsked, RecordedDecision, RecordedInputs, RecordedSubject};

use super::library::{Library, Shelf};
use super::report::outcome;
use super::{decisions, workbench};
use crate::exit::{DATA, Failure};

/// Explains each decision of a file, with the components that are in some folders; in the working directory without any.
///
/// # Errors
/// When the file holds no decision, or something cannot be read.
pub(crate) fn explain_cases(case: &Path, components: &[PathBuf]) -> Result<(), Failure> {
    let here = [PathBuf::from(".")];
    let shelf = Shelf::of(if components.is_empty() { &here } else { components })?;
    let library = Library::new(&shelf)?;
    let catalogue = workbench::catalogue();
    let decisions = decisions::read(case)?;
    if decisions.is_empty() {
        return Err(Failure::said(DATA, format!("{} holds no decision", case.display())));
    }
    for decision in &decisions {
        explain(decision, &library, &catalogue);
    }
    Ok(())
}

fn explain(decision: &RecordedDecision, library: &Library<'_>, catalogue: &Catalogue) {
    let question = &decision.question;
    let at = DateTime::from_timestamp_millis(decision.at_ms);
    let at = at.map_or_else(String::new, |at| at.to_rfc3339_opts(SecondsFormat::Millis, true));
    let RecordedDecision {
        id, gateway, revision, ..
    } = decision;
    println!("decision  {} at {at}", id.escape_debug());
    println!("made by   gateway {}, at revision {revision}", gateway.escape_debug());
    println!(
        "who       {}, with token {}",
        who(&question.subject),
        decision.token.escape_debug()
    );
    println!("holds     {}", holds(&question.subject));
    println!("asks for  {}", asks_for(decision, catalogue));
    for told in told(&question.inputs) {
        println!("told      {told}");
    }
    for (index, answer) in decision.answers.iter().enumerate() {
        println!("step {}    {}", index + 1, step(answer, decision, (library, catalogue)));
    }
    println!("outcome   {}", outcome(&decision.outcome));
    match engine::replay::replay(decision, catalogue, &|digest| library.policy(digest)) {
        Ok(now) if now == decision.outcome => println!("here      the same\n"),
        Ok(now) => println!("here      {}\n", outcome(&now)),
        Err(problem) => println!("here      {problem}\n"),
    }
}

fn who(subject: &RecordedSubject) -> String {
    let (id, org) = (subject.id.escape_debug(), subject.org.escape_debug());
    format!("{} {id} of organisation {org}", subject.kind.api_name())
}

fn holds(subject: &RecordedSubject) -> String {
    let mut roles = Vec::new();
    roles.extend(
        subject
            .org_role
            .iter()
            .map(|role| format!("{role} on the organisation")),
    );
    roles.extend(subject.app_role.iter().map(|role| format!("{role} on the app")));
    for env_type in &subject.env_types {
        let role = env_type.role.as_deref().unwrap_or("nothing");
        roles.push(format!("{role} on env type {}", env_type.id));
    }
    let held = if roles.is_empty() {
        "nothing that bears on this".to_owned()
    } else {
        roles.join(", ")
    };
    held.escape_debug().to_string()
}

fn asks_for(decision: &RecordedDecision, catalogue: &Catalogue) -> String {
    let question = &decision.question;
    let Some(operation) = catalogue.by_id(&question.operation) else {
        let id = question.operation.escape_debug();
        return format!("{id}, which the catalogue does not have");
    };
    let mut path = operation.path.clone();
    for (name, value) in &question.parameters {
        path = path.replace(&format!("{{{name}}}"), value);
    }
    let path = path.escape_debug();
    format!(
        "{} ({} {path}), which needs {}",
        operation.id, operation.method, operation.permission
    )
}

fn told(inputs: &RecordedInputs) -> Vec<String> {
    let mut told = Vec::new();
    if let Some(time) = inputs.time_ms.and_then(|ms| i64::try_from(ms).ok()) {
        let time = DateTime::from_timestamp_millis(time);
        told.extend(time.map(|time| format!("time {}", time.to_rfc3339_opts(SecondsFormat::Millis, true))));
    }
    let text = |name: &str, text: &Option<String>| text.as_ref().map(|text| format!("{name} {}", text.escape_debug()));
    told.extend(text("source address", &inputs.source_address));
    let headers = inputs.headers.iter();
    told.extend(headers.map(|(name, value)| format!("header {}: {}", name.escape_debug(), value.escape_debug())));
    told.extend(text("query", &inputs.query));
    told.extend(text("body", &inputs.json_body));
    told
}

fn step(
    answer: &RecordedAnswer,
    decision: &RecordedDecision,
    (library, catalogue): (&Library<'_>, &Catalogue),
) -> String {
    let asked = match &answer.asked {
        RecordedAsked::Role { role, held_on } => format!("role {role}, held on {held_on}"),
        RecordedAsked::Guard { guard, scope } => format!("guard {guard}, attached to {scope}"),
    };
    let said = format!("{}: {}", asked.escape_debug(), answer.verdict.escape_debug());
    let Some(digest) = answer.policy else {
        return format!("{said} (it has no policy)");
    };
    let settings = answer.settings.as_deref();
    let with = settings.map_or_else(String::new, |settings| {
        format!(", settings {}", settings.escape_debug())
    });
    let Some(policy) = library.policy(digest) else {
        return format!("{said} (component {digest}{with} is not here; --components says where)");
    };
    let name = format!("{} {}", policy.name(), policy.manifest().version);
    let again = match workbench::ask(&policy, (&decision.question, settings), catalogue) {
        Ok(again) => again.to_string(),
        Err(problem) => problem,
    };
    format!("{said} (policy {name}{with}; asked again it says {again})")
}
