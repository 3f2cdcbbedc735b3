//! What a gateway is told at its start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use catalogue::Catalogue;
use engine::signature::TrustedKeys;
use feed::{Clock, FeedKeys};
use http::HeaderName;

use crate::freshness::AgeLimits;
use crate::front::Front;
use crate::kept::Key;
use crate::limit::Rate;
use crate::tls::TlsSettings;
use crate::upstream::Upstream;

/// All settings of a gateway.
#[derive(Clone)]
pub struct Settings {
    /// Name of this gateway, unique among the gateways of one admin service.
    pub name: String,
    /// Directory for the identity key, the kept state, and reports that the admin service has not confirmed.
    pub data: PathBuf,
    /// With what the state is sealed that is kept for the next start; `None`: none is kept.
    pub keep: Option<Key>,
    /// The orchestrator.
    pub orchestrator: Upstream,
    /// The admin service: feed, effects, and the operations it answers.
    pub admin: Upstream,
    /// The keys that may sign its feed.
    pub feed_keys: FeedKeys,
    /// Operations that may pass.
    pub catalogue: Arc<Catalogue>,
    /// How the listener speaks TLS; `None`: it does not.
    pub tls: Option<TlsSettings>,
    /// How often files that are watched are looked at.
    pub files_watch_interval: Duration,
    /// Hosts that are answered for.
    pub hosts: Hosts,
    /// Whether HTTP/2 is spoken without TLS, to callers who begin with it ("prior knowledge").
    pub http2_cleartext: bool,
    /// Proxies in front of this gateway.
    pub front: Front,
    /// Header fields that are forwarded beyond the built-in list.
    pub forwarded_fields: Vec<HeaderName>,
    /// Env type of an environment that is created without naming one.
    pub default_env_type: String,
    /// The program that compiles policies when it is started as `PROGRAM policy-compiler`: this one.
    pub policy_compiler: PathBuf,
    /// The keys whose signatures make a policy usable; none: it need not be signed.
    pub policy_keys: TrustedKeys,
    /// Whether verdicts of role policies are remembered.
    pub remember_verdicts: bool,
    /// Limits.
    pub limits: Limits,
    /// Where the access log goes.
    pub access_log: AccessLog,
    /// Which decisions are kept, and where.
    pub decision_log: DecisionLog,
    /// The time.
    pub clock: Clock,
}

/// Limits of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, over all workers. More are sent away.
    pub connections_max: usize,
    /// Connections at once of one source: an IPv4 address or the /64 of an IPv6 address.
    pub connections_per_source_max: usize,
    /// Streams at once of one HTTP/2 connection.
    pub streams_per_connection_max: u32,
    /// Requests at once, over all workers. More are refused.
    pub requests_in_flight_max: usize,
    /// Rate of requests of one subject, over all its tokens. `None`: unlimited.
    pub subject_rate: Option<Rate>,
    /// Rate of requests with one token. `None`: unlimited.
    pub token_rate: Option<Rate>,
    /// Rate of requests of one source. `None`: unlimited.
    pub source_rate: Option<Rate>,
    /// Rate of invalid credentials of one source. `None`: unlimited.
    pub invalid_credentials_rate: Option<Rate>,
    /// Longest request target, in octets.
    pub target_bytes_max: usize,
    /// Longest header section of a request, in octets. nginx reads as much by default (4 buffers of 8 KiB).
    pub fields_bytes_max: usize,
    /// Most header fields of a request.
    pub fields_max: usize,
    /// Time for a connection to say what it speaks: PROXY header, TLS handshake.
    pub handshake_timeout: Duration,
    /// Time that a connection may rest between requests.
    pub idle_timeout: Duration,
    /// Time for which a caller may take nothing of what is sent to it.
    pub send_timeout: Duration,
    /// Time for a request's header section to arrive.
    pub header_timeout: Duration,
    /// Time for a body that must be read to arrive whole.
    pub body_timeout: Duration,
    /// Longest body where it must be read, in octets.
    pub read_body_bytes_max: usize,
    /// How old data may be that requests are decided on.
    pub data_age: AgeLimits,
    /// Upgraded connections at once, over all workers. More are refused.
    pub upgrades_max: usize,
    /// Longest time without an octet on an upgraded connection.
    pub upgrade_idle: Duration,
}

/// Hosts that are answered for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// Any.
    Any,
    /// These, in lower case and without port.
    These(Vec<String>),
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// To the end of a file.
    File(PathBuf),
}

/// Which decisions are kept, and where. Refusals always are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionLog {
    /// The file; `None`: they are only handed on to the admin service.
    pub file: Option<PathBuf>,
    /// Size at which the file is begun anew, in octets; a line may pass it.
    pub bytes_max: u64,
    /// Files that are kept, with the one that is written; at least 1.
    pub files_max: usize,
    /// Share of what is allowed that is kept too, 0 to 100.
    pub allowed_percent: u8,
}

/// Returns whether a header field may never be forwarded, whatever is configured: it carries credentials or an identity, or
/// belongs to one connection.
pub fn is_never_forwarded(name: &HeaderName) -> bool {
    crate::fields::is_never_forwarded(name.as_str())
}

impl Hosts {
    pub(crate) fn admit(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(hosts) => hosts.iter().any(|own| own.eq_ignore_ascii_case(host)),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            connections_per_source_max: 10_240,
            streams_per_connection_max: 100,
            requests_in_flight_max: 16_384,
            subject_rate: None,
            token_rate: None,
            source_rate: None,
            invalid_credentials_rate: Some(Rate {
                per_second: 10,
                burst: 100,
            }),
            target_bytes_max: 8 * 1024,
            fields_bytes_max: 32 * 1024,
            fields_max: 100,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            read_body_bytes_max: 1024 * 1024,
            data_age: AgeLimits::default(),
            upgrades_max: 1000,
            upgrade_idle: Duration::from_hours(1),
        }
    }
}
