//! `/service-users/{user}`: one service user, with its roles, its tokens and what was decided on its requests.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::Console;
use super::ask::{Question, Refused, segment};
use super::decisions::Line;
use super::door::Person;
use super::form::Typed;
use super::moment::Moment;
use super::roles::Choice;
use super::service_users::SOON_DAYS;
use super::shell::{Shell, page};

/// A service user, as the API tells of it.
#[derive(Debug)]
pub(super) struct ServiceUser {
    pub id: String,
    pub name: String,
    pub email: String,
    pub role: String,
    pub disabled: bool,
    pub created: Option<Moment>,
    /// Roles on apps and env types: the kind of the object, its id, and the role.
    pub roles: Vec<(&'static str, String, String)>,
}

/// A token in the list of its service user.
#[derive(Debug)]
struct TokenLine {
    id: String,
    href: String,
    description: String,
    created: Option<Moment>,
    end: Option<(Moment, String)>,
    /// `good`, `soon`, `ended`, `held` or `disabled`.
    state: &'static str,
}

#[derive(Debug, Template)]
#[template(path = "service_user.html")]
struct ServiceUserPage {
    shell: Shell,
    user: ServiceUser,
    tokens: Option<Vec<TokenLine>>,
    decisions: Option<Vec<Line>>,
    app_choices: Vec<Choice>,
    env_type_choices: Vec<Choice>,
    may: May,
    /// What was typed to give it a role, and why that was refused.
    object: String,
    choice: String,
    role_error: Option<String>,
}

/// What the page offers.
#[derive(Debug)]
struct May {
    edit: bool,
    delete: bool,
    issue: bool,
    revoke: bool,
    give_roles: bool,
    access: bool,
}

/// `GET /service-users/{user}`
pub(super) async fn read(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(user): Path<String>,
) -> Result<Response, Refused> {
    Ok(page(&console.service_user_page(&person, &user).await?))
}

impl Console {
    /// Returns a service user as it is now.
    pub(super) async fn service_user(&self, person: &Person, id: &str) -> Result<ServiceUser, Refused> {
        let path = format!("/orgs/{}/service-users/{}", person.member.org, segment(id));
        let answer = self.ask(person, Question::get(path)).await?;
        Ok(ServiceUser::of(&answer, &person.member.org))
    }

    /// Shows the page again, with why a role was not given.
    pub(super) async fn with_role_error(
        &self,
        person: &Person,
        user: &str,
        typed: &Typed,
        why: &str,
    ) -> Result<Response, Refused> {
        let mut shown = self.service_user_page(person, user).await?;
        shown.object = typed.text("object").to_owned();
        shown.choice = typed.text("choice").to_owned();
        shown.role_error = Some(why.to_owned());
        Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&shown)).into_response())
    }

    async fn service_user_page(&self, person: &Person, id: &str) -> Result<ServiceUserPage, Refused> {
        let user = self.service_user(person, id).await?;
        let org = &person.member.org;
        let (one, tokens) = (
            format!("/orgs/{org}/users/{}", segment(id)),
            format!("/users/{}/tokens", segment(id)),
        );
        let offers = [
            Question::patch(&one, json!({})),
            Question::delete(&one),
            Question::post(&tokens, json!({})),
            Question::delete(format!("{tokens}/any")),
            Question::post(format!("/orgs/{org}/apps/any/users"), json!({})),
            Question::get(&tokens),
            Question::get(format!("/orgs/{org}/decisions")),
            Question::get(format!("{one}/access")),
        ];
        let (shell, may) = self.shell(person, user.name.as_str(), &offers).await?;
        let now_ms = self.api.clock.unix_ms();
        let mut tokens_shown = None;
        if may[5] {
            // A manager may look at tokens, but not at those of an administrator.
            let asked = self.ask(person, Question::get(&tokens)).await.ok();
            let lines = asked.as_ref().and_then(Value::as_array);
            tokens_shown = lines.map(|lines| lines.iter().map(|token| TokenLine::of(token, &user, now_ms)).collect());
        }
        let mut decisions = None;
        if may[6] {
            decisions = Some(self.decisions(person, id, DECISIONS).await?);
        }
        Ok(ServiceUserPage {
            app_choices: self.choices(person, "app", "service-user").await?,
            env_type_choices: self.choices(person, "env-type", "service-user").await?,
            may: May {
                edit: may[0],
                delete: may[1],
                issue: may[2] && tokens_shown.is_some(),
                revoke: may[3],
                give_roles: may[4],
                access: may[7],
            },
            tokens: tokens_shown,
            decisions,
            user,
            shell,
            object: String::new(),
            choice: String::new(),
            role_error: None,
        })
    }
}

impl ServiceUser {
    fn of(answer: &Value, org: &str) -> Self {
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let mut role = String::new();
        let mut roles = Vec::new();
        for held in answer["roles"].as_array().into_iter().flatten() {
            let scope = held["scope"].as_str().unwrap_or_default();
            let name = held["role"].as_str().unwrap_or_default().to_owned();
            let below = scope.strip_prefix(&format!("/orgs/{org}/"));
            match below.and_then(|below| below.split_once('/')) {
                Some(("apps", app)) => roles.push(("app", app.to_owned(), name)),
                Some(("env-types", env_type)) => roles.push(("env-type", env_type.to_owned(), name)),
                _ => role = name,
            }
        }
        Self {
            id: text("id"),
            name: text("name"),
            email: text("email"),
            role,
            disabled: answer["disabled"].as_bool().unwrap_or_default(),
            created: answer["created_at"].as_str().and_then(Moment::read),
            roles,
        }
    }
}

impl TokenLine {
    fn of(token: &Value, user: &ServiceUser, now_ms: i64) -> Self {
        let text = |name: &str| token[name].as_str().unwrap_or_default().to_owned();
        let end = token["expires_at"].as_str().and_then(Moment::read);
        let state = match &end {
            _ if token["held"] == true => "held",
            Some(end) if end.is_over(now_ms) => "ended",
            _ if user.disabled => "disabled",
            Some(end) if end.days_left(now_ms) < SOON_DAYS => "soon",
            _ => "good",
        };
        Self {
            id: text("id"),
            href: format!("/service-users/{}/tokens/{}/revoke", user.id, segment(&text("id"))),
            description: text("description"),
            created: token["created_at"].as_str().and_then(Moment::read),
            end: end.map(|end| {
                let relative = end.relative(now_ms);
                (end, relative)
            }),
            state,
        }
    }
}

/// How many decisions the page shows.
const DECISIONS: usize = 10;
