//! Metrics of the gateway: counted by each worker for itself, added up when they are read.
//!
//! Every label comes from a closed set: operations of the catalogue, reasons, status classes, faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::Fault;
use http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use tokio::sync::watch;

use crate::access_log::AccessQueue;
use crate::cache::Cache;
use crate::decision_log::LogCounts;
use crate::decisions::DecisionQueue;
use crate::frames::Kind;
use crate::freshness::Serves;
use crate::kept::KeptMetrics;
use crate::policies::PolicyCounts;
use crate::refusal::Reason;
use crate::request_counts::AllRequests;
use crate::sources::Sources;
use crate::tls::ServerTls;
use crate::worker::Shared;

/// What one worker counts. Only it writes; whoever reads the metrics adds the workers up.
pub(crate) struct Counters {
    decisions: Histogram,
    remembered: AtomicU64,
    faults: [AtomicU64; Fault::ALL.len()],
    log_dropped: AtomicU64,
    begun: AtomicU64,
    ended: AtomicU64,
    /// By reason.
    cut: [AtomicU64; Reason::COUNT],
    unserved: [AtomicU64; Unserved::ALL.len()],
    floods: [AtomicU64; Kind::ALL.len()],
}

/// Why a connection was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unserved {
    /// There were as many as there may be.
    AllFull,
    /// There were as many of its source as there may be of one.
    SourceFull,
    /// A front proxy sent no PROXY header.
    BadHeader,
    /// It did not say what it wants in time.
    Timeout,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Refused(Reason),
    /// The upstream's answer was passed on; the first digit of its status code.
    Forwarded(u16),
    /// The caller left before there was an answer.
    Left,
}

struct Histogram {
    buckets: [AtomicU64; DECISION_BOUNDS_NS.len() + 1],
    sum_ns: AtomicU64,
}

/// All that the gateway tells of itself.
pub(crate) struct GatewayMetrics {
    pub(crate) requests: Arc<AllRequests>,
    pub(crate) access_log: Arc<AccessQueue>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) clock: feed::Clock,
    pub(crate) sources: Arc<Sources>,
    pub(crate) tls: Option<Arc<ServerTls>>,
    pub(crate) workers: Vec<Arc<Counters>>,
    pub(crate) policies: Arc<PolicyCounts>,
    pub(crate) decisions: (Arc<DecisionQueue>, Arc<LogCounts>),
    pub(crate) kept: Option<KeptMetrics>,
    /// Where the orchestrator of the moment is found.
    pub(crate) configured: watch::Receiver<Arc<Shared>>,
}

impl Counters {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            decisions: Histogram::new(),
            remembered: AtomicU64::new(0),
            faults: [const { AtomicU64::new(0) }; Fault::ALL.len()],
            log_dropped: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            cut: [const { AtomicU64::new(0) }; Reason::COUNT],
            unserved: [const { AtomicU64::new(0) }; Unserved::ALL.len()],
            floods: [const { AtomicU64::new(0) }; Kind::ALL.len()],
        })
    }

    pub(crate) fn decision(&self, took: Duration, remembered: bool) {
        self.decisions
            .observe(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        add(&self.remembered, u64::from(remembered));
    }

    pub(crate) fn fault(&self, fault: Fault) {
        if let Some(at) = Fault::ALL.iter().position(|own| *own == fault) {
            add(&self.faults[at], 1);
        }
    }

    pub(crate) fn begun(&self) {
        add(&self.begun, 1);
    }

    pub(crate) fn ended(&self) {
        add(&self.ended, 1);
    }

    /// Returns how many requests of this worker have begun and not ended.
    pub(crate) fn in_flight(&self) -> u64 {
        let ended = self.ended.load(Ordering::Relaxed);
        self.begun.load(Ordering::Relaxed).wrapping_sub(ended)
    }

    /// Counts a request that was permitted and ended because it no longer was.
    pub(crate) fn cut(&self, reason: Reason) {
        add(&self.cut[reason as usize], 1);
    }

    pub(crate) fn unserved(&self, why: Unserved) {
        add(&self.unserved[why as usize], 1);
    }

    pub(crate) fn flood(&self, kind: Kind) {
        add(&self.floods[kind as usize], 1);
    }

    pub(crate) fn log_dropped(&self) {
        add(&self.log_dropped, 1);
    }
}

impl Unserved {
    /// All of them, in the order of their numbers.
    const ALL: [Self; 4] = [Self::AllFull, Self::SourceFull, Self::BadHeader, Self::Timeout];

    fn name(self) -> &'static str {
        match self {
            Self::AllFull => "all-full",
            Self::SourceFull => "source-full",
            Self::BadHeader => "bad-proxy-header",
            Self::Timeout => "timeout",
        }
    }
}

impl Outcome {
    /// An answer was passed on, with a status code.
    pub(crate) fn forwarded(status: u16) -> Self {
        Self::Forwarded(status / 100)
    }

    /// Whether we could not serve it now.
    pub(crate) fn is_unavailable(self) -> bool {
        matches!(self, Self::Refused(reason) if reason.status() == StatusCode::SERVICE_UNAVAILABLE)
    }

    /// Returns the word for the log and the metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Refused(reason) => reason.id(),
            Self::Forwarded(_) => "forwarded",
            Self::Left => LEFT,
        }
    }

    /// Returns its place among all, below [`OUTCOMES`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Refused(reason) => reason as usize,
            Self::Forwarded(class) => Reason::COUNT + usize::from(class.clamp(1, 5)) - 1,
            Self::Left => Reason::COUNT + 5,
        }
    }

    /// Returns the outcome at a place.
    pub(crate) fn from_index(index: usize) -> Self {
        match Reason::from_index(index) {
            Some(reason) => Self::Refused(reason),
            None if index >= Reason::COUNT + 5 => Self::Left,
            // Indices are below OUTCOMES, so the class fits.
            None => Self::Forwarded((index - Reason::COUNT) as u16 + 1),
        }
    }

    fn class(self) -> u16 {
        match self {
            Self::Refused(reason) => reason.status().as_u16() / 100,
            Self::Forwarded(class) => class,
            Self::Left => 4,
        }
    }
}

impl Histogram {
    const fn new() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; DECISION_BOUNDS_NS.len() + 1],
            sum_ns: AtomicU64::new(0),
        }
    }

    fn observe(&self, ns: u64) {
        let bucket = DECISION_BOUNDS_NS
            .iter()
            .position(|bound| ns <= *bound)
            .unwrap_or(DECISION_BOUNDS_NS.len());
        add(&self.buckets[bucket], 1);
        add(&self.sum_ns, ns);
    }
}

impl std::fmt::Debug for GatewayMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GatewayMetrics")
    }
}

impl Collector for GatewayMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        self.encode_requests(&mut encoder)?;
        self.encode_connections(&mut encoder)?;
        self.encode_streams(&mut encoder)?;
        self.encode_decisions(&mut encoder)?;
        self.encode_faults(&mut encoder)?;
        self.policies.encode(&mut encoder)?;
        let (queue, logged) = &self.decisions;
        logged.encode(queue, &mut encoder)?;
        self.encode_cache(&mut encoder)?;
        self.kept.as_ref().map_or(Ok(()), |kept| kept.encode(&mut encoder))?;
        let orchestrator = self.configured.borrow().settings.orchestrator.clone();
        orchestrator.encode_metrics(&mut encoder)?;
        self.tls.as_ref().map_or(Ok(()), |tls| encode_tls(tls, &mut encoder))
    }
}

impl GatewayMetrics {
    fn encode_requests(&self, encoder: &mut DescriptorEncoder) -> std::fmt::Result {
        let help = "Requests by operation, reason and class of the status code.";
        let mut family = encoder.encode_descriptor("postern_requests", help, None, MetricType::Counter)?;
        for (operation, outcome, count) in self.requests.totals() {
            let class = format!("{}xx", outcome.class());
            let labels = [
                ("operation", operation.as_str()),
                ("reason", outcome.reason()),
                ("status", class.as_str()),
            ];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn encode_connections(&self, encoder: &mut DescriptorEncoder) -> std::fmt::Result {
        let open = i64::try_from(self.sources.connections()).unwrap_or(i64::MAX);
        gauge(encoder, "postern_connections", "Connections of callers.", open)?;
        let help = "Connections that were not served, by cause.";
        let mut family = encoder.encode_descriptor("postern_connections_unserved", help, None, MetricType::Counter)?;
        for why in Unserved::ALL {
            let count = self.total(|worker| &worker.unserved[why as usize]);
            ConstCounter::new(count).encode(family.encode_family(&[("cause", why.name())])?)?;
        }
        let help = "Connections that were ended for a flood of HTTP/2 frames, by their kind.";
        let mut family = encoder.encode_descriptor("postern_http2_floods", help, None, MetricType::Counter)?;
        for kind in Kind::ALL {
            let count = self.total(|worker| &worker.floods[kind as usize]);
            ConstCounter::new(count).encode(family.encode_family(&[("frames", kind.name())])?)?;
        }
        Ok(())
    }

    fn encode_streams(&self, encoder: &mut DescriptorEncoder) -> std::fmt::Result {
        // Ends first: what ends in between does not make the difference negative.
        let ended = self.total(|worker| &worker.ended);
        let begun = self.total(|worker| &worker.begun);
        gauge(
            encoder,
            "postern_requests_in_flight",
            "Requests that have begun and not ended.",
            begun.wrapping_sub(ended) as i64,
        )?;
        let help = "Requests that ended because they were no longer allowed, by reason.";
        let mut family = encoder.encode_descriptor("postern_streams_cut", help, None, MetricType::Counter)?;
        for reason in Reason::all() {
            let count = self.total(|worker| &worker.cut[reason as usize]);
            if count > 0 {
                ConstCounter::new(count).encode(family.encode_family(&[("reason", reason.id())])?)?;
            }
        }
        Ok(())
    }

    fn encode_decisions(&self, encoder: &mut DescriptorEncoder) -> std::fmt::Result {
        let help = "Time of decisions by role policies.";
        let family =
            encoder.encode_descriptor("postern_decision", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        let counts: Vec<u64> = (0..=DECISION_BOUNDS_NS.len())
            .map(|at| self.total(|worker| &worker.decisions.buckets[at]))
            .collect();
        let bounds = DECISION_BOUNDS_NS.iter().map(|ns| seconds(*ns)).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
        let sum = seconds(self.total(|worker| &worker.decisions.sum_ns));
        encode_histogram(family, sum, counts.iter().sum(), &buckets)?;
        let help = "Decisions for which no policy had to run.";
        let family = encoder.encode_descriptor("postern_decisions_remembered", help, None, MetricType::Counter)?;
        ConstCounter::new(self.total(|worker| &worker.remembered)).encode(family)
    }

    fn encode_faults(&self, encoder: &mut DescriptorEncoder) -> std::fmt::Result {
        let help = "Policies that failed, by the kind of fault.";
        let mut family = encoder.encode_descriptor("postern_policy_faults", help, None, MetricType::Counter)?;
        for (at, fault) in Fault::ALL.into_iter().enumerate() {
            let count = self.total(|worker| &worker.faults[at]);
            ConstCounter::new(count).encode(family.encode_family(&[("fault", fault.name())])?)?;
        }
        let help = "Access log lines that were dropped because the log could not keep up or could not be written.";
        let family = encoder.encode_descriptor("postern_access_log_dropped", help, None, MetricType::Counter)?;
        let dropped = self.total(|worker| &worker.log_dropped) + self.access_log.unwritten();
        ConstCounter::new(dropped).encode(family)
    }

    fn encode_cache(&self, encoder: &mut DescriptorEncoder) -> std::fmt::Result {
        let (tokens, subjects) = self.cache.sizes();
        // Gauges are signed or floating; none of these comes near the difference.
        gauge(encoder, "postern_cache_tokens", "Tokens in the cache.", tokens as i64)?;
        gauge(
            encoder,
            "postern_cache_subjects",
            "Subjects in the cache.",
            subjects as i64,
        )?;
        gauge(
            encoder,
            "postern_revision",
            "Revision that the cache is at.",
            self.cache.revision() as i64,
        )?;
        self.encode_freshness(encoder)
    }

    fn encode_freshness(&self, encoder: &mut DescriptorEncoder) -> std::fmt::Result {
        let (freshness, clock) = (self.cache.freshness(), &self.clock);
        if let Some(age_ms) = freshness.age_ms(clock) {
            let help = "Time since the feed was last heard.";
            gauge(encoder, "postern_feed_age_milliseconds", help, age_ms)?;
        }
        if let Some(difference_ms) = freshness.clock_difference_ms(clock) {
            let help = "By how much this machine's clock is ahead of the admin service's.";
            gauge(encoder, "postern_clock_difference_milliseconds", help, difference_ms)?;
        }
        let limits = self.configured.borrow().settings.limits.data_age;
        let serves = freshness.serves(clock, &limits).unwrap_or(Serves::Nothing);
        let help = "What may be decided on data of the age that it has: 1 for what holds.";
        let mut family = encoder.encode_descriptor("postern_data_serves", help, None, MetricType::Gauge)?;
        for each in Serves::ALL {
            let holds = i64::from(each == serves);
            ConstGauge::new(holds).encode(family.encode_family(&[("operations", each.name())])?)?;
        }
        Ok(())
    }

    fn total(&self, counter: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        self.workers
            .iter()
            .map(|worker| counter(worker).load(Ordering::Relaxed))
            .sum()
    }
}

/// Upper bounds of the decision histogram, in nanoseconds: remembered ones take 0.3 µs, fresh ones 4 µs each.
const DECISION_BOUNDS_NS: [u64; 10] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 1_000_000, 10_000_000,
];

/// Ways in which a request can end: each reason, an answer of each status class, and none.
pub(crate) const OUTCOMES: usize = Reason::COUNT + 5 + 1;

/// What stands for a reason when the caller left before there was an answer.
const LEFT: &str = "caller-left";

/// Adds to a counter that only this thread writes: no locked instruction is needed.
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

fn encode_tls(tls: &ServerTls, encoder: &mut DescriptorEncoder) -> std::fmt::Result {
    let counts = tls.counts();
    let help = "TLS handshakes, by how they ended.";
    let mut family = encoder.encode_descriptor("postern_tls_handshakes", help, None, MetricType::Counter)?;
    for (result, count) in [
        ("ok", &counts.handshakes_ok),
        ("failed", &counts.handshakes_failed),
        ("client-certificate", &counts.handshakes_refused),
        ("timeout", &counts.handshakes_timeout),
    ] {
        let count = count.load(Ordering::Relaxed);
        ConstCounter::new(count).encode(family.encode_family(&[("result", result)])?)?;
    }
    let help = "Changes of the certificate files, by whether they could be used.";
    let mut family = encoder.encode_descriptor("postern_certificate_reloads", help, None, MetricType::Counter)?;
    for (result, count) in [
        ("applied", &counts.reloads_applied),
        ("refused", &counts.reloads_refused),
    ] {
        let count = count.load(Ordering::Relaxed);
        ConstCounter::new(count).encode(family.encode_family(&[("result", result)])?)?;
    }
    let (help, unit) = ("End of a certificate in use, since the Unix epoch.", Unit::Seconds);
    let mut family = encoder.encode_descriptor("postern_certificate_expiry", help, Some(&unit), MetricType::Gauge)?;
    for (name, end_s) in tls.expiries() {
        ConstGauge::new(end_s).encode(family.encode_family(&[("certificate", &*name)])?)?;
    }
    Ok(())
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn gauge(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: i64) -> std::fmt::Result {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn encode_histogram(mut encoder: MetricEncoder, sum: f64, count: u64, buckets: &[(f64, u64)]) -> std::fmt::Result {
    encoder.encode_histogram::<[(&str, &str); 0]>(sum, count, buckets, None)
}
