//! How the sandbox says no: the orchestrator's two forms of error bodies, and the status of each problem.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

/// Why a request is not done.
#[derive(Debug)]
pub(super) enum Problem {
    /// No credential, or not the sandbox's.
    Unauthorised,
    /// An organisation that is not the sandbox's; the API description has 403 for it.
    ForeignOrg,
    /// No such object; the text names what is missing.
    Missing(&'static str),
    /// No such delta or set: these two are reported as a bare JSON string.
    MissingText(&'static str),
    /// The request cannot be understood or is at odds with the state.
    Invalid(String),
    /// The body is longer than the sandbox reads.
    TooLong,
    /// The id is taken.
    Taken(&'static str),
    /// Not possible for this object, whoever asks.
    Forbidden(&'static str),
    /// An env type that environments still have: the answer lists them.
    InUse(Value),
}

/// Answers a path or a method that the sandbox does not imitate.
pub(super) async fn no_such_path() -> Problem {
    Problem::Missing("operation in this sandbox")
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorised => StatusCode::UNAUTHORIZED,
            Self::ForeignOrg | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Missing(_) | Self::MissingText(_) => StatusCode::NOT_FOUND,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Taken(_) | Self::InUse(_) => StatusCode::CONFLICT,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Unauthorised => "the Authorization header is missing or invalid".to_owned(),
            Self::ForeignOrg => "the organisation is not accessible".to_owned(),
            Self::Missing(what) | Self::MissingText(what) => format!("there is no such {what}"),
            Self::Invalid(message) => message.clone(),
            Self::TooLong => "the body is too long".to_owned(),
            Self::Taken(what) => format!("there is already such {what}"),
            Self::Forbidden(message) => (*message).to_owned(),
            Self::InUse(_) => "environments still have this type".to_owned(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let message = self.message();
        let body = match self {
            Self::InUse(environments) => environments,
            Self::MissingText(_) => Value::String(message),
            Self::Unauthorised
            | Self::ForeignOrg
            | Self::Missing(_)
            | Self::Invalid(_)
            | Self::TooLong
            | Self::Taken(_)
            | Self::Forbidden(_) => json!({"error": format!("API-{}", status.as_u16()), "message": message}),
        };
        (status, Json(body)).into_response()
    }
}

/// A problem of the registry operations, whose error bodies have the one field `error`.
#[derive(Debug)]
pub(super) struct RegistryProblem(Problem);

impl From<Problem> for RegistryProblem {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for RegistryProblem {
    fn into_response(self) -> Response {
        (self.0.status(), Json(json!({"error": self.0.message()}))).into_response()
    }
}
