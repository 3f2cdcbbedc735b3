//! Questions: who asks, and for what.

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
