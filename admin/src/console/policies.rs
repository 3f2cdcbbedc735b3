//! `/policies`: roles and guards, their versions, and which of them is in force, watched, or was in force before.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Console;
use super::ask::{Question, Refused, pretty, segment, text_of};
use super::door::Person;
use super::form::{Typed, Upload};
use super::moment::Moment;
use super::shell::{Shell, page};

#[derive(Debug, Template)]
#[template(path = "policies.html")]
struct PoliciesPage {
    shell: Shell,
    sections: [Section; 2],
    may_publish: bool,
    /// Why a component was not published.
    error: Option<String>,
}

/// Policies of one kind.
#[derive(Debug)]
struct Section {
    title: &'static str,
    /// What is counted of them.
    holders: &'static str,
    policies: Vec<Policy>,
}

#[derive(Debug, Template)]
#[template(path = "policy.html")]
struct PolicyPage {
    shell: Shell,
    policy: Policy,
    versions: Vec<Version>,
    report: Option<Report>,
    may_change: bool,
    error: Option<String>,
}

/// A policy, as the API tells of it.
#[derive(Debug)]
struct Policy {
    name: String,
    href: String,
    guard: bool,
    builtin: bool,
    active: String,
    previous: String,
    shadow: String,
    percent: u64,
    holders: u64,
    scopes: String,
    kinds: String,
    inputs: String,
    settings: String,
}

#[derive(Debug)]
struct Version {
    version: String,
    /// `active`, `previous`, `shadow` or nothing.
    state: &'static str,
    digest: String,
    class: String,
    size_kib: u64,
    published: Option<Moment>,
    signed: String,
}

/// What came of watching a version.
#[derive(Debug)]
struct Report {
    version: String,
    since: Option<Moment>,
    evaluations: u64,
    flips: Vec<Flip>,
}

/// Decisions that the watched version would have made otherwise.
#[derive(Debug)]
struct Flip {
    operation: String,
    subject: String,
    from: String,
    to: String,
    count: u64,
    last: Option<Moment>,
    href: String,
}

/// `GET /policies`
pub(super) async fn list(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
) -> Result<Response, Refused> {
    Ok(page(&console.policies(&person, None).await?))
}

/// `POST /policies`: a component, which becomes a version of the policy that it says it is.
pub(super) async fn publish(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    upload: Upload,
) -> Result<Response, Refused> {
    let component = STANDARD.encode(&upload.file);
    let body = json!({"component": component, "activate": upload.text("activate") == "true"});
    let question = Question::post(format!("/orgs/{}/policies", person.member.org), body);
    match console.ask(&person, question).await {
        Ok(made) => {
            let name = text_of(&made, "name");
            Ok(Redirect::to(&format!("/policies/{}", segment(&name))).into_response())
        }
        Err(refused) => {
            let problems = refused.details["problems"].as_array().into_iter().flatten();
            let told: Vec<&str> = problems.filter_map(Value::as_str).collect();
            let why = format!("{} {}", refused.text(), told.join(" "));
            let shown = console.policies(&person, Some(why)).await?;
            Ok((refused.status, page(&shown)).into_response())
        }
    }
}

/// `GET /policies/{policy}`
pub(super) async fn read(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    Ok(page(&console.policy_page(&person, &name, None).await?))
}

/// `POST /policies/{policy}`: another version in force, the one before, one that is watched, or none.
pub(super) async fn change(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(name): Path<String>,
    typed: Typed,
) -> Result<Response, Refused> {
    let version = typed.text("version");
    let body = match typed.text("do") {
        "promote" => json!({"active": version}),
        "roll-back" => json!({"active": "previous"}),
        "watch" => json!({"shadow": {"version": version}}),
        "stop-watching" => json!({"shadow": null}),
        _ => return Err(Refused::absent()),
    };
    let path = format!("/orgs/{}/policies/{}", person.member.org, segment(&name));
    match console.ask(&person, Question::patch(path, body)).await {
        Ok(_) => Ok(Redirect::to(&format!("/policies/{}", segment(&name))).into_response()),
        Err(refused) => {
            let shown = console.policy_page(&person, &name, Some(refused.text())).await?;
            Ok((refused.status, page(&shown)).into_response())
        }
    }
}

impl Console {
    async fn policies(&self, person: &Person, error: Option<String>) -> Result<PoliciesPage, Refused> {
        let path = format!("/orgs/{}/policies", person.member.org);
        let found = self.ask(person, Question::get(&path)).await?;
        let (shell, may) = self
            .shell(person, "Roles and policies", &[Question::post(&path, json!({}))])
            .await?;
        let all = found.as_array().into_iter().flatten().map(Policy::of);
        let (guards, roles) = all.partition(|policy: &Policy| policy.guard);
        let section = |title, holders, policies| Section {
            title,
            holders,
            policies,
        };
        Ok(PoliciesPage {
            shell,
            sections: [
                section("Roles", "Held by", roles),
                section("Guards", "Attached", guards),
            ],
            may_publish: may[0],
            error,
        })
    }

    async fn policy_page(&self, person: &Person, name: &str, error: Option<String>) -> Result<PolicyPage, Refused> {
        let path = format!("/orgs/{}/policies/{}", person.member.org, segment(name));
        let told = self.ask(person, Question::get(&path)).await?;
        let policy = Policy::of(&told);
        let offers = [Question::patch(&path, json!({}))];
        let (shell, may) = self.shell(person, policy.name.as_str(), &offers).await?;
        let mut report = None;
        if !policy.shadow.is_empty() {
            let told = self.ask(person, Question::get(format!("{path}/shadow"))).await?;
            report = Some(Report::of(&told));
        }
        let versions = told["versions"].as_array().into_iter().flatten();
        Ok(PolicyPage {
            versions: versions.map(|version| Version::of(version, &policy)).collect(),
            may_change: may[0] && !policy.builtin,
            shell,
            policy,
            report,
            error,
        })
    }
}

impl Policy {
    fn of(policy: &Value) -> Self {
        let words = |list: &Value| {
            let words = list.as_array().into_iter().flatten().filter_map(Value::as_str);
            words.map(|word| word.replace('-', " ")).collect::<Vec<_>>().join(", ")
        };
        let manifest = &policy["active"]["manifest"];
        let name = text_of(policy, "name");
        Self {
            href: format!("/policies/{}", segment(&name)),
            name,
            guard: policy["type"] == "guard",
            builtin: policy["builtin"] == true,
            active: text_of(&policy["active"], "version"),
            previous: text_of(policy, "previous"),
            shadow: text_of(&policy["shadow"], "version"),
            percent: policy["shadow"]["percent"].as_u64().unwrap_or_default(),
            holders: policy["holders"].as_u64().unwrap_or_default(),
            scopes: words(&manifest["scopes"]),
            kinds: words(&manifest["subject_kinds"]),
            inputs: words(&manifest["inputs"]),
            settings: pretty(&policy["settings"]),
        }
    }
}

impl Version {
    fn of(version: &Value, policy: &Policy) -> Self {
        let name = text_of(version, "version");
        let state = if name == policy.active {
            "active"
        } else if name == policy.shadow {
            "shadow"
        } else if name == policy.previous {
            "previous"
        } else {
            ""
        };
        let signed = match (&version["signed_by"], &version["signature_verified"]) {
            (Value::String(key), Value::Bool(true)) => format!("by {key}"),
            (Value::String(key), _) => format!("by {key}, which is not trusted here"),
            _ => String::new(),
        };
        Self {
            state,
            signed,
            version: name,
            digest: text_of(version, "digest"),
            class: text_of(version, "class"),
            size_kib: version["size_bytes"].as_u64().unwrap_or_default().div_ceil(1024),
            published: version["published_at"].as_str().and_then(Moment::read),
        }
    }
}

impl Report {
    fn of(report: &Value) -> Self {
        let flips = report["flips"].as_array().into_iter().flatten();
        Self {
            version: text_of(report, "version"),
            since: report["since"].as_str().and_then(Moment::read),
            evaluations: report["evaluations"].as_u64().unwrap_or_default(),
            flips: flips.map(Flip::of).collect(),
        }
    }
}

impl Flip {
    fn of(flip: &Value) -> Self {
        Self {
            operation: text_of(flip, "operation"),
            subject: text_of(flip, "subject"),
            from: text_of(flip, "from").replace('-', " "),
            to: text_of(flip, "to").replace('-', " "),
            count: flip["count"].as_u64().unwrap_or_default(),
            last: flip["last_at"].as_str().and_then(Moment::read),
            href: format!("/decisions/{}", segment(&text_of(flip, "decision_id"))),
        }
    }
}
