//! The options for registries: how one is reached, and with which credentials.

use std::path::PathBuf;

use clap::Args;
use oci_client::client::{Certificate, CertificateEncoding};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::credentials::read;
use super::{Error, Reference};

/// How to reach a registry.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registry")]
pub(in crate::client) struct Options {
    /// Name to sign in with; without it, what `docker login` left is used
    #[arg(
        long,
        value_name = "NAME",
        env = "POSTERN_REGISTRY_USERNAME",
        requires = "registry_password_file"
    )]
    pub(super) registry_username: Option<String>,
    /// File that holds the password of that name
    #[arg(
        long,
        value_name = "FILE",
        env = "POSTERN_REGISTRY_PASSWORD_FILE",
        requires = "registry_username"
    )]
    pub(super) registry_password_file: Option<PathBuf>,
    /// Certificates (PEM) to trust at the registry instead of the system's
    #[arg(long, value_name = "FILE", env = "POSTERN_REGISTRY_CA_FILE")]
    registry_ca_file: Option<PathBuf>,
    /// Ask the registry over plain HTTP, which anybody on the way can read; without it only one on this machine is
    #[arg(long, conflicts_with = "registry_ca_file")]
    insecure: bool,
}

impl Options {
    /// Returns whether the registry is asked over plain HTTP.
    pub(super) fn is_plain(&self, reference: &Reference) -> bool {
        self.insecure || (reference.is_loopback() && self.registry_ca_file.is_none())
    }

    /// Returns the certificates to trust alone; none for the system's.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Certificates`].
    pub(super) fn authorities(&self) -> Result<Vec<Certificate>, Error> {
        let Some(path) = &self.registry_ca_file else {
            return Ok(Vec::new());
        };
        let text = read(path)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        // With none at all, the client would trust the system.
        let certificates = certificates.ok().filter(|certificates| !certificates.is_empty());
        let certificates = certificates.ok_or_else(|| Error::Certificates(path.clone()))?;
        let certificates = certificates.into_iter().map(|certificate| Certificate {
            encoding: CertificateEncoding::Der,
            data: certificate.to_vec(),
        });
        Ok(certificates.collect())
    }
}
