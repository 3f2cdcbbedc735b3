//! Upstreams: the orchestrator and the admin service, where they are, and the connections to them.
//!
//! # Layout
//! - [`url`], [`address`]: where an endpoint is, and where it may not be.
//! - [`tls`], [`credential`]: what we believe and what we show.
//! - [`health`], [`budget`]: which endpoint is chosen, and when a request is sent again.
//! - [`connection`]: opening one, over HTTP/1.1 or HTTP/2.
//! - [`pool`]: a worker's connections.
//! - [`exchange`], [`send`]: a request on one connection, and its way over several.
//! - [`mod@tend`]: what is looked after between requests.
//! - [`metrics`]: what is counted.
//!
//! Workers share what is in this file and change nothing in it for a request: their connections are their own.

mod address;
mod budget;
mod connection;
mod credential;
mod exchange;
mod health;
mod metrics;
mod pool;
mod send;
mod tend;
mod tls;
mod url;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;

use budget::Floor;
use credential::Credential;
use health::Health;
use metrics::Counts;
use tls::Connectors;
use url::Place;

pub use address::Addresses;
pub use credential::{CredentialError, CredentialSource, Secret};
pub use health::HealthRules;
pub(crate) use pool::{Lease, Pool};
pub(crate) use send::Sending;
pub(crate) use tend::tend;
pub use tls::{CertificateFiles, ClientTls, TlsError};
pub use url::BadUrl;

/// An upstream, with all that workers share of it. Cheap to clone: clones are the same upstream.
#[derive(Clone)]
pub struct Upstream(Arc<Shared>);

/// What an upstream is told at its start. Two that are equal can stand for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// URLs of its endpoints, such as `https://api.example.com/prefix`; all with the same path.
    pub urls: Vec<String>,
    /// How long it may take.
    pub deadlines: Deadlines,
    /// Addresses that it may have.
    pub addresses: Addresses,
    /// When an endpoint is left alone.
    pub health: HealthRules,
    /// When a request is sent again.
    pub retries: RetryRules,
    /// Whether HTTP/2 is spoken.
    pub http2: Http2,
    /// What is sent as `Authorization`: our credential, never the caller's.
    pub credential: CredentialSource,
    /// What TLS goes by.
    pub tls: ClientTls,
    /// How often the files of credential and certificate are looked at.
    pub files_watch: Duration,
}

/// How long an upstream may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// To accept a connection, TLS included.
    pub connect: Duration,
    /// From the end of a request with a safe method to the head of the answer.
    pub first_byte: Duration,
    /// The same for methods that may change something.
    pub write_first_byte: Duration,
    /// Between two parts of the answer's body.
    pub idle: Duration,
    /// Between two parts of the request's body, which the caller sends.
    pub body_idle: Duration,
}

/// When a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryRules {
    /// How often one request is, at most. Those that no upstream can have seen are not counted.
    pub max: u32,
    /// How many are, of the requests of late, in percent.
    pub budget_percent: u32,
    /// Whether methods that change something and are idempotent are among them.
    pub writes: bool,
}

/// Whether HTTP/2 is spoken with an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http2 {
    /// Never.
    Off,
    /// Where TLS is used and the upstream chooses it.
    Auto,
    /// The same, and without TLS always.
    PriorKnowledge,
}

/// Why an upstream cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its URLs.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// The credential for it.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

struct Shared {
    config: Config,
    endpoints: Box<[Endpoint]>,
    credential: Credential,
    connectors: Connectors,
    floor: Floor,
    counts: Counts,
    /// The endpoint that gets requests while it can be reached; [`NONE`]: whichever is good.
    preferred: AtomicUsize,
}

struct Endpoint {
    place: Place,
    health: Health,
}

impl Config {
    /// Returns the configuration of a service that belongs to us: wherever its endpoints are, and with a credential that
    /// stays. What may have been done is never asked for again: the caller is told that nobody knows.
    pub fn own(urls: Vec<String>, credential: Secret, deadlines: Deadlines, tls: ClientTls) -> Self {
        Self {
            urls,
            deadlines,
            addresses: Addresses::Any,
            health: HealthRules::default(),
            retries: RetryRules {
                writes: false,
                ..RetryRules::default()
            },
            http2: Http2::Off,
            credential: CredentialSource::Given(credential),
            tls,
            files_watch: Duration::from_secs(1),
        }
    }
}

impl Default for RetryRules {
    fn default() -> Self {
        Self {
            max: 1,
            budget_percent: 20,
            writes: true,
        }
    }
}

impl Upstream {
    /// Reads the files that the configuration names and gets the credential. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let places = url::places(&config.urls)?;
        let endpoints = places.into_iter().map(|place| Endpoint {
            place,
            health: Health::new(),
        });
        Ok(Self(Arc::new(Shared {
            endpoints: endpoints.collect(),
            credential: Credential::open(config.credential.clone()).await?,
            connectors: Connectors::open(&config.tls, config.http2)?,
            floor: Floor::new(),
            counts: Counts::default(),
            preferred: AtomicUsize::new(NONE),
            config,
        })))
    }

    /// Checks that URLs can be those of an upstream's endpoints.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn check_urls(urls: &[String]) -> Result<(), BadUrl> {
        url::places(urls).map(drop)
    }

    /// Whether it was opened with this configuration: then it can be kept, with its connections and what is known of its
    /// health.
    pub fn is_opened_with(&self, config: &Config) -> bool {
        self.0.config == *config
    }

    /// Returns the path that stands before every path sent; empty, or `/…` without a slash at its end.
    pub(crate) fn prefix(&self) -> &str {
        &self.0.endpoints[0].place.prefix
    }

    /// Counts its endpoints.
    pub(crate) fn endpoints(&self) -> usize {
        self.0.endpoints.len()
    }

    /// Has requests sent to one endpoint, as long as it can be reached; returns whether it was another until now.
    pub(crate) fn prefer(&self, endpoint: usize) -> bool {
        self.0.preferred.swap(endpoint, Ordering::Relaxed) != endpoint
    }

    /// Returns host and port of an endpoint, for logs.
    pub(crate) fn authority(&self, endpoint: usize) -> &str {
        self.0.endpoints[endpoint].authority()
    }

    fn preferred(&self) -> Option<usize> {
        let preferred = self.0.preferred.load(Ordering::Relaxed);
        (preferred != NONE).then_some(preferred)
    }

    /// Returns our credential, as `Authorization` is to hold it.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        self.0.credential.authorization()
    }

    fn may_speak_http2(&self, place: &Place) -> bool {
        match self.0.config.http2 {
            Http2::Off => false,
            Http2::Auto => place.secure,
            Http2::PriorKnowledge => true,
        }
    }

    fn deadlines(&self) -> &Deadlines {
        &self.0.config.deadlines
    }
}

/// No endpoint.
const NONE: usize = usize::MAX;

impl Endpoint {
    fn authority(&self) -> &str {
        self.place.authority.as_str()
    }
}
