//! What a policy is told of a question, and the same as bytes.
//!
//! The bytes are canonical: two questions have the same bytes only if a policy is told the same. Verdicts are remembered
//! by the whole of them, so remembering never changes a verdict.

use std::array;
use std::borrow::Cow;

use catalogue::operation::PARAMETERS_MAX;
use feed::SubjectKind;

use crate::contract::Request;
use crate::contract::postern::policy::types;
use crate::{Input, Inputs, Question, SubjectView};

/// A question with its parameters decoded.
pub(crate) struct QuestionInput<'a> {
    subject: SubjectView<'a>,
    inputs: Inputs<'a>,
    operation: &'a catalogue::Operation,
    parameters: [(&'a str, Cow<'a, str>); PARAMETERS_MAX],
    parameter_count: usize,
}

impl<'a> QuestionInput<'a> {
    pub(crate) fn of(question: &Question<'a>) -> Self {
        let mut given = question.operation.parameters();
        let mut parameter_count = 0;
        let parameters = array::from_fn(|_| {
            let parameter = given.next();
            parameter_count += usize::from(parameter.is_some());
            parameter.unwrap_or_default()
        });
        Self {
            subject: question.subject,
            inputs: question.inputs,
            operation: &question.operation.operation,
            parameters,
            parameter_count,
        }
    }

    pub(crate) fn subject_kind(&self) -> SubjectKind {
        self.subject.kind
    }

    pub(crate) fn inputs(&self) -> &Inputs<'a> {
        &self.inputs
    }

    /// Hands over the request that a policy is asked with: of the inputs, those that it wants.
    pub(crate) fn with_request<T>(
        &self,
        wanted: &[Input],
        settings: Option<&str>,
        ask: impl FnOnce(Request<'_>) -> T,
    ) -> T {
        let env_type_role =
            |(env_type, role): &(&'a str, Option<&'a str>)| types::EnvTypeRole { env_type, role: *role };
        let env_type_roles: Vec<_> = self.subject.env_types.iter().map(env_type_role).collect();
        let parameters: [_; PARAMETERS_MAX] = array::from_fn(|at| types::Parameter {
            name: self.parameters[at].0,
            value: &self.parameters[at].1,
        });
        let wants = |input: &Input| wanted.contains(input);
        let headers: Vec<_> = self.wanted_headers(wanted).collect();
        ask(Request {
            subject: types::Subject {
                id: self.subject.id,
                kind: kind(self.subject.kind),
                org: self.subject.org,
                org_role: self.subject.org_role,
                app_role: self.subject.app_role,
                env_type_roles: &env_type_roles,
            },
            operation: types::Operation {
                id: &self.operation.id,
                permission: &self.operation.permission,
                method: &self.operation.method,
                path: &self.operation.path,
                parameters: &parameters[..self.parameter_count],
            },
            inputs: types::Inputs {
                time_ms: self.inputs.time_ms.filter(|_| wants(&Input::Time)),
                source_address: self.inputs.source_address.filter(|_| wants(&Input::SourceAddress)),
                headers: &headers,
                query: self.inputs.query.filter(|_| wants(&Input::Query)),
                json_body: self.inputs.json_body.filter(|_| wants(&Input::JsonBody)),
            },
            settings,
        })
    }

    fn wanted_headers(&self, wanted: &[Input]) -> impl Iterator<Item = types::Header<'a>> {
        let wants = move |name: &str| {
            wanted
                .iter()
                .any(|input| matches!(input, Input::Header(own) if own == name))
        };
        let headers = self.inputs.headers.iter().filter(move |(name, _)| wants(name));
        headers.map(|(name, value)| types::Header { name, value })
    }

    /// Writes the canonical bytes over what the buffer held. The inputs are not among them: a policy that wants any is not
    /// remembered.
    pub(crate) fn write_canonical(&self, bytes: &mut Vec<u8>) {
        let subject = &self.subject;
        bytes.clear();
        bytes.push(match subject.kind {
            SubjectKind::ServiceUser => 0,
            SubjectKind::Member => 1,
            SubjectKind::Group => 2,
        });
        write_text(bytes, subject.id);
        write_text(bytes, subject.org);
        write_optional(bytes, subject.org_role);
        write_optional(bytes, subject.app_role);
        write_length(bytes, subject.env_types.len());
        for (env_type, role) in subject.env_types {
            write_text(bytes, env_type);
            write_optional(bytes, *role);
        }
        let operation = self.operation;
        for text in [&operation.id, &operation.permission, &operation.method, &operation.path] {
            write_text(bytes, text);
        }
        write_length(bytes, self.parameter_count);
        for (name, value) in &self.parameters[..self.parameter_count] {
            write_text(bytes, name);
            write_text(bytes, value);
        }
    }
}

fn kind(kind: SubjectKind) -> types::SubjectKind {
    match kind {
        SubjectKind::ServiceUser => types::SubjectKind::ServiceUser,
        SubjectKind::Member => types::SubjectKind::Member,
        SubjectKind::Group => types::SubjectKind::Group,
    }
}

/// Lengths come before what they measure, so no text can look like the end of another.
fn write_text(bytes: &mut Vec<u8>, text: &str) {
    write_length(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

fn write_optional(bytes: &mut Vec<u8>, text: Option<&str>) {
    bytes.push(u8::from(text.is_some()));
    write_text(bytes, text.unwrap_or_default());
}

fn write_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend_from_slice(&(length as u64).to_le_bytes());
}
