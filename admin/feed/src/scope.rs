//! Scopes: the objects on which roles are held, written as object paths.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An object on which a role can be held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `/orgs/{org}`
    Org {
        /// The organisation.
        org: String,
    },
    /// `/orgs/{org}/apps/{app}`
    App {
        /// The organisation.
        org: String,
        /// The app.
        app: String,
    },
    /// `/orgs/{org}/env-types/{env_type}`
    EnvType {
        /// The organisation.
        org: String,
        /// The env type.
        env_type: String,
    },
}

/// A text that is not an object path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the path of an organisation, an app or an env type")]
pub struct NotAScope(String);

impl NotAScope {
    pub(crate) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Scope {
    /// Returns the scope of an organisation.
    pub fn org(org: &str) -> Self {
        Self::Org { org: org.to_owned() }
    }

    /// Returns the scope of an app.
    pub fn app(org: &str, app: &str) -> Self {
        Self::App {
            org: org.to_owned(),
            app: app.to_owned(),
        }
    }

    /// Returns the scope of an env type.
    pub fn env_type(org: &str, env_type: &str) -> Self {
        Self::EnvType {
            org: org.to_owned(),
            env_type: env_type.to_owned(),
        }
    }

    /// Returns the organisation that the object belongs to.
    pub fn organisation(&self) -> &str {
        match self {
            Self::Org { org } | Self::App { org, .. } | Self::EnvType { org, .. } => org,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Org { org } => write!(f, "/orgs/{org}"),
            Self::App { org, app } => write!(f, "/orgs/{org}/apps/{app}"),
            Self::EnvType { org, env_type } => write!(f, "/orgs/{org}/env-types/{env_type}"),
        }
    }
}

impl FromStr for Scope {
    type Err = NotAScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let segments: Vec<&str> = text.split('/').collect();
        if segments[1..].contains(&"") {
            return Err(NotAScope(text.to_owned()));
        }
        match segments[..] {
            ["", "orgs", org] => Ok(Self::org(org)),
            ["", "orgs", org, "apps", app] => Ok(Self::app(org, app)),
            ["", "orgs", org, "env-types", env_type] => Ok(Self::env_type(org, env_type)),
            _ => Err(NotAScope(text.to_owned())),
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_read_back_as_it_was_written() {
        for scope in [
            Scope::org("my-org"),
            Scope::app("my-org", "web"),
            Scope::env_type("my-org", "production"),
        ] {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        for text in [
            "",
            "/",
            "/orgs",
            "/orgs/",
            "/orgs/a/apps",
            "/orgs/a/apps/",
            "/orgs/a/apps/b/envs/c",
            "orgs/a",
        ] {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
    }
}
