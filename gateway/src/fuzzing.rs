//! Fuzzing: the steps between the octets of a request and the one for the upstream that need no socket, for `gateway/fuzz`
//! alone. It puts nothing in their place: what is fuzzed is what runs.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use catalogue::{Catalogue, Matched};
use feed::{Clock, FeedKeys};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Uri};
use tokio::sync::{Semaphore, watch};

use crate::accept::Phase;
use crate::connection::{Connection, Origin};
use crate::fields::ForwardedFields;
use crate::forward::{add_forwarding_fields, target};
use crate::front::Front;
use crate::operation::{check_head, identify};
use crate::refusal::Reason;
use crate::settings::{AccessLog, Hosts, Limits, Settings};
use crate::sources::Sources;
use crate::upstream::{ClientTls, Config, Deadlines, Secret, Upstream};

/// The way of a head from its caller to an upstream, without those who are asked about it.
pub struct Canonicaliser {
    settings: Settings,
    connection: Rc<Connection>,
    forwarded: ForwardedFields,
}

/// What a policy is shown of a request, and what of it an upstream is sent before credentials and identity are added.
pub struct Canonical<'p> {
    /// Operation and parameters.
    pub operation: Matched<'p>,
    /// The target.
    pub target: Uri,
    /// The fields, but for `Host`, which is the upstream's own.
    pub fields: HeaderMap,
}

impl Canonicaliser {
    /// Returns the way that the shipped catalogue and these settings lay. `prefix` is the path of the upstream's URL.
    ///
    /// # Panics
    /// When a prefix or a field is one that cannot be configured, or the machine lets nothing be started.
    pub fn new(hosts: Hosts, limits: Limits, more: Vec<HeaderName>, prefix: &str) -> Self {
        let upstream = upstream(prefix);
        let sources = Sources::new();
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let origin = Origin {
            address,
            source: sources.of(address),
            secure: false,
        };
        let place = sources.enter(1).expect("nobody else is there");
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned();
        let places = (place, permit.expect("nobody else is there"));
        Self {
            settings: Settings {
                name: String::new(),
                data: PathBuf::new(),
                orchestrator: upstream.clone(),
                admin: upstream,
                feed_keys: FeedKeys::parse(&"A".repeat(43)).expect("32 octets"),
                catalogue: Arc::new(Catalogue::parse(catalogue::OPERATIONS).expect("the shipped table is valid")),
                tls: None,
                files_watch_interval: Duration::MAX,
                hosts,
                http2_cleartext: false,
                front: Front::default(),
                forwarded_fields: more.clone(),
                default_env_type: String::new(),
                remember_verdicts: false,
                limits,
                access_log: AccessLog::Off,
                clock: Clock::manual(0),
            },
            connection: Connection::new(origin, (false, None), watch::channel(Phase::Serve).1, places),
            forwarded: ForwardedFields::widened(more).expect("a field that may be forwarded"),
        }
    }

    /// Returns the operations that may pass.
    pub fn catalogue(&self) -> &Catalogue {
        &self.settings.catalogue
    }

    /// Takes a head as far as a permit would take it.
    ///
    /// # Errors
    /// The reason to refuse it.
    pub fn forward<'p>(&self, parts: &'p Parts) -> Result<Canonical<'p>, Reason> {
        check_head(parts, &self.settings, &self.connection)?;
        let operation = identify(self.catalogue(), parts).map_err(|refusal| refusal.reason)?;
        let prefix = self.settings.orchestrator.prefix();
        let target = target(prefix, &operation, parts.uri.query()).map_err(|refusal| refusal.reason)?;
        let mut fields = self.forwarded.collect(&parts.headers);
        add_forwarding_fields(parts, &self.connection.origin, &mut fields);
        Ok(Canonical {
            operation,
            target,
            fields,
        })
    }
}

/// Returns the token of `Bearer` credentials, as it is taken from `Authorization`.
pub fn bearer(credentials: &[u8]) -> Option<&[u8]> {
    crate::authenticate::bearer(credentials)
}

/// An upstream that nobody connects to.
fn upstream(prefix: &str) -> Upstream {
    let deadlines = Deadlines {
        connect: Duration::ZERO,
        first_byte: Duration::ZERO,
        write_first_byte: Duration::ZERO,
        idle: Duration::ZERO,
        body_idle: Duration::ZERO,
    };
    let tls = ClientTls {
        authorities: Some(Vec::new()),
        certificate: None,
    };
    let url = format!("http://upstream.example{prefix}");
    let config = Config::own(vec![url], Secret::new("secret".to_owned()), deadlines, tls);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let opened = runtime
        .expect("a runtime without drivers")
        .block_on(Upstream::open(config));
    opened.expect("a prefix that can be configured")
}
