//! What a policy is told of a question, and the same as bytes.
//!
//! The bytes are canonical: two questions have the same bytes only if a policy is told the same. Verdicts are remembered
//! by the whole of them, so remembering never changes a verdict.

use feed::SubjectKind;
use smallvec::SmallVec;

use crate::contract::Request;
use crate::contract::postern::policy::types;
use crate::{Input, Question};

impl<'a> Question<'a> {
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
        let decoded: SmallVec<[_; PARAMETERS_INLINE]> = self.operation.parameters().collect();
        let parameters: SmallVec<[_; PARAMETERS_INLINE]> = decoded
            .iter()
            .map(|(name, value)| types::Parameter { name, value })
            .collect();
        let operation = &self.operation.operation;
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
                id: &operation.id,
                permission: &operation.permission,
                method: &operation.method,
                path: &operation.path,
                parameters: &parameters,
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
    /// remembered. Values of parameters are written as they came, and their names are known from the operation's path.
    pub(crate) fn write_canonical(&self, bytes: &mut Vec<u8>) {
        let subject = &self.subject;
        bytes.clear();
        bytes.push(match subject.kind {
            SubjectKind::ServiceUser => 0,
            SubjectKind::Member => 1,
            SubjectKind::Group => 2,
        });
        bytes.extend_from_slice(self.operation.operation.canonical());
        write_text(bytes, subject.id);
        write_text(bytes, subject.org);
        write_optional(bytes, subject.org_role);
        write_optional(bytes, subject.app_role);
        write_length(bytes, subject.env_types.len());
        for (env_type, role) in subject.env_types {
            write_text(bytes, env_type);
            write_optional(bytes, *role);
        }
        for (_, value) in self.operation.raw_parameters() {
            write_text(bytes, value);
        }
    }
}

/// Parameters of a path that take no memory of their own.
const PARAMETERS_INLINE: usize = 4;

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
