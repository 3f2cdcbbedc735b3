//! Starting the data plane, and giving it other settings while it runs.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use feed::Clock;
use gateway::upstream::{Deadlines, Upstream};
use gateway::{Gateway, Listeners, Reconfiguration, Running, Settings, StartError};
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::config::{Edge, UpstreamConfig};
use crate::exit::{DATA, Failure, INPUT_OUTPUT, SOFTWARE, UNAVAILABLE, USAGE};

/// Where the admin service is, as a gateway sees it.
pub(super) struct AdminService {
    pub(super) url: String,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) credential: String,
}

/// A data plane that runs.
pub(super) struct RunningEdge {
    pub(super) running: Arc<Running>,
    orchestrator: Read,
}

/// All that was read to speak to the orchestrator: where that is the same, connections can be kept.
#[derive(PartialEq, Eq)]
struct Read {
    config: UpstreamConfig,
    credential: Option<String>,
    authorities: Option<Vec<u8>>,
}

/// Takes over the socket of a gateway, or binds sockets.
pub(super) fn listen(edge: &Edge, handed_over: Option<TcpListener>) -> Result<Listeners, Failure> {
    let listeners = match handed_over {
        None => Listeners::bind(edge.listen, edge.workers, edge.sharing),
        Some(listener) => Listeners::handed_over(&listener, edge.workers),
    };
    listeners.map_err(failure)
}

/// Opens a gateway's files, compiles its policies and starts it.
pub(super) fn start(
    edge: Edge,
    data: &Path,
    admin: &AdminService,
    listeners: Listeners,
) -> Result<RunningEdge, Failure> {
    let orchestrator = Read::of(&edge.upstream)?;
    if orchestrator.credential.is_none() {
        tracing::warn!("no credential for the orchestrator was given (upstream_token_file): it is sent none");
    }
    let authorities = admin.ca_file.as_deref().map(octets).transpose()?;
    let tls = client_tls(authorities.as_deref().zip(admin.ca_file.as_deref()))?;
    let admin = Upstream::new(&admin.url, Some(&admin.credential), &tls, ADMIN_DEADLINES);
    let settings = Settings {
        name: edge.name,
        data: data.to_owned(),
        orchestrator: orchestrator.upstream()?,
        admin: admin.map_err(|error| Failure::said(USAGE, format!("admin_url: {error}")))?,
        catalogue: edge.catalogue,
        hosts: edge.hosts,
        forwarded_fields: edge.forwarded_fields,
        http2_cleartext: edge.http2_cleartext,
        front: edge.front,
        default_env_type: edge.default_env_type,
        remember_verdicts: edge.remember_verdicts,
        limits: edge.limits,
        access_log: edge.access_log,
        clock: Clock::system(),
    };
    let running = Gateway::new(settings, listeners)
        .and_then(Gateway::start)
        .map_err(failure)?;
    Ok(RunningEdge {
        running: Arc::new(running),
        orchestrator,
    })
}

/// Reads the files that a configuration names, and says all that is wrong with them.
pub(super) fn check(edge: &Edge) -> Vec<String> {
    match Read::of(&edge.upstream).and_then(|read| read.upstream()) {
        Ok(_) => Vec::new(),
        Err(failure) => vec![failure.to_string()],
    }
}

impl RunningEdge {
    /// Puts other settings in force, and reads every file that they name again. When that fails nothing has changed.
    pub(super) fn reconfigure(&mut self, edge: Edge) -> Result<(), Vec<String>> {
        let told = |failure: Failure| vec![failure.to_string()];
        let orchestrator = Read::of(&edge.upstream).map_err(told)?;
        let orchestrator_changed = orchestrator != self.orchestrator;
        let old = self.running.settings();
        let settings = Settings {
            orchestrator: if orchestrator_changed {
                orchestrator.upstream().map_err(told)?
            } else {
                old.orchestrator
            },
            catalogue: edge.catalogue,
            hosts: edge.hosts,
            forwarded_fields: edge.forwarded_fields,
            http2_cleartext: edge.http2_cleartext,
            front: edge.front,
            default_env_type: edge.default_env_type,
            limits: edge.limits,
            // These belong to a start: a change of their keys has been refused.
            name: old.name,
            data: old.data,
            admin: old.admin,
            remember_verdicts: old.remember_verdicts,
            access_log: old.access_log,
            clock: old.clock,
        };
        let reconfigured = self.running.reconfigure(Reconfiguration {
            settings,
            orchestrator_changed,
        });
        reconfigured.map_err(|error| vec![error.to_string()])?;
        self.orchestrator = orchestrator;
        Ok(())
    }
}

impl Read {
    fn of(config: &UpstreamConfig) -> Result<Self, Failure> {
        Ok(Self {
            credential: config.token_file.as_deref().map(super::secret_file).transpose()?,
            authorities: config.ca_file.as_deref().map(octets).transpose()?,
            config: config.clone(),
        })
    }

    fn upstream(&self) -> Result<Upstream, Failure> {
        let authorities = self.authorities.as_deref().zip(self.config.ca_file.as_deref());
        let upstream = Upstream::new(
            &self.config.url,
            self.credential.as_deref(),
            &client_tls(authorities)?,
            self.config.deadlines,
        );
        upstream.map_err(|error| Failure::said(USAGE, format!("upstream: {error}")))
    }
}

/// Says why a gateway did not start.
pub(super) fn failure(error: StartError) -> Failure {
    let code = match &error {
        StartError::Listen { .. } => UNAVAILABLE,
        StartError::Field(_) => USAGE,
        StartError::Key(_) | StartError::Journal(_) => DATA,
        StartError::Log(_) => INPUT_OUTPUT,
        StartError::Policies(_) | StartError::Thread(_) => SOFTWARE,
    };
    Failure::new(code, &error)
}

/// The admin service answers from a local database.
const ADMIN_DEADLINES: Deadlines = Deadlines {
    connect: Duration::from_secs(2),
    first_byte: Duration::from_secs(10),
    idle: Duration::from_secs(10),
};

fn octets(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::said(INPUT_OUTPUT, format!("{}: {error}", path.display())))
}

/// TLS towards a server: certificate authorities from a file's octets, or the system's.
fn client_tls(authorities: Option<(&[u8], &Path)>) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    match authorities {
        None => {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
        }
        Some((pem, path)) => {
            let unusable =
                |error: &dyn std::fmt::Display| Failure::said(INPUT_OUTPUT, format!("{}: {error}", path.display()));
            for certificate in CertificateDer::pem_slice_iter(pem) {
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
