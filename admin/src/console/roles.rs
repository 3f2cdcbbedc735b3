//! Roles: which can be given, and giving and taking them on apps and env types.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::{Value, json};

use super::Console;
use super::ask::{Question, Refused, segment};
use super::door::Person;
use super::form::Typed;
use crate::roles::dominates;

/// A role that can be chosen.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub name: String,
    pub about: &'static str,
}

/// `POST /service-users/{user}/roles`: a role on an app or an env type.
pub(super) async fn give(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(user): Path<String>,
    typed: Typed,
) -> Result<Response, Refused> {
    let (kind, role) = typed.text("choice").split_once(':').unwrap_or_default();
    let object = typed.text("object");
    let path = match holders(&person.member.org, kind, object) {
        Some(path) if !object.is_empty() => path,
        _ => {
            return console
                .with_role_error(&person, &user, &typed, "Name the app or the env type.")
                .await;
        }
    };
    let question = Question::post(path, json!({"id": user, "role": role}));
    match console.ask(&person, question).await {
        Ok(_) => Ok(Redirect::to(&format!("/service-users/{}#roles", segment(&user))).into_response()),
        Err(refused) => {
            let why = refused.text();
            console.with_role_error(&person, &user, &typed, &why).await
        }
    }
}

/// `POST /service-users/{user}/roles/take`
pub(super) async fn take(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(user): Path<String>,
    typed: Typed,
) -> Result<Response, Refused> {
    let path = holders(&person.member.org, typed.text("kind"), typed.text("object")).ok_or_else(Refused::absent)?;
    let question = Question::delete(format!("{path}/{}", segment(&user)));
    console.ask(&person, question).await?;
    Ok(Redirect::to(&format!("/service-users/{}#roles", segment(&user))).into_response())
}

/// Returns the path of the API for the holders of roles on an object.
fn holders(org: &str, kind: &str, object: &str) -> Option<String> {
    match kind {
        "app" => Some(format!("/orgs/{org}/apps/{}/users", segment(object))),
        "env-type" => Some(format!("/orgs/{org}/env-types/{}/users", segment(object))),
        _ => None,
    }
}

impl Console {
    /// Returns the roles that such a subject can hold on such an object, and that this person may give.
    pub(super) async fn choices(&self, person: &Person, scope: &str, kind: &str) -> Result<Vec<Choice>, Refused> {
        let own = person.member.role.as_deref();
        let names = self.role_names(person, scope, kind).await?.into_iter();
        let given = names.filter(|name| scope != "org" || dominates(own, Some(name)));
        let about = |name: &str| {
            ABOUT
                .iter()
                .find(|(role, _)| *role == name)
                .map_or("", |(_, about)| about)
        };
        Ok(given
            .map(|name| Choice {
                about: about(&name),
                name,
            })
            .collect())
    }

    /// Returns the roles that such a subject can hold on such an object; none to whoever may not look at policies.
    pub(super) async fn role_names(&self, person: &Person, scope: &str, kind: &str) -> Result<Vec<String>, Refused> {
        let question = Question::get(format!("/orgs/{}/policies", person.member.org));
        if !self.may(person, std::slice::from_ref(&question)).await?[0] {
            return Ok(Vec::new());
        }
        let policies = self.ask(person, question).await?;
        let has = |list: &Value, wanted: &str| {
            let mut words = list.as_array().into_iter().flatten();
            words.any(|word| word.as_str() == Some(wanted))
        };
        let fits = |policy: &&Value| {
            let manifest = &policy["active"]["manifest"];
            policy["type"] == "role" && has(&manifest["scopes"], scope) && has(&manifest["subject_kinds"], kind)
        };
        let found = policies.as_array().into_iter().flatten().filter(fits);
        Ok(found
            .filter_map(|policy| Some(policy["name"].as_str()?.to_owned()))
            .collect())
    }
}

/// What the built-in roles are for, in a few words.
const ABOUT: [(&str, &str); 9] = [
    ("administrator", "everything in the organisation"),
    ("manager", "apps, service users and members, but no administrators"),
    ("member", "what its roles on apps and env types allow"),
    ("artefactContributor", "pushes image builds and artefact versions"),
    ("orgViewer", "reads everything, changes nothing"),
    ("viewer", "reads the app"),
    ("developer", "works on the app and its environments"),
    ("owner", "everything in the app"),
    ("deployer", "deploys to environments of the type"),
];
