//! `/members`: who of the people has which role, and who is invited.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::Console;
use super::ask::{Question, Refused, segment, text_of};
use super::door::Person;
use super::form::{Field, Typed};
use super::moment::Moment;
use super::roles::Choice;
use super::shell::{Shell, page};

#[derive(Debug, Template)]
#[template(path = "members.html")]
struct MembersPage {
    shell: Shell,
    members: Vec<Member>,
    choices: Vec<Choice>,
    may: May,
    email: Field,
    role: String,
    /// What is wrong with no field in particular.
    error: Option<String>,
}

#[derive(Debug, Template)]
#[template(path = "member.html")]
struct MemberPage {
    shell: Shell,
    member: Member,
    choices: Vec<Choice>,
    may: May,
    error: Option<String>,
}

/// A member, as the API tells of them.
#[derive(Debug)]
struct Member {
    id: String,
    name: String,
    email: String,
    role: String,
    invited: bool,
    created: Option<Moment>,
    /// Whether this is who looks.
    own: bool,
}

/// What the pages offer.
#[derive(Debug)]
struct May {
    invite: bool,
    change: bool,
    remove: bool,
}

/// `GET /members`
pub(super) async fn list(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
) -> Result<Response, Refused> {
    Ok(page(&console.members(&person, &Typed::default()).await?))
}

/// `POST /members`: an invitation.
pub(super) async fn invite(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    typed: Typed,
) -> Result<Response, Refused> {
    let body = json!({"email": typed.text("email"), "role": typed.text("role")});
    let question = Question::post(format!("/orgs/{}/invitations", person.member.org), body);
    match console.ask(&person, question).await {
        Ok(_) => Ok(Redirect::to("/members").into_response()),
        Err(refused) => {
            let mut shown = console.members(&person, &typed).await?;
            if refused.field() == Some("email") || refused.reason == "email-taken" {
                shown.email.refuse(refused.text());
            } else {
                shown.error = Some(refused.text());
            }
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&shown)).into_response())
        }
    }
}

/// `GET /members/{member}`
pub(super) async fn read(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    Ok(page(&console.member_page(&person, &id, None).await?))
}

/// `POST /members/{member}`: another role.
pub(super) async fn change(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(id): Path<String>,
    typed: Typed,
) -> Result<Response, Refused> {
    let path = format!("/orgs/{}/users/{}", person.member.org, segment(&id));
    let question = Question::patch(path, json!({"role": typed.text("role")}));
    console.changed(&person, &id, question).await
}

/// `POST /members/{member}/remove`
pub(super) async fn remove(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let path = format!("/orgs/{}/users/{}", person.member.org, segment(&id));
    console.changed(&person, &id, Question::delete(path)).await
}

impl Console {
    async fn members(&self, person: &Person, typed: &Typed) -> Result<MembersPage, Refused> {
        let question = Question::get(format!("/orgs/{}/users", person.member.org));
        let users = self.ask(person, question).await?;
        let (shell, may) = self.shell(person, "Members", &offers(person, "any")).await?;
        let people = users
            .as_array()
            .into_iter()
            .flatten()
            .filter(|user| user["type"] == "user");
        Ok(MembersPage {
            shell,
            members: people.map(|user| Member::of(user, person)).collect(),
            choices: self.choices(person, "org", "member").await?,
            may: May::of(&may),
            email: typed.field("email"),
            role: typed.text("role").to_owned(),
            error: None,
        })
    }

    async fn member_page(&self, person: &Person, id: &str, error: Option<String>) -> Result<MemberPage, Refused> {
        let question = Question::get(format!("/orgs/{}/users/{}", person.member.org, segment(id)));
        let user = self.ask(person, question).await?;
        if user["type"] != "user" {
            return Err(Refused::absent());
        }
        let member = Member::of(&user, person);
        let (shell, may) = self.shell(person, member.name.as_str(), &offers(person, id)).await?;
        Ok(MemberPage {
            shell,
            member,
            choices: self.choices(person, "org", "member").await?,
            may: May::of(&may),
            error,
        })
    }

    /// Makes a change of a member and shows them all, or shows the member again with what is wrong.
    async fn changed(&self, person: &Person, id: &str, question: Question) -> Result<Response, Refused> {
        match self.ask(person, question).await {
            Ok(_) => Ok(Redirect::to("/members").into_response()),
            Err(refused) => {
                let shown = self.member_page(person, id, Some(refused.text())).await?;
                Ok((refused.status, page(&shown)).into_response())
            }
        }
    }
}

fn offers(person: &Person, id: &str) -> [Question; 3] {
    let org = &person.member.org;
    let one = format!("/orgs/{org}/users/{}", segment(id));
    [
        Question::post(format!("/orgs/{org}/invitations"), json!({})),
        Question::patch(&one, json!({})),
        Question::delete(one),
    ]
}

impl May {
    fn of(may: &[bool]) -> Self {
        Self {
            invite: may[0],
            change: may[1],
            remove: may[2],
        }
    }
}

impl Member {
    fn of(user: &Value, person: &Person) -> Self {
        Self {
            id: text_of(user, "id"),
            name: text_of(user, "name"),
            email: text_of(user, "email"),
            role: text_of(user, "role"),
            invited: user["invite"] == "pending",
            created: user["created_at"].as_str().and_then(Moment::read),
            own: user["id"] == person.member.id.as_str(),
        }
    }
}
