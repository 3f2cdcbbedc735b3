//! TLS on the listener: the handshake, and what it tells of the caller. It knows nothing of requests.
//!
//! TLS 1.3 or 1.2, without early data, so that nothing can be replayed (RFC 8446 §8). Sessions are resumed by tickets,
//! which carry the client certificate that was verified and end with the certificates under which they were made.
//!
//! # Layout
//! - [`certificates`]: the gateway's own, and which of them a caller gets.
//! - [`clients`]: the callers' certificates, and who vouches for them.
//! - [`watch`]: the files that all of them come from, looked at again and again, and swapped whole.

mod certificates;
mod clients;
mod watch;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use feed::{Clock, Thumbprint};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerConnection};
use rustls::time_provider::TimeProvider;
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use certificates::{Certificates, Names, canonical};
use watch::{Contents, Seen};

pub(crate) use watch::Watcher;

/// How the listener speaks TLS.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The gateway's certificates, at least one. The first is for callers that name no host, or one that no certificate
    /// has.
    pub certificates: Vec<CertificateFiles>,
    /// Whether callers are asked for certificates.
    pub client_certificates: ClientCertificates,
    /// PEM file of the authorities that vouch for callers. Needed unless they are not asked.
    pub client_ca_file: Option<PathBuf>,
    /// PEM file of what these authorities have revoked. With it, a certificate passes only when a list of its issuer,
    /// which must not be out of date, does not have it.
    pub client_crl_file: Option<PathBuf>,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
}

/// PEM files of one certificate.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The certificate and those that vouch for it, in this order.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Whether callers are asked for certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not.
    Off,
    /// They are; who has none may come in, who has a bad one may not.
    Optional,
    /// They are; who has none may not come in.
    Required,
}

/// The TLS of a gateway: one for all workers, as its files are now.
pub struct ServerTls {
    settings: TlsSettings,
    clock: Clock,
    in_force: ArcSwap<InForce>,
    seen: std::sync::Mutex<Seen>,
    counts: TlsCounts,
}

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What a file holds cannot be used.
    #[error("{}: {problem}", .path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The TLS library cannot work.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// What a handshake told of the caller.
#[derive(Debug)]
pub(crate) struct Handshake {
    /// The host that the caller wants, as it said before anything was encrypted (RFC 6066 §3).
    server_name: Option<Box<str>>,
    /// The caller's certificate, when it has one. It was verified.
    certificate: Option<Thumbprint>,
    /// Names of the certificate that the caller was shown.
    names: Arc<Names>,
    http2: bool,
}

/// Why a handshake did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("the handshake took too long")]
    Timeout,
    #[error("the client certificate was refused: {0}")]
    ClientCertificate(rustls::Error),
    #[error("the handshake failed: {0}")]
    Failed(io::Error),
}

/// What is counted of TLS.
#[derive(Debug, Default)]
pub(crate) struct TlsCounts {
    pub(crate) handshakes_ok: AtomicU64,
    pub(crate) handshakes_failed: AtomicU64,
    pub(crate) handshakes_refused: AtomicU64,
    pub(crate) handshakes_timeout: AtomicU64,
    pub(crate) reloads_applied: AtomicU64,
    pub(crate) reloads_refused: AtomicU64,
}

/// What one state of the files makes. Connections keep the one that they began with.
struct InForce {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl ServerTls {
    /// Opens and checks all files.
    ///
    /// # Errors
    /// [`TlsFileError`]: a file that cannot be read, a key that is not its certificate's, a certificate or a list that is
    /// out of date.
    pub fn open(settings: TlsSettings, clock: Clock) -> Result<Self, TlsFileError> {
        let contents = Contents::read(&settings);
        let in_force = InForce::made_of(&contents, &settings, &clock)?;
        Ok(Self {
            in_force: ArcSwap::from_pointee(in_force),
            seen: std::sync::Mutex::new(Seen::applied(&contents)),
            counts: TlsCounts::default(),
            settings,
            clock,
        })
    }

    /// Makes a connection of a stream, or says why not. What went wrong has been told to the caller, as far as TLS has a
    /// word for it, and counted.
    ///
    /// # Cancel safety
    /// Not cancel safe: the stream is lost, and nothing is counted.
    pub(crate) async fn handshake<S>(&self, stream: S, until: Instant) -> Result<(TlsStream<S>, Handshake), TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let in_force = self.in_force.load_full();
        let accepting = TlsAcceptor::from(Arc::clone(&in_force.config)).accept(stream);
        let result = match timeout_at(until, accepting).await {
            Err(_elapsed) => Err(TlsError::Timeout),
            Ok(Err(error)) => Err(TlsError::of(error)),
            Ok(Ok(stream)) => in_force
                .handshake(stream.get_ref().1, now(&self.clock))
                .map(|handshake| (stream, handshake)),
        };
        let count = match &result {
            Ok(_) => &self.counts.handshakes_ok,
            Err(TlsError::Timeout) => &self.counts.handshakes_timeout,
            Err(TlsError::ClientCertificate(_)) => &self.counts.handshakes_refused,
            Err(TlsError::Failed(_)) => &self.counts.handshakes_failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// Returns what is counted.
    pub(crate) fn counts(&self) -> &TlsCounts {
        &self.counts
    }

    /// Returns the first names of the certificates in use, and when they end, in seconds since the Unix epoch. Of
    /// certificates with one first name, the one that ends first.
    pub(crate) fn expiries(&self) -> Vec<(Box<str>, i64)> {
        self.in_force.load().certificates.expiries()
    }
}

impl InForce {
    fn made_of(contents: &Contents, settings: &TlsSettings, clock: &Clock) -> Result<Self, TlsFileError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certificates = Arc::new(Certificates::open(&contents.certificates, &provider, clock)?);
        let clients = clients::verifier(contents, settings.client_certificates, &provider, clock)?;
        let builder = ServerConfig::builder_with_details(provider, Arc::new(Time(clock.clone())))
            .with_safe_default_protocol_versions()?;
        let builder = match &clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients)),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&certificates) as Arc<_>);
        config.alpn_protocols = if settings.http2 {
            vec![HTTP2.to_vec(), HTTP1.to_vec()]
        } else {
            vec![HTTP1.to_vec()]
        };
        // Keys of its own: a session of earlier certificates, or of an earlier list of revoked ones, is not resumed.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self {
            config: Arc::new(config),
            certificates,
            clients,
        })
    }

    /// Reads what a finished handshake has told.
    fn handshake(&self, connection: &ServerConnection, now: UnixTime) -> Result<Handshake, TlsError> {
        let chain = connection.peer_certificates().and_then(<[_]>::split_first);
        // A ticket remembers a certificate that was good when the session began; it may have expired since.
        if let (Some((own, others)), Some(clients)) = (chain, &self.clients)
            && connection.handshake_kind() == Some(HandshakeKind::Resumed)
        {
            clients
                .verify_client_cert(own, others, now)
                .map_err(TlsError::ClientCertificate)?;
        }
        let server_name = connection.server_name().map(canonical);
        Ok(Handshake {
            certificate: chain.map(|(own, _)| Thumbprint::of_certificate(own)),
            names: Arc::clone(self.certificates.choose(server_name.as_deref()).names()),
            server_name: server_name.map(Into::into),
            http2: connection.alpn_protocol() == Some(HTTP2),
        })
    }
}

impl Handshake {
    /// Returns the certificate of the caller.
    pub(crate) fn certificate(&self) -> Option<&Thumbprint> {
        self.certificate.as_ref()
    }

    /// Says whether HTTP/2 was agreed on, by ALPN (RFC 7301).
    pub(crate) fn is_http2(&self) -> bool {
        self.http2
    }

    /// Says whether requests for a host, without port, may come on this connection: RFC 9110 §7.4. Who named a host in
    /// the handshake was shown a certificate for it, and must stay with the names of that certificate. Who named none
    /// knows us by address only.
    pub(crate) fn answers_for(&self, host: &str) -> bool {
        self.server_name.is_none() || self.names.have(host)
    }
}

impl TlsError {
    fn of(error: io::Error) -> Self {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        match cause {
            // Only callers show certificates to us.
            Some(cause @ (rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)) => {
                Self::ClientCertificate(cause.clone())
            }
            Some(_) | None => Self::Failed(error),
        }
    }
}

/// The gateway's clock, as the TLS library takes it.
#[derive(Debug)]
struct Time(Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(now(&self.0))
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// RFC 7301 §6 and RFC 9113 §3.1.
const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

fn now(clock: &Clock) -> UnixTime {
    let unix_ms = u64::try_from(clock.unix_ms()).unwrap_or_default();
    UnixTime::since_unix_epoch(Duration::from_millis(unix_ms))
}

fn unusable(path: &std::path::Path, problem: impl fmt::Display) -> TlsFileError {
    TlsFileError::Unusable {
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}
