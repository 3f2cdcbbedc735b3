//! `/orgs/{org}/explanations`: why a subject may, or may not, do something; decided as a gateway would, step by step.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::{Extension, Json};
use catalogue::{Catalogue, Matched};
use engine::Inputs;
use engine::matrix::{Matrix, role_on};
use feed::decision::{RecordedEnvType, RecordedInputs, RecordedOutcome, RecordedQuestion, RecordedSubject};
use feed::{RecordedDecision, Scope, Subject};
use serde::Deserialize;

use super::{Api, fields};
use crate::body::{JsonBody, PathParameters};
use crate::error::ApiError;
use crate::identity::Caller;

/// What is asked: an operation by its id and parameters, or by method and path.
#[derive(Deserialize)]
pub(super) struct ExplanationRequest {
    subject: Option<String>,
    operation: Option<String>,
    method: Option<String>,
    path: Option<String>,
    /// As they stand in a path.
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    /// The env types that the operation would concern.
    #[serde(default)]
    env_types: Vec<String>,
    /// What policies may ask for. The time, when it is not given, is now.
    #[serde(default)]
    inputs: RecordedInputs,
}

/// `POST /orgs/{org}/explanations`
pub(super) async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(org): PathParameters<String>,
    JsonBody(mut body): JsonBody<ExplanationRequest>,
) -> Result<Json<RecordedDecision>, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    let subject = fields::required("subject", body.subject.take())?;
    let subject = reading.subject_with_roles(&subject).await?;
    if body.env_types.len() > ENV_TYPES_MAX {
        return Err(ApiError::Field {
            name: "env_types",
            rule: "at most 100",
        });
    }
    // Looked for once before policies are loaded, so that what names nothing costs nothing.
    body.matched(&api.evaluator.catalogue(), &org)?;
    let revision = reading.view.revision().await?;
    let policies = reading.view.policies_now(&org).await?;
    drop(reading);
    let at_ms = api.clock.unix_ms();
    body.inputs.time_ms = body.inputs.time_ms.or(u64::try_from(at_ms).ok());
    let answer = api.evaluator.ask(&api.store, policies, move |set, catalogue| {
        let matched = body.matched(catalogue, &org)?;
        let headers = body.inputs.headers.iter();
        let headers: Vec<(&str, &str)> = headers.map(|(name, value)| (&**name, &**value)).collect();
        let matrix = Matrix {
            set,
            catalogue,
            subject: &subject,
            inputs: Inputs {
                time_ms: body.inputs.time_ms,
                source_address: body.inputs.source_address.as_deref(),
                headers: &headers,
                query: body.inputs.query.as_deref(),
                json_body: body.inputs.json_body.as_deref(),
            },
        };
        let env_types: Vec<&str> = body.env_types.iter().map(String::as_str).collect();
        let (outcome, answers) = matrix.decide(&matched, &env_types, |decision| {
            let outcome = RecordedOutcome::from(&decision.outcome);
            (outcome, decision.recorded_answers())
        });
        Ok(RecordedDecision {
            id: NO_DECISION.to_owned(),
            at_ms,
            gateway: "admin".to_owned(),
            revision,
            token: String::new(),
            question: RecordedQuestion {
                subject: recorded(&subject, &matched, &env_types),
                operation: matched.operation.id.clone(),
                parameters: matched
                    .raw_parameters()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
                inputs: body.inputs.clone(),
            },
            outcome,
            answers,
        })
    });
    answer.await?.map(Json)
}

impl ExplanationRequest {
    /// Returns the operation that is meant, about the organisation or about no organisation.
    fn matched<'a>(&'a self, catalogue: &Catalogue, org: &'a str) -> Result<Matched<'a>, ApiError> {
        let field = |name: &'static str, rule: &'static str| ApiError::Field { name, rule };
        let matched = match (&self.operation, &self.method, &self.path) {
            (Some(id), None, None) => {
                let unknown = || field("operation", "the id of an operation");
                let operation = catalogue.by_id(id).ok_or_else(unknown)?;
                let value = |name: &str| match self.parameters.get(name) {
                    Some(value) => Some(value.as_str()),
                    None => (name == "orgId").then_some(org),
                };
                let values: Option<Vec<&str>> = operation.parameter_names().map(value).collect();
                let matched = values.and_then(|values| Matched::from_values(operation, &values));
                matched.ok_or_else(|| field("parameters", "a value that fits for each parameter of the path"))?
            }
            (None, Some(method), Some(path)) => {
                let identified = catalogue.identify(method, path);
                identified.map_err(|_unknown| field("path", "the path of an operation that has the method"))?
            }
            _ => return Err(field("operation", "this, or method and path, must be given")),
        };
        let own = matched.org().is_none_or(|named| named == org);
        own.then_some(matched)
            .ok_or_else(|| field("path", "about an object of the organisation"))
    }
}

/// Id of a decision that nobody made.
const NO_DECISION: &str = "00000000000000000000000000000000";

/// Most env types of one question.
const ENV_TYPES_MAX: usize = 100;

fn recorded(subject: &Subject, operation: &Matched<'_>, env_types: &[&str]) -> RecordedSubject {
    let on = |scope: Scope| role_on(subject, &scope).map(str::to_owned);
    let env_types = env_types.iter().map(|env_type| RecordedEnvType {
        id: (*env_type).to_owned(),
        role: on(Scope::env_type(&subject.org, env_type)),
    });
    RecordedSubject {
        id: subject.id.clone(),
        kind: subject.kind,
        org: subject.org.clone(),
        org_role: on(Scope::org(&subject.org)),
        app_role: operation.app().and_then(|app| on(Scope::app(&subject.org, app))),
        env_types: env_types.collect(),
    }
}
