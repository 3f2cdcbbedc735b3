//! Starting the data plane, and giving it other settings while it runs.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use feed::Clock;
use gateway::kept::Key;
use gateway::settings::DecisionLog;
use gateway::tls::{ServerTls, TlsFileError};
use gateway::upstream::{ClientTls, Config, CredentialError, CredentialSource, Deadlines, OpenError, Secret, Upstream};
use gateway::{Gateway, Listeners, Reconfiguration, Running, Settings, StartError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::enrol::Proofs;
use crate::config::{DecisionFile, Edge, UpstreamConfig};
use crate::exit::{DATA, Failure, INPUT_OUTPUT, SOFTWARE, UNAVAILABLE, USAGE};

/// Where the admin service is, as a gateway sees it.
pub(super) struct AdminService {
    pub(super) place: AdminPlace,
    pub(super) proofs: Proofs,
    /// Whether what is heard of it is kept for a start without it.
    pub(super) keep: bool,
}

/// Its replicas.
pub(super) struct AdminPlace {
    pub(super) urls: Vec<String>,
    pub(super) ca_file: Option<PathBuf>,
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
pub(super) async fn start(
    edge: Edge,
    data: &Path,
    admin: AdminService,
    listeners: Listeners,
) -> Result<Arc<Running>, Failure> {
    let orchestrator = orchestrator(edge.upstream)?;
    if orchestrator.credential == CredentialSource::Nowhere {
        tracing::warn!("no credential for the orchestrator was given (upstream_token_file): it is sent none");
    }
    let keep = admin.keep.then(|| Key::of_credential(&admin.proofs.credential));
    let policy_compiler = std::env::current_exe().map_err(|error| Failure::new(SOFTWARE, &error))?;
    let settings = Settings {
        name: edge.name,
        data: data.to_owned(),
        keep,
        policy_compiler,
        policy_keys: edge.policy_keys,
        decision_log: DecisionLog {
            file: match edge.decision_file {
                DecisionFile::Off => None,
                DecisionFile::InData => Some(data.join(DECISION_LOG)),
                DecisionFile::At(path) => Some(path),
            },
            ..edge.decision_log
        },
        orchestrator: open_upstream(orchestrator, "upstream").await?,
        admin: open_admin(&admin.place, admin.proofs.credential).await?,
        feed_keys: admin.proofs.feed_keys,
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
    };
    let running = Gateway::new(settings, listeners).and_then(Gateway::start);
    Ok(Arc::new(running.map_err(failure)?))
}

/// Opens the admin service, which is shown a credential.
pub(super) async fn open_admin(place: &AdminPlace, credential: String) -> Result<Upstream, Failure> {
    let tls = ClientTls {
        authorities: authorities(place.ca_file.as_deref())?,
        certificate: None,
    };
    let config = Config::own(place.urls.clone(), Secret::new(credential), ADMIN_DEADLINES, tls);
    open_upstream(config, "admin_url").await
}

/// Reads the files that a configuration names, and says all that is wrong with them.
pub(super) async fn check(edge: Edge) -> Vec<String> {
    let mut errors = Vec::new();
    if let Some(tls) = edge.tls
        && let Err(error) = ServerTls::open(tls, Clock::system())
    {
        errors.push(failure(StartError::Tls(error)).to_string());
    }
    let upstream = match orchestrator(edge.upstream) {
        Ok(config) => open_upstream(config, "upstream").await.map(drop),
        Err(error) => Err(error),
    };
    errors.extend(upstream.err().map(|error| error.to_string()));
    errors
}

/// Puts other settings in force, and reads every file that they name again. When that fails nothing has changed.
pub(super) async fn reconfigure(running: &Running, edge: Edge) -> Result<(), Vec<String>> {
    let told = |failure: Failure| vec![failure.to_string()];
    let old = running.settings();
    let config = orchestrator(edge.upstream).map_err(told)?;
    let orchestrator_changed = !old.orchestrator.is_opened_with(&config);
    let orchestrator = if orchestrator_changed {
        open_upstream(config, "upstream").await.map_err(told)?
    } else {
        old.orchestrator
    };
    if let Some(tls) = running.tls() {
        tls.reload().map_err(|error| told(failure(StartError::Tls(error))))?;
    }
    let settings = Settings {
        orchestrator,
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
        keep: old.keep,
        admin: old.admin,
        feed_keys: old.feed_keys,
        tls: old.tls,
        files_watch_interval: old.files_watch_interval,
        remember_verdicts: old.remember_verdicts,
        access_log: old.access_log,
        policy_compiler: old.policy_compiler,
        policy_keys: old.policy_keys,
        decision_log: DecisionLog {
            allowed_percent: edge.decision_log.allowed_percent,
            ..old.decision_log
        },
        clock: old.clock,
    };
    let new = Reconfiguration {
        settings,
        orchestrator_changed,
    };
    running.reconfigure(new).map_err(|error| vec![error.to_string()])
}

/// Says why a gateway did not start.
pub(super) fn failure(error: StartError) -> Failure {
    let code = match &error {
        StartError::Listen { .. } => UNAVAILABLE,
        StartError::Field(_) => USAGE,
        StartError::Key(_) | StartError::Journal(_) => DATA,
        StartError::Tls(TlsFileError::Unusable { .. }) => DATA,
        StartError::Log(_)
        | StartError::DecisionLog(_)
        | StartError::Kept(_)
        | StartError::Tls(TlsFileError::Unreadable { .. }) => INPUT_OUTPUT,
        StartError::Policies(_) | StartError::Thread(_) | StartError::Tls(TlsFileError::Library(_)) => SOFTWARE,
    };
    Failure::new(code, &error)
}

/// Name of the decision log in the data directory.
const DECISION_LOG: &str = "decisions.log";

/// The admin service answers from a local database.
const ADMIN_DEADLINES: Deadlines = Deadlines {
    connect: Duration::from_secs(2),
    first_byte: Duration::from_secs(10),
    // To publish a policy takes as long as a child may take to compile it.
    write_first_byte: Duration::from_secs(150),
    idle: Duration::from_secs(10),
    body_idle: Duration::from_secs(30),
};

/// What the configuration says of the orchestrator, with what is in the files that it names.
fn orchestrator(upstream: UpstreamConfig) -> Result<Config, Failure> {
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
