//! Starting the data plane.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use feed::Clock;
use gateway::tls::TlsFileError;
use gateway::upstream::{Deadlines, Upstream};
use gateway::{Gateway, Listeners, Settings, StartError};
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::config::Edge;
use crate::exit::{DATA, Failure, INPUT_OUTPUT, SOFTWARE, UNAVAILABLE, USAGE};

/// Where the admin service is, as a gateway sees it.
pub(super) struct AdminService {
    pub(super) url: String,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) credential: String,
}

/// Binds the sockets of a gateway.
pub(super) fn listen(edge: &Edge) -> Result<Listeners, Failure> {
    Listeners::bind(edge.listen, edge.workers).map_err(failure)
}

/// Opens a gateway's files and compiles its policies.
pub(super) fn prepare(edge: Edge, data: &Path, admin: &AdminService, listeners: Listeners) -> Result<Gateway, Failure> {
    let credential = edge
        .upstream
        .token_file
        .as_deref()
        .map(super::secret_file)
        .transpose()?;
    if credential.is_none() {
        tracing::warn!("no credential for the orchestrator was given (upstream_token_file): it is sent none");
    }
    let tls = client_tls(edge.upstream.ca_file.as_deref())?;
    let orchestrator = Upstream::new(&edge.upstream.url, credential.as_deref(), &tls, edge.upstream.deadlines);
    let orchestrator = orchestrator.map_err(|error| Failure::said(USAGE, format!("upstream: {error}")))?;
    let tls = client_tls(admin.ca_file.as_deref())?;
    let admin = Upstream::new(&admin.url, Some(&admin.credential), &tls, ADMIN_DEADLINES);
    let admin = admin.map_err(|error| Failure::said(USAGE, format!("admin_url: {error}")))?;
    let bound = Gateway::new(
        Settings {
            name: edge.name,
            data: data.to_owned(),
            orchestrator,
            admin,
            catalogue: edge.catalogue,
            tls: edge.tls,
            files_watch_interval: edge.files_watch_interval,
            hosts: edge.hosts,
            forwarded_fields: edge.forwarded_fields,
            http2_cleartext: edge.http2_cleartext,
            front: edge.front,
            default_env_type: edge.default_env_type,
            remember_verdicts: edge.remember_verdicts,
            limits: edge.limits,
            access_log: edge.access_log,
            clock: Clock::system(),
        },
        listeners,
    );
    bound.map_err(failure)
}

/// Says why a gateway did not start.
pub(super) fn failure(error: StartError) -> Failure {
    let code = match &error {
        StartError::Listen { .. } => UNAVAILABLE,
        StartError::Field(_) => USAGE,
        StartError::Key(_) | StartError::Journal(_) => DATA,
        StartError::Tls(TlsFileError::Unusable { .. }) => DATA,
        StartError::Log(_) | StartError::Tls(TlsFileError::Unreadable { .. }) => INPUT_OUTPUT,
        StartError::Policies(_) | StartError::Thread(_) | StartError::Tls(TlsFileError::Library(_)) => SOFTWARE,
    };
    Failure::new(code, &error)
}

/// The admin service answers from a local database.
const ADMIN_DEADLINES: Deadlines = Deadlines {
    connect: Duration::from_secs(2),
    first_byte: Duration::from_secs(10),
    idle: Duration::from_secs(10),
};

/// TLS towards a server: certificate authorities from a file, or the system's.
fn client_tls(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
        }
        Some(path) => {
            let unusable =
                |error: &dyn std::fmt::Display| Failure::said(INPUT_OUTPUT, format!("{}: {error}", path.display()));
            let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| unusable(&error))?;
                roots.add(certificate).map_err(|error| unusable(&error))?;
            }
            if roots.is_empty() {
                return Err(unusable(&"it holds no certificate"));
            }
        }
    }
    Ok(Arc::new(
        ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth(),
    ))
}
