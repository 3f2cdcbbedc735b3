//! The callers' certificates: which authorities vouch for them, and what those have revoked.

use std::sync::Arc;

use feed::Clock;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use super::certificates::{BROKEN_PEM, certificates, shown};
use super::watch::{Content, Contents};
use super::{ClientCertificates, TlsFileError, unusable};

/// Returns what checks the certificates of callers; `None` when they are not asked for any.
pub(super) fn verifier(
    contents: &Contents,
    asked: ClientCertificates,
    provider: &Arc<CryptoProvider>,
    clock: &Clock,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsFileError> {
    let optional = match asked {
        ClientCertificates::Off => return Ok(None),
        ClientCertificates::Optional => true,
        ClientCertificates::Required => false,
    };
    let mut roots = RootCertStore::empty();
    if let Some(file) = &contents.client_ca {
        for authority in certificates(file)? {
            roots.add(authority).map_err(|error| unusable(&file.path, error))?;
        }
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if let Some(file) = &contents.client_crl {
        // A list that is out of date says nothing of what was revoked since.
        builder = builder
            .with_crls(revocation_lists(file, clock)?)
            .enforce_revocation_expiration();
    }
    if optional {
        builder = builder.allow_unauthenticated();
    }
    // Without an authority, as with an unreadable list, this is an error: nobody is let in by mistake.
    let built = builder.build();
    built
        .map(Some)
        .map_err(|error| rustls::Error::General(error.to_string()).into())
}

fn revocation_lists(file: &Content, clock: &Clock) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsFileError> {
    let read: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(file.octets()?).collect();
    let read = read.map_err(|_malformed| unusable(&file.path, BROKEN_PEM))?;
    if read.is_empty() {
        return Err(unusable(&file.path, "it holds no revocation list in PEM"));
    }
    let now_s = clock.unix_ms().div_euclid(1000);
    for list in &read {
        let (_, list) = CertificateRevocationList::from_der(list).map_err(|error| unusable(&file.path, error))?;
        let next_s = list.next_update().map(|time| time.timestamp());
        if let Some(next_s) = next_s.filter(|next_s| *next_s < now_s) {
            let problem = format!("a list in it is out of date since {}", shown(next_s));
            return Err(unusable(&file.path, problem));
        }
    }
    Ok(read)
}
