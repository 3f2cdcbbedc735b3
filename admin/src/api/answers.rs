//! Answers: the objects that clients get back.

use std::collections::BTreeMap;

use axum::Json;
use axum::response::{IntoResponse, Response};
use feed::frame::REVISION_FIELD;
use http::header::HeaderName;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use super::fields::timestamp;
use crate::store::{Invite, Subject, Token};

/// A user, without roles.
#[derive(Debug, Serialize)]
pub(super) struct UserProfile {
    pub id: String,
    pub name: String,
    pub created_at: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// A user, as they see themselves.
#[derive(Debug, Serialize)]
pub(super) struct UserProfileExtended {
    #[serde(flatten)]
    pub profile: UserProfile,
    pub properties: Box<RawValue>,
    /// Roles by object path.
    pub roles: BTreeMap<String, String>,
}

/// A subject and its role on the object that was asked about.
#[derive(Debug, Serialize)]
pub(super) struct UserRole {
    #[serde(flatten)]
    pub profile: UserProfile,
    pub role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invite: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idp_id: Option<String>,
    /// Only told of service users that are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

/// A group of an identity provider.
#[derive(Debug, Serialize)]
pub(super) struct GroupWithRole {
    pub id: String,
    pub group_id: String,
    pub idp_id: String,
    pub role: String,
    pub created_at: String,
}

/// An invitation that has not been followed.
#[derive(Debug, Serialize)]
pub(super) struct UserInvite {
    pub user_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    pub created_at: String,
    pub created_by: String,
    pub expires_at: String,
}

/// A token, without its secret.
#[derive(Debug, Serialize)]
pub(super) struct TokenInfo {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub description: String,
    pub created_at: String,
    pub created_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// Only told of those that are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}

/// What must come with a token: RFC 7800 §3.1, with the member of RFC 8705 §3.1.
#[derive(Debug, Serialize)]
pub(super) struct Confirmation {
    #[serde(rename = "x5t#S256")]
    pub certificate: String,
}

/// Answers a change with what is there now.
pub(super) fn changed(revision: u64, body: &impl Serialize) -> Response {
    with_revision(revision, Json(body).into_response())
}

/// Answers a change after which nothing is there.
pub(super) fn removed(revision: u64) -> Response {
    with_revision(revision, StatusCode::NO_CONTENT.into_response())
}

impl From<Subject> for UserProfile {
    fn from(subject: Subject) -> Self {
        Self {
            id: subject.id,
            name: subject.name,
            created_at: timestamp(subject.created_ms),
            kind: subject.kind.api_name(),
            email: subject.email,
        }
    }
}

impl UserRole {
    /// Returns a subject with the role it holds; `None` when it holds none.
    pub(super) fn of(mut subject: Subject) -> Option<Self> {
        Some(Self {
            role: subject.role.take()?,
            invite: subject.invite.map(Invite::name),
            idp_id: subject.idp_id.take(),
            disabled: subject.disabled,
            profile: subject.into(),
        })
    }
}

impl UserInvite {
    /// Returns the invitation that a member has not followed.
    pub(super) fn of(member: Subject) -> Self {
        Self {
            user_id: member.id,
            email: member.email,
            created_at: timestamp(member.created_ms),
            created_by: member.created_by,
            expires_at: timestamp(member.created_ms.saturating_add(INVITE_MS)),
        }
    }
}

impl From<Token> for TokenInfo {
    fn from(token: Token) -> Self {
        Self {
            id: token.id,
            kind: STATIC,
            description: token.description,
            created_at: timestamp(token.created_ms),
            created_by: token.created_by,
            expires_at: token.expires_at,
            cnf: token.certificate.map(|certificate| Confirmation { certificate }),
            held: token.held,
        }
    }
}

/// The only type of token that the API issues.
pub(super) const STATIC: &str = "static";

/// How long an invitation can be followed: seven days, as the orchestrator's documentation says.
const INVITE_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Tells the revision that a change has made.
pub(super) fn with_revision(revision: u64, mut response: Response) -> Response {
    let name = HeaderName::from_static(REVISION_FIELD);
    response.headers_mut().insert(name, HeaderValue::from(revision));
    response
}
