//! A role policy: a vetted component, with its manifest and its digest.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::evaluation::Template;
use crate::input::QuestionInput;
use crate::{Fault, Manifest};

/// A role's policy, ready to be asked. Belongs to the engine that loaded it.
pub struct RolePolicy {
    manifest: Manifest,
    digest: PolicyDigest,
    template: Template,
}

/// SHA-256 of a component: which policy it was, whatever it called itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyDigest([u8; 32]);

impl RolePolicy {
    pub(crate) fn new(manifest: Manifest, digest: PolicyDigest, template: Template) -> Self {
        Self {
            manifest,
            digest,
            template,
        }
    }

    /// Returns the name of the role.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Returns what the policy says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the digest of the component.
    pub fn digest(&self) -> PolicyDigest {
        self.digest
    }

    /// Asks a fresh instance whether the role allows.
    pub(crate) fn ask(&self, input: &QuestionInput<'_>) -> Result<bool, Fault> {
        if !self.is_pure() {
            return Err(Fault::InputNotGiven);
        }
        input.with_request(|request| self.template.decide(request))
    }

    /// Returns whether the verdict depends on the subject and the operation alone.
    pub(crate) fn is_pure(&self) -> bool {
        self.manifest.inputs.is_empty()
    }
}

impl fmt::Debug for RolePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RolePolicy")
            .field("name", &self.manifest.name)
            .field("version", &self.manifest.version)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl PolicyDigest {
    /// Returns the digest of a component.
    pub fn of(component: &[u8]) -> Self {
        Self(Sha256::digest(component).into())
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
