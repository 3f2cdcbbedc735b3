//! `/users/{user}/tokens`: the tokens of service users. A secret is shown once, by the answer that makes it.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use feed::token::Kind;
use feed::{SubjectKind, Thumbprint};
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{STATIC, TokenInfo, changed};
use super::fields::Expiry;
use super::receipt::{WaitQuery, wait_of};
use super::{Api, fields, rules};
use crate::body::{JsonBody, PathParameters};
use crate::error::ApiError;
use crate::identity::Caller;
use crate::store::{AuditEntry, NewToken, Subject};

#[derive(Deserialize)]
pub(super) struct TokenDefinition {
    id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    description: Option<String>,
    expires_at: Option<String>,
    cnf: Option<Value>,
}

/// `GET /users/{user}/tokens`
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(user): PathParameters<String>,
) -> Result<Json<Vec<TokenInfo>>, ApiError> {
    let mut reading = api.read_own(&caller).await?;
    let subject = reading.subject(&user).await?;
    rules::check_not_above(&reading.caller, &subject)?;
    let tokens = reading.view.tokens(&subject).await?;
    Ok(Json(tokens.into_iter().map(TokenInfo::from).collect()))
}

/// `GET /users/{user}/tokens/{token}`
pub(super) async fn read(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((user, token)): PathParameters<(String, String)>,
) -> Result<Json<TokenInfo>, ApiError> {
    let mut reading = api.read_own(&caller).await?;
    let subject = reading.subject(&user).await?;
    rules::check_not_above(&reading.caller, &subject)?;
    let token = reading.view.token(&subject, &token).await?;
    token.map(|token| Json(token.into())).ok_or(ApiError::NotFound)
}

/// `POST /users/{user}/tokens`
pub(super) async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(user): PathParameters<String>,
    JsonBody(body): JsonBody<TokenDefinition>,
) -> Result<Response, ApiError> {
    let mut writing = api.write_own(&caller).await?;
    let subject = writing.subject(&user).await?;
    if subject.kind != SubjectKind::ServiceUser {
        return Err(ApiError::NotAServiceUser);
    }
    rules::check_not_above(&writing.caller, &subject)?;
    let definition = body.checked(writing.change.now_ms())?;
    if writing.change.view.token(&subject, &definition.id).await?.is_some() {
        return Err(ApiError::TokenIdTaken);
    }
    if writing.change.view.tokens_count(&subject).await? >= TOKENS_MAX {
        return Err(ApiError::TooManyTokens);
    }
    let secret = api.random.secret(Kind::Token).map_err(ApiError::internal)?;
    let new = NewToken {
        id: &definition.id,
        digest: secret.digest(),
        description: &definition.description,
        expiry: definition
            .expiry
            .as_ref()
            .map(|expiry| (expiry.text.as_str(), expiry.unix_ms)),
        certificate: definition.certificate,
    };
    writing.change.insert_token(&subject.org, &subject.id, &new).await?;
    let entry = AuditEntry {
        operation: "createUserToken",
        org: subject.org.clone(),
        target: target(&subject, &definition.id),
        before: None,
        after: Some(described(
            &definition.description,
            definition.expiry.as_ref().map(|expiry| &*expiry.text),
            definition.certificate.map(|certificate| certificate.to_string()),
        )),
    };
    let revision = writing.change.commit(entry).await?;
    let mut response = changed(revision, &json!({"token": secret.reveal(), "type": STATIC}));
    // RFC 9111 §5.2.2.5: no cache on the way keeps the secret.
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    Ok(response)
}

/// `DELETE /users/{user}/tokens/{token}`; with `?wait=2s` the answer is a receipt.
pub(super) async fn delete(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((user, token)): PathParameters<(String, String)>,
    query: Result<Query<WaitQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let wait = wait_of(query)?;
    let mut writing = api.write_own(&caller).await?;
    let subject = writing.subject(&user).await?;
    rules::check_not_above(&writing.caller, &subject)?;
    let found = writing.change.view.token(&subject, &token).await?;
    let found = found.ok_or(ApiError::NotFound)?;
    writing.change.delete_token(&subject, &token).await?;
    let entry = AuditEntry {
        operation: "deleteUserToken",
        org: subject.org.clone(),
        target: target(&subject, &token),
        before: Some(described(
            &found.description,
            found.expires_at.as_deref(),
            found.certificate,
        )),
        after: None,
    };
    let revision = writing.change.commit(entry).await?;
    api.revoked(revision, wait).await
}

/// `POST /users/{user}/tokens/{token}/release`: a token that came back with a backup is believed again. Of one that is not held,
/// nothing changes.
pub(super) async fn release(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((user, token)): PathParameters<(String, String)>,
) -> Result<Response, ApiError> {
    let mut writing = api.write_own(&caller).await?;
    let subject = writing.subject(&user).await?;
    rules::check_not_above(&writing.caller, &subject)?;
    let found = writing.change.view.token(&subject, &token).await?;
    let mut found = found.ok_or(ApiError::NotFound)?;
    if !found.held {
        return Ok(Json(TokenInfo::from(found)).into_response());
    }
    writing.change.release_token(&subject, &token).await?;
    found.held = false;
    let entry = AuditEntry {
        operation: "releaseUserToken",
        org: subject.org.clone(),
        target: target(&subject, &token),
        before: Some(json!({"held": true})),
        after: Some(json!({"held": false})),
    };
    let revision = writing.change.commit(entry).await?;
    Ok(changed(revision, &TokenInfo::from(found)))
}

/// Most tokens of one service user, since lists of them come in one piece.
const TOKENS_MAX: u64 = 1000;

/// A definition whose values can be.
struct Definition {
    id: String,
    description: String,
    expiry: Option<Expiry>,
    certificate: Option<Thumbprint>,
}

impl TokenDefinition {
    fn checked(self, now_ms: i64) -> Result<Definition, ApiError> {
        let id = fields::required("id", self.id)?;
        fields::check_token_id(&id)?;
        if fields::required("type", self.kind)? != STATIC {
            return Err(ApiError::Field {
                name: "type",
                rule: "static",
            });
        }
        let description = self.description.unwrap_or_default();
        fields::check_description(&description)?;
        let expiry = self.expires_at.map(|text| fields::expiry(text, now_ms)).transpose()?;
        let certificate = self.cnf.as_ref().map(fields::certificate).transpose()?;
        Ok(Definition {
            id,
            description,
            expiry,
            certificate,
        })
    }
}

fn target(subject: &Subject, token: &str) -> String {
    format!("/users/{}/tokens/{token}", subject.id)
}

fn described(description: &str, expires_at: Option<&str>, certificate: Option<String>) -> Value {
    let mut described = json!({"description": description, "expires_at": expires_at});
    if let Some(certificate) = certificate {
        described["cnf"] = json!({fields::CERTIFICATE: certificate});
    }
    described
}
