//! Starting the control plane, with the built-in roles.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use admin::{Admin, OpenError, PermissionQuestion, Random, RoleCatalogue, RoleDescription};
use catalogue::Catalogue;
use engine::{Engine, Inputs, Memory, PolicySet, Question, SubjectView};
use feed::{Clock, Scope};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::exit::{CANNOT_CREATE, DATA, Failure, INPUT_OUTPUT, SOFTWARE, UNAVAILABLE, USAGE};

/// Opens the store under a directory, which is made when only its last part is missing.
pub(super) async fn open(data: &Path, org: String, catalogue: Arc<Catalogue>) -> Result<Admin, Failure> {
    super::data_directory(data)?;
    let policies = built_in_policies()?;
    let settings = admin::Settings {
        data: data.to_owned(),
        org: Some(org),
        clock: Clock::system(),
        random: Random::system(),
        roles: RoleCatalogue::new(policies.policies().map(|policy| describe(policy.manifest())).collect()),
        catalogue,
        decide: decide_with(policies),
    };
    let admin = admin::open(settings)
        .await
        .map_err(|error| Failure::new(exit_code(&error), &error))?;
    if admin.bootstrapped() {
        let file = data.join(admin::BOOTSTRAP_TOKEN_FILE);
        tracing::info!(file = %file.display(), "the store was empty: an administrator's token was written");
    }
    Ok(admin)
}

/// Adds the control plane's metrics to a registry.
pub(super) fn register_metrics(admin: &Arc<Admin>, registry: &mut Registry) {
    registry.register_collector(Box::new(AdminMetrics(Arc::clone(admin))));
}

struct AdminMetrics(Arc<Admin>);

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
        let help = "Revisions by which a gateway is behind the store, as it last reported.";
        let mut family = encoder.encode_descriptor("postern_feed_lag_revisions", help, None, MetricType::Gauge)?;
        for gateway in self.0.gateways() {
            let lag = revision.saturating_sub_unsigned(gateway.revision);
            ConstGauge::new(lag).encode(family.encode_family(&[("gateway", gateway.gateway.as_str())])?)?;
        }
        Ok(())
    }
}

fn gauge(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: i64) -> std::fmt::Result {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn built_in_policies() -> Result<PolicySet, Failure> {
    let engine = Engine::new(&engine::Limits::default()).map_err(|error| Failure::new(SOFTWARE, &error))?;
    PolicySet::builtin(&engine, Memory::default()).map_err(|error| Failure::new(SOFTWARE, &error))
}

fn describe(manifest: &engine::Manifest) -> RoleDescription {
    let scope = |scope: &engine::ScopeKind| match scope {
        engine::ScopeKind::Org => admin::ScopeKind::Org,
        engine::ScopeKind::App => admin::ScopeKind::App,
        engine::ScopeKind::EnvType => admin::ScopeKind::EnvType,
    };
    RoleDescription {
        name: manifest.name.clone(),
        scopes: manifest.scopes.iter().map(scope).collect(),
        subject_kinds: manifest.subject_kinds.clone(),
    }
}

/// The same decision that a gateway would make, for telling permissions.
fn decide_with(policies: PolicySet) -> admin::Decide {
    let policies = Mutex::new(policies);
    Arc::new(move |question: &PermissionQuestion<'_>| {
        let subject = question.subject;
        let role_on = |scope: &Scope| {
            let held = subject.roles.iter().find(|held| held.scope == *scope);
            held.map(|held| held.role.as_str())
        };
        let env_types: Vec<_> = question
            .env_types
            .iter()
            .map(|env_type| (*env_type, role_on(&Scope::env_type(&subject.org, env_type))))
            .collect();
        let asked = Question {
            subject: SubjectView {
                id: &subject.id,
                kind: subject.kind,
                org: &subject.org,
                org_role: role_on(&Scope::org(&subject.org)),
                app_role: question
                    .operation
                    .app()
                    .and_then(|app| role_on(&Scope::app(&subject.org, app))),
                env_types: &env_types,
            },
            operation: question.operation,
            inputs: Inputs::default(),
        };
        // A panic while it was held left the set whole: it only remembers verdicts.
        let policies = policies.lock().unwrap_or_else(PoisonError::into_inner);
        policies.decide(&asked).is_allowed()
    })
}

fn exit_code(error: &OpenError) -> u8 {
    match error {
        OpenError::NoDirectory { .. } | OpenError::Unwritable { .. } => CANNOT_CREATE,
        OpenError::InUse { .. } => UNAVAILABLE,
        OpenError::Corrupt { .. } | OpenError::NewerSchema { .. } | OpenError::Credential { .. } => DATA,
        OpenError::InvalidOrg(_) => USAGE,
        OpenError::Io { .. } | OpenError::Database { .. } => INPUT_OUTPUT,
    }
}
