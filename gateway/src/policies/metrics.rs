//! What is counted and told of policies, off the request path.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{PolicyDigest, PolicySet};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// How a component fares on its way here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    There,
    Coming,
    /// The last try failed; there will be another.
    Failing,
}

/// What is counted of policies.
#[derive(Default)]
pub(crate) struct PolicyCounts {
    /// Components by state.
    states: [AtomicU64; State::ALL.len()],
    compiled: AtomicU64,
    refused: AtomicU64,
    compile_us: AtomicU64,
    /// Of each worker.
    put_aside: Mutex<Vec<Arc<PutAside>>>,
}

/// The policies that a worker has put aside because they kept failing, as it last told.
#[derive(Default)]
pub(crate) struct PutAside(Mutex<Vec<(String, PolicyDigest)>>);

impl State {
    const ALL: [Self; 3] = [Self::There, Self::Coming, Self::Failing];

    fn name(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Coming => "coming",
            Self::Failing => "failing",
        }
    }
}

impl PolicyCounts {
    /// Returns where one more worker tells what it has put aside.
    pub(crate) fn worker(&self) -> Arc<PutAside> {
        let own = Arc::<PutAside>::default();
        let mut workers = self.put_aside.lock().unwrap_or_else(PoisonError::into_inner);
        workers.push(Arc::clone(&own));
        own
    }

    pub(super) fn tell_states(&self, states: impl Iterator<Item = State>) {
        let mut counts = [0; State::ALL.len()];
        states.for_each(|state| counts[state as usize] += 1);
        for (told, count) in self.states.iter().zip(counts) {
            told.store(count, Ordering::Relaxed);
        }
    }

    pub(super) fn compiled(&self, took: Duration, usable: bool) {
        let count = if usable { &self.compiled } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.compile_us.fetch_add(took_us, Ordering::Relaxed);
    }

    pub(crate) fn encode(&self, encoder: &mut DescriptorEncoder) -> std::fmt::Result {
        let help = "Components of policies that are wanted, by how they fare: there, coming, failing.";
        let mut family = encoder.encode_descriptor("postern_policies", help, None, MetricType::Gauge)?;
        for state in State::ALL {
            let count = self.states[state as usize].load(Ordering::Relaxed);
            ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX))
                .encode(family.encode_family(&[("state", state.name())])?)?;
        }
        let help = "Compilations of policies, by whether they could be used.";
        let mut family = encoder.encode_descriptor("postern_policy_compilations", help, None, MetricType::Counter)?;
        for (result, count) in [("ok", &self.compiled), ("refused", &self.refused)] {
            let count = count.load(Ordering::Relaxed);
            ConstCounter::new(count).encode(family.encode_family(&[("result", result)])?)?;
        }
        let help = "Time that compiling and loading policies took.";
        let family = encoder.encode_descriptor("postern_policy_compile_seconds", help, None, MetricType::Counter)?;
        let seconds = Duration::from_micros(self.compile_us.load(Ordering::Relaxed)).as_secs_f64();
        ConstCounter::new(seconds).encode(family)?;
        let help = "Workers that have put a policy aside because it kept failing, by role or guard.";
        let mut family = encoder.encode_descriptor("postern_policy_put_aside", help, None, MetricType::Gauge)?;
        for (name, workers) in self.all_put_aside() {
            ConstGauge::new(workers).encode(family.encode_family(&[("policy", name.as_str())])?)?;
        }
        Ok(())
    }

    fn all_put_aside(&self) -> BTreeMap<String, i64> {
        let mut all = BTreeMap::new();
        let workers = self.put_aside.lock().unwrap_or_else(PoisonError::into_inner);
        for worker in workers.iter() {
            for (name, _) in worker.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                *all.entry(name.clone()).or_default() += 1;
            }
        }
        all
    }
}

impl PutAside {
    /// Takes note of what a worker has put aside, and logs what is new of it.
    pub(super) fn tell(&self, set: &PolicySet) {
        let now: Vec<(String, PolicyDigest)> = set
            .put_aside()
            .map(|(name, digest)| (name.to_owned(), digest))
            .collect();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (policy, digest) in now.iter().filter(|one| !told.contains(one)) {
            tracing::error!(policy, %digest, "a policy keeps failing and is put aside for a while");
        }
        for (policy, digest) in told.iter().filter(|one| !now.contains(one)) {
            tracing::info!(policy, %digest, "a policy that was put aside is asked again");
        }
        *told = now;
    }
}
