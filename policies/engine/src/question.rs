//! Questions: who asks, for what, and what policies may know beyond that.

use catalogue::Matched;
use feed::SubjectKind;

use crate::ScopeKind;

/// What is to be decided: may this subject do this?
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who asks.
    pub subject: SubjectView<'a>,
    /// What for.
    pub operation: &'a Matched<'a>,
    /// What else is known of the request: at least what [`crate::PolicySet::needs`] asks for.
    pub inputs: Inputs<'a>,
}

/// What policies may ask for beyond subject and operation. A policy is told only what its manifest asks for. The default is
/// nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inputs<'a> {
    /// The time of the request, in milliseconds since the Unix epoch.
    pub time_ms: Option<u64>,
    /// The network address that the request came from.
    pub source_address: Option<&'a str>,
    /// Header fields by lower-case name, in the order in which they came.
    pub headers: &'a [(&'a str, &'a str)],
    /// The query component of the request target; none when it has none.
    pub query: Option<&'a str>,
    /// The JSON body; none when the request has none.
    pub json_body: Option<&'a str>,
}

/// What the policies that bear on a question ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs<'a> {
    /// The time of the request.
    pub time: bool,
    /// The address that it came from.
    pub source_address: bool,
    /// Header fields, by lower-case name; none twice.
    pub headers: Vec<&'a str>,
    /// The query.
    pub query: bool,
    /// The JSON body.
    pub json_body: bool,
}

/// A subject, with the roles that bear on one operation.
#[derive(Debug, Clone, Copy)]
pub struct SubjectView<'a> {
    /// Its id.
    pub id: &'a str,
    /// What it is.
    pub kind: SubjectKind,
    /// The organisation it belongs to.
    pub org: &'a str,
    /// Its role on the organisation that the operation is about.
    pub org_role: Option<&'a str>,
    /// Its role on the app that the operation is about.
    pub app_role: Option<&'a str>,
    /// Each env type that the operation concerns, with the subject's role on it.
    pub env_types: &'a [EnvTypeRole<'a>],
}

/// An env type, and the subject's role on it, if any.
pub type EnvTypeRole<'a> = (&'a str, Option<&'a str>);

impl Needs<'_> {
    /// Returns whether nothing is asked for.
    pub fn is_nothing(&self) -> bool {
        !(self.time || self.source_address || self.query || self.json_body) && self.headers.is_empty()
    }
}

impl<'a> SubjectView<'a> {
    /// Returns the roles that bear on the operation, with where they are held: on the organisation, on the app, on the
    /// env types. A role held twice comes twice.
    pub(crate) fn roles(&self) -> impl Iterator<Item = (&'a str, ScopeKind)> + use<'a> {
        let on_org = self.org_role.map(|role| (role, ScopeKind::Org));
        let on_app = self.app_role.map(|role| (role, ScopeKind::App));
        let on_env_types = self.env_types.iter().filter_map(|(_, role)| *role);
        let on_env_types = on_env_types.map(|role| (role, ScopeKind::EnvType));
        on_org.into_iter().chain(on_app).chain(on_env_types)
    }
}
