//! What is counted of an upstream: labels are the authorities that the configuration names, and words of ours.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::time::Instant;

use super::Upstream;

/// What is counted for all workers, of things that are rare.
#[derive(Default)]
pub(super) struct Counts {
    retries: [AtomicU64; Retry::ALL.len()],
    pub(super) reloads: Reloads,
    /// What each worker counts, one for each endpoint. Locked when a worker begins and when metrics are read.
    workers: Mutex<Vec<Weak<[Gauge]>>>,
}

/// How a request that was sent again ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    Succeeded,
    Failed,
    /// The budget was used up: it was not sent again.
    OverBudget,
}

/// Changes of the credential or of the certificate that we show.
#[derive(Default)]
pub(super) struct Reloads {
    replaced: AtomicU64,
    failed: AtomicU64,
}

/// A worker's connections to one endpoint.
#[derive(Default)]
pub(super) struct Gauge {
    open: AtomicU64,
    /// Only the worker writes it.
    used: AtomicU64,
}

/// Counts a connection as open while it lives.
pub(super) struct Open(Arc<[Gauge]>, usize);

impl Counts {
    pub(super) fn retry(&self, result: Retry) {
        self.retries[result as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the gauges of one more worker.
    pub(super) fn join(&self, endpoints: usize) -> Arc<[Gauge]> {
        let gauges: Arc<[Gauge]> = (0..endpoints).map(|_| Gauge::default()).collect();
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|worker| worker.strong_count() > 0);
        workers.push(Arc::downgrade(&gauges));
        gauges
    }

    fn connections(&self, endpoint: usize) -> (u64, u64) {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let workers = workers.iter().filter_map(Weak::upgrade);
        workers.fold((0, 0), |(open, used), worker| {
            let gauge = &worker[endpoint];
            (
                open + gauge.open.load(Ordering::Relaxed),
                used + gauge.used.load(Ordering::Relaxed),
            )
        })
    }
}

impl Retry {
    const ALL: [Self; 3] = [Self::Succeeded, Self::Failed, Self::OverBudget];

    fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::OverBudget => "over-budget",
        }
    }
}

impl Reloads {
    pub(super) fn replaced(&self) {
        self.replaced.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Gauge {
    /// One more is in use. No locked instruction: only this worker writes.
    pub(super) fn take(&self) {
        self.used
            .store(self.used.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// One that was in use is free, or gone.
    pub(super) fn give(&self) {
        self.used
            .store(self.used.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }
}

impl Open {
    pub(super) fn count(gauges: &Arc<[Gauge]>, endpoint: usize) -> Self {
        gauges[endpoint].open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(gauges), endpoint)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0[self.1].open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Upstream {
    /// Writes all that is counted of this upstream.
    pub(crate) fn encode_metrics(&self, encoder: &mut DescriptorEncoder) -> std::fmt::Result {
        let (counts, endpoints) = (&self.0.counts, &self.0.endpoints);
        let now = Instant::now();
        let help = "Whether requests should go to an endpoint: neither ejected nor failing its checks.";
        let mut family = encoder.encode_descriptor("postern_upstream_healthy", help, None, MetricType::Gauge)?;
        for endpoint in endpoints {
            let labels = [("endpoint", endpoint.authority())];
            ConstGauge::new(i64::from(endpoint.health.is_good(now))).encode(family.encode_family(&labels)?)?;
        }
        let help = "Times that an endpoint was left alone for a while.";
        let mut family = encoder.encode_descriptor("postern_upstream_ejections", help, None, MetricType::Counter)?;
        for endpoint in endpoints {
            let labels = [("endpoint", endpoint.authority())];
            ConstCounter::new(endpoint.health.ejections()).encode(family.encode_family(&labels)?)?;
        }
        let help = "Open connections to an endpoint.";
        let mut family = encoder.encode_descriptor("postern_upstream_connections", help, None, MetricType::Gauge)?;
        for (at, endpoint) in endpoints.iter().enumerate() {
            let (open, used) = counts.connections(at);
            for (state, count) in [("idle", open.saturating_sub(used)), ("used", used)] {
                let labels = [("endpoint", endpoint.authority()), ("state", state)];
                ConstGauge::new(count as i64).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Requests that were sent again, or would have been.";
        let mut family = encoder.encode_descriptor("postern_upstream_retries", help, None, MetricType::Counter)?;
        for result in Retry::ALL {
            let count = counts.retries[result as usize].load(Ordering::Relaxed);
            ConstCounter::new(count).encode(family.encode_family(&[("result", result.name())])?)?;
        }
        let help = "Changes of the credential or the certificate for the upstream.";
        let name = "postern_upstream_credential_reloads";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (result, count) in [
            ("replaced", &counts.reloads.replaced),
            ("failed", &counts.reloads.failed),
        ] {
            let count = count.load(Ordering::Relaxed);
            ConstCounter::new(count).encode(family.encode_family(&[("result", result)])?)?;
        }
        Ok(())
    }
}
