//! Policies whose rule is a mask: versions are made of one component by replacing octets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::client::Client;
use super::components::guest;
use super::postern::ORG;

/// A version of a policy whose rule is a mask over [`MASKED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Masked {
    /// Which policy, 0 to 9.
    pub(crate) policy: u8,
    /// Which version, from 0.
    pub(crate) version: u16,
    /// Bit N: the Nth operation of [`MASKED`] is allowed by the role, denied by the guard.
    pub(crate) mask: u8,
}

/// Operations that masks are about: id and target.
pub(crate) const MASKED: [(&str, &str); 4] = [
    ("listEnvironmentTypes", "/orgs/acme/env-types"),
    ("getApplication", "/orgs/acme/apps/shop"),
    ("getEnvironment", "/orgs/acme/apps/shop/envs/development"),
    ("listAgents", "/orgs/acme/agents"),
];

impl Masked {
    pub(crate) fn role(self) -> Vec<u8> {
        self.patch(guest("mask_role"), "role")
    }

    pub(crate) fn guard(self) -> Vec<u8> {
        self.patch(guest("mask_guard"), "guard")
    }

    pub(crate) fn role_name(policy: u8) -> String {
        format!("mask-role-0{policy}")
    }

    pub(crate) fn guard_name(policy: u8) -> String {
        format!("mask-guard-0{policy}")
    }

    /// Its version, as Semantic Versioning has it.
    pub(crate) fn semver(self) -> String {
        format!("1.0.{}", 10_000 + self.version)
    }

    fn patch(self, mut component: Vec<u8>, kind: &str) -> Vec<u8> {
        assert!(self.policy < 10 && self.mask < 16);
        let letter = char::from(b'a' + self.mask);
        let replacements = [
            (format!("mask-of-the-{kind}=a"), format!("mask-of-the-{kind}={letter}")),
            (format!("mask-{kind}-00"), format!("mask-{kind}-0{}", self.policy)),
            ("1.0.10000".to_owned(), self.semver()),
        ];
        for (old, new) in replacements {
            let at = component.windows(old.len()).position(|window| window == old.as_bytes());
            let at = at.unwrap_or_else(|| panic!("no {old} in the component"));
            component[at..at + new.len()].copy_from_slice(new.as_bytes());
        }
        component
    }
}

impl Client {
    /// Publishes a version and puts it in force.
    pub(crate) fn publish_in_force(&self, component: &[u8]) {
        let body = json!({"component": STANDARD.encode(component), "activate": true});
        self.post(&format!("/orgs/{ORG}/policies"), body).ok(201);
    }
}
