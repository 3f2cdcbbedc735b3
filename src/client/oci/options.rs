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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_unless_another_is_said_to_be_insecure() {
        let options = |insecure| Options {
            registry_username: None,
            registry_password_file: None,
            registry_ca_file: None,
            insecure,
        };
        for (reference, insecure, plain) in [
            ("oci://localhost:5000/freeze:1", false, true),
            ("oci://127.0.0.1/freeze:1", false, true),
            ("oci://registry.example.com/freeze:1", false, false),
            ("oci://192.0.2.7:5000/freeze:1", false, false),
            ("oci://registry.example.com/freeze:1", true, true),
        ] {
            let reference: Reference = reference.parse().expect("a reference");
            assert_eq!(options(insecure).is_plain(&reference), plain, "{reference} {insecure}");
        }
    }
}
