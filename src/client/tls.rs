//! The options for TLS: which servers are believed, and with which certificate they are asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::connection::read;
use super::error::Error;

/// Files for TLS.
#[derive(Debug, Args)]
pub(super) struct TlsFiles {
    /// Certificates (PEM) to trust instead of the system's
    #[arg(long, global = true, value_name = "FILE", env = "POSTERN_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// Your certificate (PEM) with its chain, for a Postern that asks for one
    #[arg(long, global = true, value_name = "FILE", env = "POSTERN_CLIENT_CERTIFICATE_FILE")]
    client_certificate_file: Option<PathBuf>,
    /// The private key (PEM) of your certificate, when it is in a file of its own
    #[arg(long, global = true, value_name = "FILE", env = "POSTERN_CLIENT_KEY_FILE")]
    client_key_file: Option<PathBuf>,
}

impl TlsFiles {
    /// Reads the files; the system's authorities only when they will be needed.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Certificates`] and [`Error::Key`].
    pub(super) fn config(&self, base: &str) -> Result<ClientConfig, Error> {
        let roots = match &self.ca_file {
            Some(path) => roots_in(path)?,
            None if base.starts_with("https:") => system_roots(),
            None => RootCertStore::empty(),
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for the default versions")
            .with_root_certificates(roots);
        let Some(path) = &self.client_certificate_file else {
            return Ok(builder.with_no_client_auth());
        };
        let key_path = self.client_key_file.as_ref().unwrap_or(path);
        let key = PrivateKeyDer::from_pem_slice(read(key_path)?.as_bytes());
        let key = key.map_err(|_none| Error::Key(key_path.clone()))?;
        builder
            .with_client_auth_cert(certificates(path)?, key)
            .map_err(|_mismatch| Error::Key(key_path.clone()))
    }
}

/// Reads the certificates of a PEM file, at least one.
///
/// # Errors
/// [`Error::File`] and [`Error::Certificates`].
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let certificates = certificates.ok().filter(|certificates| !certificates.is_empty());
    certificates.ok_or_else(|| Error::Certificates(path.to_owned()))
}

fn roots_in(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = roots.add(certificate);
        added.map_err(|_unusable| Error::Certificates(path.to_owned()))?;
    }
    Ok(roots)
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // A system may hold certificates that cannot be used; the handshake tells when the one needed is missing.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("ca.pem");
        for text in [
            "",
            "no PEM",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            std::fs::write(&file, text).expect("it is written");
            assert!(matches!(roots_in(&file), Err(Error::Certificates(_))), "{text:?}");
        }
    }
}
