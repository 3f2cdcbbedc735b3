//! What a gateway is told at its start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use catalogue::Catalogue;
use feed::Clock;
use http::HeaderName;

use crate::limit::Rate;
use crate::upstream::Upstream;

/// All settings of a gateway.
#[derive(Clone)]
pub struct Settings {
    /// Name of this gateway, unique among the gateways of one admin service.
    pub name: String,
    /// Directory for the identity key and for reports that the admin service has not confirmed.
    pub data: PathBuf,
    /// The orchestrator.
    pub orchestrator: Upstream,
    /// The admin service: feed, effects, and the operations it answers.
    pub admin: Upstream,
    /// Operations that may pass.
    pub catalogue: Arc<Catalogue>,
    /// Hosts that are answered for.
    pub hosts: Hosts,
    /// Header fields that are forwarded beyond the built-in list.
    pub forwarded_fields: Vec<HeaderName>,
    /// Env type of an environment that is created without naming one.
    pub default_env_type: String,
    /// Whether verdicts of role policies are remembered.
    pub remember_verdicts: bool,
    /// Limits.
    pub limits: Limits,
    /// Where the access log goes.
    pub access_log: AccessLog,
    /// The time.
    pub clock: Clock,
}

/// Limits of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, over all workers. More wait in the listener's backlog.
    pub connections_max: usize,
    /// Rate of requests of one subject, over all its tokens. `None`: unlimited.
    pub subject_rate: Option<Rate>,
    /// Time for a request's header section to arrive.
    pub header_timeout: Duration,
    /// Time for a body that must be read to arrive whole.
    pub body_timeout: Duration,
    /// Longest body where it must be read, in octets.
    pub read_body_bytes_max: usize,
    /// Oldest data that requests are decided on.
    pub data_age_max: Duration,
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
            connections_max: 10_000,
            subject_rate: None,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            read_body_bytes_max: 1024 * 1024,
            data_age_max: Duration::from_mins(15),
        }
    }
}
