//! TLS towards an upstream: which authorities are believed, and the certificate that we show when we are asked for one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use super::Http2;
use super::metrics::Reloads;

/// What TLS towards an upstream goes by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Authorities that vouch for it. `None`: the system's.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// PEM files of a certificate chain and its key, shown when the upstream asks.
    pub certificate: Option<CertificateFiles>,
}

/// The files of a certificate; read again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the certificate itself first.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why certificates cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// What happened.
        error: String,
    },
    /// An authority is none, or certificate and key do not belong together.
    #[error("{0}")]
    Unusable(String),
}

/// How connections are secured: for either version of HTTP, and for those that need the older.
pub(super) struct Connectors {
    pub(super) any: TlsConnector,
    pub(super) http1: TlsConnector,
    certificate: Option<Arc<ClientCertificate>>,
}

/// The certificate in force.
#[derive(Debug)]
struct ClientCertificate {
    files: CertificateFiles,
    current: ArcSwap<CertifiedKey>,
}

impl Connectors {
    /// Reads the files and the system's authorities.
    pub(super) fn open(tls: &ClientTls, http2: Http2) -> Result<Self, TlsError> {
        let certificate = tls.certificate.as_ref().map(ClientCertificate::open).transpose()?;
        let builder = ClientConfig::builder().with_root_certificates(roots(tls)?);
        let mut config = match &certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                builder.with_client_cert_resolver(Arc::clone(certificate) as Arc<dyn ResolvesClientCert>)
            }
        };
        let http1 = TlsConnector::from(Arc::new(config.clone()));
        config.alpn_protocols = match http2 {
            Http2::Off => Vec::new(),
            Http2::Auto | Http2::PriorKnowledge => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        Ok(Self {
            any: TlsConnector::from(Arc::new(config)),
            http1,
            certificate,
        })
    }

    /// Takes up what changes in the files of the certificate, for ever.
    pub(super) async fn tend(&self, watch: Duration, reloads: &Reloads) {
        let Some(certificate) = &self.certificate else { return };
        let mut told = None;
        loop {
            sleep(watch).await;
            told = certificate.renew(told, reloads).await;
        }
    }
}

impl ClientCertificate {
    fn open(files: &CertificateFiles) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(load(files)?),
            files: files.clone(),
        }))
    }

    /// Returns what is wrong, if something is; it is told once.
    async fn renew(&self, told: Option<TlsError>, reloads: &Reloads) -> Option<TlsError> {
        let files = self.files.clone();
        let loading = tokio::task::spawn_blocking(move || load(&files)).await;
        let loaded = loading.unwrap_or_else(|panicked| Err(TlsError::Unusable(panicked.to_string())));
        match loaded {
            Ok(loaded) => {
                if loaded.cert != self.current.load().cert {
                    self.current.store(Arc::new(loaded));
                    reloads.replaced();
                    tracing::info!("the certificate that upstreams are shown was replaced");
                }
                None
            }
            Err(error) => {
                if told.as_ref() != Some(&error) {
                    reloads.failed();
                    tracing::error!(%error, "the certificate that upstreams are shown cannot be renewed; the old one stays");
                }
                Some(error)
            }
        }
    }
}

impl ResolvesClientCert for ClientCertificate {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], _sigschemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn roots(tls: &ClientTls) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match &tls.authorities {
        None => {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
        }
        Some(authorities) => {
            for authority in authorities {
                let added = roots.add(authority.clone());
                added.map_err(|error| TlsError::Unusable(format!("an authority cannot be used: {error}")))?;
            }
        }
    }
    Ok(roots)
}

fn load(files: &CertificateFiles) -> Result<CertifiedKey, TlsError> {
    let unusable = |path: &Path, error: &dyn std::fmt::Display| TlsError::File {
        path: path.display().to_string(),
        error: error.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(&files.chain).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| unusable(&files.chain, &error))?;
    if chain.is_empty() {
        return Err(unusable(&files.chain, &"it holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unusable(&files.key, &error))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|error| unusable(&files.key, &error))
}
