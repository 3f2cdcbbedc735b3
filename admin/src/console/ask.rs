//! Asking: what a page wants is put as requests of the API, decided as a gateway would, and handed to the API's routes.

use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse, Response};
use engine::Inputs;
use engine::matrix::Matrix;
use feed::Subject;
use feed::decision::RecordedOutcome;
use http::{Method, Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::Console;
use super::door::Person;
use super::shell::{ErrorPage, page};
use crate::error::ApiError;
use crate::identity::Caller;

/// A request of the API, yet to be decided.
#[derive(Debug, Clone)]
pub(super) struct Question {
    method: Method,
    path: String,
    query: String,
    body: Option<Value>,
}

/// Why nothing came of a request, as the API tells it.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    pub status: StatusCode,
    pub reason: String,
    pub message: String,
    pub details: Value,
}

impl Question {
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path.into(), None)
    }

    pub(super) fn post(path: impl Into<String>, body: Value) -> Self {
        Self::new(Method::POST, path.into(), Some(body))
    }

    pub(super) fn patch(path: impl Into<String>, body: Value) -> Self {
        Self::new(Method::PATCH, path.into(), Some(body))
    }

    pub(super) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path.into(), None)
    }

    /// Returns it with parameters of a query; those without a value are left out.
    pub(super) fn with(mut self, parameters: &[(&str, &str)]) -> Self {
        for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
            let mark = if self.query.is_empty() { '?' } else { '&' };
            self.query.push(mark);
            self.query.push_str(name);
            self.query.push('=');
            self.query.push_str(&segment(value));
        }
        self
    }

    fn new(method: Method, path: String, body: Option<Value>) -> Self {
        Self {
            method,
            path,
            query: String::new(),
            body,
        }
    }
}

impl Console {
    /// Returns whether each of these would be allowed now. What is allowed may still break a rule of the API.
    pub(super) async fn may(&self, person: &Person, questions: &[Question]) -> Result<Vec<bool>, Refused> {
        let outcomes = self.decide(person, questions.to_vec()).await?;
        Ok(outcomes.iter().map(RecordedOutcome::is_allowed).collect())
    }

    /// Decides, and hands on what is allowed; returns the answer's body, null when it has none.
    pub(super) async fn ask(&self, person: &Person, question: Question) -> Result<Value, Refused> {
        let outcomes = self.decide(person, vec![question.clone()]).await?;
        if let Some(refused) = outcomes.into_iter().find_map(Refused::of_outcome) {
            self.counts.refused();
            tracing::info!(
                subject = person.member.id,
                method = %question.method,
                path = question.path,
                reason = refused.reason,
                "the console refused a request"
            );
            return Err(refused);
        }
        self.hand_on(person, question).await
    }

    async fn decide(&self, person: &Person, questions: Vec<Question>) -> Result<Vec<RecordedOutcome>, Refused> {
        let org = person.member.org.clone();
        let decided = async {
            let mut view = self.api.store.view().await?;
            let policies = view.policies_now(&org).await?;
            let subject = Subject {
                roles: view.roles(&person.member.id).await?,
                id: person.member.id.clone(),
                kind: person.member.kind,
                org,
            };
            drop(view);
            let time_ms = u64::try_from(self.api.clock.unix_ms()).ok();
            let source = person.source.clone();
            let work = move |set: &engine::PolicySet, catalogue: &catalogue::Catalogue| {
                let decide = |question: &Question| {
                    let body = question.body.as_ref().map(Value::to_string);
                    let inputs = Inputs {
                        time_ms,
                        source_address: source.as_deref(),
                        query: question.query.strip_prefix('?'),
                        json_body: body.as_deref(),
                        ..Inputs::default()
                    };
                    let matrix = Matrix {
                        set,
                        catalogue,
                        subject: &subject,
                        inputs,
                    };
                    match catalogue.identify(question.method.as_str(), &question.path) {
                        Ok(matched) if matched.org().is_none_or(|org| org == subject.org) => {
                            matrix.decide(&matched, &[], |decision| RecordedOutcome::from(&decision.outcome))
                        }
                        Ok(_) | Err(_) => RecordedOutcome::NotAllowed,
                    }
                };
                questions.iter().map(decide).collect()
            };
            self.api.evaluator.ask(&self.api.store, policies, work).await
        };
        let decided: Result<_, ApiError> = decided.await;
        match decided {
            Ok(outcomes) => Ok(outcomes),
            Err(error) => Err(Refused::of_answer(error.into_response()).await),
        }
    }

    async fn hand_on(&self, person: &Person, question: Question) -> Result<Value, Refused> {
        let body = question.body.map(|body| body.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(question.method)
            .uri(format!("{}{}", question.path, question.query))
            .extension(Caller {
                subject: person.member.id.clone(),
                token: person.session.id.clone(),
            })
            .body(Body::from(body));
        let Ok(request) = request else {
            return Err(Refused::absent());
        };
        let Ok(response) = self.routes.clone().oneshot(request).await;
        if !response.status().is_success() {
            return Err(Refused::of_answer(response).await);
        }
        let octets = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await;
        let octets = octets.map_err(|_too_long| Refused::failed())?;
        if octets.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&octets).map_err(|_malformed| Refused::failed())
    }
}

impl Refused {
    /// Returns the refusal of a page that is not there.
    pub(super) fn absent() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such page.")
    }

    /// Returns the refusal of a request that another site has made a browser send.
    pub(super) fn foreign() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "foreign-request",
            "This request did not come from a page of this console.",
        )
    }

    /// Returns the refusal of a page whose form the person could not send.
    pub(super) fn not_allowed() -> Self {
        Self::new(StatusCode::FORBIDDEN, "not-allowed", NOT_ALLOWED)
    }

    /// Returns the refusal of a form that is too long, too slow, or none.
    pub(super) fn unread() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "form-unread",
            "The form could not be read: it is too large, came too slowly, or is none.",
        )
    }

    pub(super) fn failed() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal-error",
            "Something failed. The reason has been logged.",
        )
    }

    /// Returns the name of the field that it is about.
    pub(super) fn field(&self) -> Option<&str> {
        self.details["field"].as_str()
    }

    /// Returns what people are told.
    pub(super) fn text(&self) -> String {
        match self.details["rule"].as_str() {
            Some(rule) => format!("It has to be {rule}."),
            None => self.message.clone(),
        }
    }

    fn new(status: StatusCode, reason: &str, message: &str) -> Self {
        Self {
            status,
            reason: reason.to_owned(),
            message: message.to_owned(),
            details: json!({}),
        }
    }

    fn of_outcome(outcome: RecordedOutcome) -> Option<Self> {
        let refused = |reason: &str, message: &str| Some(Self::new(StatusCode::FORBIDDEN, reason, message));
        match outcome {
            RecordedOutcome::Allowed { .. } => None,
            RecordedOutcome::NotAllowed => Some(Self::not_allowed()),
            RecordedOutcome::Denied { guard, reason } => {
                refused("denied", &format!("The guard {guard} refuses this: {reason}"))
            }
            RecordedOutcome::Undecided { by, .. } => Some(Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "undecided",
                &format!("The policy {by} gives no verdict at the moment."),
            )),
        }
    }

    async fn of_answer(response: Response) -> Self {
        let status = response.status();
        let octets = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await;
        let body: Value = octets
            .ok()
            .and_then(|octets| serde_json::from_slice(&octets).ok())
            .unwrap_or_default();
        Self {
            status,
            reason: body["error"].as_str().unwrap_or("internal-error").to_owned(),
            message: body["message"].as_str().unwrap_or_default().to_owned(),
            details: body["details"].clone(),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let title = match self.status {
            StatusCode::NOT_FOUND => "Not here",
            StatusCode::FORBIDDEN => "Not allowed",
            StatusCode::SERVICE_UNAVAILABLE => "Not now",
            _ => "That did not work",
        };
        let status = self.status;
        (status, page(&ErrorPage::of(title, &self))).into_response()
    }
}

/// Returns a text of an answer; empty when it is not there.
pub(super) fn text_of(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap_or_default().to_owned()
}

/// Returns a part of an answer as JSON for people; empty when it is not there.
pub(super) fn pretty(part: &Value) -> String {
    match part.is_null() {
        true => String::new(),
        false => serde_json::to_string_pretty(part).unwrap_or_default(),
    }
}

/// Returns an address with parameters; those without a value are left out.
pub(super) fn query(path: &str, parameters: &[(&str, &str)]) -> String {
    let given = parameters.iter().filter(|(_, value)| !value.is_empty());
    let given: Vec<String> = given
        .map(|(name, value)| format!("{name}={}", segment(value)))
        .collect();
    match given.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", given.join("&")),
    }
}

const NOT_ALLOWED: &str = "None of your roles allows this.";

/// Longest answer of the API that a page is made from, in octets: all that its lists may hold.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// RFC 3986 §3.3: what may stand in a segment as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns a text as a segment of a path, or as a value in a query.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}
