//! Tokens of a service user: issuing one, which shows its secret this once, and revoking one.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate};
use http::StatusCode;
use serde_json::{Value, json};

use super::Console;
use super::ask::{Question, Refused, segment};
use super::door::Person;
use super::form::{Field, Typed};
use super::moment::{DAY_MS, Moment};
use super::service_user::ServiceUser;
use super::shell::{Shell, page};

#[derive(Debug, Template)]
#[template(path = "token_form.html")]
struct FormPage {
    shell: Shell,
    user: ServiceUser,
    id: Field,
    description: Field,
    /// Days, `date` or `never`.
    expiry: Field,
    date: Field,
    presets: Vec<Preset>,
    /// The first day that can be chosen.
    tomorrow: String,
    error: Option<String>,
}

/// An expiry that can be chosen at a click.
#[derive(Debug)]
struct Preset {
    days: i64,
    text: &'static str,
    end: Moment,
}

/// The page that shows a secret. Nothing but this answer holds it.
#[derive(Template)]
#[template(path = "token_issued.html")]
struct IssuedPage {
    shell: Shell,
    user: ServiceUser,
    id: String,
    secret: String,
    end: Option<Moment>,
    url: String,
}

#[derive(Debug, Template)]
#[template(path = "confirm_revoke.html")]
struct RevokePage {
    shell: Shell,
    user: ServiceUser,
    id: String,
    description: String,
    action: String,
}

#[derive(Debug, Template)]
#[template(path = "token_revoked.html")]
struct RevokedPage {
    shell: Shell,
    user: ServiceUser,
    id: String,
    revision: u64,
    refused_by: Vec<(String, u64)>,
    not_heard_from: Vec<(String, Option<Moment>)>,
    all_refuse_by: Option<Moment>,
}

/// `GET /service-users/{user}/tokens/new`
pub(super) async fn new(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(user): Path<String>,
) -> Result<Response, Refused> {
    Ok(page(&console.token_form(&person, &user, &Typed::default()).await?))
}

/// `POST /service-users/{user}/tokens`: the answer is the only one that ever holds the secret.
pub(super) async fn issue(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(user): Path<String>,
    typed: Typed,
) -> Result<Response, Refused> {
    let mut form = console.token_form(&person, &user, &typed).await?;
    let unfit = |form: FormPage| Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&form)).into_response());
    let now_ms = console.api.clock.unix_ms();
    let expires_at = match expiry(&typed, now_ms) {
        Ok(expires_at) => expires_at,
        Err(why) => {
            form.date.refuse(why);
            return unfit(form);
        }
    };
    let mut body = json!({"id": typed.text("id"), "type": "static", "description": typed.text("description")});
    if let Some(expires_at) = &expires_at {
        body["expires_at"] = Value::from(expires_at.as_str());
    }
    let question = Question::post(format!("/users/{}/tokens", segment(&user)), body);
    match console.ask(&person, question).await {
        Ok(mut made) => {
            let Value::String(secret) = made["token"].take() else {
                return Err(Refused::failed());
            };
            Ok(page(&IssuedPage {
                shell: form.shell,
                user: form.user,
                id: form.id.value,
                secret,
                end: expires_at.as_deref().and_then(Moment::read),
                url: console.gateway_url.clone(),
            }))
        }
        Err(refused) => {
            form.refuse(&refused);
            unfit(form)
        }
    }
}

/// `GET /service-users/{user}/tokens/{token}/revoke`
pub(super) async fn confirm_revoke(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path((user, token)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let user = console.service_user(&person, &user).await?;
    let path = format!("/users/{}/tokens/{}", user.id, segment(&token));
    let found = console.ask(&person, Question::get(&path)).await?;
    let title = format!("Revoke {token}");
    let (shell, may) = console.shell(&person, title, &[Question::delete(path)]).await?;
    if !may[0] {
        return Err(Refused::not_allowed());
    }
    Ok(page(&RevokePage {
        action: format!("/service-users/{}/tokens/{}/revoke", user.id, segment(&token)),
        description: found["description"].as_str().unwrap_or_default().to_owned(),
        id: token,
        user,
        shell,
    }))
}

/// `POST /service-users/{user}/tokens/{token}/revoke`: the answer says which gateways refuse the token by now.
pub(super) async fn revoke(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path((user, token)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let user = console.service_user(&person, &user).await?;
    let question = Question::delete(format!("/users/{}/tokens/{}", user.id, segment(&token)));
    let receipt = console.ask(&person, question.with(&[("wait", RECEIPT_WAIT)])).await?;
    let (shell, _) = console.shell(&person, format!("{token} is revoked"), &[]).await?;
    let list = |name: &str| receipt[name].as_array().cloned().unwrap_or_default().into_iter();
    let name = |gateway: &Value| gateway["gateway"].as_str().unwrap_or_default().to_owned();
    let refused_by =
        list("refused_by").map(|gateway| (name(&gateway), gateway["after_ms"].as_u64().unwrap_or_default()));
    let not_heard_from =
        list("not_heard_from").map(|gateway| (name(&gateway), gateway["refuses_by"].as_str().and_then(Moment::read)));
    Ok(page(&RevokedPage {
        shell,
        user,
        id: token,
        revision: receipt["revision"].as_u64().unwrap_or_default(),
        refused_by: refused_by.collect(),
        not_heard_from: not_heard_from.collect(),
        all_refuse_by: receipt["all_refuse_by"].as_str().and_then(Moment::read),
    }))
}

impl Console {
    async fn token_form(&self, person: &Person, user: &str, typed: &Typed) -> Result<FormPage, Refused> {
        let user = self.service_user(person, user).await?;
        let question = Question::post(format!("/users/{}/tokens", user.id), json!({}));
        let (shell, may) = self
            .shell(person, format!("New token for {}", user.name), &[question])
            .await?;
        if !may[0] {
            return Err(Refused::not_allowed());
        }
        let now_ms = self.api.clock.unix_ms();
        let mut expiry = typed.field("expiry");
        if expiry.value.is_empty() {
            DEFAULT_DAYS.clone_into(&mut expiry.value);
        }
        let preset = |(days, text)| Preset {
            days,
            text,
            end: Moment::of_ms(now_ms + days * DAY_MS),
        };
        Ok(FormPage {
            shell,
            user,
            id: typed.field("id"),
            description: typed.field("description"),
            expiry,
            date: typed.field("date"),
            presets: PRESETS.into_iter().map(preset).collect(),
            tomorrow: Moment::of_ms(now_ms + DAY_MS).iso[..10].to_owned(),
            error: None,
        })
    }
}

impl FormPage {
    /// Puts a refusal beside the field that it is about.
    fn refuse(&mut self, refused: &Refused) {
        let field = match (refused.field(), refused.reason.as_str()) {
            (Some("id"), _) | (_, "token-id-taken") => &mut self.id,
            (Some("description"), _) => &mut self.description,
            (Some("expires_at"), _) => &mut self.date,
            _ => {
                self.error = Some(refused.text());
                return;
            }
        };
        field.refuse(refused.text());
    }
}

/// Returns the expiry that was chosen, as the API takes it; a date ends with its day, in UTC.
fn expiry(typed: &Typed, now_ms: i64) -> Result<Option<String>, &'static str> {
    let whole_seconds = |ms: i64| {
        let time = DateTime::from_timestamp_millis(ms).unwrap_or_default();
        time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
    };
    match typed.text("expiry") {
        "never" => Ok(None),
        "date" => {
            let date = NaiveDate::parse_from_str(typed.text("date"), "%Y-%m-%d");
            let date = date.map_err(|_malformed| "Choose a day, as YYYY-MM-DD.")?;
            Ok(Some(format!("{date}T23:59:59Z")))
        }
        days => {
            let preset = PRESETS.into_iter().find(|(preset, _)| preset.to_string() == days);
            let (days, _) = preset.ok_or("Choose when the token ends.")?;
            Ok(Some(whole_seconds(now_ms + days * DAY_MS)))
        }
    }
}

const PRESETS: [(i64, &str); 4] = [(7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "1 year")];

/// What is chosen before anybody has.
const DEFAULT_DAYS: &str = "90";

/// How long gateways have to confirm; people wait for it.
const RECEIPT_WAIT: &str = "3s";
