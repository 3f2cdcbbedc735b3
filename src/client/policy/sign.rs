//! Signing what is published: by whom, and as which version of which policy, which the component itself says.

use std::path::{Path, PathBuf};

use clap::Args;
use engine::signature::{Signer, Statement};
use engine::{Class, Compiler, Engine, Limits};
use feed::PolicyDigest;
use feed::policy::PolicySignature;

use crate::client::connection::read;
use crate::client::error::Error;
use crate::client::oci::Reference;

/// How a component is signed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Signature")]
pub(super) struct Signing {
    /// Sign with the private key in this file, as `postern policy keygen` makes it
    #[arg(long, value_name = "FILE", conflicts_with = "signature")]
    sign_key: Option<PathBuf>,
    /// Name of the key in `policy_trusted_keys`; the name of its file, without .pem, if not given
    #[arg(long, value_name = "NAME", requires = "sign_key")]
    key_name: Option<String>,
    /// Send the signature in this file, as `postern policy sign` writes it; SOURCE.sig when that is there
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
}

impl Signing {
    /// Returns the signature that goes with a component from a source, for an organisation. `None`: it is not signed.
    ///
    /// # Errors
    /// [`Error::File`], and [`Error::Content`] for a key, a signature or a component that cannot be used.
    pub(super) fn signature(
        &self,
        (source, component): (&str, &[u8]),
        org: &str,
    ) -> Result<Option<PolicySignature>, Error> {
        if let Some(path) = &self.sign_key {
            let signer = self.signer(path)?;
            return sign(&signer, (source, component), org).map(Some);
        }
        let beside = || {
            let file = PathBuf::from(format!("{source}.sig"));
            (!Reference::is_meant(source) && file.exists()).then_some(file)
        };
        let Some(path) = self.signature.clone().or_else(beside) else {
            return Ok(None);
        };
        let signature = serde_json::from_str(&read(&path)?).map_err(|error| Error::Content {
            path,
            problem: format!("no signature as `postern policy sign` writes it: {error}"),
        })?;
        Ok(Some(signature))
    }

    fn signer(&self, path: &Path) -> Result<Signer, Error> {
        let stem = || path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
        let name = self.key_name.clone().or_else(stem).unwrap_or_default();
        Signer::from_pem(&name, &read(path)?).map_err(|error| Error::Content {
            path: path.to_owned(),
            problem: error.to_string(),
        })
    }
}

/// Signs a component as what its manifest says it is. The component is compiled in a child process, as whoever sent it
/// may not be known.
fn sign(signer: &Signer, (source, component): (&str, &[u8]), org: &str) -> Result<PolicySignature, Error> {
    let unusable = |error: &dyn std::error::Error| Error::Content {
        path: PathBuf::from(source),
        problem: error.to_string(),
    };
    let program = std::env::current_exe().map_err(|error| unusable(&error))?;
    let compiled = Compiler::new(program)
        .compile(component)
        .map_err(|error| unusable(&error))?;
    let limits = match compiled.class() {
        Class::Small => Limits::small(),
        Class::Script => Limits::script(),
    };
    let engine = Engine::new(&limits).map_err(|error| unusable(&error))?;
    let policy = engine.load_precompiled(&compiled).map_err(|error| unusable(&error))?;
    Ok(signer.sign(&Statement {
        org,
        name: policy.name(),
        version: &policy.manifest().version.to_string(),
        digest: PolicyDigest::of(component),
    }))
}
