//! A policy: a vetted component, with its manifest and its digest.

use std::fmt;

use feed::{PolicyDigest, PolicyKind};

use crate::evaluation::{Template, Verdict};
use crate::{Fault, Input, Judged, Manifest, Question};

/// A role's or guard's policy, ready to be asked. Belongs to the engine that loaded it.
pub struct Policy {
    manifest: Manifest,
    digest: PolicyDigest,
    template: Template,
}

impl Policy {
    pub(crate) fn new(manifest: Manifest, digest: PolicyDigest, template: Template) -> Self {
        Self {
            manifest,
            digest,
            template,
        }
    }

    /// Returns the name of the policy; of a role policy also that of the role.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Returns whether it grants or refuses.
    pub fn kind(&self) -> PolicyKind {
        self.manifest.kind
    }

    /// Returns what the policy says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the digest of the component.
    pub fn digest(&self) -> PolicyDigest {
        self.digest
    }

    /// Asks a fresh instance one question, whether or not it would come to be asked: for tests and benches of one policy.
    ///
    /// # Errors
    /// When it gives no verdict.
    pub fn judge(&self, question: &Question<'_>, settings: Option<&str>) -> Result<Judged, Fault> {
        question.with_request(&self.manifest.inputs, settings, |request| self.template.judge(request))
    }

    /// Asks a fresh instance.
    pub(crate) fn ask(&self, question: &Question<'_>, settings: Option<&str>) -> Result<Verdict, Fault> {
        let wanted = &self.manifest.inputs;
        let lacks = |wanted: &Input| match wanted {
            Input::Time => question.inputs.time_ms.is_none(),
            Input::SourceAddress => question.inputs.source_address.is_none(),
            // A request may well have none of these.
            Input::Header(_) | Input::Query | Input::JsonBody => false,
        };
        if wanted.iter().any(lacks) {
            return Err(Fault::InputNotGiven);
        }
        question.with_request(wanted, settings, |request| self.template.decide(request))
    }

    /// Returns whether the verdict depends on the subject, the operation and the settings alone.
    pub(crate) fn is_pure(&self) -> bool {
        self.manifest.inputs.is_empty()
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("name", &self.manifest.name)
            .field("version", &self.manifest.version)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
