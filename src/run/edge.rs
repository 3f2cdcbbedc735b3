//! Starting the data plane.

use std::path::{Path, PathBuf};
use std::time::Duration;

use feed::Clock;
use gateway::tls::TlsFileError;
use gateway::upstream::{ClientTls, Config, CredentialError, CredentialSource, Deadlines, OpenError, Secret, Upstream};
use gateway::{Gateway, Listeners, Settings, StartError};
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

/// Binds the sockets of a gateway.
pub(super) fn listen(edge: &Edge) -> Result<Listeners, Failure> {
    Listeners::bind(edge.listen, edge.workers).map_err(failure)
}

/// Opens a gateway's files and compiles its policies.
pub(super) async fn prepare(
    edge: Edge,
    data: &Path,
    admin: AdminService,
    listeners: Listeners,
) -> Result<Gateway, Failure> {
    let orchestrator = open_upstream(orchestrator(edge.upstream)?, "upstream").await?;
    let tls = ClientTls {
        authorities: authorities(admin.ca_file.as_deref())?,
        certificate: None,
    };
    let admin = Config::own(admin.url, Secret::new(admin.credential), ADMIN_DEADLINES, tls);
    let admin = open_upstream(admin, "admin_url").await?;
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
    write_first_byte: Duration::from_secs(10),
    idle: Duration::from_secs(10),
    body_idle: Duration::from_secs(30),
};

/// What the configuration says of the orchestrator, with what is in the files that it names.
fn orchestrator(upstream: UpstreamConfig) -> Result<Config, Failure> {
    if upstream.credential == CredentialSource::Nowhere {
        tracing::warn!("no credential for the orchestrator was given (upstream_token_file): it is sent none");
    }
    Ok(Config {
        urls: upstream.urls,
        deadlines: upstream.deadlines,
        addresses: upstream.addresses,
        health: upstream.health,
        retries: upstream.retries,
        http2: upstream.http2,
        credential: upstream.credential,
        tls: ClientTls {
            authorities: authorities(upstream.ca_file.as_deref())?,
            certificate: upstream.certificate,
        },
        files_watch: upstream.files_watch,
    })
}

async fn open_upstream(config: Config, key: &str) -> Result<Upstream, Failure> {
    Upstream::open(config).await.map_err(|error| match error {
        OpenError::Url(error) => Failure::said(USAGE, format!("{key}: {error}")),
        OpenError::Credential(CredentialError::Form(_)) => Failure::new(USAGE, &error),
        OpenError::Credential(_) | OpenError::Tls(_) => Failure::new(INPUT_OUTPUT, &error),
    })
}

/// Certificate authorities from a file; without one, the system's are meant.
fn authorities(ca_file: Option<&Path>) -> Result<Option<Vec<CertificateDer<'static>>>, Failure> {
    let Some(path) = ca_file else { return Ok(None) };
    let unusable = |error: &dyn std::fmt::Display| Failure::said(INPUT_OUTPUT, format!("{}: {error}", path.display()));
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|error| unusable(&error))?;
    if certificates.is_empty() {
        return Err(unusable(&"it holds no certificate"));
    }
    Ok(Some(certificates))
}
