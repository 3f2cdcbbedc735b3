//! Creating, changing, disabling and deleting service users.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::Console;
use super::ask::{Question, Refused, segment};
use super::door::Person;
use super::form::{Field, Typed};
use super::moment::Moment;
use super::roles::Choice;
use super::service_user::ServiceUser;
use super::shell::{Shell, page};

#[derive(Debug, Template)]
#[template(path = "service_user_form.html")]
struct FormPage {
    shell: Shell,
    /// Where the form goes, and what its button says.
    action: String,
    button: &'static str,
    back: String,
    fields: Fields,
    choices: Vec<Choice>,
    /// What is wrong with no field in particular.
    error: Option<String>,
    conflict: Option<Conflict>,
}

/// What is asked of a service user.
#[derive(Debug)]
struct Fields {
    name: Field,
    role: Field,
    /// Only when it is made; its changes are elsewhere.
    email: Option<Field>,
    /// What the person saw when they began.
    seen_name: String,
    seen_role: String,
}

/// What another person has changed in the meantime.
#[derive(Debug)]
struct Conflict {
    who: String,
    when: Option<Moment>,
    name: String,
    role: String,
}

#[derive(Debug, Template)]
#[template(path = "confirm_delete.html")]
struct DeletePage {
    shell: Shell,
    user: ServiceUser,
    error: Option<String>,
}

/// `GET /service-users/new`
pub(super) async fn new(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
) -> Result<Response, Refused> {
    Ok(page(&console.create_form(&person, &Typed::default()).await?))
}

/// `POST /service-users`
pub(super) async fn create(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    typed: Typed,
) -> Result<Response, Refused> {
    let body = json!({"name": typed.text("name"), "role": typed.text("role"), "email": typed.text("email")});
    let question = Question::post(format!("/orgs/{}/users", person.member.org), body);
    match console.ask(&person, question).await {
        Ok(made) => {
            let id = made["id"].as_str().unwrap_or_default();
            Ok(Redirect::to(&format!("/service-users/{}", segment(id))).into_response())
        }
        Err(refused) => {
            let mut form = console.create_form(&person, &typed).await?;
            form.refuse(&refused);
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&form)).into_response())
        }
    }
}

/// `GET /service-users/{user}/edit`
pub(super) async fn edit(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(user): Path<String>,
) -> Result<Response, Refused> {
    let user = console.service_user(&person, &user).await?;
    Ok(page(&console.edit_form(&person, &user, None).await?))
}

/// `POST /service-users/{user}`: what another person has changed since the form was shown is not overwritten unseen.
pub(super) async fn update(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(id): Path<String>,
    typed: Typed,
) -> Result<Response, Refused> {
    let user = console.service_user(&person, &id).await?;
    let (name, role) = (typed.text("name"), typed.text("role"));
    let changed = user.name != typed.text("seen-name") || user.role != typed.text("seen-role");
    let wanted_already = user.name == name && user.role == role;
    if changed && !wanted_already {
        let mut form = console.edit_form(&person, &user, Some(&typed)).await?;
        form.conflict = Some(console.conflict(&person, &user).await);
        return Ok((StatusCode::CONFLICT, page(&form)).into_response());
    }
    let mut body = json!({});
    if name != user.name {
        body["name"] = Value::from(name);
    }
    if role != user.role {
        body["role"] = Value::from(role);
    }
    if body.as_object().is_some_and(|changes| !changes.is_empty()) {
        let question = Question::patch(format!("/orgs/{}/users/{}", person.member.org, segment(&id)), body);
        if let Err(refused) = console.ask(&person, question).await {
            let mut form = console.edit_form(&person, &user, Some(&typed)).await?;
            form.refuse(&refused);
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&form)).into_response());
        }
    }
    Ok(Redirect::to(&format!("/service-users/{}", segment(&id))).into_response())
}

/// `POST /service-users/{user}/state`: disabled, or enabled.
pub(super) async fn switch(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(id): Path<String>,
    typed: Typed,
) -> Result<Response, Refused> {
    let body = json!({"disabled": typed.text("disabled") == "true"});
    let question = Question::patch(format!("/orgs/{}/users/{}", person.member.org, segment(&id)), body);
    console.ask(&person, question).await?;
    Ok(Redirect::to(&format!("/service-users/{}", segment(&id))).into_response())
}

/// `GET /service-users/{user}/delete`
pub(super) async fn confirm_delete(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    Ok(page(&console.delete_page(&person, &id, None).await?))
}

/// `POST /service-users/{user}/delete`
pub(super) async fn delete(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(id): Path<String>,
    typed: Typed,
) -> Result<Response, Refused> {
    let user = console.service_user(&person, &id).await?;
    if typed.text("name") != user.name.trim() {
        let why = "This is not its name.".to_owned();
        let asked = console.delete_page(&person, &id, Some(why)).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&asked)).into_response());
    }
    let question = Question::delete(format!("/orgs/{}/users/{}", person.member.org, segment(&id)));
    match console.ask(&person, question).await {
        Ok(_) => Ok(Redirect::to("/service-users").into_response()),
        Err(refused) => {
            let asked = console.delete_page(&person, &id, Some(refused.text())).await?;
            Ok((refused.status, page(&asked)).into_response())
        }
    }
}

impl Console {
    async fn create_form(&self, person: &Person, typed: &Typed) -> Result<FormPage, Refused> {
        let question = Question::post(format!("/orgs/{}/users", person.member.org), json!({}));
        let (shell, may) = self.shell(person, "New service user", &[question]).await?;
        if !may[0] {
            return Err(Refused::not_allowed());
        }
        Ok(FormPage {
            shell,
            action: "/service-users".to_owned(),
            button: "Create service user",
            back: "/service-users".to_owned(),
            fields: Fields {
                name: typed.field("name"),
                role: typed.field("role"),
                email: Some(typed.field("email")),
                seen_name: String::new(),
                seen_role: String::new(),
            },
            choices: self.choices(person, "org", "service-user").await?,
            error: None,
            conflict: None,
        })
    }

    async fn edit_form(&self, person: &Person, user: &ServiceUser, typed: Option<&Typed>) -> Result<FormPage, Refused> {
        let question = Question::patch(format!("/orgs/{}/users/{}", person.member.org, user.id), json!({}));
        let (shell, may) = self.shell(person, format!("Edit {}", user.name), &[question]).await?;
        if !may[0] {
            return Err(Refused::not_allowed());
        }
        let field = |name: &str, now: &str| typed.map_or_else(|| Field::of(now), |typed| typed.field(name));
        let home = format!("/service-users/{}", user.id);
        Ok(FormPage {
            shell,
            action: home.clone(),
            button: "Save changes",
            back: home,
            fields: Fields {
                name: field("name", &user.name),
                role: field("role", &user.role),
                email: None,
                seen_name: user.name.clone(),
                seen_role: user.role.clone(),
            },
            choices: self.choices(person, "org", "service-user").await?,
            error: None,
            conflict: None,
        })
    }

    async fn delete_page(&self, person: &Person, id: &str, error: Option<String>) -> Result<DeletePage, Refused> {
        let user = self.service_user(person, id).await?;
        let question = Question::delete(format!("/orgs/{}/users/{}", person.member.org, user.id));
        let (shell, may) = self.shell(person, format!("Delete {}", user.name), &[question]).await?;
        if !may[0] {
            return Err(Refused::not_allowed());
        }
        Ok(DeletePage { shell, user, error })
    }

    /// Finds out who has changed a service user last, as far as the person may know.
    async fn conflict(&self, person: &Person, user: &ServiceUser) -> Conflict {
        let target = format!("/orgs/{}/users/{}", person.member.org, user.id);
        let question = Question::get(format!("/orgs/{}/audit", person.member.org));
        let entries = self
            .ask(person, question.with(&[("target", &target), ("limit", "1")]))
            .await;
        let entry = entries.unwrap_or_default()[0].take();
        let who = entry["subject_name"].as_str().unwrap_or("Somebody");
        Conflict {
            who: who.to_owned(),
            when: entry["at"].as_str().and_then(Moment::read),
            name: user.name.clone(),
            role: user.role.clone(),
        }
    }
}

impl FormPage {
    /// Puts a refusal beside the field that it is about.
    fn refuse(&mut self, refused: &Refused) {
        let field = match refused.field() {
            Some("name") => Some(&mut self.fields.name),
            Some("role") => Some(&mut self.fields.role),
            Some("email") => self.fields.email.as_mut(),
            _ => match refused.reason.as_str() {
                "unknown-role" | "last-administrator" => Some(&mut self.fields.role),
                "email-taken" => self.fields.email.as_mut(),
                _ => None,
            },
        };
        match field {
            Some(field) => field.refuse(refused.text()),
            None => self.error = Some(refused.text()),
        }
    }
}
