//! Starting the control plane.

use std::path::PathBuf;
use std::sync::Arc;

use admin::{Admin, OpenError, PostgresPlace, Random};
use catalogue::Catalogue;
use engine::Compiler;
use engine::signature::TrustedKeys;
use feed::Clock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::config::Reading;
use crate::exit::{CANNOT_CREATE, DATA, Failure, INPUT_OUTPUT, SOFTWARE, UNAVAILABLE, USAGE};

/// What the control plane is started with.
pub(super) struct ControlPlan {
    /// Directory of the store, which is made when only its last part is missing.
    pub(super) data: PathBuf,
    /// The database of a store that is not in this directory.
    pub(super) postgres: Option<PostgresPlace>,
    /// Organisation that an empty store gets.
    pub(super) org: String,
    /// The key of the feed, when replicas share it.
    pub(super) feed_key_file: Option<PathBuf>,
    /// Keys of those who may sign policies.
    pub(super) trusted_keys: TrustedKeys,
}

/// Opens the store, or makes it.
pub(super) async fn open(plan: ControlPlan, catalogue: Arc<Catalogue>) -> Result<Admin, Failure> {
    super::data_directory(&plan.data)?;
    let program = std::env::current_exe().map_err(|error| Failure::new(SOFTWARE, &error))?;
    let settings = admin::Settings {
        data: plan.data.clone(),
        postgres: plan.postgres,
        org: Some(plan.org),
        feed_key_file: plan.feed_key_file,
        clock: Clock::system(),
        random: Random::system(),
        catalogue,
        compiler: Compiler::new(program),
        trusted_keys: plan.trusted_keys,
    };
    let admin = admin::open(settings).await.map_err(|error| failure(&error))?;
    if admin.bootstrapped() {
        let file = plan.data.join(admin::BOOTSTRAP_TOKEN_FILE);
        tracing::info!(file = %file.display(), "the store was empty: an administrator's token was written");
    }
    Ok(admin)
}

/// Adds the control plane's metrics to a registry.
pub(super) fn register_metrics(admin: &Arc<Admin>, registry: &mut Registry) {
    registry.register_collector(Box::new(AdminMetrics(Arc::clone(admin))));
}

struct AdminMetrics(Arc<Admin>);

impl ControlPlan {
    /// Reads what is needed; errors are noted in the reading.
    pub(super) fn of(reading: &mut Reading) -> Self {
        Self {
            data: PathBuf::from(reading.text("data")),
            postgres: reading.postgres(),
            org: reading.org(),
            feed_key_file: reading.file("feed_key_file"),
            trusted_keys: reading.trusted_keys(),
        }
    }
}

impl std::fmt::Debug for AdminMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminMetrics")
    }
}

impl Collector for AdminMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let revision = i64::try_from(self.0.revision()).unwrap_or(i64::MAX);
        let feeds = i64::try_from(self.0.open_feeds()).unwrap_or(i64::MAX);
        gauge(
            &mut encoder,
            "postern_store_revision",
            "Newest revision of the store.",
            revision,
        )?;
        gauge(
            &mut encoder,
            "postern_feeds_open",
            "Gateways that follow the feed now.",
            feeds,
        )?;
        let health = self.0.store_health();
        let failures =
            "Transactions that could not be begun or committed, and looks at the newest revision that failed.";
        counter(&mut encoder, "postern_store_failures", failures, health.failures)?;
        let connections = "Connections to the store's database that were opened.";
        counter(
            &mut encoder,
            "postern_store_connections",
            connections,
            health.connections,
        )?;
        counter(
            &mut encoder,
            "postern_store_changes",
            "Changes that were begun.",
            health.changes,
        )?;
        let waited = "How long changes waited for their turn, together.";
        let waited = encoder.encode_descriptor("postern_store_lock_wait_seconds", waited, None, MetricType::Counter)?;
        ConstCounter::new(health.lock_wait.as_secs_f64()).encode(waited)?;
        let console = self.0.console_counts();
        for (name, help, value) in [
            (
                "postern_console_sign_ins",
                "People who have signed in to the console.",
                console.sign_ins,
            ),
            (
                "postern_console_sign_ins_refused",
                "Links to sign in that were unknown, used or too old.",
                console.sign_ins_refused,
            ),
            (
                "postern_console_refusals",
                "Requests to the console that a policy, a guard or the check of where they came from has refused.",
                console.refusals,
            ),
        ] {
            counter(&mut encoder, name, help, value)?;
        }
        let help = "Revisions by which a gateway is behind the store, as it last reported.";
        let mut family = encoder.encode_descriptor("postern_feed_lag_revisions", help, None, MetricType::Gauge)?;
        let gateways = self.0.gateways();
        for gateway in &gateways {
            let lag = revision.saturating_sub_unsigned(gateway.revision);
            ConstGauge::new(lag).encode(family.encode_family(&[("gateway", gateway.gateway.as_str())])?)?;
        }
        let help = "Seconds since a gateway was last heard from; each reports every ten seconds at least.";
        let (name, unit) = ("postern_gateway_silence", Unit::Seconds);
        let mut family = encoder.encode_descriptor(name, help, Some(&unit), MetricType::Gauge)?;
        let now_ms = Clock::system().unix_ms();
        for gateway in &gateways {
            let silence = now_ms.saturating_sub(gateway.last_contact_ms).max(0) / 1000;
            ConstGauge::new(silence).encode(family.encode_family(&[("gateway", gateway.gateway.as_str())])?)?;
        }
        Ok(())
    }
}

fn gauge(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: i64) -> std::fmt::Result {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn counter(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: u64) -> std::fmt::Result {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

/// Returns an error of opening with its exit code.
pub(super) fn failure(error: &OpenError) -> Failure {
    Failure::new(exit_code(error), error)
}

fn exit_code(error: &OpenError) -> u8 {
    match error {
        OpenError::NoDirectory { .. } | OpenError::Unwritable { .. } => CANNOT_CREATE,
        OpenError::InUse { .. } => UNAVAILABLE,
        OpenError::Corrupt { .. }
        | OpenError::NewerSchema { .. }
        | OpenError::OlderSchema { .. }
        | OpenError::Credential { .. }
        | OpenError::FeedKey { .. } => DATA,
        OpenError::InvalidOrg(_) => USAGE,
        OpenError::Engine(_) => SOFTWARE,
        OpenError::Io { .. } | OpenError::Database { .. } => INPUT_OUTPUT,
    }
}
