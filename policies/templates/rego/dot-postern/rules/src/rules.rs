//! The rules of `policy.rego`, and the document that they see as `input`.
//!
//! What goes wrong here ends as a trap: no verdict, which grants nothing.

use std::collections::BTreeMap;

use postern_policy::{Header, Input, Manifest, Parameter, PolicyKind, Request, Scope, SubjectKind};
use regorus::{Engine, Value};

use crate::manifest::{self, HEADER, Said};

/// Returns what the rules say of themselves.
pub(crate) fn manifest(kind: PolicyKind) -> Manifest {
    let Said { name, version, scopes, subject_kinds, inputs, settings_schema } = or_trap(manifest::read(&mut engine()));
    let scope = |word: &String| match word.as_str() {
        "org" => Scope::Org,
        "app" => Scope::App,
        "env-type" => Scope::EnvType,
        _ => trap(),
    };
    let subject_kind = |word: &String| match word.as_str() {
        "service-user" => SubjectKind::ServiceUser,
        "member" => SubjectKind::Member,
        "group" => SubjectKind::Group,
        _ => trap(),
    };
    let input = |word: &String| match word.as_str() {
        "time" => Input::Time,
        "source-address" => Input::SourceAddress,
        "query" => Input::Query,
        "json-body" => Input::JsonBody,
        word => word.strip_prefix(HEADER).map_or_else(|| trap(), Input::header),
    };
    Manifest {
        name,
        version,
        kind,
        scopes: scopes.iter().map(scope).collect(),
        subject_kinds: subject_kinds.iter().map(subject_kind).collect(),
        inputs: inputs.iter().map(input).collect(),
        settings_schema,
    }
}

/// Returns the value of a rule, given a request.
pub(crate) fn value(rule: &str, request: &Request) -> Value {
    let mut engine = engine();
    engine.set_input(input(request));
    or_trap(engine.eval_rule(format!("data.postern.{rule}")))
}

/// Ends the evaluation without a verdict.
pub(crate) fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

const RULES: &str = include_str!("../../../policy.rego");

fn engine() -> Engine {
    let mut engine = Engine::new();
    or_trap(engine.add_policy("policy.rego".to_owned(), RULES.to_owned()));
    engine
}

fn or_trap<T, E>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|_| trap())
}

/// Returns the document. What is absent is undefined.
fn input(request: &Request) -> Value {
    let (subject, operation, inputs) = (&request.subject, &request.operation, &request.inputs);
    let env_type_roles = subject.env_type_roles.iter().map(|own| {
        object([("env_type", Some(text(&own.env_type))), ("role", own.role.as_deref().map(text))])
    });
    let subject_kind = match subject.kind {
        SubjectKind::ServiceUser => "service-user",
        SubjectKind::Member => "member",
        SubjectKind::Group => "group",
    };
    object([
        (
            "subject",
            Some(object([
                ("id", Some(text(&subject.id))),
                ("kind", Some(text(subject_kind))),
                ("org", Some(text(&subject.org))),
                ("org_role", subject.org_role.as_deref().map(text)),
                ("app_role", subject.app_role.as_deref().map(text)),
                ("env_type_roles", Some(Value::from(env_type_roles.collect::<Vec<_>>()))),
            ])),
        ),
        (
            "operation",
            Some(object([
                ("id", Some(text(&operation.id))),
                ("permission", Some(text(&operation.permission))),
                ("method", Some(text(&operation.method))),
                ("path", Some(text(&operation.path))),
                ("parameters", Some(parameters(&operation.parameters))),
            ])),
        ),
        ("time_ms", inputs.time_ms.map(Value::from)),
        ("source_address", inputs.source_address.as_deref().map(text)),
        ("headers", Some(headers(&inputs.headers))),
        ("query", inputs.query.as_deref().map(text)),
        ("json_body", inputs.json_body.as_deref().map(json)),
        ("settings", request.settings.as_deref().map(json)),
    ])
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn json(text: &str) -> Value {
    or_trap(Value::from_json_str(text))
}

fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let there = fields.into_iter().filter_map(|(name, value)| Some((text(name), value?)));
    Value::from(there.collect::<BTreeMap<_, _>>())
}

/// Returns parameters of a path by their names, which are unique.
fn parameters(parameters: &[Parameter]) -> Value {
    let pairs = parameters.iter().map(|own| (text(&own.name), text(&own.value)));
    Value::from(pairs.collect::<BTreeMap<_, _>>())
}

/// Returns, for the name of each header field that is there, its values in their order.
fn headers(headers: &[Header]) -> Value {
    let mut fields: BTreeMap<Value, Vec<Value>> = BTreeMap::new();
    for header in headers {
        fields.entry(text(&header.name)).or_default().push(text(&header.value));
    }
    let pairs = fields.into_iter().map(|(name, values)| (name, Value::from(values)));
    Value::from(pairs.collect::<BTreeMap<_, _>>())
}
