//! `/orgs/{org}/service-users`: service users as people look for them, a page at a time, with what their tokens come to.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::{Extension, Json};
use feed::{RoleBinding, SubjectKind};
use serde::{Deserialize, Serialize};

use super::fields::timestamp;
use super::{Api, Reading};
use crate::body::PathParameters;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::store::service_users::{Order, ServiceUser, State as Which, Wanted};

#[derive(Debug, Default, Deserialize)]
pub(super) struct ListQuery {
    /// What the name, the id or the address contains.
    #[serde(default)]
    q: String,
    #[serde(default)]
    role: String,
    state: Option<String>,
    /// `name`, `created`, `role` or `ending`; with `-` in front, the other way round.
    sort: Option<String>,
    offset: Option<u64>,
    limit: Option<u64>,
}

/// A page of service users.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    /// How many there are on all pages.
    total: u64,
    service_users: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    created_at: String,
    disabled: bool,
    role: Option<String>,
    tokens: i64,
    tokens_ended: i64,
    next_end_at: Option<String>,
}

/// One service user, with all roles.
#[derive(Debug, Serialize)]
pub(super) struct Whole {
    id: String,
    name: String,
    email: Option<String>,
    created_at: String,
    created_by: String,
    disabled: bool,
    roles: Vec<RoleBinding>,
    /// The revision at which this was so.
    revision: u64,
}

/// How many tokens end when.
#[derive(Debug, Serialize)]
pub(super) struct TokenEnds {
    ended: u64,
    /// Within so many days, and not within fewer.
    within_days: Vec<Within>,
    later: u64,
    never: u64,
}

#[derive(Debug, Serialize)]
struct Within {
    days: i64,
    tokens: u64,
}

/// `GET /orgs/{org}/service-users`
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(org): PathParameters<String>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Page>, ApiError> {
    let Query(query) = query.map_err(|_malformed| LIMIT)?;
    let wanted = query.wanted(api.clock.unix_ms())?;
    let mut reading = api.read(&caller, &org).await?;
    let (total, found) = reading.view.service_users(&org, &wanted).await?;
    Ok(Json(Page {
        total,
        service_users: found.into_iter().map(Line::from).collect(),
    }))
}

/// `GET /orgs/{org}/service-users/{user}`
pub(super) async fn read(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, user)): PathParameters<(String, String)>,
) -> Result<Json<Whole>, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    reading.service_user(&user).await.map(Json)
}

/// `GET /orgs/{org}/token-ends`
pub(super) async fn token_ends(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(org): PathParameters<String>,
) -> Result<Json<TokenEnds>, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    let now_ms = api.clock.unix_ms();
    let never = reading.view.tokens_without_end(&org).await?;
    let mut until = vec![reading.view.tokens_ending_until(&org, now_ms).await?];
    for days in DAYS {
        until.push(
            reading
                .view
                .tokens_ending_until(&org, now_ms.saturating_add(days * DAY_MS))
                .await?,
        );
    }
    let all = reading.view.tokens_ending_until(&org, i64::MAX).await?;
    let within = DAYS.into_iter().zip(until.windows(2));
    Ok(Json(TokenEnds {
        ended: until[0],
        within_days: within
            .map(|(days, pair)| Within {
                days,
                tokens: pair[1].saturating_sub(pair[0]),
            })
            .collect(),
        later: all.saturating_sub(until[DAYS.len()]),
        never,
    }))
}

impl Reading {
    async fn service_user(&mut self, id: &str) -> Result<Whole, ApiError> {
        let subject = self.subject(id).await?;
        if subject.kind != SubjectKind::ServiceUser {
            return Err(ApiError::NotFound);
        }
        Ok(Whole {
            roles: self.view.roles(id).await?,
            revision: self.view.revision().await?,
            id: subject.id,
            name: subject.name,
            email: subject.email,
            created_at: timestamp(subject.created_ms),
            created_by: subject.created_by,
            disabled: subject.disabled,
        })
    }
}

impl ListQuery {
    fn wanted(self, now_ms: i64) -> Result<Wanted, ApiError> {
        let state = match self.state.as_deref() {
            None | Some("") => None,
            Some("disabled") => Some(Which::Disabled),
            Some("without-token") => Some(Which::Tokenless),
            Some("ending") => Some(Which::Ending),
            Some("ended") => Some(Which::Ended),
            Some(_) => {
                return Err(ApiError::Field {
                    name: "state",
                    rule: "disabled, without-token, ending or ended",
                });
            }
        };
        let sort = self.sort.as_deref().unwrap_or("name");
        let (descending, sort) = match sort.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, sort),
        };
        let order = match sort {
            "name" => Order::Name,
            "created" => Order::Created,
            "role" => Order::Role,
            "ending" => Order::Ending,
            _ => {
                return Err(ApiError::Field {
                    name: "sort",
                    rule: "name, created, role or ending, with or without - in front",
                });
            }
        };
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) || self.q.chars().count() > TEXT_CHARS_MAX {
            return Err(LIMIT);
        }
        Ok(Wanted {
            text: self.q,
            role: self.role,
            state,
            order,
            descending,
            offset: self.offset.unwrap_or_default(),
            limit,
            now_ms,
            soon_ms: now_ms.saturating_add(SOON_MS),
        })
    }
}

impl From<ServiceUser> for Line {
    fn from(user: ServiceUser) -> Self {
        Self {
            id: user.id,
            name: user.name,
            email: user.email,
            created_at: timestamp(user.created_ms),
            disabled: user.disabled,
            role: user.role,
            tokens: user.tokens,
            tokens_ended: user.ended,
            next_end_at: user.next_end_ms.map(timestamp),
        }
    }
}

const LIMIT: ApiError = ApiError::Field {
    name: "limit",
    rule: "a number from 1 to 1000; offset: a number; q: at most 100 characters",
};

/// How many are told of when no number is asked for.
const LIMIT_DEFAULT: u64 = 100;

/// Most in one answer.
const LIMIT_MAX: u64 = 1000;

/// Longest text that is looked for.
const TEXT_CHARS_MAX: usize = 100;

/// A token that ends within a fortnight ends soon.
const SOON_MS: i64 = 14 * DAY_MS;

/// Within how many days tokens are counted.
const DAYS: [i64; 5] = [7, 14, 30, 90, 365];

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
