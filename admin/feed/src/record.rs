//! Records: the state of one thing, as the store had it at a revision. A later record replaces an earlier one whole.

use serde::{Deserialize, Serialize};

use crate::policy::{Guard, Policy};
use crate::{Digest, Scope, Thumbprint};

/// One thing's state, or its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Record {
    /// A subject and all roles it holds.
    Subject(Subject),
    /// A subject is gone. The removals of its tokens stand in the same change.
    SubjectRemoved {
        /// Id of the subject.
        id: String,
    },
    /// A token.
    Token(Token),
    /// A token is gone.
    TokenRemoved {
        /// Digest of the token.
        digest: Digest,
    },
    /// A policy that was published.
    Policy(Box<Policy>),
    /// A policy is gone, and with it the role that it made.
    PolicyRemoved {
        /// The organisation it belonged to.
        org: String,
        /// Name of the policy.
        name: String,
    },
    /// A guard that is attached.
    Guard(Guard),
    /// A guard is attached no more.
    GuardRemoved {
        /// The organisation it belonged to.
        org: String,
        /// Id of the guard.
        id: String,
    },
}

/// Whoever may hold roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// `s-<uuid>` for a service user, a bare UUID for a member, `g-<uuid>` for a group.
    pub id: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: SubjectKind,
    /// The organisation it belongs to.
    pub org: String,
    /// The roles it holds; at most one on each scope.
    pub roles: Vec<RoleBinding>,
}

/// What a subject is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    /// A non-human user that cannot log in.
    ServiceUser,
    /// A human.
    Member,
    /// A group of members, known from an identity provider.
    Group,
}

/// A role held on a scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RoleBinding {
    /// The object.
    pub scope: Scope,
    /// Name of the role.
    pub role: String,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// SHA-256 of the secret.
    pub digest: Digest,
    /// The id its creator chose; unique for its subject.
    pub id: String,
    /// Id of its service user.
    pub subject: String,
    /// When it ends, in milliseconds since the Unix epoch. `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
    /// The client certificate that must come with it. `None`: it holds on any connection.
    #[serde(default, rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Thumbprint>,
}

impl SubjectKind {
    /// Returns the word that the API uses for it: `service`, `user` or `group`.
    pub fn api_name(self) -> &'static str {
        match self {
            Self::ServiceUser => "service",
            Self::Member => "user",
            Self::Group => "group",
        }
    }
}
