//! Policies and guards, as the store tells gateways of them: which component is in force, for what, with which settings.
//!
//! The components themselves are not in the feed: a gateway asks for them by digest and checks what it gets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::scope::{NotAScope, Scope};

/// A published policy: what is in force, and what may come to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The organisation it belongs to.
    pub org: String,
    /// Its name, unique in the organisation; of a role policy also the name of the role.
    pub name: String,
    /// Whether it grants or refuses.
    #[serde(rename = "type")]
    pub kind: PolicyKind,
    /// The version in force.
    pub active: PolicyVersion,
    /// The version that is asked in the place of one that keeps failing. `None`: its decisions are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<PolicyVersion>,
    /// The version that is watched beside the active one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
    /// Other published versions that gateways compile ahead, so that they can be put in force at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ready: Vec<PolicyVersion>,
    /// Settings of a role policy, as JSON. A guard has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
}

impl Policy {
    /// Returns whether a gateway that is told this keeps a component at hand.
    pub fn names(&self, digest: PolicyDigest) -> bool {
        let shadow = self.shadow.iter().map(|shadow| &shadow.version);
        let others = self.fallback.iter().chain(shadow).chain(&self.ready);
        others.chain([&self.active]).any(|version| version.digest == digest)
    }
}

/// One version of a policy: the component that it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// Version, as Semantic Versioning 2.0 has it.
    pub version: String,
    /// Digest of the component.
    pub digest: PolicyDigest,
    /// Who signed it and how, when somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<PolicySignature>,
}

/// An Ed25519 signature of an author over (organisation, name, version, digest).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySignature {
    /// Name of the key, as the configuration has it.
    pub key: String,
    /// The signature: 64 octets, base64url without padding.
    pub signature: String,
}

/// A version that runs beside the active one and changes no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadow {
    /// The version.
    #[serde(flatten)]
    pub version: PolicyVersion,
    /// Share of decisions that it is asked about, 1 to 100.
    pub percent: u8,
}

/// A guard policy where it is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// The organisation it belongs to.
    pub org: String,
    /// Id, unique in the organisation.
    pub id: String,
    /// Name of the policy, of the same organisation.
    pub policy: String,
    /// What it is attached to.
    pub scope: GuardScope,
    /// Its place among the guards of its scope, lowest first; guards with the same are ordered by id.
    pub position: u32,
    /// Settings, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
}

/// What a guard is attached to. Guards of the installation are asked first, then those of the organisation, then those of
/// the app.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GuardScope {
    /// Every request of every organisation: `installation`.
    Installation,
    /// Requests about an organisation: `/orgs/{org}`.
    Org {
        /// The organisation.
        org: String,
    },
    /// Requests about an app: `/orgs/{org}/apps/{app}`.
    App {
        /// The organisation.
        org: String,
        /// The app.
        app: String,
    },
}

/// Whether a policy grants or refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// Grants: allows or abstains.
    Role,
    /// Refuses: passes or denies.
    Guard,
}

/// SHA-256 of a component: which policy it is, whatever it calls itself. Written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyDigest([u8; 32]);

/// A text that is not the digest of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a SHA-256 digest in lower-case hexadecimal")]
pub struct NotADigest(String);

impl PolicyDigest {
    /// Returns the digest of a component.
    pub fn of(component: &[u8]) -> Self {
        Self(Sha256::digest(component).into())
    }

    /// Returns the digest that has these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the digest's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for PolicyDigest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let refused = || NotADigest(text.to_owned());
        let digits = text.as_bytes();
        let is_digit = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != 64 || !digits.iter().all(is_digit) {
            return Err(refused());
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(0..) {
            let at = pair * 2;
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_not_hexadecimal| refused())?;
        }
        Ok(Self(digest))
    }
}

impl Serialize for PolicyDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PolicyDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl GuardScope {
    /// Returns whether requests about an app of an organisation are judged by what is attached here; no app for a request
    /// that is about none.
    pub fn covers(&self, org: &str, app: Option<&str>) -> bool {
        match self {
            Self::Installation => true,
            Self::Org { org: own } => own == org,
            Self::App { org: own, app: own_app } => own == org && app == Some(own_app.as_str()),
        }
    }
}

impl fmt::Display for GuardScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installation => f.write_str(INSTALLATION),
            Self::Org { org } => Scope::org(org).fmt(f),
            Self::App { org, app } => Scope::app(org, app).fmt(f),
        }
    }
}

impl FromStr for GuardScope {
    type Err = NotAScope;

    fn from_str(text: &str) -> Result<Self, NotAScope> {
        if text == INSTALLATION {
            return Ok(Self::Installation);
        }
        match text.parse()? {
            Scope::Org { org } => Ok(Self::Org { org }),
            Scope::App { org, app } => Ok(Self::App { org, app }),
            Scope::EnvType { .. } => Err(NotAScope::of(text)),
        }
    }
}

impl Serialize for GuardScope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GuardScope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

const INSTALLATION: &str = "installation";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_back_as_it_was_written() {
        let digest = PolicyDigest::of(b"a component");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for text in ["", "00", &"0".repeat(63), &"A".repeat(64), &"ä".repeat(32)] {
            assert!(text.parse::<PolicyDigest>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_guard_judges_what_its_scope_covers() {
        let app: GuardScope = "/orgs/acme/apps/shop".parse().expect("a scope");
        assert!(app.covers("acme", Some("shop")));
        assert!(!app.covers("acme", Some("web")));
        assert!(!app.covers("acme", None));
        assert!(!app.covers("other", Some("shop")));
        assert!(GuardScope::Installation.covers("any", None));
        assert_eq!(app.to_string(), "/orgs/acme/apps/shop");
        assert!("/orgs/acme/env-types/production".parse::<GuardScope>().is_err());
    }
}
