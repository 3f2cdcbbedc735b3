//! Reading the configuration again: the file and the variables, under the flags of the start. It is put in force whole, or
//! refused with every error, and then nothing has changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::systemd;
use crate::config::{Given, Reading};

/// The configuration in force, and how to read it again.
pub(super) struct Reloads<const COMMAND: u8> {
    given: Given<COMMAND>,
    in_force: Reading,
    told: Arc<Told>,
}

/// What is counted.
struct Told {
    applied: AtomicU64,
    refused: AtomicU64,
    last_successful: AtomicBool,
}

impl<const COMMAND: u8> Reloads<COMMAND> {
    /// Begins with what was read at the start.
    pub(super) fn new(given: Given<COMMAND>, in_force: Reading) -> Self {
        Self {
            given,
            in_force,
            told: Arc::new(Told {
                applied: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                last_successful: AtomicBool::new(true),
            }),
        }
    }

    /// Adds the metrics of reloads to a registry.
    pub(super) fn register_metrics(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(ReloadMetrics(Arc::clone(&self.told))));
    }

    /// Reads everything again and has it applied: `plan` makes what the command needs of the values, noting errors; `apply`
    /// puts it in force whole, or returns all that is in the way.
    pub(super) async fn again<P>(
        &mut self,
        plan: impl FnOnce(&mut Reading) -> P,
        apply: impl AsyncFnOnce(P) -> Result<(), Vec<String>>,
    ) {
        systemd::reloading();
        let mut reading = self.given.clone().read();
        let planned = plan(&mut reading);
        let mut errors = reading.finish().err().map_or_else(Vec::new, |errors| errors.0);
        let changes = reading.changes_since(&self.in_force);
        let restart = changes.need_restart.iter();
        errors.extend(restart.map(|key| format!("{key} has changed, which needs a restart")));
        let outcome = if errors.is_empty() {
            apply(planned).await
        } else {
            Err(errors)
        };
        match outcome {
            Ok(()) => {
                self.told.applied.fetch_add(1, Ordering::Relaxed);
                self.told.last_successful.store(true, Ordering::Relaxed);
                tracing::info!(changed = %changes.applicable.join(" "), "the configuration was read again and is in force");
                self.in_force = reading;
            }
            Err(errors) => {
                for error in &errors {
                    tracing::error!(%error, "the configuration that was read again cannot be used");
                }
                self.told.refused.fetch_add(1, Ordering::Relaxed);
                self.told.last_successful.store(false, Ordering::Relaxed);
                tracing::error!(errors = errors.len(), "the configuration was read again and is refused");
            }
        }
        systemd::ready();
    }
}

struct ReloadMetrics(Arc<Told>);

impl std::fmt::Debug for ReloadMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReloadMetrics")
    }
}

impl Collector for ReloadMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let help = "Times that the configuration was read again.";
        let mut family = encoder.encode_descriptor("postern_config_reloads", help, None, MetricType::Counter)?;
        for (result, count) in [("applied", &self.0.applied), ("refused", &self.0.refused)] {
            let count = count.load(Ordering::Relaxed);
            ConstCounter::new(count).encode(family.encode_family(&[("result", result)])?)?;
        }
        let help = "Whether what was last read is in force: 1, or 0 when it was refused.";
        let gauge =
            encoder.encode_descriptor("postern_config_last_reload_successful", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::from(self.0.last_successful.load(Ordering::Relaxed))).encode(gauge)
    }
}
